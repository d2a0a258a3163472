"""Targets as scikit-learn has them, and back: classes of any kind, indicators, lists of labels."""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from slide.rows import as_label_rows


class Single:
    """One class for each row, of whatever can be sorted. classes: in order."""

    multilabel = False

    def __init__(self, classes):
        self.classes = np.unique(classes)

    def encode(self, y):
        """int64 (n,): the place of each row's class; ValueError where it is none of them."""
        y = column_or_1d(y, warn=True)
        place = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        wrong = self.classes[place] != y
        if wrong.any():
            found = y[wrong].tolist()[0]
            raise ValueError(f"y: found the class {found!r}, expected one of the {len(self.classes)} of classes_")
        return place

    def decode(self, rows):
        """The classes (n,) of rows of places, SparseRows with one each."""
        return self.classes[rows.ids]


class Indicator:
    """Rows of an indicator matrix (n, n_classes), dense or sparse as it came. classes: the columns."""

    multilabel = True

    def __init__(self, y):
        self.classes, self.sparse = np.arange(y.shape[1]), sparse.issparse(y)

    def encode(self, y):
        return as_label_rows(y if sparse.issparse(y) else np.asarray(y), n_labels=len(self.classes), name="y")

    def decode(self, rows):
        found = rows.to_scipy().astype(np.int64)
        return sparse.csr_matrix(found) if self.sparse else found.toarray()


class Lists:
    """A list of labels for each row, of whatever can be sorted. classes: in order."""

    multilabel = True

    def __init__(self, y=None, classes=None):
        self._binarizer = MultiLabelBinarizer(classes=classes, sparse_output=True).fit([] if y is None else y)
        self.classes = self._binarizer.classes_

    def encode(self, y):
        unknown = {label for labels in y for label in labels}.difference(self.classes.tolist())
        if unknown:
            raise ValueError(f"y: found the label {next(iter(unknown))!r}, expected those of classes_")
        return as_label_rows(self._binarizer.transform(y), n_labels=len(self.classes), name="y")

    def decode(self, rows):
        return [tuple(self.classes[rows.ids[a:b]]) for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)]


def kind_of(y, classes=None):
    """The coding of targets that are not lists: Single or Indicator. classes: all there will be, None: those of y."""
    if type_of_target(y, input_name="y") == "multilabel-indicator":
        coding = Indicator(y)
        if classes is not None and len(classes) != len(coding.classes):
            raise ValueError(f"classes: found {len(classes)}, expected the {len(coding.classes)} columns of y")
        return coding
    check_classification_targets(y)
    return Single(column_or_1d(y, warn=True) if classes is None else classes)
