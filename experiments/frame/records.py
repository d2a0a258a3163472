"""Records: JSON lines, a header and then raw measurements, each on disk as soon as it is made."""

import json
import time
from pathlib import Path


class Records:
    """The file of one run of an experiment, open for adding; use as a context manager.

    Measurements go to `path` with ".partial" appended, which takes the place of `path` when the run ends well: a file
    under its own name is always complete. A partial file of the same settings and machine is gone on from: what its
    finished settings (see `pending`) measured is kept, everything else is measured again. progress(done, total) is
    called after every setting.
    """

    def __init__(self, path, header: dict, fresh: bool = False, progress=None):
        self.path = Path(path)
        self.header = {"record": "header", **header}
        self.fresh, self.progress = fresh, progress
        self.lines: list[dict] = []
        self._partial = self.path.with_name(self.path.name + ".partial")

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [] if self.fresh else finished_blocks(self._partial, self.header)
        rewritten = self._partial.with_name(self._partial.name + ".new")
        self._file = rewritten.open("w", encoding="utf-8")
        for line in kept or [self.header]:
            self._write(line)
        rewritten.replace(self._partial)
        return self

    def __exit__(self, kind, error, trace):
        self._file.close()
        if kind is None:
            self._partial.replace(self.path)

    def add(self, record: str, **measured) -> dict:
        """Writes one measurement of the kind named by `record`, and returns it."""
        return self._write({"record": record, **measured})

    def pending(self, grid, label=None):
        """Yields those settings of the grid (dicts) that are not on record yet, with a progress bar.

        What is added while the caller works on a setting belongs to it; when the caller comes back for the next one,
        the setting is finished, and a run that is interrupted later does not measure it again.
        """
        from tqdm import tqdm

        grid = [json.loads(json.dumps(setting)) for setting in grid]
        done = [line["setting"] for line in self.lines if line["record"] == "done"]
        with tqdm(total=len(grid), desc=label, unit="setting", disable=None, leave=False) as bar:
            for number, setting in enumerate(grid):
                if setting not in done:
                    bar.set_postfix_str(in_words(setting), refresh=True)
                    start = time.perf_counter()
                    self._write({"record": "setting", "setting": setting})
                    yield setting
                    self._write({"record": "done", "setting": setting, "seconds": time.perf_counter() - start})
                bar.update()
                if self.progress is not None:
                    self.progress(number + 1, len(grid))

    def of(self, record: str, **fields) -> list[dict]:
        """The measurements of a kind whose fields have these values."""
        return of(self.lines, record, **fields)

    def _write(self, line: dict) -> dict:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        self.lines.append(line)
        return line


# What must agree for two runs to be one: nothing measured on another machine ever joins a record.
SAME = ("experiment", "scale", "threads", "seed", "settings", "cpu", "build", "omp_wait_policy")


def finished_blocks(path: Path, header: dict) -> list[dict]:
    """The header and the lines of finished settings of a file that was interrupted; [] where it is of another run."""
    try:
        first, *rest = load(path, torn=True)
    except (OSError, ValueError):
        return []
    if any(first.get(key) != header.get(key) for key in SAME):
        return []
    kept, block = [first], None
    for line in rest:
        if line["record"] == "setting":
            block = []
        if block is not None:
            block.append(line)
            if line["record"] == "done":
                kept += block
                block = None
    return kept


OLD = "this record is of an earlier version of the experiment, with other settings"


def settings_of(module, scale: str) -> dict:
    """An experiment's settings at a scale, as JSON keeps them."""
    return json.loads(json.dumps(module.SETTINGS.get(scale, {})))


def current(module, lines) -> bool:
    """Whether a record was made with the module's present settings; an older one may lack what is drawn today."""
    return lines[0].get("settings") == settings_of(module, lines[0].get("scale"))


def in_words(setting: dict) -> str:
    """A setting for people: its values, or name=value where a value alone says nothing."""
    return ", ".join(str(v) if isinstance(v, str) else f"{k}={v}" for k, v in setting.items())


def of(lines, record: str, **fields) -> list[dict]:
    """The measurements of a kind whose fields have these values."""
    return [x for x in lines if x["record"] == record and all(x.get(k) == v for k, v in fields.items())]


def load(path, torn: bool = False) -> list[dict]:
    """The header and the measurements of a file; torn: without its last line if that was not written to its end.

    Raises ValueError, naming file and line, where a line is not a JSON object or the first is no header.
    """
    lines = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if torn and not text.endswith("\n"):
                break
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
