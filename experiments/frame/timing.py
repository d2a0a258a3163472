"""Training steps, and single acts, on the clock."""

import statistics
import time


def timed_steps(network, X, Y, steps, note=None) -> tuple[dict, int]:
    """({stage: seconds} of so many batches, with their "total"; the number of samples). note(network): after each."""
    clock = network.context.clock
    clock.reset()

    def after_batch(network, loss):
        if note is not None:
            note(network)

    before, start = network.samples, time.perf_counter()
    network.fit(X, Y, steps=steps, callback=after_batch)
    total = time.perf_counter() - start
    return {**clock.seconds, "total": total}, network.samples - before


def median_seconds(*acts, repeats, warm_up=0) -> list[float]:
    """Median seconds of each of `acts`, which run in turn; `warm_up` rounds before them are not counted."""
    seconds = [[] for _ in acts]
    for _ in range(warm_up + repeats):
        for act, own in zip(acts, seconds, strict=True):
            start = time.perf_counter()
            act()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[warm_up:]) for own in seconds]
