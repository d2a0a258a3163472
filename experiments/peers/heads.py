"""Output layers for bodies written in PyTorch: the full softmax, the adaptive one, a sampled one, and slide's.

Each has loss(hidden, target), whose backward pass gives the gradients of hidden, step(rate), after it, and
topk(hidden, k), the classes of the k most probable, int64 (n, k). All are trained by Adam: lr, beta1.
"""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from experiments.peers.pytorch import BETA2, Candidates


class Linear:
    """nn.Linear and cross entropy."""

    def __init__(self, width, entries, lr, beta1, **_):
        self._train(nn.Linear(width, len(entries)), lr, beta1)

    def _train(self, layer, lr, beta1):
        self.layer, self.lr = layer, lr
        self.adam = torch.optim.Adam(layer.parameters(), lr=lr, betas=(beta1, BETA2), fused=True)

    def loss(self, hidden, target):
        return nn.functional.cross_entropy(self.layer(hidden), target)

    def step(self, rate):
        self.adam.param_groups[0]["lr"] = rate * self.lr
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def topk(self, hidden, k):
        return self.layer(hidden).topk(k)[1]


class Adaptive(Linear):
    """nn.AdaptiveLogSoftmaxWithLoss, with classes numbered by their frequency, as it wants them: the first hundredth,
    up to a tenth, and the others."""

    def __init__(self, width, entries, lr, beta1, **_):
        n, order = len(entries), np.argsort(-entries, kind="stable")
        self.class_of = torch.from_numpy(order)
        self.rank = torch.empty(n, dtype=torch.int64).index_put_((self.class_of,), torch.arange(n))
        self._train(nn.AdaptiveLogSoftmaxWithLoss(width, n, [max(1, n // 100), max(2, n // 10)]), lr, beta1)

    def loss(self, hidden, target):
        return self.layer(hidden, self.rank[target]).loss

    def topk(self, hidden, k):
        return self.class_of[self.layer.log_prob(hidden).topk(k)[1]]


class Sampled:
    """The softmax over candidates that are drawn log-uniformly and shared by the batch, logits corrected (see
    `pytorch.Candidates`); written out for speed."""

    def __init__(self, width, entries, lr, beta1, candidates, seed, warmup, **_):
        self.layer = Candidates(entries, width, candidates, seed, warmup=warmup, beta1=beta1)
        self.lr, self.number = lr, 0

    def loss(self, hidden, target):
        n = len(target)
        targets = SimpleNamespace(n=n, label=target, row=torch.arange(n), weight=torch.ones(n))
        self.number += 1
        loss, self.delta, _ = self.layer.learn(hidden.detach(), targets, self.number, self.rate * self.lr)
        product = (hidden * self.delta).sum()  # whose gradient is delta
        return product - product.detach() + loss

    rate = 1.0

    def step(self, rate):
        self.rate = rate  # of the next batch: the layer has made its step

    def topk(self, hidden, k):
        return torch.addmm(self.layer.bias, hidden, self.layer.weights.t()).topk(k)[1]


class Slide:
    """slide.torch.SampledSoftmax, whose active sets have as many neurons as there are candidates."""

    def __init__(self, width, entries, lr, beta1, candidates, seed, warmup, steps, threads):
        from slide import Adam, Schedule
        from slide.torch import SampledSoftmax

        self.layer = SampledSoftmax(
            width, len(entries), min_active=candidates, logq_warmup=warmup, optimizer=Adam(lr=lr, beta1=beta1),
            seed=seed, schedule=Schedule("linear", steps=steps), threads=threads,
        )  # fmt: skip

    def loss(self, hidden, target):
        return self.layer(hidden, target).loss

    def step(self, rate):
        """It was made in the backward pass."""

    def topk(self, hidden, k):
        return self.layer.topk(hidden, k)[1]


HEADS = {"torch": Linear, "torch-adaptive": Adaptive, "torch-sampled": Sampled, "slide": Slide}
