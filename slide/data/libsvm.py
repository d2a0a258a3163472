"""LibSVM multi-label text: a line per sample, `l1,l2,... f:v f:v ...`, and no header.

Nothing says how many features and labels there are: as many as the largest ids ask for, or the numbers that are given.
A line without labels and features is no sample, so it may stand at the end of the file alone.
"""

import re

import numpy as np

from slide.data.blocks import Blocks
from slide.data.canonical import check_pair, features, labels
from slide.data.samples import Rules, read_samples
from slide.data.writing import replacing, write_samples

FIRST_LINE = re.compile(rb"(\d+(,[ \t]*\d+)*)?[ \t]+\d+:")


def looks_like(line: bytes) -> bool:
    """Whether a line is a sample with a feature. One of labels alone could be something else."""
    return bool(FIRST_LINE.match(line))


def read_libsvm(blocks: Blocks, n_features=None, n_labels=None, first_feature=0, first_label=0, source="as given"):
    """(X, Y); n_features, n_labels: None for as many as the largest ids ask for."""
    if blocks.is_empty:
        raise blocks.error("an empty file", "a line per sample, l1,l2 f:v f:v")
    rules = Rules(None, n_features, n_labels, first_feature, first_label, source=source)
    return read_samples(blocks, rules)


def save_libsvm(path, X, Y):
    """Writes X and Y as lines without a header, ids from 0, as `save_xmc` does otherwise.

    Raises ValueError too where a sample has neither labels nor features: the text has no form for it.
    """
    X, Y = features("X", X), labels("Y", Y)
    check_pair(X, Y)
    empty = np.flatnonzero(np.diff(X.indptr) + np.diff(Y.indptr) == 0)
    if len(empty) or not X.shape[0]:
        found = f"row {empty[0]} without features and labels" if len(empty) else "no rows"
        raise ValueError(f"X, Y: found {found}, which LibSVM text cannot hold, expected a feature or label in each row")
    with replacing(path) as file:
        write_samples(file, "", X, Y)
