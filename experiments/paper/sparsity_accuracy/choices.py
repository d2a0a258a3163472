"""What is tried for the choice of active nodes: settings of the tables, and how much of the true choice they hold."""

import numpy as np


def layer(tables, chosen, share):
    """Sampled, a hidden layer of `chosen["width"]` nodes with this share active, and tables of SETTINGS["tables"]."""
    from slide import RehashSchedule, Sampled

    width, given = chosen["width"], dict(tables)
    family, schedule = given.pop("hash", "simhash"), given.pop("rehash", {})
    return Sampled(
        width, sampler="topk", active=max(1, round(share * width)), min_active=0, bucket_size=width,
        hash=centred() if family == "centred" else family, rehash=RehashSchedule(**{"N0": chosen["N0"], **schedule}),
        **given,
    )  # fmt: skip


def centred():
    from experiments.paper.sparsity_accuracy.centred import Centred

    return Centred


def held(network, X, share) -> dict:
    """What the tables hold, of each hidden layer, for inputs X as the layer below gives them.

    recall: the share of the nodes of the largest inputs (as many as the layer keeps) that are active; mass: of the sum
    of those of these inputs that are positive. near, far: the mean cosine of the input and the weights of these nodes,
    and of the others.
    """
    from slide.rows import as_sparse_rows

    x, found = as_sparse_rows(X, "X", X.shape[1]).normalized(), []
    for each in network.layers[:-1]:
        block = each.retrieve(x)
        dense, x = x.to_scipy().toarray() if not found else x.to_dense(), block
        logits = dense @ each.weights.T + each.bias
        active = np.zeros(logits.shape, bool)
        active[np.repeat(np.arange(len(logits)), np.diff(block.indptr)), block.ids] = True
        top = largest(logits, max(1, round(share * logits.shape[1])))
        positive, norms = np.maximum(logits, 0), np.linalg.norm(dense, axis=1)[:, None]
        cosine = (logits - each.bias) / np.maximum(norms * np.linalg.norm(each.weights, axis=1), 1e-12)
        found.append((
            (active & top).sum() / top.sum(), positive[active].sum() / max(positive[top].sum(), 1e-12),
            cosine[top].mean(), cosine[~top].mean(),
        ))  # fmt: skip
    return {name: [float(v) for v in values] for name, values in zip(("recall", "mass", "near", "far"),
                                                                    zip(*found, strict=True), strict=True)}  # fmt: skip


def largest(a, n):
    """bool, as a: the n largest of each row, or more where some are equal."""
    return a >= np.partition(a, a.shape[1] - n, axis=1)[:, a.shape[1] - n, None]


def work(network) -> float:
    """Additions for a sample that hashing its inputs and counting what the buckets hold take, in those of computing
    all nodes: K L sums of a third of the inputs, and buckets as if they were equally full."""
    hidden = network.layers[:-1]
    families = [each.index.family for each in hidden]
    tables = sum(f.L * (f.K * each.n_inputs / 3 + each.n_neurons / 2**f.code_bits)
                 for each, f in zip(hidden, families, strict=True))  # fmt: skip
    return tables / sum(each.n_neurons * each.n_inputs for each in hidden)
