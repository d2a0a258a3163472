"""Where the time of training goes."""

import time
from contextlib import contextmanager


class StageClock:
    """Seconds a stage, summed since the last `reset`."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def reset(self) -> None:
        self.seconds = {}
