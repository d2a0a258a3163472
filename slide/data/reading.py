"""Files of every format as `Data`: what they are, told by their content, and what they hold."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from slide.data import libsvm, npz, text, xmc
from slide.data.blocks import Blocks, quote
from slide.data.canonical import features, labels
from slide.data.compression import SUFFIXES, Reading, without_suffix
from slide.data.vocabulary import Vocabulary

FORMATS = {
    "xmc": "XMC text",
    "libsvm": "LibSVM text without a header",
    "npz": ".npz of features and labels",
    "fasttext": "fastText text",
}

EXPECTED = (
    "XMC text (a header of three whole numbers, two for features or labels alone), LibSVM text (l1,l2 f:v f:v), "
    "fastText text (__label__a words), or to be told the format"
)
LONE_X = re.compile(r"(?<![A-Za-z0-9])X(?![A-Za-z0-9])")


@dataclass(frozen=True, eq=False)
class Data:
    """What a file holds.

    Parameters
    ----------
    X : csr_matrix of shape (N, D), float32
        Features.
    Y : csr_matrix of shape (N, L), float32, or None
        Labels; None where the file has none.
    path : str
        Of the file, or of both.
    kind : str
        Its format and compression in words.
    notes : tuple of str
        What looks odd, a sentence each.
    vocabulary : Vocabulary or None
        What the columns mean, where the file says it.
    """

    X: csr_matrix
    Y: csr_matrix | None
    path: str
    kind: str
    notes: tuple = ()
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True)
class Expected:
    """What the training data or the caller says about a file; source: who, for errors."""

    n_features: int | None = None
    n_labels: int | None = None
    vocabulary: Vocabulary | None = None
    source: str = "as given"

    @classmethod
    def of(cls, like: Data | None, n_features, n_labels) -> "Expected":
        if like is None:
            return cls(n_features, n_labels)
        return cls(like.X.shape[1], None if like.Y is None else like.Y.shape[1], like.vocabulary, f"as in {like.path}")

    def check(self, data: Data):
        for what, matrix, n in (("features", data.X, self.n_features), ("labels", data.Y, self.n_labels)):
            if matrix is not None and n is not None and matrix.shape[1] != n:
                raise ValueError(f"{data.path}: found {matrix.shape[1]} {what}, expected {n} {self.source}")
        if self.vocabulary and data.vocabulary and data.vocabulary != self.vocabulary:
            found = f"{data.path}: found another vocabulary than {self.source.removeprefix('as ')}"
            raise ValueError(f"{found}, expected the same: convert the text again, with --like")


@dataclass(frozen=True)
class Settings:
    """How to read. format: None to tell it by the content. first_feature, first_label: the least id in a text."""

    format: str | None
    first_feature: int
    first_label: int
    expected: Expected
    need_labels: bool

    def refuse_one_based(self, path, kind):
        if self.first_feature or self.first_label:
            raise ValueError(f"one_based: found it for {path}, {kind}, expected False: there ids count from 0")


def read_single(path, settings: Settings) -> Data:
    """A file of features and labels; or of features, whose labels are beside it or not needed."""
    with Reading(path) as file:
        packed = f", {file.packing.suffix}" if file.packing else ""
        kind = settings.format or ("npz" if npz.looks_like(file.start) else None)
        if kind != "npz":
            blocks = Blocks(path, file)
            kind = kind or _detect(blocks)
            if kind in TEXTS:
                return Data(path=path, kind=FORMATS[kind] + packed, **TEXTS[kind](blocks, settings))
    content = npz.read_npz(path) if kind == "npz" else {}
    if "X" not in content:
        return _features_alone(path, settings)
    settings.refuse_one_based(path, FORMATS[kind])
    X, Y = features(f"{path}: X", content["X"]), labels(f"{path}: Y", content["Y"])
    return Data(X, Y, path, FORMATS[kind], vocabulary=content["vocabulary"])


def read_pair(path_X, path_Y, settings: Settings) -> Data:
    """Features and labels from two files, XMC text or SciPy's .npz."""
    if settings.format is not None:
        raise ValueError(f"format: found {settings.format!r} for two files, expected None")
    if Path(path_X) in _partners(path_Y):
        raise ValueError(f"{path_X}, {path_Y}: found the labels first by their names, expected the features first")
    X, kind, notes = _read_matrix("feature", path_X, settings)
    Y, kind_Y, notes_Y = _read_matrix("label", path_Y, settings)
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"{path_Y}: found {Y.shape[0]} rows, expected {X.shape[0]} as in {path_X}")
    return Data(X, Y, f"{path_X}, {path_Y}", f"features ({kind}) and labels ({kind_Y})", (*notes, *notes_Y))


