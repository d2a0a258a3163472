"""The full softmax in PyTorch, as one writes it, with as much of slide.Network's face as the experiments use."""

import numpy as np
import torch


class TorchNetwork:
    """D -> hidden -> labels: a sparse embedding sum, ReLU, a dense layer; SparseAdam for the first, Adam for the last.

    The targets of a sample are its labels, 1 / (number of labels) each. lr falls linearly to zero over `steps`.
    """

    def __init__(self, n_features, n_labels, *, hidden=128, lr=1e-3, steps=1, batch_size=256, seed=0, threads=1):
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.first = torch.nn.EmbeddingBag(n_features, hidden, mode="sum", sparse=True)
        torch.nn.init.normal_(self.first.weight, std=0.1)
        self.shift = torch.nn.Parameter(torch.zeros(hidden))
        self.last = torch.nn.Linear(hidden, n_labels)
        torch.nn.init.normal_(self.last.weight, std=(2 / (hidden + n_labels)) ** 0.5)
        torch.nn.init.zeros_(self.last.bias)
        self.lr, self.steps, self.batch_size, self.seed = lr, steps, batch_size, seed
        self.optimizers = [
            torch.optim.SparseAdam(self.first.parameters(), lr=lr),
            torch.optim.Adam([self.shift, *self.last.parameters()], lr=lr, fused=True),
        ]
        self.step = self.samples = 0
        self.active = float(n_labels)

    def fit(self, X, Y, epochs=1, steps=None, callback=None):
        per_epoch = -(-X.shape[0] // self.batch_size)
        end = self.step + (epochs * per_epoch if steps is None else steps)
        order, epoch = None, -1
        while self.step < end:
            if self.step // per_epoch != epoch:
                epoch = self.step // per_epoch
                order = np.random.default_rng((self.seed, epoch)).permutation(X.shape[0])
            low = self.step % per_epoch * self.batch_size
            rows = order[low : low + self.batch_size]
            loss = self.partial_fit(X[rows], Y[rows])
            if callback is not None and callback(self, loss):
                break
        return self

    def partial_fit(self, x, y) -> float:
        rate = self.lr * max(1 - self.step / max(self.steps, 1), 0.0)
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        count = np.diff(y.indptr)
        row = torch.from_numpy(np.repeat(np.arange(y.shape[0]), count))
        label = torch.from_numpy(y.indices.astype(np.int64))
        weight = torch.from_numpy((1.0 / np.repeat(count, count)).astype(np.float32))
        log_p = torch.log_softmax(self.last(self._hidden(x)), dim=1)
        loss = -(log_p[row, label] * weight).sum() / y.shape[0]
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.samples += y.shape[0]
        return float(loss)

    def _hidden(self, x):
        """Activations of CSR rows, scaled to unit norm as slide.Network scales them."""
        norms = np.sqrt(np.asarray(x.multiply(x).sum(axis=1))).ravel()
        values = x.data / np.repeat(np.where(norms > 0, norms, 1), np.diff(x.indptr)).astype(np.float32)
        ids, starts = (torch.from_numpy(a.astype(np.int64)) for a in (x.indices, x.indptr[:-1]))
        return (self.first(ids, starts, per_sample_weights=torch.from_numpy(values)) + self.shift).relu()

    @torch.no_grad()
    def evaluate(self, X, Y, ks=(1,)):
        """P@1, in blocks of rows."""
        from slide.network import Evaluation

        hits = 0
        for low in range(0, X.shape[0], 256):
            top = self.last(self._hidden(X[low : low + 256])).argmax(dim=1).numpy().copy()
            hits += int(np.asarray(Y[low : low + 256][np.arange(len(top)), top]).astype(bool).sum())
        return Evaluation({"P@1": hits / X.shape[0]}, self.active)
