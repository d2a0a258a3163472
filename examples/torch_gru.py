"""The next item of a session: a GRU of PyTorch whose output layer is slide's.

The items of a session follow a random walk: after an item comes one of four that are its own.
"""

import argparse

import numpy as np
import torch
from torch import nn

from slide import Adam
from slide.torch import SampledSoftmax


class NextItem(nn.Module):
    """Reads items (sessions, length), predicts what follows each of them."""

    def __init__(self, n_items, width=64):
        super().__init__()
        self.embedding = nn.Embedding(n_items, width, sparse=True)
        self.gru = nn.GRU(width, width, batch_first=True)
        # In the place of nn.Linear(width, n_items):
        self.head = SampledSoftmax(width, n_items, optimizer=Adam(lr=5e-3, beta1=0.0))

    def hidden(self, items):
        return self.gru(self.embedding(items))[0]

    def forward(self, items):
        """The loss (where it was nn.functional.cross_entropy(linear(hidden), targets)) in the mean of all places."""
        return self.head(self.hidden(items[:, :-1]), items[:, 1:]).loss


def sessions(n, length, n_items, rng):
    follows = np.random.default_rng(0).integers(0, n_items, (n_items, 4))
    items = np.empty((n, length), np.int64)
    items[:, 0] = rng.integers(0, n_items, n)
    for t in range(1, length):
        items[:, t] = follows[items[:, t - 1], rng.integers(0, 4, n)]
    return torch.from_numpy(items)


def train(model, n_items, steps, batch_size=32, length=9, seed=1):
    """Trains on new sessions all the time; the head makes its own steps in `backward`."""
    rng = np.random.default_rng(seed)
    body = torch.optim.Adam(model.gru.parameters(), lr=3e-3)
    rows = torch.optim.SparseAdam(model.embedding.parameters(), lr=1e-2)
    for step in range(steps):
        loss = model(sessions(batch_size, length, n_items, rng))
        body.zero_grad()
        rows.zero_grad()
        loss.backward()
        body.step()
        rows.step()
        if (step + 1) % max(1, steps // 10) == 0:
            print(f"step {step + 1:5}: loss {loss.item():.3f}")
    return model


@torch.no_grad()
def recall(model, n_items, k=20):
    """The share of next items that are among the k best."""
    items = sessions(200, 9, n_items, np.random.default_rng(2))
    best = model.head.topk(model.hidden(items[:, :-1]), k)[1]
    return (best == items[:, 1:, None]).any(dim=-1).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=2_000)
    given = parser.parse_args()
    torch.manual_seed(0)
    model = train(NextItem(given.items), given.items, given.steps)
    print(f"Recall@20 {recall(model, given.items):.3f}; chance {20 / given.items:.5f}")
