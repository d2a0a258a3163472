"""Matrices in .npz archives: SciPy's own (`scipy.sparse.save_npz`), one each, or features and labels in one file.

The file of both has SciPy's arrays with `X.` and `Y.` before their names, and where it was made from text the
vocabulary: `words`, `idf`, `labels`. Nothing is unpickled. Every array's shape, type and size is compared with the
others' and with the archive's own before any is read.
"""

import errno
import math
import struct
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
from numpy.lib import format as npy
from scipy import sparse

from slide.data.canonical import check_pair, features, labels
from slide.data.vocabulary import Vocabulary
from slide.data.writing import replacing
from slide.matrices import checked_csr

PARTS = ("data", "indices", "indptr", "shape", "format")
FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
DEFLATE = 1032  # no deflated byte becomes more
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OverflowError)


def looks_like(start: bytes) -> bool:
    """Whether a file that begins so is a zip archive."""
    return start.startswith(b"PK")


def read_npz(path) -> dict:
    """What a file holds: {"": matrix}, SciPy's, or {"X": ..., "Y": ..., "vocabulary": a Vocabulary or None}.

    Matrices are CSR as in the file, structure checked; `slide.data.canonical` checks their values.

    Raises ValueError, naming the file, where it is no such archive, cut short, damaged or contradicts itself.
    """
    with _archive(path) as archive:
        names = archive.names
        if names >= {*PARTS}:
            return {"": archive.matrix("")}
        if not names >= {f"{which}.{part}" for which in "XY" for part in PARTS}:
            found = ", ".join(sorted(names)[:5]) or "nothing"
            expected = f"{', '.join(PARTS)}, as SciPy's save_npz writes, or X.data and so on"
            raise ValueError(f"arrays {found}, expected {expected}")
        content = {which: archive.matrix(f"{which}.") for which in "XY"}
        check_pair(content["X"], content["Y"])
        return {**content, "vocabulary": archive.vocabulary(content["X"].shape[1], content["Y"].shape[1])}


def save_npz(path, X, Y, vocabulary=None):
    """Writes X, Y and what their columns mean to one file. Raises ValueError as `save_xmc` does."""
    X, Y = features("X", X), labels("Y", Y)
    check_pair(X, Y)
    if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
        raise ValueError(f"vocabulary: found {vocabulary!r}, expected a Vocabulary, or None")
    arrays = {f"{which}.{part}": array for which, m in (("X", X), ("Y", Y)) for part, array in _parts(m).items()}
    with replacing(path) as file:
        np.savez_compressed(file, **arrays, **(vocabulary.arrays() if vocabulary else {}))


def save_npz_pair(path_X, path_Y, X, Y):
    """Writes X and Y to two files, each as `scipy.sparse.save_npz` does; else as `save_npz`."""
    X, Y = features("X", X), labels("Y", Y)
    check_pair(X, Y)
    with replacing(path_X) as file_X, replacing(path_Y) as file_Y:
        np.savez_compressed(file_X, **_parts(X))
        np.savez_compressed(file_Y, **_parts(Y))


def _parts(matrix):
    shape, kind = np.array(matrix.shape, np.int64), np.array(b"csr")
    return dict(zip(PARTS, (matrix.data, matrix.indices, matrix.indptr, shape, kind), strict=True))


@contextmanager
def _archive(path):
    file = open(path, "rb")
    try:
        with file, zipfile.ZipFile(file) as archive:
            yield _Archive(archive)
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that of a place outside the file
            raise
        raise ValueError(f"{path}: found a broken archive ({error}), expected a complete .npz file") from error
    except MemoryError as error:
        raise MemoryError(f"{path}: its arrays do not fit in memory") from error
    except ValueError as error:
        raise ValueError(f"{path}: found {str(error).removeprefix('found ')}") from error


class _Archive:
    def __init__(self, archive):
        self.archive = archive
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        self.names = {*self.members}

    def matrix(self, prefix):
        layout = {part: self.layout(prefix + part) for part in PARTS}
        _check_layout(prefix, layout)
        kind, shape = str(self.read(prefix + "format").astype("U")), tuple(self.read(prefix + "shape").tolist())
        if kind not in FORMATS or min(shape) < 0:
            raise ValueError(f"a matrix of format {kind!r} and shape {shape}, expected csr or csc: save X.tocsr()")
        expected = (shape[kind == "csc"] + 1,)
        if layout["indptr"][0] != expected:
            raise ValueError(f"{prefix}indptr of shape {layout['indptr'][0]}, expected {expected}")
        arrays = tuple(self.read(prefix + part) for part in ("data", "indices", "indptr"))
        if not 0 <= arrays[2][-1] <= len(arrays[1]) or arrays[2][0] != 0:
            ends = f"{arrays[2][0]} to {arrays[2][-1]}"
            raise ValueError(f"{prefix}indptr from {ends}, expected 0 to at most {len(arrays[1])}, the entries")
        matrix = FORMATS[kind](arrays, shape=shape)
        indptr, columns, values = checked_csr(matrix, prefix.removesuffix(".") or "the matrix")
        return sparse.csr_matrix((values, columns, indptr), shape=shape)

    def vocabulary(self, n_features, n_labels):
        names = ("words", "idf", "labels")
        if not self.names & {*names}:
            return None
        if not self.names >= {*names}:
            raise ValueError(f"{', '.join(sorted(self.names & {*names}))}, expected all of {', '.join(names)}")
        vocabulary = Vocabulary.from_arrays(*(self.read(name) for name in names))
        found = len(vocabulary.words), len(vocabulary.labels)
        if found != (n_features, n_labels):
            raise ValueError(f"{found} words and labels, expected {(n_features, n_labels)}, as the matrices have")
        return vocabulary

    def layout(self, name):
        """(shape, dtype) of an array, once its size is that of its place in the archive."""
        info = self.members[name]
        with self.archive.open(info) as file:
            try:
                shape, _, dtype = HEADERS[npy.read_magic(file)](file)
            except OSError:
                raise
            except Exception as error:  # NumPy parses it as Python, which may fail in many ways
                found = f"{name} with a broken header ({str(error)[:100]})"
                raise ValueError(f"{found}, expected a .npy array, 1.0 or 2.0") from error
            size = info.file_size - file.tell()
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{name} of {dtype}, {shape} in {size} bytes, expected plain numbers of that size")
        stored = info.compress_type == zipfile.ZIP_STORED
        if not stored and info.compress_type != zipfile.ZIP_DEFLATED:
            raise ValueError(f"{name} compressed by method {info.compress_type}, expected deflate or none")
        if info.file_size > info.compress_size * (1 if stored else DEFLATE):
            raise ValueError(f"{name} of {info.file_size} bytes packed in {info.compress_size}, expected more of them")
        return shape, dtype

    def read(self, name):
        self.layout(name)
        with self.archive.open(self.members[name]) as file:
            return npy.read_array(file, allow_pickle=False)


def _check_layout(prefix, layout):
    (entries, dtype), (ids, id_type), (_, ptr_type), shape, kind = (layout[part] for part in PARTS)
    right = dtype.kind in "biuf" and dtype.itemsize <= 8 and len(entries) == 1 and entries == ids
    right = right and {id_type.str[1:], ptr_type.str[1:], shape[1].str[1:]} <= {"i4", "i8"} and shape[0] == (2,)
    if not right or kind[0] != () or kind[1].kind not in "SU":
        found = ", ".join(f"{prefix}{part} {dtype} {shape}" for part, (shape, dtype) in layout.items())
        raise ValueError(f"{found}, expected a CSR matrix of real numbers with indices of int32 or int64")
