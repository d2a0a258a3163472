"""A training step of slide beside PyTorch's full and sampled softmax: same data, network, batch, optimizer, threads.

Each system has a process of its own; rounds of all systems alternate, and medians over the rounds are compared.
PyTorch comes with the extra `baselines`; without it its systems are left out, and the record says so.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from experiments import draw

QUESTION = "How long does a training step take beside PyTorch's full and sampled softmax?"
PAPER = "10 times faster than TensorFlow's full softmax on the same CPU (abstract)"
TIME = {"smoke": "20 s", "small": "10 min"}

SETTINGS = {
    "smoke": dict(scale=0.01, n_train=1500, rounds=1, active=200, K=3),
    "small": dict(scale=1.0, n_train=40_000, rounds=2, active=3000, K=5),
}
STEPS = {"slide": 60, "uniform": 60, "full": 4, "torch": 2, "torch-buffer": 3, "torch-sampled": 30}
LABELS = {
    "slide": "SLIDE", "uniform": "slide, sampled softmax, groups of 16", "full": "slide, full softmax",
    "torch": "PyTorch, full softmax, plain", "torch-buffer": "PyTorch, full softmax, one buffer",
    "torch-sampled": "PyTorch, sampled softmax, shared by the batch",
}  # fmt: skip
BATCH, HIDDEN, LR = 256, 128, 2e-3
ROW = "{:46} {:>10} {:>10} {:>9} {:>8}"


def run(scale, records, threads, seed):
    settings, lines = SETTINGS[scale], []
    systems = [name for name in STEPS if not name.startswith("torch") or importlib.util.find_spec("torch")]
    if len(systems) < len(STEPS):
        records.add("note", text="PyTorch is not installed: pip install 'slide[baselines]'")
        print("PyTorch is not installed: its systems are left out (pip install 'slide[baselines]')")
    for number in range(settings["rounds"]):
        for system in systems:
            command = [sys.executable, "-m", "experiments.bench_peers", scale, system, str(threads), str(seed)]
            done = subprocess.run(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, check=True)
            lines.append(records.add("round", round=number, **json.loads(done.stdout.splitlines()[-1])))
    print(ROW.format("system", "ms/sample", "x SLIDE", "active", "GB peak"))
    for line in summarise(lines):
        print(ROW.format(LABELS[line["system"]], f"{line['ms']:.4f}", f"{line['ratio']:.1f}", f"{line['active']:,.0f}",
                         f"{line['peak_gb']:.2f}"))  # fmt: skip


def summarise(lines) -> list[dict]:
    """The median time of each system, and its median ratio to SLIDE's of the same round."""
    slide = {line["round"]: line["ms"] for line in lines if line["system"] == "slide"}
    out = []
    for system in dict.fromkeys(line["system"] for line in lines):
        mine = [line for line in lines if line["system"] == system]
        out.append({
            "system": system, "ms": statistics.median(line["ms"] for line in mine), "active": mine[0]["active"],
            "ratio": statistics.median(line["ms"] / slide[line["round"]] for line in mine),
            "peak_gb": max(line["peak_gb"] for line in mine),
        })  # fmt: skip
    return out


def measure(settings, system, threads, seed):
    """Prints one line: ms a sample, all in, after a warm-up."""
    import resource

    from slide.data import make_xmc

    (X, Y), _ = make_xmc("amazon-670k", settings["n_train"], 1, scale=settings["scale"], seed=seed)
    step = (torch_step if system.startswith("torch") else slide_step)(system, X, Y, settings, threads, seed)
    order = np.random.default_rng(seed).permutation(X.shape[0] // BATCH * BATCH).reshape(-1, BATCH)
    n, active = STEPS[system], []
    step(order[0])
    start = time.perf_counter()
    for i in range(n):
        active.append(step(order[(i + 1) % len(order)]))
    ms = 1e3 * (time.perf_counter() - start) / (n * BATCH)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(dict(system=system, ms=ms, active=float(np.mean(active)), peak_gb=peak, steps=n)))


def slide_step(system, X, Y, settings, threads, seed):
    from slide import Adam, Dense, Network, Sampled

    sampler = {"slide": "vanilla"}.get(system, system)
    layer = Sampled(Y.shape[1], sampler=sampler, hash="dwta", K=settings["K"], active=settings["active"])
    network = Network(X.shape[1], [Dense(HIDDEN), layer], optimizer=Adam(LR), batch_size=BATCH, seed=seed,
                      threads=threads)  # fmt: skip

    def step(rows):
        network.partial_fit(X[rows], Y[rows])
        return network.active

    return step


