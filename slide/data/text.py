"""fastText's text, `__label__a __label__b word word ...` per line, to tf-idf rows of unit length by scikit-learn.

As in fastText, words and labels are what blanks separate, as they stand (upper case, punctuation). Words and labels of
training make the columns, and a vocabulary keeps them; other text is read with it: words that training did not have
are left out, and so are labels, whose number is noted.
"""

import numpy as np
from scipy.sparse import csr_matrix

from slide.data.blocks import Blocks, quote
from slide.data.vocabulary import Vocabulary

LABEL = "__label__"


def looks_like(line: bytes) -> bool:
    return any(token.startswith(LABEL.encode()) for token in line.split())


def read_text(blocks: Blocks, vocabulary: Vocabulary | None = None):
    """(X, Y, vocabulary, notes) of a file; its own words and labels make the columns where no vocabulary is given.

    Raises ValueError, naming the file and the line, where a line is not UTF-8 or is blank with others after it, where
    there are no words, and where scikit-learn is not installed.
    """
    names = []  # of the labels of each line

    def words():
        for line in _lines(blocks):
            tokens = line.split()
            names.append([token[len(LABEL) :] for token in tokens if token.startswith(LABEL)])
            if "" in names[-1]:
                raise blocks.error(f"{LABEL!r} alone", f"the name of a label behind {LABEL}")
            yield [token for token in tokens if not token.startswith(LABEL)]

    vectorizer = _vectorizer(blocks, vocabulary)
    if vocabulary:
        X = vectorizer.transform(words())
        X.sort_indices()
        Y, unknown = _indicator(names, vocabulary.labels)
        notes = [f"labels that training does not have were left out: {unknown}"] if unknown else []
        return X, Y, vocabulary, notes
    try:
        X = vectorizer.fit_transform(words())
    except ValueError as error:
        if str(error).startswith("empty vocabulary"):
            raise blocks.error("no words", f"{LABEL}a word word, a line per sample", 1) from error
        raise
    X.sort_indices()
    labels = tuple(sorted({name for line in names for name in line}))
    own = Vocabulary(tuple(vectorizer.get_feature_names_out().tolist()), vectorizer.idf_, labels)
    return X, _indicator(names, labels)[0], own, []


def _vectorizer(blocks, vocabulary):
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        found = f"{blocks.path}: found {LABEL} text (fastText)"
        raise ValueError(f"{found}, expected a package for it: pip install scikit-learn ({error})") from error
    vectorizer = TfidfVectorizer(analyzer=list, dtype=np.float32, vocabulary=vocabulary and list(vocabulary.words))
    if vocabulary:
        vectorizer.idf_ = vocabulary.idf
    return vectorizer


def _lines(blocks):
    """The lines of the file as text, without blank ones at its end."""
    blank = None
    for text in blocks:
        for line in text.split(b"\n")[:-1]:
            if not line.strip():
                blank = blank or blocks.line
            elif blank:
                raise blocks.error("a blank line", "blank lines at the end of the file alone", blank)
            else:
                try:
                    yield line.decode()
                except UnicodeDecodeError as error:
                    raise blocks.error(quote(line[error.start :]), "text in UTF-8") from error
            blocks.line += 1


def _indicator(names, labels):
    """(the labels of each line as CSR, how many names are none of `labels`)."""
    columns = {name: column for column, name in enumerate(labels)}
    rows = [sorted({columns[name] for name in line if name in columns}) for line in names]
    ptr = np.cumsum([0, *map(len, rows)])
    ids = np.fromiter((column for row in rows for column in row), np.int32, ptr[-1])
    unknown = sum(name not in columns for line in names for name in line)
    return csr_matrix((np.ones(ptr[-1], np.float32), ids, ptr), shape=(len(rows), len(labels))), unknown
