"""The public extreme-classification sets: their published shapes, where to get them, how to load them."""

from dataclasses import dataclass
from pathlib import Path

from slide.data.compression import SUFFIXES
from slide.data.xmc import load_xmc, read_header
from slide.typing import FilePath, Pair

ENDS = ("", *SUFFIXES)
REPOSITORY = "http://manikvarma.org/downloads/XC/XMLRepository.html"
CITATION = (
    "K. Bhatia, K. Dahiya, H. Jain, A. Mittal, Y. Prabhu, M. Varma: The Extreme Classification Repository: "
    f"Multi-label Datasets and Code, 2016, {REPOSITORY}"
)


@dataclass(frozen=True)
class Dataset:
    """A set of the Extreme Classification Repository, its shape as published there (bag-of-words features).

    stem: the repository calls the files `<stem>_train.txt` and `<stem>_test.txt`. source: whose data it is.
    """

    name: str
    n_features: int
    n_labels: int
    n_train: int
    n_test: int
    stem: str
    source: str
    url: str = REPOSITORY
    repository: str = CITATION

    def header(self, part: str) -> tuple[int, int, int]:
        """(N, D, L) that the file of `part`, "train" or "test", begins with."""
        return self.n_train if part == "train" else self.n_test, self.n_features, self.n_labels


_MCAULEY = "J. McAuley, J. Leskovec: Hidden factors and hidden topics, RecSys 2013"
_WETZKER = "R. Wetzker, C. Zimmermann, C. Bauckhage: Analyzing social bookmarking systems, ECAI 2008"
_ZUBIAGA = "A. Zubiaga: Enhancing navigation on Wikipedia with social tags, 2012"
_LOZA = "E. Loza Mencia, J. Fuernkranz: Efficient pairwise multilabel classification, ECML PKDD 2008"
_PARTALAS = "I. Partalas et al.: LSHTC: a benchmark for large-scale text classification, 2015"

DATASETS = {
    dataset.name.lower(): dataset
    for dataset in (
        Dataset("Amazon-670K", 135909, 670091, 490449, 153025, "amazon", _MCAULEY),
        Dataset("AmazonCat-13K", 203882, 13330, 1186239, 306782, "amazonCat", _MCAULEY),
        Dataset("Delicious-200K", 782585, 205443, 196606, 100095, "deliciousLarge", _WETZKER),
        Dataset("EURLex-4K", 5000, 3993, 15539, 3809, "eurlex", _LOZA),
        Dataset("Wiki10-31K", 101938, 30938, 14146, 6616, "wiki10", _ZUBIAGA),
        Dataset("WikiLSHTC-325K", 1617899, 325056, 1778351, 587084, "wikiLSHTC", _PARTALAS),
    )
}


def load_public(name: str, root: FilePath = "data") -> tuple[Pair, Pair]:
    """A public set from files that are on this machine; nothing is ever downloaded.

    Parameters
    ----------
    name : str
        A key of `DATASETS`, in any case.
    root : str or path-like
        A folder. The files are looked for in root/<name>/ (in lower case or as published) and in root, as train.txt and
        test.txt or under the repository's own names (amazon_train.txt and so on), plain or compressed (.gz, .xz, .bz2,
        .zst).

    Returns
    -------
    train : (X, Y)
        As from `load_xmc`.
    test : (X, Y)
        Likewise.

    Raises
    ------
    ValueError
        Where the name is unknown or a file's header is not the published shape, and as `load_xmc`.
    FileNotFoundError
        Where a file is missing: it lists the steps to take.
    """
    dataset = DATASETS.get(name.lower() if isinstance(name, str) else None)
    if dataset is None:
        known = ", ".join(entry.name for entry in DATASETS.values())
        raise ValueError(f"name: found {name!r}, expected one of {known}")
    paths = {part: _find_public(dataset, part, Path(root)) for part in ("train", "test")}
    for part, path in paths.items():
        found, expected = read_header(path), dataset.header(part)
        if found != expected:
            raise ValueError(
                f"{path}, line 1: found {found} samples, features and labels, expected {expected}, "
                f"as published for the {part} set of {dataset.name}"
            )
    return load_xmc(paths["train"]), load_xmc(paths["test"])


def load_folder(path: FilePath) -> tuple[Pair, Pair]:
    """The training and test data of a folder that holds train.txt and test.txt, each plain or compressed.

    Parameters
    ----------
    path : str or path-like
        The folder.

    Returns
    -------
    train : (X, Y)
        As from `load_xmc`.
    test : (X, Y)
        Likewise.

    Raises
    ------
    FileNotFoundError
        Where one of the files is missing.
    ValueError
        Where their headers differ in features or labels, and as `load_xmc`.
    """
    train, test = (_find([Path(path)], [part]) for part in ("train", "test"))
    for part, found in (("train", train), ("test", test)):
        if found is None:
            names = ", ".join(f"{part}.txt{suffix}" for suffix in ENDS)
            raise FileNotFoundError(f"{path}: found none of {names}, expected one")
    found, expected = read_header(test)[1:], read_header(train)[1:]
    if found != expected:
        expected = f"{expected}, as in {train}"
        raise ValueError(f"{test}, line 1: found {found} features and labels, expected {expected}")
    return load_xmc(train), load_xmc(test)


def _find(folders, stems):
    """The first file there is, plain before compressed; None where there is none."""
    for folder in folders:
        for stem in stems:
            for suffix in ENDS:
                if (folder / f"{stem}.txt{suffix}").is_file():
                    return folder / f"{stem}.txt{suffix}"
    return None


def _find_public(dataset, part, root):
    folder = root / dataset.name.lower()
    path = _find([folder, root / dataset.name, root], [part, f"{dataset.stem}_{part}"])
    if path is None:
        raise FileNotFoundError(
            f"the {part} set of {dataset.name} is not in {folder} or {root}. To put it there:\n"
            f"  1. open {dataset.url} and download {dataset.name} (bag-of-words features);\n"
            f"  2. unpack it, and move {dataset.stem}_train.txt and {dataset.stem}_test.txt (or train.txt, "
            f"test.txt) to {folder}; they may be compressed ({', '.join(SUFFIXES)});\n"
            f'  3. call load_public("{dataset.name.lower()}", root="{root}") again.'
        )
    return path
