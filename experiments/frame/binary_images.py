"""Rectangles and Convex: images of 28 x 28 black and white pixels with two labels, drawn by their published recipe.

Larochelle, Erhan, Courville, Bergstra & Bengio: An Empirical Evaluation of Deep Architectures on Problems with Many
Factors of Variation, ICML 2007, section 3, and the authors' pages on the sets ("RectanglesData", "ConvexNonConvex").
Either label is as likely as the other. Images are bool (n, 784), labels int64 (n,).
"""

import numpy as np

SIDE = 28
ROWS, COLUMNS = (axis.astype(np.float32) for axis in np.mgrid[:SIDE, :SIDE])
CHUNK = 1000  # images that are drawn at once


def rectangles(n: int, seed):
    """The border of a rectangle, white; label 1: it is taller than wide.

    Height and width are uniform and differ by at least 3, and so is the upper left corner among the places where the
    rectangle fits. Where the recipe is silent: sides are of 1 to 28 pixels. Few enough rectangles exist (about 130,000)
    that some of a test set are in a training set too, as in the original.
    """
    rng = np.random.default_rng(seed)
    height, width = _sides(n, rng)
    top, left = (rng.integers(0, SIDE + 1 - side)[:, None, None] for side in (height, width))
    bottom, right = top + height[:, None, None] - 1, left + width[:, None, None] - 1
    inside = (ROWS >= top) & (ROWS <= bottom) & (COLUMNS >= left) & (COLUMNS <= right)
    border = inside & ((ROWS == top) | (ROWS == bottom) | (COLUMNS == left) | (COLUMNS == right))
    return border.reshape(n, -1), (height > width).astype(np.int64)


def _sides(n, rng):
    """Heights and widths, int64 (n,) each, that differ by at least 3."""
    sides = rng.integers(1, SIDE + 1, (2, n))
    while (close := np.abs(sides[0] - sides[1]) < 3).any():
        sides[:, close] = rng.integers(1, SIDE + 1, (2, close.sum()))
    return sides


def convex(n: int, seed):
    """White regions; label 1: a single convex set, label 0: a union of convex sets that is not convex.

    A convex set is an intersection of half planes, their number geometric with parameter 0.195, of at least 19 pixels.
    The others are unions of 2, 3 or 4 of parameter 0.07 and at least 10 pixels, kept where they are not convex.
    Where the recipe is silent: the number of half planes counts from 0, and without one all pixels are white; the edge
    of a half plane passes a uniform point of the image at a uniform angle, and its side is that of a point which is
    uniform and the set's own. So the two labels have the same number of white pixels on average, as the recipe says
    that theirs have (about 380 and 350). A set of pixels is convex if it has every pixel of its convex hull
    (`is_convex`).
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = np.zeros((n, SIDE * SIDE), bool)
    for label, draw in ((1, _convex_sets), (0, _unions)):
        at = np.flatnonzero(labels == label)
        found, needed = [], len(at)
        while needed > 0:
            found.append(draw(min(CHUNK, needed + 20), rng)[:needed])
            needed -= len(found[-1])
        images[at] = np.concatenate(found) if found else images[at]
    return images, labels


def _convex_sets(tries, rng, parameter=0.195, minimum=19):
    """Intersections of half planes, bool (at most tries, 784): those of at least `minimum` pixels."""
    n_planes = rng.geometric(parameter, tries) - 1
    centre = rng.uniform(-0.5, SIDE - 0.5, (2, tries, 1, 1)).astype(np.float32)
    images = np.ones((tries, SIDE, SIDE), bool)
    alive = np.arange(tries)
    for number in range(n_planes.max()):
        cut = alive[n_planes[alive] > number]
        row, column = rng.uniform(-0.5, SIDE - 0.5, (2, len(cut), 1, 1)).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi, (len(cut), 1, 1)).astype(np.float32)
        down, across = np.sin(angle), np.cos(angle)
        side = np.sign((centre[0, cut] - row) * down + (centre[1, cut] - column) * across)
        images[cut] &= side * ((ROWS - row) * down + (COLUMNS - column) * across) >= 0
        alive = alive[images[alive].sum(axis=(1, 2)) >= minimum]
    return images[alive].reshape(len(alive), -1)


def _unions(tries, rng):
    """Unions of 2 to 4 convex sets that are not convex, bool (at most tries, 784)."""
    parts = _convex_sets(4 * tries, rng, 0.07, 10)
    rng.shuffle(parts)
    ends = np.cumsum(rng.integers(2, 5, len(parts)))
    starts = np.concatenate([[0], ends])[: np.searchsorted(ends, len(parts), side="right")]
    unions = np.logical_or.reduceat(parts, starts, axis=0)
    return unions[~is_convex(unions)]


def is_convex(images) -> np.ndarray:
    """bool (n,): whether every pixel inside the convex hull of an image's white pixels is white; images (n, 784).

    The hull meets a row of pixels between the leftmost and the rightmost points that lines between a row above and one
    below have there; so many pixels, and no more, the row then has.
    """
    images = np.asarray(images, bool).reshape(-1, SIDE, SIDE)
    white = images.any(axis=2)
    left = np.where(white, images.argmax(axis=2), np.inf)
    right = np.where(white, SIDE - 1 - images[:, :, ::-1].argmax(axis=2), -np.inf)
    convex = np.ones(len(images), bool)
    for row in range(SIDE):
        above, below = np.meshgrid(np.arange(row), np.arange(row + 1, SIDE), indexing="ij")
        share = ((row - above) / (below - above)).ravel()
        first, last = (
            np.concatenate([edge[:, above.ravel()] * (1 - share) + edge[:, below.ravel()] * share, edge[:, [row]]], 1)
            for edge in (left, right)
        )
        room = np.floor(last.max(axis=1) + 1e-9) - np.ceil(first.min(axis=1) - 1e-9) + 1
        convex &= np.maximum(room, 0) == images[:, row].sum(axis=1)
    return convex