def torch_step(system, X, Y, settings, threads, seed):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    d, n_labels = X.shape[1], Y.shape[1]
    first = torch.nn.EmbeddingBag(d, HIDDEN, mode="sum", sparse=True)
    torch.nn.init.normal_(first.weight, std=0.1)
    sampled = system == "torch-sampled"
    last = torch.nn.Embedding(n_labels, HIDDEN + 1, sparse=True) if sampled else torch.nn.Linear(HIDDEN, n_labels)
    rows_optimizer = torch.optim.SparseAdam([*first.parameters(), *(last.parameters() if sampled else [])], lr=LR)
    optimizers = [rows_optimizer] + ([] if sampled else [torch.optim.Adam(last.parameters(), lr=LR, fused=True)])
    losses = {"torch": plain_loss, "torch-buffer": one_buffer_loss}

    def step(rows):
        x, y = X[rows], Y[rows]
        hidden = first(
            torch.from_numpy(x.indices.astype(np.int64)), torch.from_numpy(x.indptr[:-1].astype(np.int64)),
            per_sample_weights=torch.from_numpy(x.data),
        ).relu()  # fmt: skip
        if sampled:
            loss, active = sampled_loss(hidden, last, y, settings["active"], n_labels)
        else:
            loss, active = losses[system](hidden, last, y), n_labels
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return active

    return step


def targets(y):
    """(row, label, weight) of every label entry, the weight 1 / (number of labels)."""
    import torch

    count = np.diff(y.indptr)
    row = np.repeat(np.arange(y.shape[0]), count)
    weight = (1.0 / count[row]).astype(np.float32)
    return torch.from_numpy(row), torch.from_numpy(y.indices.astype(np.int64)), torch.from_numpy(weight)


def plain_loss(hidden, last, y):
    import torch

    row, label, weight = targets(y)
    log_p = torch.log_softmax(last(hidden), dim=1)
    return -(log_p[row, label] * weight).sum() / y.shape[0]


def one_buffer_loss(hidden, last, y):
    """The logits, their softmax and their gradient share one buffer."""
    import torch

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, hidden, w, bias):
            row, label, weight = targets(y)
            z = torch.addmm(bias, hidden, w.t())
            picked = z[row, label]
            norm = torch.logsumexp(z, dim=1)
            z.sub_(norm[:, None]).exp_()
            z.index_put_((row, label), -weight, accumulate=True)
            ctx.save_for_backward(z.div_(y.shape[0]), hidden, w)
            return ((norm[row] - picked) * weight).sum() / y.shape[0]

        @staticmethod
        def backward(ctx, _):
            delta, hidden, w = ctx.saved_tensors
            return delta @ w, delta.t() @ hidden, delta.sum(0)

    return Loss.apply(hidden, last.weight, last.bias)


def sampled_loss(hidden, last, y, n_candidates, n_labels):
    """Candidates are the batch's labels, then distinct log-uniform draws, shared by the batch; logits as they are."""
    import torch

    row, label, weight = targets(y)
    # Small ids are drawn again and again: eight draws leave more than one distinct id.
    drawn = torch.unique((torch.rand(8 * n_candidates) * np.log(n_labels)).exp().long().clamp_(max=n_labels - 1))
    wanted = torch.unique(label)
    negatives = drawn[torch.randperm(len(drawn))][: max(n_candidates - len(wanted), 0)]
    ids = torch.unique(torch.cat([wanted, negatives]))
    w = last(ids)
    z = torch.addmm(w[:, HIDDEN], hidden, w[:, :HIDDEN].t())
    log_p = torch.log_softmax(z, dim=1)
    return -(log_p[row, torch.searchsorted(ids, label)] * weight).sum() / y.shape[0], len(ids)


def plot(records):
    figure, (axis,) = draw.panels(1, "A training step at the shape of Amazon-670K, all in")
    lines = summarise([line for line in records if line["record"] == "round"])
    colours = {"torch-buffer": "torch", "torch-sampled": "slide-paper"}
    names = [f"{LABELS[line['system']]}\n{line['active']:,.0f} active" for line in lines]
    colour = [draw.COLOURS[colours.get(line["system"], line["system"])] for line in lines]
    bars = axis.barh(names, [line["ms"] for line in lines], color=colour)
    axis.bar_label(bars, [f" {line['ms']:.3f} ms, {line['ratio']:.1f} x" for line in lines])
    axis.set(xlabel="milliseconds a sample (log scale)", xscale="log")
    axis.set_xlim(right=8 * max(line["ms"] for line in lines))
    axis.invert_yaxis()
    figure.set_size_inches(9, 4.6)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scale", choices=SETTINGS)
    parser.add_argument("system", choices=STEPS)
    parser.add_argument("threads", type=int)
    parser.add_argument("seed", type=int)
    args = parser.parse_args()
    measure(SETTINGS[args.scale], args.system, args.threads, args.seed)
