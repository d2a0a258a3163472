"""SlideClassifier is an estimator of scikit-learn like others, for classes of any kind and several labels."""

import pickle

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn", "1.6", reason="scikit-learn 1.6 is not installed: pip install slidenn[sklearn]")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import make_multilabel_classification  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from slide.sklearn import SlideClassifier  # noqa: E402

COLOURS = np.array(["blue", "green", "red"])


def classifier(**settings):
    return SlideClassifier(**{"hidden": 16, "epochs": 40, "batch_size": 32, "n_jobs": 2, "random_state": 0, **settings})


def colours(n=120, seed=0):
    """(X, y): three directions, and their names."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return np.eye(3)[y] + 0.2 * rng.random((n, 3)), COLOURS[y]


@pytest.mark.slow
def test_the_checks_of_scikit_learn():
    found = check_estimator(SlideClassifier(hidden=32, n_jobs=1), on_fail=None, on_skip=None)
    skipped = {"check_array_api_input", "check_classifier_data_not_an_array"}  # want SCIPY_ARRAY_API=1, and pandas
    failed = {each["check_name"]: repr(each["exception"]) for each in found if each["status"] != "passed"}
    assert failed.keys() <= skipped, failed
    assert len(found) > 40


def test_classes_of_any_kind():
    X, y = colours()
    for names in (COLOURS, np.array([-3, 7, 40]), COLOURS.astype(object)):
        model = classifier().fit(X, names[np.searchsorted(COLOURS, y)])
        np.testing.assert_array_equal(model.classes_, names)
        assert model.score(X, names[np.searchsorted(COLOURS, y)]) > 0.95
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.log(p), model.predict_log_proba(X), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
    labels, best = model.predict_topk(X, 2)
    np.testing.assert_array_equal(labels[:, 0], model.predict(X))
    np.testing.assert_allclose(best, np.sort(p, axis=1)[:, ::-1][:, :2], rtol=1e-4)


def test_many_classes_are_sampled():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(2500), 2)
    X = sparse.csr_array((rng.random((5000, 300)) > 0.98).astype(float))
    model = classifier(epochs=1, active=100).fit(X, y)
    assert model.network_.layers[-1].index is not None and 100 <= model.network_.active < 2500
    with pytest.raises(MemoryError, match=r"predict_proba: 5,000 rows x 2,500 classes would take 0.0 GiB"):
        model.set_params(dense_limit=0.01).predict_proba(X)
    assert model.predict_topk(X[:3], 4)[0].shape == (3, 4)


def test_several_labels_of_a_row():
    X, Y = make_multilabel_classification(200, 20, n_classes=6, n_labels=2, allow_unlabeled=False, random_state=0)
    model = classifier().fit(X, Y)
    found = model.predict(X)
    assert found.shape == Y.shape and (found == Y).mean() > 0.75
    assert model.decision_function(X).shape == Y.shape
    as_sparse = classifier().fit(X, sparse.csr_matrix(Y)).predict(X)
    assert sparse.issparse(as_sparse) and (as_sparse.toarray() == found).all()
    assert abs(found.sum() - Y.sum()) <= 3
    assert classifier(threshold=1e-9).fit(X, Y).predict(X).all()


def test_lists_of_labels():
    X, Y = make_multilabel_classification(200, 20, n_classes=6, n_labels=2, allow_unlabeled=False, random_state=0)
    names = np.array(list("abcdef"))
    lists = [names[row.astype(bool)].tolist() for row in Y]
    model = classifier(label_lists=True).fit(X, lists)
    np.testing.assert_array_equal(model.classes_, names)
    same = classifier().fit(X, Y).predict(X)
    assert [tuple(names[row.astype(bool)]) for row in same] == model.predict(X)
    with pytest.raises(ValueError, match="y: found the label 'z'"):
        model.partial_fit(X[:1], [["z"]])


def test_partial_fit_learns_batch_by_batch():
    X, y = colours(300)
    model = classifier(lr=0.02)
    for low in range(0, 300, 50):
        for _ in range(8):
            model.partial_fit(X[low : low + 50], y[low : low + 50], classes=COLOURS)
    assert model.score(X, y) > 0.95 and model.n_iter_ == 48
    with pytest.raises(ValueError, match="y: found the class 'white'"):
        model.partial_fit(X[:1], ["white"])


def test_warm_start_goes_on():
    X, y = colours()
    cold, warm = classifier(epochs=2).fit(X, y), classifier(epochs=2, warm_start=True).fit(X, y)
    before = warm.network_
    warm.fit(X, y)
    cold.fit(X, y)
    assert warm.network_ is before and (warm.network_.step, cold.network_.step) == (16, 8) and warm.n_iter_ == 4
    with pytest.raises(ValueError, match="y: found the class 'white'"):
        warm.fit(X[:2], ["white", "red"])


def test_early_stopping_keeps_the_best_epoch():
    X, y = colours(300)
    model = classifier(early_stopping=True, validation_fraction=0.2, n_iter_no_change=2, lr=0.02).fit(X, y)
    scores = model.validation_scores_
    best = max(scores)
    assert best > 0.9 and len(scores) < 40  # it ended early
    assert model.n_iter_ == len(scores) - scores[::-1].index(best)


def test_a_setting_without_effect_is_refused():
    X, y = colours()
    with pytest.raises(ValueError, match="min_active: found 10 with sampler='full', chosen by the labels"):
        classifier(min_active=10).fit(X, y)


def test_clones_and_pickles():
    X, y = colours()
    model = classifier().fit(X, y)
    again = clone(model)
    assert again.get_params() == model.get_params() and not hasattr(again, "network_")
    np.testing.assert_array_equal(again.fit(X, y).decision_function(X), model.decision_function(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


TEXTS = {"dog": "bark tail fetch bone", "cat": "purr whisker mouse nap", "cow": "moo milk grass barn"}


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(list(TEXTS), n)
    return [" ".join(rng.choice(TEXTS[name].split() + ["the", "a"], 6)) for name in y], y


@pytest.mark.slow
def test_pipelines_searches_and_processes():
    X, y = texts(90)
    pipeline = make_pipeline(TfidfVectorizer(), classifier())
    assert pipeline.fit(X, y).score(*texts(60, 1)) > 0.9
    assert cross_val_score(pipeline, X, y, cv=3).min() > 0.8
    grid = {"slideclassifier__hidden": [(8,), (16, 8)], "slideclassifier__lr": [1e-6, 1e-2]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)  # by joblib's processes
    assert search.best_params_["slideclassifier__lr"] == 1e-2 and search.best_score_ > 0.8
