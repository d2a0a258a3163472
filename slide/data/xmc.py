"""The text format of the Extreme Classification Repository: load_xmc and save_xmc.

A header `N D L` (samples, features, labels), then a line per sample, `l1,l2,... f:v f:v ...`, indices from 0.
The line of a sample without labels begins with a space; features may be absent too. Lines end in LF or CRLF.
"""

import contextlib
import gzip
import lzma
import math
import os
import re
import zlib
from decimal import Decimal
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, issparse

from slide._kernels.parse import Fault, format_rows, parse_rows, sort_rows
from slide.matrices import checked_csr

BLOCK = 4 << 20  # bytes of text worked on at a time
LONGEST_HEADER = 1000
MOST = 2**31 - 1  # indices are int32
CORRUPT = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def load_xmc(path):
    """Reads a file in the XMC-repository text format: (X, Y).

    path: plain text, or compressed where its name ends in `.gz` or `.xz`.

    X: csr_matrix (N, D), float32, decimal numbers rounded to the nearest; a zero that is written is stored.
    Y: csr_matrix (N, L), float32, ones. Indices are int32 (int64 only beyond 2**31 - 1 entries) and sorted
    within rows.

    Raises ValueError, naming the file, the line, what was found and what was expected, where the text breaks
    the format: a bad header, more or fewer samples than it says (blank lines after the last sample are none),
    an index out of range, a value that is not a number or not finite in float32, a feature or label that
    occurs twice in a row; and where a compressed file is cut short or corrupt. FileNotFoundError where there
    is no such file.
    """
    with _open(path) as file:
        return _Reader(os.fspath(path), file).read()


def read_header(path):
    """(N, D, L) of a file in the XMC-repository text format. Raises as load_xmc does."""
    with _open(path) as file:
        return _Reader(os.fspath(path), file).header


def save_xmc(path, X, Y):
    """Writes X (N x D) and Y (N x L) in the XMC-repository text format, so that load_xmc gives them back.

    path: compressed where its name ends in `.gz` or `.xz`. The file gets its name only once it is complete.
    X: sparse or dense, written as float32 with the fewest digits that read back exactly. Y: sparse or dense,
    its stored entries all 1. Raises ValueError where the rows differ in number, a value of X is not finite in
    float32, an entry of Y is not 1, or an entry occurs twice in a row.
    """
    X, Y = _canonical("X", X), _canonical("Y", Y)
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"Y: found {Y.shape[0]} rows, expected {X.shape[0]}, as X has")
    if not np.isfinite(X.data).all():
        wrong = X.data[~np.isfinite(X.data)][0]
        raise ValueError(f"X: found {wrong}, expected values that are finite in float32")
    if (Y.data != 1).any():
        raise ValueError(f"Y: found the entry {Y.data[Y.data != 1][0]}, expected every stored entry to be 1")
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as raw, _packed(raw, target.suffix) as file:
            file.write(b"%d %d %d\n" % (*X.shape, Y.shape[1]))
            for text in _texts(X, Y):
                file.write(text)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _open(path):
    return {".gz": gzip.open, ".xz": lzma.open}.get(Path(path).suffix, open)(path, "rb")


def _packed(raw, suffix):
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)
    if suffix == ".xz":
        return lzma.LZMAFile(raw, "wb", preset=3)
    return contextlib.nullcontext(raw)


def _canonical(name, matrix):
    if issparse(matrix):
        indptr, columns, values = checked_csr(matrix, name)
        matrix = csr_matrix((values, columns, indptr), shape=matrix.shape)
    else:
        matrix = csr_matrix(matrix)
    if max(matrix.shape) > MOST:
        raise ValueError(f"{name}: found the shape {matrix.shape}, expected at most {MOST} rows and columns")
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    if not matrix.has_canonical_format:
        raise ValueError(f"{name}: found an entry that occurs twice in a row, expected each at most once")
    with np.errstate(over="ignore"):
        return matrix.astype(np.float32)


def _texts(X, Y):
    """The lines of the samples, in pieces of about BLOCK bytes."""
    label_ptr, feature_ptr = Y.indptr.astype(np.int64), X.indptr.astype(np.int64)
    labels, features = Y.indices.astype(np.int32, copy=False), X.indices.astype(np.int32, copy=False)
    most = 2 * np.arange(X.shape[0] + 1) + 11 * label_ptr + 30 * feature_ptr
    first = 0
    while first < X.shape[0]:
        last = max(first + 1, int(np.searchsorted(most, most[first] + BLOCK)))
        last = min(last, X.shape[0])
        text = np.empty(most[last] - most[first], np.uint8)
        used = format_rows(label_ptr, labels, feature_ptr, features, X.data, first, last, text)
        yield text[:used].data
        first = last


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


def _quote(token):
    return repr(token[:40])[1:] + ("..." if len(token) > 40 else "") if token else "nothing"


