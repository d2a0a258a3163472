"""The network D -> hidden -> labels in PyTorch, for comparison: the same sums as slide's, written for speed.

Gradients are written out, buffers are kept between batches, and only touched rows are updated where a batch touches
few; `Plain` alone is the softmax as one writes it.

All tensors lie on one device, that of the softmax: "cpu", or "cuda". ("mps" has no embedding_bag and no CSR products.)
"""

import math
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
CHUNK = 1 << 15  # labels per matrix product: faster than all at once, and what follows finds them in the cache
BLOCK = 4096  # rows per update
EVALUATED = 256  # rows per matrix product of an evaluation


class TorchNetwork:
    """D -> hidden -> labels, ReLU, a softmax, Adam; `output` is Plain, Full or Candidates, and says on which `device`.

    It has as much of slide.Network's face as the experiments use, its schedule (None: a constant rate) included.
    """

    def __init__(self, n_features, hidden, output, *, lr, schedule=None, batch_size=256, seed=0, threads=1,
                 dropout=0.0):  # fmt: skip
        torch.set_num_threads(threads)
        self.device = output.weights.device
        self.random = _generator(seed, self.device)
        self.first = Rows(0.1 * torch.randn(n_features, hidden, generator=self.random, device=self.device))
        self.bias, self.only = Rows(torch.zeros(1, hidden, device=self.device)), _on([0], self.device)
        self.output, self.lr, self.schedule, self.dropout = output, lr, schedule, dropout
        self.batch_size, self.seed = batch_size, seed
        self.step = self.samples = self.active = 0

    def partial_fit(self, X, Y) -> float:
        """One step on CSR rows X and Y, X of unit norm, which go to the device. Returns the mean loss."""
        self.step += 1
        self.samples += X.shape[0]
        lr = self.lr * (1.0 if self.schedule is None else self.schedule.rate(self.step))
        hidden = self._hidden(X)
        kept = hidden > 0
        if self.dropout:
            kept = kept.float()
            kept.mul_(torch.rand(hidden.shape, generator=self.random, device=self.device) >= self.dropout)
            kept.div_(1 - self.dropout)
            hidden = hidden.mul_(kept)
        loss, delta, self.active = self.output.learn(hidden, Targets(Y, self.device), self.step, lr)
        delta.mul_(kept)
        touched, grad = _by_feature(X, delta)
        self.first.update(touched, grad, self.step, lr)
        self.bias.update(self.only, delta.sum(0, keepdim=True), self.step, lr)
        return float(loss)  # a GPU is waited for here

    def fit(self, X, Y, steps, callback=None):
        """Trains for `steps` more batches, in a new order each epoch, or until callback(network, loss) is true."""
        X, per_epoch, order = unit_rows(X), -(-X.shape[0] // self.batch_size), None
        for number in range(self.step, self.step + steps):
            if order is None or number % per_epoch == 0:
                order = np.random.default_rng((self.seed, number // per_epoch)).permutation(X.shape[0])
            low = number % per_epoch * self.batch_size
            rows = order[low : low + self.batch_size]
            loss = self.partial_fit(X[rows], Y[rows])
            if callback is not None and callback(self, loss):
                break
        return self

    @torch.no_grad()
    def evaluate(self, X, Y, ks=(1,)):
        """P@1 of the full softmax, in blocks of rows, as slide.Network.evaluate has it; ks: only (1,)."""
        from slide.network import Evaluation

        X, hits = unit_rows(X), 0
        for low in range(0, X.shape[0], EVALUATED):
            z = torch.addmm(self.output.bias, self._hidden(X[low : low + EVALUATED]), self.output.weights.t())
            top = z.argmax(1).cpu().numpy().copy()
            hits += int(np.count_nonzero(Y[np.arange(low, low + len(top)), top]))
        return Evaluation({"P@1": hits / X.shape[0]}, float(len(self.output.bias)))

    def _hidden(self, X):
        starts, ids, values = (_on(part, self.device) for part in (X.indptr[:-1], X.indices, X.data))
        sums = torch.nn.functional.embedding_bag(ids, self.first.w, starts, mode="sum", per_sample_weights=values)
        return sums.add_(self.bias.w).relu_()

    def copy_from(self, network):
        """Takes the weights of a slide.Network of the same shape."""
        first, last = network.layers
        self.first.w.copy_(torch.from_numpy(np.ascontiguousarray(first.weights.T)))
        self.bias.w.copy_(torch.from_numpy(first.bias.copy()))
        self.output.weights.copy_(torch.from_numpy(last.weights))
        self.output.bias.copy_(torch.from_numpy(last.bias.copy()))


def full_softmax(n_features, n_labels, *, lr, steps, hidden=128, batch_size=256, seed=0, threads=1, dropout=0.0,
                 label_smoothing=0.0, device="cpu", bfloat16=False):  # fmt: skip
    """The full softmax in chunks, its rate falling linearly to zero over `steps` batches."""
    output = (FullBFloat16 if bfloat16 else Full)(n_labels, hidden, batch_size, seed, label_smoothing, device)
    return _scheduled(n_features, hidden, output, steps, lr=lr, batch_size=batch_size, seed=seed, threads=threads,
                      dropout=dropout)  # fmt: skip


def sampled_softmax(n_features, Y, candidates, *, lr, steps, hidden=128, batch_size=256, seed=0, threads=1,
                    dropout=0.0, label_smoothing=0.0, warmup=None, device="cpu"):  # fmt: skip
    """The softmax over so many candidates, drawn by the frequency of labels in Y, with the same schedule."""
    entries = np.bincount(Y.indices, minlength=Y.shape[1])
    output = Candidates(entries, hidden, candidates, seed, label_smoothing, device, warmup)
    return _scheduled(n_features, hidden, output, steps, lr=lr, batch_size=batch_size, seed=seed, threads=threads,
                      dropout=dropout)  # fmt: skip


def _scheduled(n_features, hidden, output, steps, **settings):
    from slide import Schedule

    return TorchNetwork(n_features, hidden, output, schedule=Schedule("linear", steps=max(steps, 1)), **settings)


def gpu():
    """Yields the name of the GPU that PyTorch finds, or None: for a process of its own (see `processes.gpu`)."""
    yield {"name": torch.cuda.get_device_name() if torch.cuda.is_available() else None}


def unit_rows(X):
    """X with rows of unit norm, as slide.Network takes them."""
    from slide.rows import as_sparse_rows

    return as_sparse_rows(X).normalized().to_scipy()


class Targets:
    """(row, label, weight) of every label entry of CSR rows, the weight 1 / (number of labels)."""

    def __init__(self, Y, device="cpu"):
        count = np.diff(Y.indptr)
        row = np.repeat(np.arange(Y.shape[0]), count)
        self.n = Y.shape[0]
        self.row, self.label = _on(row, device), _on(Y.indices.astype(np.int64), device)
        self.weight = _on((1.0 / count[row]).astype(np.float32), device)


class Rows:
    """Rows of weights with Adam's moments, of which a batch touches a few; the others stay as they are."""

    def __init__(self, w, beta1=BETA1):
        self.w, self.m, self.v, self.beta1 = w, torch.zeros_like(w), torch.zeros_like(w), beta1

    def update(self, ids, grad, step, lr):
        """One step of Adam on the rows `ids` (distinct), in blocks that stay in the cache."""
        for some, part in zip(ids.split(BLOCK), grad.split(BLOCK), strict=True):
            self._update(some, part, step, lr)

    def _update(self, ids, grad, step, lr):
        m = self.m.index_select(0, ids).mul_(self.beta1).add_(grad, alpha=1 - self.beta1)
        v = self.v.index_select(0, ids).mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
        self.m.index_copy_(0, ids, m)
        self.v.index_copy_(0, ids, v)
        root = math.sqrt(1 - BETA2**step)
        m.div_(v.sqrt_().add_(EPS * root)).mul_(-lr * root / (1 - self.beta1**step))
        self.w.index_copy_(0, ids, m.add_(self.w.index_select(0, ids)))


def _by_feature(X, delta):
    """(features that the batch has, their gradients): the product of X, transposed to those rows, with delta."""
    columns = X.tocsc()
    touched = np.flatnonzero(np.diff(columns.indptr))
    starts = np.append(columns.indptr[touched], columns.indptr[-1])
    by_feature = torch.sparse_csr_tensor(
        *(_on(part, delta.device) for part in (starts, columns.indices, columns.data)),
        size=(len(touched), X.shape[0]), device=delta.device, check_invariants=False,
    )  # fmt: skip
    return _on(touched, delta.device), by_feature @ delta


class Plain:
    """The full softmax as one writes it: a linear layer, log_softmax, autograd, Adam.

    autocast: whether products are in bfloat16 (`torch.autocast`); compiled: whether `torch.compile` makes one function
    of layer and loss.
    """

    def __init__(self, n_labels, hidden, seed=0, device="cpu", autocast=False, compiled=False):
        self.layer = torch.nn.Linear(hidden, n_labels, device=device)
        with torch.no_grad():
            self.layer.weight.copy_(_glorot(n_labels, hidden, seed, device))
            self.layer.bias.zero_()
        self.weights, self.bias = self.layer.weight.data, self.layer.bias.data
        self.adam = torch.optim.Adam(self.layer.parameters(), betas=(BETA1, BETA2), eps=EPS, fused=True)
        self.autocast = torch.autocast(self.weights.device.type, torch.bfloat16, enabled=autocast)
        # Batches have as many label entries as they have: one function for all of these numbers.
        self.loss = torch.compile(self._loss, dynamic=True) if compiled else self._loss

    def _loss(self, hidden, row, label, weight):
        log_p = torch.log_softmax(self.layer(hidden), dim=1)
        return -(log_p[row, label] * weight).sum() / len(hidden)

    def learn(self, hidden, targets, step, lr):
        self.adam.param_groups[0]["lr"] = lr
        self.adam.zero_grad(set_to_none=True)
        hidden = hidden.requires_grad_()
        with self.autocast:
            loss = self.loss(hidden, targets.row, targets.label, targets.weight)
        loss.backward()
        self.adam.step()
        return loss.detach(), hidden.grad, len(self.bias)


class Full:
    """The full softmax in chunks of labels; logits, probabilities and gradients share one buffer that is kept.

    smoothing: the share of the target that is spread evenly over all labels; the loss is told without it.
    """

    def __init__(self, n_labels, hidden, batch_size, seed=0, smoothing=0.0, device="cpu"):
        self.smoothing = smoothing
        self.weights, self.bias = _glorot(n_labels, hidden, seed, device), torch.zeros(n_labels, device=device)
        parameters = [torch.nn.Parameter(tensor, requires_grad=False) for tensor in (self.weights, self.bias)]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        self.adam = torch.optim.Adam(parameters, betas=(BETA1, BETA2), eps=EPS, fused=True)
        self.grads = [parameter.grad for parameter in parameters]
        self.buffer = torch.empty(n_labels, batch_size, device=device)
        self.chunks = [slice(low, min(low + CHUNK, n_labels)) for low in range(0, n_labels, CHUNK)]

    def learn(self, hidden, targets, step, lr):
        n = targets.n
        z = self.buffer if n == self.buffer.shape[1] else self.buffer.view(-1)[: n * len(self.bias)].view(-1, n)
        turned, top, total = hidden.t().contiguous(), hidden.new_full((n,), -math.inf), hidden.new_zeros(n)
        for at in self.chunks:
            torch.addmm(self.bias[at, None], self.weights[at], turned, out=z[at])
            top = torch.maximum(top, z[at].amax(0))
        picked = z[targets.label, targets.row]
        for at in self.chunks:
            total += z[at].sub_(top).exp_().sum(0)
        loss = ((top + total.log())[targets.row] - picked) @ targets.weight / n
        # One column of the gradient is p / n less the targets; the factor 1 / (n total) goes to the hidden side.
        scale = 1 / (n * total)
        if self.smoothing:
            z.sub_(total * (self.smoothing / len(self.bias)))
        weight = (self.smoothing - 1) * targets.weight * total[targets.row]
        z.index_put_((targets.label, targets.row), weight, accumulate=True)
        scaled = hidden * scale[:, None]
        delta = torch.zeros_like(hidden)
        for at in self.chunks:
            torch.mm(z[at], scaled, out=self.grads[0][at])
            torch.mv(z[at], scale, out=self.grads[1][at])
            delta.addmm_(z[at].t(), self.weights[at])
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        return loss, delta.mul_(scale[:, None]), len(self.bias)


class FullBFloat16(Full):
    """The same with products, logits and probabilities in bfloat16, in half the memory; weights, their gradients and
    Adam stay float32. Where the processor has AMX, its products are what PyTorch takes."""

    def __init__(self, n_labels, hidden, batch_size, seed=0, smoothing=0.0, device="cpu"):
        super().__init__(n_labels, hidden, batch_size, seed, smoothing, device)
        self.buffer = self.buffer.bfloat16()
        self.narrow = torch.empty_like(self.weights, dtype=torch.bfloat16)

    def learn(self, hidden, targets, step, lr):
        n, half = targets.n, hidden.bfloat16()
        z = self.buffer if n == self.buffer.shape[1] else self.buffer.view(-1)[: n * len(self.bias)].view(-1, n)
        turned, top, total = half.t().contiguous(), hidden.new_full((n,), -math.inf), hidden.new_zeros(n)
        self.narrow.copy_(self.weights)
        for at in self.chunks:
            torch.addmm(self.bias[at, None].bfloat16(), self.narrow[at], turned, out=z[at])
            top = torch.maximum(top, z[at].amax(0).float())
        picked, highest = z[targets.label, targets.row].float(), top.bfloat16()
        for at in self.chunks:
            total += z[at].sub_(highest).exp_().sum(0, dtype=torch.float32)
        loss = ((top + total.log())[targets.row] - picked) @ targets.weight / n
        scale = 1 / (n * total)
        if self.smoothing:
            z.sub_((total * (self.smoothing / len(self.bias))).bfloat16())
        weight = (self.smoothing - 1) * targets.weight * total[targets.row]
        z.index_put_((targets.label, targets.row), weight.bfloat16(), accumulate=True)
        scaled, delta = (hidden * scale[:, None]).bfloat16(), torch.zeros_like(hidden)
        for at in self.chunks:
            self.grads[0][at] = torch.mm(z[at], scaled)
            self.grads[1][at] = torch.mv(z[at], scale.bfloat16())
            delta += torch.mm(z[at].t(), self.narrow[at])
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        return loss, delta.mul_(scale[:, None]), len(self.bias)


class Candidates:
    """A sampled softmax: the batch's labels and distinct log-uniform draws by frequency, shared by the batch.

    entries: how often each label is one. n: how many candidates a batch has; smoothing: the share of the target that
    is spread evenly over them. warmup: batches until logits are wholly corrected by the logarithm of a candidate's
    probability to be one if it were not the sample's label; None: they are taken as they are. beta1: of Adam.
    """

    def __init__(self, entries, hidden, n, seed=0, smoothing=0.0, device="cpu", warmup=None, beta1=BETA1):
        n_labels, by_frequency = len(entries), np.argsort(-entries, kind="stable")
        self.rows = Rows(_glorot(n_labels, hidden, seed, device), beta1)
        self.bias_rows = Rows(torch.zeros(n_labels, device=device), beta1)
        self.weights, self.bias = self.rows.w, self.bias_rows.w
        self.by_frequency, self.n, self.smoothing = _on(by_frequency, device), n, smoothing
        self.place = torch.full((n_labels,), -1, device=device)
        self.random, self.warmup = _generator(seed, device), warmup
        # Logarithms of the probabilities that an entry is another label, and that a draw is.
        ranks = np.arange(n_labels)
        drawn = np.empty(n_labels)
        drawn[by_frequency] = np.log((ranks + 2) / (ranks + 1)) / math.log(n_labels + 1)
        self.missed = [
            _on(np.log1p(-np.minimum(p, 1 - 1e-6)).astype(np.float32), device)
            for p in (entries / max(entries.sum(), 1), drawn)
        ]

    def draw(self, label):
        """(distinct candidates, place of each label entry among them, share of the distinct draws that was taken)."""
        wanted = torch.unique(label)
        self.place[wanted] = torch.arange(len(wanted), device=label.device)
        slot = self.place[label]
        missing = max(self.n - len(wanted), 0)
        # Frequent labels are drawn again and again: three draws leave about one that is new.
        rank = torch.rand(3 * missing, generator=self.random, device=label.device)
        rank = rank.mul_(math.log(len(self.place))).exp_().long().sub_(1)
        drawn = self.by_frequency[rank]
        drawn = torch.unique(drawn[self.place[drawn] < 0])
        taken = min(1.0, missing / max(len(drawn), 1))
        drawn = drawn[torch.randperm(len(drawn), generator=self.random, device=label.device)[:missing]]
        self.place[wanted] = -1
        return torch.cat([wanted, drawn]), slot, (3 * missing, taken)

    def log_weights(self, ids, entries, n, draws, taken):
        """What is added to the logits of candidates in a batch of n samples with so many label entries."""
        by_label, by_draw = (missed.index_select(0, ids) for missed in self.missed)
        missed = torch.exp(by_label * (entries * (n - 1) / n)) * (1 - taken * -torch.expm1(by_draw * draws))
        return -torch.log((1 - missed).clamp_(min=1 / len(self.place)))

    def learn(self, hidden, targets, step, lr):
        ids, slot, drawn = self.draw(targets.label)
        w = self.weights.index_select(0, ids)
        bias = self.bias.index_select(0, ids)
        if self.warmup is not None:
            weights = self.log_weights(ids, len(targets.label), targets.n, *drawn)
            bias.add_(weights, alpha=min(1.0, step / max(self.warmup, 1)))
        z = torch.addmm(bias, hidden, w.t())
        z = torch.softmax(z, 1)
        loss = -z[targets.row, slot].log() @ targets.weight / targets.n
        z.sub_(self.smoothing / len(ids))
        z.index_put_((targets.row, slot), (self.smoothing - 1) * targets.weight, accumulate=True)
        z.div_(targets.n)
        delta = z @ w
        self.rows.update(ids, z.t() @ hidden, step, lr)
        self.bias_rows.update(ids, z.sum(0), step, lr)
        return loss, delta, len(ids)


def _glorot(n_labels, hidden, seed, device):
    random = _generator(seed + 1, device)
    return torch.randn(n_labels, hidden, generator=random, device=device).mul_(math.sqrt(2 / (n_labels + hidden)))


def _generator(seed, device):
    return torch.Generator(device).manual_seed(seed)


def _on(array, device):
    """An array as a tensor on the device; on the CPU they share their memory."""
    return torch.as_tensor(array, device=device)