def _features_alone(path, settings):
    if not settings.need_labels:
        X, kind, notes = _read_matrix("feature", path, settings)
        return Data(X, None, path, f"features alone ({kind})", notes)
    names = [name for name in _partners(path) if name.is_file()]
    if not names:
        raise ValueError(f"{path}: found one matrix, expected labels too: give both files, features and labels, as X,Y")
    return read_pair(path, str(names[0]), settings)


def _read_matrix(what, path, settings):
    """(the matrix of features or labels in a file, its format, notes)."""
    first = settings.first_feature if what == "feature" else settings.first_label
    checked = features if what == "feature" else labels
    with Reading(path) as file:
        if not npz.looks_like(file.start):
            packed = f", {file.packing.suffix}" if file.packing else ""
            matrix = checked(path, xmc.read_columns(Blocks(path, file), what, first))
            return matrix, f"XMC text{packed}", _notes(path, {what: matrix}, settings)
    settings.refuse_one_based(path, ".npz")
    content = npz.read_npz(path)
    if "" not in content:
        raise ValueError(f"{path}: found features and labels, expected one matrix beside another file")
    return checked(path, content[""]), ".npz", ()


def _partners(path):
    """Where the labels of a file of features would be: `trn_X_Y.txt` of `trn_X_Xf.txt`, `Y.trn.npz` of `X.trn.npz`."""
    path = Path(path)
    stem, packing = without_suffix(path.name)
    name = stem.name.replace("X_Xf", "X_Y") if "X_Xf" in stem.name else LONE_X.sub("Y", stem.name)
    if name == stem.name:
        return []
    own = packing.suffix if packing else ""
    return [path.with_name(name + suffix) for suffix in dict.fromkeys((own, "", *SUFFIXES))]


def _detect(blocks):
    """The format of a text by its first line; "columns" for XMC text of one matrix."""
    numbers = xmc.header_numbers(blocks.first)
    if numbers and len(numbers) in (2, 3):
        return "xmc" if len(numbers) == 3 else "columns"
    if text.looks_like(blocks.first):
        return "fasttext"
    if libsvm.looks_like(blocks.first):
        return "libsvm"
    raise blocks.error("an empty file" if blocks.is_empty else quote(blocks.first), EXPECTED)


def _xmc(blocks, settings):
    X, Y = xmc.read_xmc(blocks, settings.first_feature, settings.first_label)
    return {"X": X, "Y": Y, "notes": _notes(blocks.path, {"feature": X, "label": Y}, settings)}


def _libsvm(blocks, settings):
    expected = settings.expected
    X, Y = libsvm.read_libsvm(
        blocks, expected.n_features, expected.n_labels, settings.first_feature, settings.first_label, expected.source
    )
    return {"X": X, "Y": Y, "notes": _notes(blocks.path, {"feature": X, "label": Y}, settings)}


def _fasttext(blocks, settings):
    settings.refuse_one_based(blocks.path, FORMATS["fasttext"])
    expected = settings.expected
    if expected.vocabulary is None and expected.n_features is not None:
        found = f"{blocks.path}: found {FORMATS['fasttext']}"
        raise ValueError(f"{found}, expected also the training data, whose words are its columns: --like (like=...)")
    X, Y, vocabulary, notes = text.read_text(blocks, expected.vocabulary)
    return {"X": X, "Y": Y, "vocabulary": vocabulary, "notes": tuple(f"{blocks.path}: {note}" for note in notes)}


TEXTS = {"xmc": _xmc, "libsvm": _libsvm, "fasttext": _fasttext}


def _notes(path, matrices, settings):
    """What hints at ids that count from 1."""
    firsts = {"feature": settings.first_feature, "label": settings.first_label}
    odd = [what for what, matrix in matrices.items() if not firsts[what] and _leaves_out_the_first(matrix)]
    if not odd:
        return ()
    option = "--one-based" if len(odd) == 2 else f"--one-based-{odd[0]}s"
    value = "True" if len(odd) == 2 else f"'{odd[0]}s'"
    found = ", ".join(f"{what} 0 never occurs though {matrices[what].shape[1] - 1}, the last, does" for what in odd)
    return (f"{path}: {found}; if they count from 1, say {option} (one_based={value})",)


def _leaves_out_the_first(matrix):
    """Whether column 0 is never used, the last one is, and so are three quarters: else it may be unused by chance."""
    ids, width = matrix.indices, matrix.shape[1]
    if width < 2 or width > 2 * len(ids) or ids.min() == 0 or ids.max() < width - 1:
        return False
    used = np.zeros(width, bool)
    used[ids] = True
    return 4 * np.count_nonzero(used) >= 3 * (width - 1)
