"""MNIST as a problem of the experiments; where this machine has no copy, made images of the same shape."""

import numpy as np

from experiments.frame.problems import Problem, find, one_hot

FILE = "mnist/mnist.npz"  # X_train (n, 784) and X_test uint8, y_train and y_test; below one of `problems.folders`
SIDE, CLASSES = 28, 10


def mnist(seed: int = 0, n_train: int | None = None) -> Problem:
    """n_train rows of a shuffled training set (None: all of them) and the whole test set; pixels from 0 to 1."""
    from slide.metrics import popularity_baseline

    title, found = "MNIST", arrays()
    if found is None:
        title, found = "made images, shape of MNIST", made(seed, n_train or 60_000)
    X, y, X_test, y_test = found
    order = np.random.default_rng(seed).permutation(len(y))[:n_train]
    train, test = ((_pixels(images), one_hot(ids, CLASSES)) for images, ids in ((X[order], y[order]), (X_test, y_test)))
    return Problem("mnist", title, train, test, popularity_baseline(train[1], test[1])["P@1"])


def arrays() -> tuple | None:
    """(X uint8 (n, 784), y, X_test, y_test) of this machine's copy; None where it has none."""
    path = find(FILE)
    if path is None:
        return None
    with np.load(path) as file:
        return tuple(file[name] for name in ("X_train", "y_train", "X_test", "y_test"))


def made(seed: int, n_train: int, n_test: int = 3_000) -> tuple:
    """(X uint8 (n_train, 784), y, X_test, y_test): about a fifth of the pixels are set, as in MNIST.

    A class is four blots (smoothed noise above its 81st percentile); an image is one of them, moved by up to two
    pixels, of random strength for each pixel.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    blots = gaussian_filter(rng.standard_normal((CLASSES, 4, SIDE, SIDE)), (0, 0, 2, 2))
    blots = blots > np.quantile(blots, 0.81, axis=(2, 3), keepdims=True)
    y = rng.integers(0, CLASSES, n_train + n_test)
    images = blots[y, rng.integers(0, 4, len(y))]
    for at, (down, right) in enumerate(rng.integers(-2, 3, (len(y), 2))):
        images[at] = np.roll(images[at], (down, right), (0, 1))
    X = (images * rng.integers(64, 256, images.shape)).astype(np.uint8).reshape(len(y), -1)
    return X[:n_train], y[:n_train], X[n_train:], y[n_train:]


def _pixels(X):
    from scipy import sparse

    return sparse.csr_array(X.astype(np.float32) / np.float32(255))
