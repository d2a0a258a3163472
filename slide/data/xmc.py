"""The text formats of the Extreme Classification Repository: load_xmc and save_xmc.

One file: a header `N D L` (samples, features, labels), then a line per sample, `l1,l2,... f:v f:v ...`, indices from 0.
The line of a sample without labels begins with a space; features may be absent too, and a sample without both is a
line of one space. Two files, features and labels: a header `N D` (samples, columns), then a line per sample,
`i:v i:v ...`, which may be empty. Lines end in LF or CRLF.
"""

from __future__ import annotations

from scipy.sparse import csr_matrix

from slide._kernels.parse import Blank
from slide.data.blocks import Blocks, quote
from slide.data.canonical import check_pair, features, labels
from slide.data.compression import Reading
from slide.data.samples import MOST, Rules, read_samples
from slide.data.writing import replacing, write_samples
from slide.rows import Matrix
from slide.typing import FilePath

LONGEST_HEADER = 1000
HEADERS = {
    3: "a header of three whole numbers: samples, features, labels",
    2: "a header of two whole numbers: samples, columns",
}


def load_xmc(path: FilePath) -> tuple[csr_matrix, csr_matrix]:
    """Features and labels of a file in the text format of the Extreme Classification Repository.

    Parameters
    ----------
    path : str or path-like
        Plain text or compressed (gzip, xz, bzip2, Zstandard), which is told by its content.

    Returns
    -------
    X : csr_matrix of shape (N, D), float32
        Decimal numbers rounded to the nearest; a zero that is written is stored. Indices are int32 (int64 only beyond
        2**31 - 1 entries) and sorted within rows.
    Y : csr_matrix of shape (N, L), float32
        Ones.

    Raises
    ------
    ValueError
        Naming the file, the line, what was found and what was expected, where the text breaks the format: a bad header,
        more or fewer samples than it says (blank lines after the last sample are none), a blank line before, an index
        out of range, a value that is not a number or not finite in float32, a feature or label that occurs twice in a
        row; and where a compressed file is cut short or corrupt.
    FileNotFoundError
        Where there is no such file.
    """
    with Reading(path) as file:
        return read_xmc(Blocks(path, file))


def read_header(path: FilePath) -> tuple[int, int, int]:
    """The three numbers at the head of a file in the XMC repository's text format.

    Parameters
    ----------
    path : str or path-like
        As for `load_xmc`.

    Returns
    -------
    tuple of int
        (N, D, L): rows, features, labels.

    Raises
    ------
    ValueError, FileNotFoundError
        As `load_xmc`.
    """
    with Reading(path) as file:
        return take_header(Blocks(path, file), 3)


def save_xmc(path: FilePath, X: Matrix, Y: Matrix) -> None:
    """Writes X and Y in the XMC repository's text format, so that `load_xmc` gives them back.

    Parameters
    ----------
    path : str or path-like
        Compressed where its name ends in `.gz`, `.xz`, `.bz2` or `.zst`. The file gets its name only once it is
        complete; a folder, device or pipe of that name is refused.
    X : (N, D) matrix, sparse or dense
        Written as float32 with the fewest digits that read back exactly.
    Y : (N, L) matrix, sparse or dense
        Its entries are 0 or 1.

    Raises
    ------
    ValueError
        Where the rows differ in number, a value of X is not finite in float32, an entry of Y is neither 0 nor 1, an
        entry occurs twice in a row, or index arrays are corrupt.
    """
    X, Y = features("X", X), labels("Y", Y)
    check_pair(X, Y)
    with replacing(path) as file:
        write_samples(file, f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}", X, Y)


def save_xmc_pair(path_X: FilePath, path_Y: FilePath, X: Matrix, Y: Matrix) -> None:
    """Writes X and Y to two files, as the repository's `trn_X_Xf.txt` and `trn_X_Y.txt`; else as save_xmc."""
    X, Y = features("X", X), labels("Y", Y)
    check_pair(X, Y)
    with replacing(path_X) as file_X, replacing(path_Y) as file_Y:
        for file, matrix in ((file_X, X), (file_Y, Y)):
            write_samples(file, f"{matrix.shape[0]} {matrix.shape[1]}", matrix)


def header_numbers(line: bytes) -> tuple | None:
    """The whole numbers that a line consists of; None where it holds anything else."""
    tokens = line.split() if len(line) <= LONGEST_HEADER else []
    return tuple(tokens) if tokens and all(token.isdigit() for token in tokens) else None


def take_header(blocks: Blocks, count: int) -> tuple:
    """The `count` numbers of the header, which is then behind. Raises ValueError where it is none."""
    if blocks.is_empty:
        raise blocks.error("an empty file", HEADERS[count])
    tokens = header_numbers(blocks.first)
    if tokens is None or len(tokens) != count:
        raise blocks.error(quote(blocks.first), HEADERS[count])
    for token in tokens:
        if len(token) > 20 or int(token) > MOST:
            raise blocks.error(f"{quote(token)} in the header", f"at most {MOST}")
    blocks.skip_first()
    return tuple(int(token) for token in tokens)


def read_xmc(blocks: Blocks, first_feature=0, first_label=0):
    """(X, Y) of a file with features and labels; ids count from first_feature and first_label, 0 or 1."""
    n, n_features, n_labels = take_header(blocks, 3)
    rules = Rules(n, n_features, n_labels, first_feature, first_label, blank=Blank.SPACED)
    return read_samples(blocks, rules)


def read_columns(blocks: Blocks, what="feature", first=0):
    """The matrix of a file of features alone, or of labels alone; ids count from `first`, 0 or 1."""
    n, width = take_header(blocks, 2)
    rules = Rules(n, width, first_feature=first, labelled=False, blank=Blank.EVERY, column=what)
    return read_samples(blocks, rules)[0]
