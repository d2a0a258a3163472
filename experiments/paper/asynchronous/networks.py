"""The networks that are compared: sampled layers, layers that take every neuron, and matrix products."""

LAYERS = 3


def network(system, chosen, data, lr, steps, threads, seed, update="hogwild", batch=None):
    """Three hidden layers and a softmax; where they have active sets, each sample has its own."""
    from slide import Adam, Dense, Network, Sampled, Schedule

    width, n = chosen["width"], data.n_labels
    if system == "matrix":
        layers = [*(Dense(width) for _ in range(LAYERS)), Dense(n)]
    else:
        lsh = dict(sampler="topk", active=chosen["active"], K=chosen["K"], L=chosen["L"])
        form = lsh if system == "sampled" else dict(sampler=every_neuron(), active=width)
        layers = [*(Sampled(width, **form) for _ in range(LAYERS)), Sampled(n, sampler=every_neuron(), active=n)]
    return Network(
        data.n_features, layers, optimizer=Adam(lr=lr), schedule=Schedule("linear", steps=steps),
        batch_size=batch or chosen["batch"], update=update, seed=seed, threads=threads,
        **({} if system == "matrix" else {"group_size": 1}),
    )  # fmt: skip


def every_neuron():
    """A sampler that takes every neuron, as `Full` does, for a layer that keeps active sets."""
    from slide.sampling import Full

    class Every(Full):
        dense = False

    return Every()