class _Reader:
    """One pass over an open file: `header`, then read(). `line` is where the next line to be read stands."""

    def __init__(self, name, file):
        self.name, self.file, self.line = name, file, 1
        self.buffers = None
        first, _, self.rest = self.more().partition(b"\n")
        expected = "a header of three whole numbers: samples, features, labels"
        tokens = first[:LONGEST_HEADER].split()
        if not first and not self.rest:
            raise self.error("an empty file", expected)
        if len(first) > LONGEST_HEADER or len(tokens) != 3 or not all(token.isdigit() for token in tokens):
            raise self.error(_quote(first), expected)
        for token in tokens:
            if len(token) > 20 or int(token) > MOST:
                raise self.error(f"{_quote(token)} in the header", f"at most {MOST}")
        self.header = tuple(int(token) for token in tokens)
        self.line = 2

    def error(self, found, expected, line=None):
        return ValueError(f"{self.name}, line {line or self.line}: found {found}, expected {expected}")

    def more(self):
        try:
            text = self.file.read(BLOCK)
        except CORRUPT as fault:
            found = f"compressed data that is cut short or corrupt ({fault}) on it or later"
            raise self.error(found, f"a complete {Path(self.name).suffix} file") from fault
        if b"\0" in text:
            raise self.error("a zero byte on it or later (a binary file?)", "text")
        return text

    def blocks(self):
        """The text after the header in pieces of whole lines; a last line without a newline is given one."""
        carried = [self.rest]
        while True:
            cut = carried[-1].rfind(b"\n") + 1
            if cut:
                yield b"".join([*carried[:-1], carried[-1][:cut]])
                carried = [carried[-1][cut:]]
            text = self.more()
            if not text:
                break
            carried.append(text)
        last = b"".join(carried)
        if last:
            yield last + b"\n"

    def read(self):
        n, n_features, n_labels = self.header
        parts = []
        left = n
        for text in self.blocks():
            part, used = self.parse(text, left)
            parts.append(part)
            left -= len(part[0])
            self.check_blank(text[used:])
        if left:
            found = f"the end of the file after {n - left} samples"
            raise self.error(found, f"{n} samples, as the header says")
        columns = list(zip(*parts, strict=True)) if parts else [()] * 5
        del parts
        label_counts, labels, feature_counts, features, values = (
            np.concatenate([np.empty(0, dtype), *columns.pop(0)], dtype=dtype)
            for dtype in (np.int64, np.int32, np.int64, np.int32, np.float32)
        )
        ones = np.ones(len(labels), np.float32)
        Y = csr_matrix((ones, labels, _pointers(label_counts)), shape=(n, n_labels))
        X = csr_matrix((values, features, _pointers(feature_counts)), shape=(n, n_features))
        X.has_canonical_format = Y.has_canonical_format = True
        return X, Y

    def parse(self, text, most):
        """(labels per row, labels, features per row, features, values) of at most `most` rows; the bytes used."""
        buffers = self.scratch(len(text), min(len(text), most))
        label_ptr, labels, feature_ptr, features, values, doubts = buffers
        report = np.zeros(5, np.int64)
        fault = parse_rows(np.frombuffer(text, np.uint8), *self.header[1:], most, *buffers, report)
        rows, used, n_labels, n_values, n_doubts = report.tolist()
        label_ptr, feature_ptr = label_ptr[: rows + 1], feature_ptr[: rows + 1]
        for k, start, end in doubts[:n_doubts].tolist():
            values[k] = nearest_float32(text[start:end].decode())
            if np.isinf(values[k]):
                line = self.line + int(np.searchsorted(feature_ptr, k, side="right")) - 1
                raise self.error(_quote(text[start:end]), "a number that is finite in float32", line)
        self.sort("label", label_ptr, labels, np.empty(n_labels, np.float32))
        self.sort("feature", feature_ptr, features, values)
        self.line += rows
        if fault:
            raise self.fault(Fault(fault), text, used)
        entries = labels[:n_labels].copy(), features[:n_values].copy(), values[:n_values].copy()
        return (np.diff(label_ptr), entries[0], np.diff(feature_ptr), *entries[1:]), used

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

    def sort(self, what, ptr, ids, values):
        row = sort_rows(ptr, ids, values)
        if row >= 0:
            inside = ids[ptr[row] : ptr[row + 1]]
            twice = inside[:-1][inside[:-1] == inside[1:]][0]
            expected = f"each {what} at most once in a row"
            raise self.error(f"the {what} {twice} twice", expected, self.line + row)

    def fault(self, fault, text, at):
        _, n_features, n_labels = self.header
        label = f"a label from 0 to {n_labels - 1}" if n_labels else "no label, as the header says"
        feature = f"a feature from 0 to {n_features - 1}" if n_features else "no feature, as the header says"
        token = re.compile(rb"[^ \t\r\n,]*" if fault in (Fault.LABEL, Fault.LABEL_RANGE) else rb"[^ \t\r\n]*")
        expected = {
            Fault.LABEL: label,
            Fault.LABEL_RANGE: label,
            Fault.FEATURE: f"feature:value with {feature}",
            Fault.FEATURE_RANGE: feature,
            Fault.VALUE: "feature:value with a finite decimal number",
        }[fault]
        return self.error(_quote(token.match(text, at).group()), expected)

    def check_blank(self, text):
        """Only blank lines may follow the last sample."""
        extra = re.search(rb"[^ \t\r\n]+", text)
        if extra:
            self.line += text.count(b"\n", 0, extra.start())
            found = f"a further sample that begins with {_quote(extra.group())}"
            raise self.error(found, f"{self.header[0]} samples, as the header says")
        self.line += text.count(b"\n")


def _pointers(counts):
    ptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ptr[1:])
    return ptr.astype(np.int32) if ptr[-1] <= MOST else ptr
