"""Files of data that anyone may have made: mutations of good ones, held against the plain-Python twin of the parser."""

import bz2
import gzip
import lzma
from functools import partial
from pathlib import Path

import numpy as np

from slide import reference
from slide.data import read, save
from slide.data.compression import Zstandard
from slide.data.formats import ONE_BASED
from tests.robustness.archives import ArchiveMutator, ByteMutator

MOST = 2**31 - 1
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEADER_NUMBERS = {"xmc": 3, "columns": 2, "libsvm": 0}
BLANK = {"xmc": 1, "columns": 0, "libsvm": 2}  # which blank lines are samples, as the twin numbers it
GOOD = {
    "xmc": [
        b"4 6 5\n0,2 0:1 3:2.5\n 1:0.5\n4 \n1,3 2:1e-3 5:-7\n", b"2 9 3\r\n0, 1 8:1.5\r\n2 0:3 4:1\r\n",
        BYTE_ORDER_MARK + b"3 4 4\n3 3:0.1\n \n1,2,0 0:16777217 2:.5\n\n \n", b"1 1 1\n0 0:1", b"0 3 3\n",
        b"3 12 12\n11 1:1 11:1\n1,12 2:1\n 12:5\n",
    ],
    "columns": [b"3 6\n0:1 3:2.5\n\n5:-7e2\n", b"2 3\n0:1 2:1\n1:1\n\n", b"1 1\n\n"],
    "libsvm": [b"1,3 2:0.5 7:1\n0 1:1\n 3:2\n", b"2, 3 1:1 4:2.5\r\n1 2:3\r\n5\r\n\r\n", b"1 1:1\n2 1:2\n3 3:1e5"],
}  # fmt: skip
TEXTS = [b"__label__a one two\n__label__b __label__a three\n", "__label__\u00e4 \u03b2 b\nb c\n".encode()]
TOKENS = (
    b"99999999999999999999", b"2147483647", b"2147483648", b"1e400", b"1e-400", b"nan", b"inf", b"-1", b"+1", b"0x1",
    b"", b"1_0", "\u0663".encode(), b"1.", b".5", b".", b"1e", b"007", b"3.4028235e38", b"3.4028236e38", b"1e-46", b",",
    b":", b"0.5000000298023223876953125", b"340282356779733661637539395458142568447.9999", b"\xa0", b"\x0c", b"1:1",
    b"0,0",
)  # fmt: skip
ALPHABET = b"0123456789,:.eE+- \t\r\n#a\xef\xbb\xbf\xff\x00"


def packings() -> list:
    """Functions that compress bytes, of the packages at hand."""
    found = [gzip.compress, partial(lzma.compress, preset=0), bz2.compress]
    try:
        module = Zstandard.module()
    except ValueError:
        return found
    return [*found, partial(module.compress, options={module.CompressionParameter.checksum_flag: 1})]


class TextMutator(ByteMutator):
    """Changes of text as people and editors make them, besides those of any bytes."""

    def change_characters(self, text):
        changed = bytearray(text)
        for _ in range(self.rng.integers(1, 4)):
            at = self.place(changed)
            changed[at : at + self.rng.integers(2)] = bytes([self.one(ALPHABET)])
        return bytes(changed)

    def change_tokens(self, text):
        """Numbers in the place of others."""
        pieces = [(i, i + len(word)) for word in text.replace(b":", b" ").replace(b",", b" ").split()
                  for i in [text.find(word)]]  # fmt: skip
        if not pieces:
            return text
        start, end = self.one(pieces)
        return text[:start] + self.one(TOKENS) + text[end:]

    def change_lines(self, text):
        lines = text.split(b"\n")
        i, j = self.rng.integers(len(lines), size=2)
        lines[i], lines[j] = lines[j], lines[i]
        if self.rng.random() < 0.5:
            lines.insert(i, self.one((b"", b" ", b"\t", lines[j], b"\r", b"# note")))
        return b"\n".join(lines)

    def change_ends(self, text):
        return self.one((text.replace(b"\n", b"\r\n"), text.rstrip(), text + b"\n\n", BYTE_ORDER_MARK + text, text))


def expected(text: bytes, kind: str, first_feature: int, first_label: int):
    """[(labels, features, values), ...] sorted by id, (features, labels); None where the text is to be refused."""
    if b"\0" in text or not text:
        return None
    lines = text.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    if not lines[-1]:
        lines.pop()
    lines = [line.removesuffix(b"\r") for line in lines]
    numbers = _header(lines, HEADER_NUMBERS[kind])
    if numbers is None:
        return None
    n, width, n_labels = {"xmc": lambda: numbers, "columns": lambda: (*numbers, -1),
                          "libsvm": lambda: (None, MOST, MOST)}[kind]()  # fmt: skip
    rows = []
    while lines and (n is None or len(rows) < n):
        fault, _, labels, features, values = reference.parse_row(
            lines[0], width, n_labels, first_feature, first_label, BLANK[kind]
        )
        if fault == BLANK_LINE:
            break
        twice = len(set(labels)) < len(labels) or len(set(features)) < len(features)
        if fault or twice or not np.isfinite(values).all():
            return None
        order = np.argsort(features, kind="stable")
        rows.append((sorted(labels), [features[i] for i in order], [values[i] for i in order]))
        lines.pop(0)
    if any(line.strip(b" \t\r") for line in lines) or (n is not None and len(rows) < n):
        return None
    if kind == "libsvm":
        width = 1 + max((f for _, features, _ in rows for f in features), default=-1)
        n_labels = 1 + max((label for labels, *_ in rows for label in labels), default=-1)
    return rows, (width, max(n_labels, 0))


BLANK_LINE = 6


