"""Files of samples, compressed or not, and lines of samples in them."""

from contextlib import contextmanager, nullcontext

import numpy as np

from slide._kernels.parse import format_rows
from slide.data import blocks
from slide.data.compression import without_suffix
from slide.state import files


@contextmanager
def replacing(path):
    """The file of `slide.state.files.replacing`, compressed as the end of `path` says."""
    packing = without_suffix(path)[1]
    with files.replacing(path) as raw, packing.create(raw) if packing else nullcontext(raw) as file:
        yield file


def write_samples(file, header: str, X, Y=None):
    """Writes lines of samples, `l1,l2 f:v f:v`, after the line `header`, if it is not empty.

    file: open for bytes. X, Y: CSR of float32 as `slide.data.canonical` makes them; without Y, lines hold features
    alone.
    """
    if header:
        file.write(f"{header}\n".encode())
    for text in _texts(X, Y):
        file.write(text if Y is not None else bytes(text).replace(b"\n ", b"\n")[1:])


def _texts(X, Y):
    """The lines of the samples, in pieces of about blocks.BLOCK bytes; without labels each begins with a space."""
    feature_ptr, features = X.indptr.astype(np.int64), X.indices.astype(np.int32, copy=False)
    label_ptr, labels = np.zeros(X.shape[0] + 1, np.int64), np.zeros(0, np.int32)
    if Y is not None:
        label_ptr, labels = Y.indptr.astype(np.int64), Y.indices.astype(np.int32, copy=False)
    most = 2 * np.arange(X.shape[0] + 1) + 11 * label_ptr + 30 * feature_ptr
    first = 0
    while first < X.shape[0]:
        last = max(first + 1, int(np.searchsorted(most, most[first] + blocks.BLOCK)))
        last = min(last, X.shape[0])
        text = np.empty(most[last] - most[first], np.uint8)
        used = format_rows(label_ptr, labels, feature_ptr, features, X.data, first, last, text)
        yield text[:used].data
        first = last
