"""The next token: a small transformer whose output layer is slide's, with one matrix for embedding and output.

Token t + 1 is a function of tokens t and t - 1, by a table: what a transformer with two layers can learn.
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from slide import Adam
from slide.torch import SampledSoftmax


class NextToken(nn.Module):
    """A causal transformer over tokens (sequences, length)."""

    def __init__(self, n_tokens, width=64, layers=2, most=64):
        super().__init__()
        self.position = nn.Parameter(0.1 * torch.randn(most, width))
        block = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        # Rows of the output layer are the embeddings, too: the gradients of both are steps of the layer's optimizer.
        self.head = SampledSoftmax(width, n_tokens, optimizer=Adam(lr=3e-3, beta1=0.0), init_std=0.1)

    def hidden(self, tokens):
        x = F.embedding(tokens, self.head.weight, sparse=True) + self.position[: tokens.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.blocks(x, mask=mask, is_causal=True)

    def forward(self, tokens):
        return self.head(self.hidden(tokens[:, :-1]), tokens[:, 1:]).loss


def sequences(n, length, n_tokens, rng):
    step = np.random.default_rng(0).integers(1, n_tokens, 7)
    tokens = np.empty((n, length), np.int64)
    tokens[:, :2] = rng.integers(0, n_tokens, (n, 2))
    for t in range(2, length):
        tokens[:, t] = (tokens[:, t - 1] + step[tokens[:, t - 2] % 7]) % n_tokens
    return torch.from_numpy(tokens)


def train(model, n_tokens, steps, batch_size=32, length=13, seed=1):
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)  # leaves the head alone, which steps by itself
    for step in range(steps):
        optimizer.zero_grad()
        loss = model(sequences(batch_size, length, n_tokens, rng))
        loss.backward()
        optimizer.step()
        if (step + 1) % max(1, steps // 10) == 0:
            print(f"step {step + 1:5}: loss {loss.item():.3f}")
    return model


@torch.no_grad()
def accuracy(model, n_tokens):
    """The share of tokens, from the third on, that are predicted right."""
    tokens = sequences(100, 13, n_tokens, np.random.default_rng(2))
    found = model.head.predict(model.hidden(tokens[:, :-1]))
    return (found == tokens[:, 1:])[:, 1:].float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=5_000)
    parser.add_argument("--steps", type=int, default=3_000)
    given = parser.parse_args()
    torch.manual_seed(0)
    model = train(NextToken(given.tokens), given.tokens, given.steps)
    print(f"next token right: {accuracy(model, given.tokens):.3f}; chance {1 / given.tokens:.5f}")
