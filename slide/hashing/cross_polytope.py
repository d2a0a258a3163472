"""Cross-polytope hashing: the nearest of +-e_i after a random rotation; follows the cosine, sharper than SimHash."""

from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from slide._kernels.hashing.cross_polytope import CrossPolytopeHasher
from slide.hashing.base import HashFamily
from slide.hashing.simhash import SimHash
from slide.settings.checks import check_integer
from slide.typing import Numbers


class CrossPolytope(HashFamily):
    """One hash: which of `width` coordinates of the rotated row is the largest in magnitude, and its sign.

    Andoni, Indyk, Laarhoven, Razenshteyn & Schmidt, "Practical and optimal LSH for angular distance" (NIPS 2015),
    with their pseudo-random rotations: three rounds of random signs and a Walsh-Hadamard transform, of rows padded
    with zeros to a power of two.

    Differs from the paper: as with WTA's permutations, a rotation is cut in pieces of `width` coordinates, one hash
    each, so that K L hashes take K L width / dim rotations.

    Sums are in float32, in an order of their own for each coordinate; a row of zeros codes as 0, and NaN as 0 in all
    hashes.

    Parameters
    ----------
    dim, K, L, seed : int
        As for `HashFamily`.
    width : int
        A power of two, 2 to 2**15; a hash takes log2(2 width) bits. The paper's is the width of the row; fewer
        coordinates of the rotation make shorter hashes ("lower-dimensional" ones in its section 5).
    """

    name = "cross-polytope"
    bits_per_hash = 4
    options = ("width",)

    def __init__(self, dim: int, K: int, L: int, seed: int = 0, width: int = 8):
        self.width = check_integer("width", width, 2, 2**15)
        if width & (width - 1):
            raise ValueError(f"width: found {width}, expected a power of two")
        self.bits_per_hash = width.bit_length()
        super().__init__(dim, K, L, seed)
        self._size = max(width, 1 << (self.dim - 1).bit_length())
        n_rotations = -(-self.K * self.L * width // self._size)
        draws = np.random.default_rng(self.seed).integers(0, 2, (n_rotations, 3, self._size), dtype=np.int8)
        self._signs = (2 * draws - 1).astype(np.float32)
        self.hasher = CrossPolytopeHasher(self.dim, K, L, width, self.bits_per_hash, self._signs)

    similarity = SimHash.similarity

    def collision_probability(self, similarity: Numbers) -> Numbers:
        """Of Gaussian projections, which the rotations stand for; by numerical integration, to about 0.001."""
        grid, values = collision_curve(self.width)
        return np.interp(np.clip(similarity, -1, 1), grid, values)


@lru_cache
def collision_curve(width: int):
    """(cosines, probabilities) that two rows have the same hash.

    With u and v the magnitudes of their largest projections, the probability is 2 * width times the integral over
    u, v > 0 of phi(u, v) G(u, v)**(width - 1), where phi is the density of two normals of that correlation and
    G(u, v) the probability that they stay within [-u, u] and [-v, v].
    """
    cosines = np.concatenate([np.linspace(-1, 0.9, 39), np.linspace(0.91, 0.99, 9), [0.995, 1.0]])
    inner = [collision_integral(width, cosine) for cosine in cosines[1:-1]]
    return cosines, np.array([0.0, *inner, 1.0])


def collision_integral(width: int, cosine, n=400, end=5.5):
    u = (np.arange(n) + 0.5) * end / n
    spread = np.sqrt(1 - cosine**2)
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) * end / n
    # Of u given, the mass of v within [-v, v], for u and for -u: summed over u it is G.
    within = ndtr((u - cosine * u[:, None]) / spread) - ndtr((-u - cosine * u[:, None]) / spread)
    both = 2 * np.cumsum(density[:, None] * within, axis=0) - density[:, None] * within
    joint = np.exp(-((u - cosine * u[:, None]) ** 2) / (2 * spread**2)) / (np.sqrt(2 * np.pi) * spread) * end / n
    return float(2 * width * (density[:, None] * joint * both ** (width - 1)).sum())