def _header(lines, count):
    """The numbers of the first line, which is then taken away; None where they are not `count` sizes."""
    if not count:
        return ()
    tokens = lines.pop(0).split() if lines else []
    if len(tokens) != count or not all(token.isdigit() and len(token) <= 20 for token in tokens):
        return None
    numbers = tuple(map(int, tokens))
    return numbers if max(numbers) <= MOST else None


def found(path, kind, one_based):
    """What the package reads, as `expected` gives it; None where it refuses, by the file's name and line."""
    try:
        data = read(path, format=None if kind == "columns" else kind, one_based=one_based,
                    need_labels=kind != "columns")  # fmt: skip
    except ValueError as error:
        assert str(error).startswith(f"{path}, line ") and "expected" in str(error), error
        return None
    check_sane(data)
    X, Y = data.X, data.Y
    rows = []
    for i in range(X.shape[0]):
        features, values = (a[X.indptr[i] : X.indptr[i + 1]] for a in (X.indices, X.data))
        labels = Y.indices[Y.indptr[i] : Y.indptr[i + 1]] if Y is not None else np.zeros(0)
        rows.append((labels.tolist(), features.tolist(), list(values)))
    return rows, (X.shape[1], 0 if Y is None else Y.shape[1])


def check_sane(data):
    """That matrices are what `read` says, whatever was in the file."""
    for matrix in (data.X, data.Y):
        if matrix is not None:
            n, width = matrix.shape
            indptr, ids = matrix.indptr.astype(np.int64), matrix.indices
            assert matrix.dtype == np.float32 and np.isfinite(matrix.data).all()
            assert len(indptr) == n + 1 and indptr[0] == 0 and (np.diff(indptr) >= 0).all() and indptr[-1] == len(ids)
            assert not len(ids) or (0 <= ids.min() and ids.max() < width)
            row_of = np.repeat(np.arange(n), np.diff(indptr))
            assert (np.diff(row_of * np.int64(MOST) + ids) > 0).all()
    assert data.Y is None or ((data.Y.data == 1).all() and data.Y.shape[0] == data.X.shape[0])


def same(one, other) -> bool:
    """Of two results, the same bits (0 is not -0)."""
    if one is None or other is None:
        return one is other
    bits = [[np.array(values, np.float32).tobytes() for *_, values in rows] for rows, _ in (one, other)]
    plain = [[row[:2] for row in rows] for rows, _ in (one, other)]
    return one[1] == other[1] and plain[0] == plain[1] and bits[0] == bits[1]


def use_text(path, text, kind, one_based, damaged=False) -> str:
    """Reads a file that holds `text`, perhaps compressed and then damaged: what is read is right, or nothing is."""
    result, right = found(path, kind, one_based), expected(text, kind, *ONE_BASED[one_based])
    if damaged and result is None:
        return "refused"
    assert same(result, right), f"found {result}, expected {right}"
    return "refused" if result is None else "read"


def use_any(path) -> str:
    """Reads a file of any format, told by its content."""
    try:
        data = read(path)
    except ValueError as error:
        assert str(path) in str(error), error
        return "refused"
    except MemoryError as error:
        assert str(path) in str(error), error
        return "too large"
    check_sane(data)
    return "read"


def good_archives(folder) -> list[bytes]:
    rng, path = np.random.default_rng(0), Path(folder, "good.npz")
    files = []
    for n, d, m in ((5, 7, 4), (1, 1, 1)):
        save(path, rng.random((n, d)) * (rng.random((n, d)) < 0.5), np.eye(m)[rng.integers(0, m, n)])
        files.append(path.read_bytes())
    return files


def run(number, seed, folder, trial):
    draw = Files(seed, folder)
    for _ in range(number):
        trial(*draw.one())


class Files:
    """Draws one file after the other, written to a path, and what to try with it."""

    def __init__(self, seed, folder):
        self.rng, self.path = np.random.default_rng(seed), Path(folder, "data")
        self.texts, self.archives = TextMutator([], seed), ArchiveMutator(good_archives(folder), seed)
        self.packings = packings()

    def one(self):
        """(what was changed, the try, the file's content)"""
        way = self.rng.random()
        if way < 0.06:
            return self.of_any_format(*self.archives.draw())
        if way < 0.08:
            return self.of_any_format(*self.texts.changed(self.texts.one(TEXTS)))
        kind = self.texts.one(GOOD)
        text = self.texts.one(GOOD[kind])
        for _ in range(1 if self.rng.random() < 0.7 else 3):
            what, text = self.texts.changed(text)
        if looks_packed(text) or (kind == "columns" and not two_numbers(text)):
            return self.of_any_format(what, text)
        if way > 0.2:
            return self.of_text(f"{kind} {what}", text, text, kind)
        content = self.texts.one(self.packings)(text)
        if way > 0.15:
            return self.of_text(f"{kind} {what}, packed", content, text, kind)
        damaged = ByteMutator([content], self.rng.integers(2**31)).draw()[1]
        if looks_packed(damaged):
            return self.of_text(f"{kind} {what}, packed, damaged", damaged, text, kind, damaged=True)
        return self.of_any_format("damaged", damaged)

    def of_any_format(self, what, content):
        self.path.write_bytes(content)
        return what, partial(use_any, self.path), content

    def of_text(self, what, content, text, kind, damaged=False):
        self.path.write_bytes(content)
        return what, partial(use_text, self.path, text, kind, self.texts.one(ONE_BASED), damaged), content


def looks_packed(content) -> bool:
    return content.startswith((b"\x1f\x8b", b"PK", b"\xfd7zX", b"\x28\xb5\x2f\xfd", b"BZh"))


def two_numbers(text) -> bool:
    tokens = text.removeprefix(BYTE_ORDER_MARK).partition(b"\n")[0].split()
    return len(tokens) == 2 and all(token.isdigit() for token in tokens)
