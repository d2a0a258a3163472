"""What a long command prints and logs. That it cannot be written never ends what somebody wants to keep."""

import json
import math
import os
import sys
from contextlib import suppress

from tqdm import tqdm


def abandon_stdout() -> None:
    """What is still to be printed, and Python's own flush at exit, goes nowhere."""
    with suppress(OSError, ValueError, AttributeError):  # where stdout is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def note(text: str) -> None:
    """A line on stderr, if there is one."""
    with suppress(OSError, ValueError), tqdm.external_write_mode(file=sys.stderr):
        print(text.encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)


class Output:
    """stdout and a log of JSON lines.

    goes_on  whether a stdout that cannot be written is left behind; else `say` raises OSError
    quiet    whether nothing is to be said and logged, as on all ranks of a run but the first

    `failed` is then true, unless its reader went away, who wants no more.
    """

    def __init__(self, goes_on=True, quiet=False):
        self.quiet = quiet
        self.goes_on, self.failed, self._log, self._path = goes_on, False, None, None

    def open_log(self, path, append=False) -> None:
        """The file of the log, None for none; append: after the lines that it holds."""
        if path and not self.quiet:
            torn = append and _is_torn(path)
            self._path, self._log = path, open(path, "ab" if append else "wb", buffering=0)
            if torn:
                self._write(b"\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._log:
            self._log.close()
            self._log = None

    def say(self, text: str) -> None:
        if self.quiet:
            return
        try:
            with tqdm.external_write_mode(file=sys.stdout):
                print(text.encode(errors="backslashreplace").decode(), flush=True)
        except OSError as error:
            abandon_stdout()
            if not self.goes_on:
                raise
            if not isinstance(error, BrokenPipeError):
                self._fail(f"stdout: {error}; training goes on without it")

    def log(self, **record) -> None:
        """A line of the log, of valid JSON: numbers that are not finite are null."""
        if self._log:
            self._write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")

    def _write(self, line):
        try:
            while line:
                line = line[self._log.write(line) :]
        except OSError as error:
            self._fail(f"{self._path}: {error}; training goes on without the log")
            self._log = None

    def _fail(self, text):
        self.failed = True
        note(text)


def finite(value):
    """JSON values with None in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_torn(path):
    """Whether a file ends within a line."""
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # it is empty, or no file
        return False
