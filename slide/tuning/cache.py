"""A file of trials: what was tried for some rows is not tried again."""

import base64
import json
import zlib
from pathlib import Path

import numpy as np

from slide.tuning.trials import Trial


class Cache:
    """JSON lines: one that says of which rows, then one per trial. Lines of other rows are not looked at.

    path   None: nothing is kept
    about  what else trials depend on
    """

    def __init__(self, path, rows, labels, about):
        self.path = None if path is None else Path(path)
        self.about = json.dumps({"rows": fingerprint(rows), "labels": fingerprint(labels), **about}, sort_keys=True)
        self.found = dict(self._read()) if self.path is not None and self.path.exists() else {}

    def _read(self):
        for line in self.path.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
                if record["about"] == self.about:
                    yield (record["kind"], record["settings"]), record["value"]
            except (ValueError, KeyError, TypeError):
                continue  # a line that was cut off

    def race(self, settings) -> Trial | None:
        value = self.found.get(("race", text(settings)))
        if value is None:
            return None
        values = {int(step): decoded(packed) for step, packed in value["values"].items()}
        return Trial(settings, values, None, value["ended"])

    def add_race(self, trial) -> None:
        values = {str(step): encoded(array) for step, array in trial.values.items()}
        self._add("race", trial.settings, {"values": values, "ended": trial.ended})

    def finish(self, settings, neighbours: int | None) -> dict | None:
        return self.found.get((_finish(neighbours), text(settings)))

    def add_finish(self, settings, neighbours: int | None, value) -> None:
        self._add(_finish(neighbours), settings, value)

    def _add(self, kind, settings, value):
        self.found[kind, text(settings)] = value
        if self.path is not None:
            line = json.dumps({"about": self.about, "kind": kind, "settings": text(settings), "value": value})
            with open(self.path, "a") as file:
                file.write(f"{line}\n")


def _finish(neighbours):
    return f"finish, neighbours {neighbours}"


def text(settings: dict) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


def fingerprint(rows) -> str:
    check = 0
    for array in (rows.indptr, rows.ids, rows.values):
        check = zlib.crc32(np.ascontiguousarray(array).data, check)
    return f"{rows.shape[0]} x {rows.shape[1]}, {check:08x}"


def encoded(array) -> str:
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()


def decoded(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32)
