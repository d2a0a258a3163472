"""One door for every file format: load, read and save."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from os import fspath
from pathlib import Path
from typing import Any

from scipy.sparse import csr_matrix

from slide.data import libsvm, npz, xmc
from slide.data.compression import SUFFIXES, without_suffix
from slide.data.reading import FORMATS, Data, Expected, Settings, read_pair, read_single
from slide.data.vocabulary import Vocabulary
from slide.rows import Labels, Matrix
from slide.settings.checks import check_flag, check_integer
from slide.typing import FilePath

ONE_BASED = {False: (0, 0), True: (1, 1), "features": (1, 0), "labels": (0, 1)}
SUFFIX_FORMATS = {".txt": "xmc", ".libsvm": "libsvm", ".svm": "libsvm", ".svmlight": "libsvm", ".npz": "npz"}
WRITERS: dict[str, Callable[..., None]] = {"xmc": xmc.save_xmc, "libsvm": libsvm.save_libsvm, "npz": npz.save_npz}
PAIR_WRITERS: dict[str, Callable[..., None]] = {"xmc": xmc.save_xmc_pair, "npz": npz.save_npz_pair}


def load(path: FilePath | Sequence[FilePath], **options: Any) -> tuple[csr_matrix, csr_matrix | None]:
    """Features and labels of a file, or of two files, in any of the formats that `read` knows.

    Notes of the reader become warnings.

    Parameters
    ----------
    path : str, path-like or pair of them
        As for `read`.
    **options
        The other arguments of `read`.

    Returns
    -------
    X : csr_matrix of shape (N, D), float32
        Features; indices are sorted within rows.
    Y : csr_matrix of shape (N, L), float32
        Labels: ones.

    Raises
    ------
    ValueError, OSError
        As `read`.
    """
    data = read(path, **options)
    for note in data.notes:
        warnings.warn(note, stacklevel=2)
    return data.X, data.Y


def read(
    path: FilePath | Sequence[FilePath], like: Data | FilePath | None = None, format: str | None = None,
    one_based: bool | str = False, n_features: int | None = None, n_labels: int | None = None, need_labels: bool = True,
) -> Data:  # fmt: skip
    """Reads a file, or two with features and labels, as `Data`.

    Parameters
    ----------
    path : str, path-like or pair of them
        A file; or two, as a pair of paths or as "X,Y" where no file has that name. Of `trn_X_Xf.txt` or `X.trn.npz`
        alone the labels are looked for beside it, as `trn_X_Y.txt` or `Y.trn.npz`. Compression (gzip, xz, bzip2,
        Zstandard) and format are told by the content; a byte order mark is passed over.
    like : Data, str or path-like
        The training data, or its path, whose numbers of features and labels and whose vocabulary hold.
    format : {"xmc", "libsvm", "npz", "fasttext"} or None
        "xmc", the text of the Extreme Classification Repository with a header of three numbers; "libsvm", the same
        lines without a header; "npz", features and labels as `save` writes them; "fasttext", words, and
        labels behind `__label__`; None to tell by the first line. A pair is of headed texts or of SciPy's .npz.
    one_based : bool or {"features", "labels"}
        True where ids in the text count from 1; "features" or "labels" where only those do.
    n_features, n_labels : int or None
        Expected numbers; text without a header has them from here, or else from its largest ids.
    need_labels : bool
        Whether features without labels are an error.

    Returns
    -------
    Data
        Features, labels and what was found.

    Raises
    ------
    ValueError
        Naming the file (and the line of a text), what was found and what was expected; also where a package that the
        format needs is not installed.
    OSError
        Where a file cannot be read.
    """
    if format is not None and not (isinstance(format, str) and format in FORMATS):
        raise ValueError(f"format: found {format!r}, expected one of {', '.join(FORMATS)}, or None")
    if not isinstance(one_based, str | bool) or one_based not in ONE_BASED:
        raise ValueError(f"one_based: found {one_based!r}, expected True, False, 'features' or 'labels'")
    need_labels = check_flag("need_labels", need_labels)
    for name, number in (("n_features", n_features), ("n_labels", n_labels)):
        if number is not None:
            check_integer(name, number, 0)
    if like is not None and (n_features is not None or n_labels is not None):
        raise ValueError("n_features, n_labels: found numbers beside like, expected None, as it has them")
    if like is not None and not isinstance(like, Data):
        like = read(like, one_based=one_based)
    paths, expected = _paths(path), Expected.of(like, n_features, n_labels)
    settings = Settings(format, *ONE_BASED[one_based], expected, need_labels)
    data = read_pair(*paths, settings) if len(paths) == 2 else read_single(paths[0], settings)
    expected.check(data)
    return data


def save(
    path: FilePath | Sequence[FilePath], X: Matrix, Y: Labels, vocabulary: Vocabulary | None = None,
    format: str | None = None,
) -> None:  # fmt: skip
    """Writes X and Y in the format that the end of `path` says, so that `read` gives them back.

    Parameters
    ----------
    path : str, path-like or pair of them
        `.txt` (XMC text) or `.libsvm`, `.svm`, `.svmlight` (LibSVM text without a header, ids from 0), and then `.gz`,
        `.xz`, `.bz2` or `.zst` where it is to be compressed; `.npz` (both matrices, and the vocabulary); or a pair of
        `.txt` or `.npz` for features and labels.
    X : (N, D) matrix, sparse or dense
        Features.
    Y : (N, L) matrix, sparse or dense
        Labels: entries 0 or 1.
    vocabulary : Vocabulary or None
        The words and label names of text; `.npz` keeps them.
    format : {"xmc", "libsvm"} or None
        The format of a text of any other name.

    Raises
    ------
    ValueError
        As `save_xmc`, and where the path says no format.
    """
    paths = _paths(path)
    writers = PAIR_WRITERS if len(paths) == 2 else WRITERS
    kinds = {format or _format_of(one) for one in paths}
    if len(kinds) > 1 or not kinds <= {*writers}:
        found = f"{path}: found {' and '.join(sorted(kinds))}"
        raise ValueError(f"{found}, expected {' or '.join(writers)}{' for both files' if len(paths) == 2 else ''}")
    writer = writers[kinds.pop()]
    if vocabulary is not None and writer is not npz.save_npz:
        raise ValueError(f"vocabulary: found one for {path}, expected None: one .npz file alone keeps it")
    writer(*paths, X, Y, **({"vocabulary": vocabulary} if vocabulary is not None else {}))


def keeps_vocabulary(path: FilePath | Sequence[FilePath]) -> bool:
    """Whether `save` can write a vocabulary to `path`.

    Parameters
    ----------
    path : str or path-like
        As for `save`.

    Returns
    -------
    bool
        True for `.npz`.
    """
    paths = _paths(path)
    return len(paths) == 1 and SUFFIX_FORMATS.get(Path(paths[0]).suffix.lower()) == "npz"


def _format_of(path):
    stem, packing = without_suffix(path)
    kind = SUFFIX_FORMATS.get(stem.suffix.lower())
    if kind is None or (packing and kind == "npz"):
        known = ", ".join(SUFFIX_FORMATS)
        raise ValueError(f"{path}: found no known end of a file name, expected {known} (texts may be followed by "
                         f"{', '.join(SUFFIXES)}), or to be told the format")  # fmt: skip
    return kind


def _paths(path) -> tuple:
    """The path of a file, or of two: a pair, or "X,Y" where no file has that name."""
    if isinstance(path, tuple | list):
        paths = tuple(map(fspath, path))
    else:
        path = fspath(path)
        paths = (path,) if "," not in path or Path(path).exists() else tuple(path.split(","))
    if len(paths) not in (1, 2) or not all(paths):
        raise ValueError(f"path: found {path!r}, expected a file, or two: features and labels")
    return paths
