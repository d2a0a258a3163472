"""Lines of samples, `l1,l2 f:v f:v`, to CSR matrices: what every text format of ids and values shares."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from scipy.sparse import csr_matrix

from slide._kernels.parse import Blank, Fault, parse_rows, sort_rows
from slide.data.blocks import Blocks, quote

MOST = 2**31 - 1  # indices are int32


@dataclass(frozen=True)
class Rules:
    """What the lines of a file may hold.

    n_rows: samples; None as many as there are lines. n_features, n_labels: None as many as the largest id asks for.
    first_feature, first_label: the least id in the text, 0 or 1. labelled: whether lines begin with labels. blank:
    which lines without labels and features are samples. source: who says these numbers; column: what columns are called
    where lines hold one kind alone; both for errors.
    """

    n_rows: int | None = None
    n_features: int | None = None
    n_labels: int | None = None
    first_feature: int = 0
    first_label: int = 0
    labelled: bool = True
    blank: Blank = Blank.NO
    source: str = "as the header says"
    column: str = "feature"

    def width(self, what) -> int:
        """Upper bound of the number of features or labels."""
        n = self.n_labels if what == "label" else self.n_features
        return MOST if n is None else n

    def first(self, what) -> int:
        return self.first_label if what == "label" else self.first_feature

    def expected(self, what) -> str:
        first, name = self.first(what), self.column if what == "feature" else what
        if not self.width(what):
            return f"no {name}, {self.source}"
        return f"a {name} from {first} to {first + self.width(what) - 1}"


def read_samples(blocks: Blocks, rules: Rules):
    """(X, Y) of the lines that `blocks` has left, CSR of float32, ids sorted in a row; Y None if not labelled.

    Raises ValueError, naming the file, the line, what was found and what was expected, where the text breaks `rules`.
    """
    return _Reader(blocks, rules).read()


def nearest_float32(token):
    """The float32 nearest to the decimal number `token`, ties to even; infinite from 2**128 - 2**103 on."""
    value = float(token)
    if math.isinf(value):
        return np.float32(value)
    with np.errstate(over="ignore", under="ignore"):
        near = np.float32(value)
        wide = math.copysign(2.0**128, value) if np.isinf(near) else float(near)
        other = np.nextafter(near, np.float32(math.copysign(math.inf, value - wide)))
    # Rounding twice (double, float32) goes wrong only where the double is half way between two floats.
    if value != wide and wide + float(other) == 2 * value:
        exact, half = Decimal(token), Decimal(value)
        if exact != half and (exact > half) == (other > near):
            return other
    return near


class _Reader:
    """One pass over `blocks`. Each part: (labels per row, labels, features per row, features, values)."""

    def __init__(self, blocks, rules):
        self.blocks, self.rules = blocks, rules
        self.buffers, self.parts = None, []
        self.first_line = blocks.line
        self.blank_line = None  # behind it nothing may come

    def read(self):
        left = math.inf if self.rules.n_rows is None else self.rules.n_rows
        for text in self.blocks:
            if self.blank_line is None:
                used = self.parse(text, left)
                left -= len(self.parts[-1][0])
                text = text[used:]
            self.check_rest(text)
        if 0 < left < math.inf:
            n = self.rules.n_rows
            found = f"the end of the file after {n - left} samples"
            raise self.blocks.error(found, f"{n} samples, {self.rules.source}", self.blank_line)
        return self.matrices()

    def matrices(self):
        columns = list(zip(*self.parts, strict=True)) if self.parts else [()] * 5
        self.parts.clear()
        label_counts, labels, feature_counts, features, values = (
            np.concatenate([np.empty(0, dtype), *columns.pop(0)], dtype=dtype)
            for dtype in (np.int64, np.int32, np.int64, np.int32, np.float32)
        )
        X = _matrix(values, features, feature_counts, self.rules.n_features)
        if not self.rules.labelled:
            return X, None
        return X, _matrix(np.ones(len(labels), np.float32), labels, label_counts, self.rules.n_labels)

    def parse(self, text, left):
        """Adds a part of at most `left` rows; returns the bytes used."""
        rules, most = self.rules, min(len(text), left)
        buffers = self.scratch(len(text), most)
        label_ptr, labels, feature_ptr, features, values, doubts = buffers
        report = np.zeros(5, np.int64)
        fault = parse_rows(
            np.frombuffer(text, np.uint8), rules.width("feature"), rules.width("label") if rules.labelled else -1,
            rules.first_feature, rules.first_label, rules.blank, most, *buffers, report,
        )  # fmt: skip
        rows, used, n_labels, n_values, n_doubts = report.tolist()
        label_ptr, feature_ptr = label_ptr[: rows + 1], feature_ptr[: rows + 1]
        for k, start, end in doubts[:n_doubts].tolist():
            values[k] = nearest_float32(text[start:end].decode())
            if np.isinf(values[k]):
                line = self.blocks.line + int(np.searchsorted(feature_ptr, k, side="right")) - 1
                raise self.blocks.error(quote(text[start:end]), "a number that is finite in float32", line)
        self.sort("label", rules.first_label, label_ptr, labels, np.empty(n_labels, np.float32))
        self.sort(rules.column, rules.first_feature, feature_ptr, features, values)
        self.blocks.line += rows
        entries = labels[:n_labels].copy(), features[:n_values].copy(), values[:n_values].copy()
        self.parts.append((np.diff(label_ptr), entries[0], np.diff(feature_ptr), *entries[1:]))
        if fault == Fault.BLANK:
            self.blank_line = self.blocks.line
        elif fault:
            raise self.fault(Fault(fault), text, used)
        return used

    def scratch(self, size, rows):
        """Outputs of parse_rows that suffice for `size` bytes and `rows` rows; kept for the next block."""
        if self.buffers is None or len(self.buffers[3]) < size // 4 + 1 or len(self.buffers[0]) < rows + 1:
            self.buffers = (
                np.empty(rows + 1, np.int64),
                np.empty(size // 2 + 1, np.int32),
                np.empty(rows + 1, np.int64),
                np.empty(size // 4 + 1, np.int32),
                np.empty(size // 4 + 1, np.float32),
                np.empty((size // 4 + 1, 3), np.int64),
            )
        return self.buffers

    def sort(self, what, first, ptr, ids, values):
        row = sort_rows(ptr, ids, values)
        if row >= 0:
            inside = ids[ptr[row] : ptr[row + 1]]
            twice = inside[:-1][inside[:-1] == inside[1:]][0] + first
            expected = f"each {what} at most once in a row"
            raise self.blocks.error(f"the {what} {twice} twice", expected, self.blocks.line + row)

    def fault(self, fault, text, at):
        what = "label" if fault in (Fault.LABEL, Fault.LABEL_RANGE) else "feature"
        token = re.compile(rb"[^ \t\r\n,]*" if what == "label" else rb"[^ \t\r\n]*").match(text, at).group()
        expected = self.rules.expected(what)
        if fault == Fault.FEATURE:
            expected = f"{self.rules.column}:value with {expected}"
        elif fault == Fault.VALUE:
            expected = f"{self.rules.column}:value with a finite decimal number"
        elif self.counts_from_one(what, token):
            expected += "; if ids count from 1, say --one-based (one_based=True)"
        return self.blocks.error(quote(token), expected)

    def counts_from_one(self, what, token):
        """Whether the id at fault is one too many, and 0 has not occurred until there."""
        number = token.partition(b":")[0]
        if self.rules.first(what) or len(number) > 10 or not number.isdigit() or int(number) != self.rules.width(what):
            return False
        return int(number) > 0 and all(part[1 if what == "label" else 3].all() for part in self.parts)

    def check_rest(self, text):
        """Only blank lines may follow the last sample."""
        extra = re.search(rb"[^ \t\r\n]+", text)
        if not extra:
            self.blocks.line += text.count(b"\n")
            return
        if self.blank_line:
            samples = "a sample (one without labels and features is a line of one space)"
            expected = samples if self.rules.blank == Blank.SPACED else "blank lines at the end of the file alone"
            raise self.blocks.error("a blank line", expected, self.blank_line)
        found = f"a further sample that begins with {quote(extra.group())}"
        sizes = np.concatenate([part[0] + part[2] for part in self.parts])
        if not sizes.all():
            found += f" (line {self.first_line + int(np.argmin(sizes))} is blank and counts as one)"
        self.blocks.line += text.count(b"\n", 0, extra.start())
        raise self.blocks.error(found, f"{self.rules.n_rows} samples, {self.rules.source}")


def _matrix(values, ids, counts, width):
    if width is None:
        width = int(ids.max(initial=-1)) + 1
    ptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ptr[1:])
    matrix = csr_matrix((values, ids, ptr.astype(np.int32) if ptr[-1] <= MOST else ptr), shape=(len(counts), width))
    matrix.has_canonical_format = True
    return matrix
