"""Exceptions at any point: raised at the n-th line, or the n-th instruction, that the package runs."""

import dis
import sys
from pathlib import Path

import slide

PACKAGE = str(Path(slide.__file__).parent)


class Points:
    """Counts the points of what `run` does, and raises `kind` at number `at`, from 1 (None: nowhere).

    The points are lines of the package, with instructions=True its instructions: more of them, and more than those
    between which the interpreter itself raises what comes from outside. Left out are those where a `with` statement is
    about to release what it holds: there the interpreter raises nothing.
    """

    def __init__(self, at: int | None = None, kind=KeyboardInterrupt, instructions: bool = False):
        self.at, self.kind, self.instructions = at, kind, instructions
        self.passed = 0
        self._releases = {}  # by the code's id: its hash is that of all that it holds

    def run(self, do) -> bool:
        """Whether it came to that point."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            do()
        except self.kind:
            return True
        finally:
            sys.settrace(before)
        return False

    def _enter(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = self.instructions, not self.instructions
        return self._pass

    def _skipped(self, code) -> frozenset:
        if id(code) not in self._releases:
            self._releases[id(code)] = _releases(code)
        return self._releases[id(code)]

    def _pass(self, frame, event, argument):
        if event in ("line", "opcode") and frame.f_lasti not in self._skipped(frame.f_code):
            self.passed += 1
            if self.passed == self.at:
                sys.settrace(None)
                raise self.kind("at this point")
        return self._pass


def _releases(code) -> frozenset:
    """The offsets of the instructions that call `__exit__(None, None, None)`."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "NOP", "PRECALL")]
    offsets = set()
    for i in range(len(steps) - 3):
        nones = all(step.opname == "LOAD_CONST" and step.argval is None for step in steps[i : i + 3])
        if nones and steps[i + 3].opname.startswith("CALL"):
            offsets.update(range(steps[i].offset, steps[i + 3].offset + 1))
    return frozenset(offsets)


def count(do, instructions: bool = False) -> int:
    points = Points(instructions=instructions)
    assert not points.run(do)
    return points.passed


def spread(n: int, most: int, seed: int = 0) -> list[int]:
    """At most `most` numbers from 1 to n, evenly spread but for a shift that depends on the seed."""
    if n <= most:
        return list(range(1, n + 1))
    return sorted({1 + (i * n // most + seed * 7919) % n for i in range(most)})
