"""What turns text into the columns of a matrix: words, their weights, names of labels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Vocabulary:
    """What the columns of a text's features and labels mean.

    Parameters
    ----------
    words : tuple of str
        The word of each feature.
    idf : ndarray of shape (features,), float64
        The words' inverse document frequencies.
    labels : tuple of str
        The names of the labels.
    """

    words: tuple
    idf: np.ndarray
    labels: tuple

    def __eq__(self, other):
        return (
            isinstance(other, Vocabulary)
            and (self.words, self.labels) == (other.words, other.labels)
            and np.array_equal(self.idf, other.idf)
        )

    def arrays(self) -> dict:
        """Plain arrays, of which `from_arrays` makes the vocabulary again.

        Returns
        -------
        dict
            {name: array}.
        """
        return {"words": _packed(self.words), "idf": np.asarray(self.idf, np.float64), "labels": _packed(self.labels)}

    @classmethod
    def from_arrays(cls, words: np.ndarray, idf: np.ndarray, labels: np.ndarray) -> "Vocabulary":
        """The vocabulary of what `arrays` gave.

        Parameters
        ----------
        words, idf, labels : ndarray
            As `arrays` has them.

        Returns
        -------
        Vocabulary
            An equal one.

        Raises
        ------
        ValueError
            Where the arrays hold something else.
        """
        names = {"words": _unpacked("words", words), "labels": _unpacked("labels", labels)}
        if idf.dtype != np.float64 or idf.shape != (len(names["words"]),) or not (np.isfinite(idf) & (idf > 0)).all():
            found = f"idf of {idf.dtype}, {idf.shape}"
            raise ValueError(f"{found}, expected a positive float64 for each of {len(names['words'])} words")
        return cls(names["words"], idf, names["labels"])


def _packed(names):
    return np.frombuffer("\n".join(names).encode(), np.uint8)


def _unpacked(what, packed):
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise ValueError(f"{what} of {packed.dtype}, {packed.shape}, expected bytes of UTF-8")
    try:
        names = tuple(packed.tobytes().decode().split("\n")) if len(packed) else ()
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} that are no UTF-8 ({error.reason}), expected a name per line") from error
    if len(set(names)) != len(names):
        raise ValueError(f"{what} of which some occur twice, expected different ones")
    return names
