"""Records: JSON lines, a header and then raw measurements, each on disk as soon as it is made."""

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path


class Records:
    """The file of one run of an experiment, open for adding; use as a context manager.

    Measurements go to `path` with ".partial" appended, which takes the place of `path` when the run ends well: a file
    under its own name is always complete.
    """

    def __init__(self, path, header: dict):
        self.path = Path(path)
        self.header = {"record": "header", **header}
        self._partial = self.path.with_name(self.path.name + ".partial")

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._partial.open("w", encoding="utf-8")
        self._write(self.header)
        return self

    def __exit__(self, kind, error, trace):
        self._file.close()
        if kind is None:
            self._partial.replace(self.path)

    def add(self, record: str, **measured) -> dict:
        """Writes one measurement of the kind named by `record`, and returns it."""
        return self._write({"record": record, **measured})

    def _write(self, line: dict) -> dict:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        return line


def load(path) -> list[dict]:
    """The header and the measurements of a file.

    Raises ValueError, naming file and line, where a line is not a JSON object or the first is no header.
    """
    lines = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: found {text[:40]!r}, expected a JSON object") from error
            if not isinstance(line, dict):
                raise ValueError(f"{path}:{number}: found {text[:40]!r}, expected a JSON object")
            lines.append(line)
    if not lines or lines[0].get("record") != "header":
        raise ValueError(f"{path}:1: found no header, expected a line with \"record\": \"header\"")
    return lines


def machine() -> dict:
    """What a measurement ran on: commit (None outside of a repository), processor, build, time."""
    from slide import build_info

    return {
        "commit": _commit(),
        "cpu": _cpu_model(),
        "build": build_info(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
