"""fastText's text: words and labels become columns, and training's vocabulary those of other text."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide.data import Vocabulary, blocks, load, read, save

pytest.importorskip("sklearn.feature_extraction.text")

TRAIN = """__label__cat __label__pet the cat sat , C++
__label__dog the dog the bone
no label here
__label__aé 中文
"""


@pytest.fixture
def put(tmp_path):
    def put(content, name="train.txt"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path / name)

    return put


def test_words_and_labels_become_columns(put, monkeypatch):
    for block in (5, 4 << 20):
        monkeypatch.setattr(blocks, "BLOCK", block)
        data = read(put("\ufeff" + TRAIN + "\n \n"))
        words, labels = data.vocabulary.words, data.vocabulary.labels
        assert set(words) == set("the cat sat , C++ dog bone no label here 中文".split())
        assert labels == ("aé", "cat", "dog", "pet") and data.kind == "fastText text"
        assert [[labels[k] for k in row.indices] for row in data.Y] == [["cat", "pet"], ["dog"], [], ["aé"]]
        assert data.X.dtype == data.Y.dtype == np.float32 and data.X.shape == (4, 11)
        np.testing.assert_allclose(np.sqrt(data.X.multiply(data.X).sum(axis=1)), 1, rtol=1e-6)
    the, dog = words.index("the"), words.index("dog")
    row = data.X[1].toarray().ravel()
    assert row[the] / row[dog] == pytest.approx(2 * data.vocabulary.idf[the] / data.vocabulary.idf[dog])


def test_other_text_has_the_columns_of_training(put, tmp_path):
    train = put(TRAIN)
    test = put("__label__horse __label__cat a cat sat\n__label__pet zebra\n", "test.txt")
    kept = str(tmp_path / "train.npz")
    data = read(train)
    save(kept, data.X, data.Y, data.vocabulary)
    for like in (train, kept, data):
        again = read(test, like=like)
        assert again.X.shape == (2, 11) and again.Y.shape == (2, 4) and again.vocabulary == data.vocabulary
        assert again.Y.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]] and again.X[1].nnz == 0
        assert again.notes == (f"{test}: labels that training does not have were left out: 1",)
        same = read(train, like=like)
        assert (same.X != data.X).nnz == 0 and (same.Y != data.Y).nnz == 0
    with pytest.warns(UserWarning, match="were left out: 1"):
        load(test, like=kept)
    with pytest.raises(ValueError, match="test.txt: found fastText text, expected also the training data, .*--like"):
        read(test, n_features=11)
    save(tmp_path / "other.npz", *load(train))
    with pytest.raises(ValueError, match="expected also the training data, whose words are its columns"):
        read(test, like=tmp_path / "other.npz")


MALFORMED = [
    ("__label__a b\n\n__label__a c\n", 2, "a blank line", "blank lines at the end of the file alone"),
    (b"__label__a b\n__label__a \xff\xfe\n", 2, r"'\xff\xfe'", "text in UTF-8"),
    ("__label__a b\n__label__ c\n", 2, "'__label__' alone", "the name of a label"),
    ("__label__a\n__label__b\n", 1, "no words", "__label__a word word"),
    ("just words\n__label__a b\n", 1, "'just words'", "fastText text"),
    ("", 1, "an empty file", "fastText text"),
]


@pytest.mark.parametrize("content, line, found, expected", MALFORMED)
def test_a_malformed_text_names_its_line(put, content, line, found, expected):
    path = put(content)
    with pytest.raises(ValueError) as caught:
        read(path)
    before, after = str(caught.value).split(", expected ")
    assert before.startswith(f"{path}, line {line}: found ") and found in before and expected in after


def test_the_format_may_be_told_and_ids_from_one_may_not(put):
    data = read(put("just words\n__label__a b\n"), format="fasttext")
    assert data.vocabulary.labels == ("a",) and data.X.shape == (2, 3)
    with pytest.raises(ValueError, match="one_based: found it for .*train.txt, fastText text, expected False"):
        read(put(TRAIN), one_based=True)


def test_a_missing_scikit_learn_is_named(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(ValueError, match="train.txt: found __label__ text .*expected .*pip install scikit-learn"):
        read(put(TRAIN))


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), unique=True),
    st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), unique=True),
)
def test_vocabularies_come_back(words, labels):
    vocabulary = Vocabulary(tuple(words), np.linspace(1, 2, len(words)), tuple(labels))
    assert Vocabulary.from_arrays(**vocabulary.arrays()) == vocabulary
