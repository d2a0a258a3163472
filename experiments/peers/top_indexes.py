"""Indexes for the largest inner products, which may be put behind the weights of a network: hnswlib's and faiss's.

All come with the extra `bench`. A bias is one more weight, of an input that is 1. Searches run on one thread.
"""

import importlib.util

import numpy as np

K = 5


def present() -> dict:
    """{name: class} of those that are installed; says what is left out."""
    found = {}
    for name, cls in SYSTEMS.items():
        if importlib.util.find_spec(cls.PACKAGE):
            found[name] = cls
        else:
            print(f"{name} is left out: {cls.PACKAGE} is not installed (pip install 'slidenn[bench]')")
    return found


def with_ones(x: np.ndarray, last) -> np.ndarray:
    """float32 (n, d + 1): x with one more column."""
    return np.concatenate([x, np.broadcast_to(np.float32(last).reshape(-1, 1), (len(x), 1))], axis=1)


class Hnswlib:
    PACKAGE, TRIED = "hnswlib", (16, 64, 256, 1024)

    def __init__(self, rows, threads):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=rows.shape[1])
        self.index.init_index(max_elements=len(rows), ef_construction=200, M=16, random_seed=0)
        self.index.set_num_threads(threads)
        self.index.add_items(rows)
        self.index.set_num_threads(1)
        self.n_bytes = self.index.index_file_size()

    def tune(self, value):
        self.index.set_ef(value)

    def search(self, x):
        return self.index.knn_query(x, k=K)[0]


class Faiss:
    PACKAGE, TRIED = "faiss", (4, 16, 64, 256)

    def __init__(self, rows, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        n_lists = max(1, round((2 * len(rows)) ** 0.5))
        self.index = faiss.index_factory(rows.shape[1], self.description(n_lists), faiss.METRIC_INNER_PRODUCT)
        self.index.train(rows[np.random.default_rng(0).permutation(len(rows))[: 50 * n_lists]])
        self.index.add(rows)
        faiss.omp_set_num_threads(1)
        self.n_bytes = faiss.serialize_index(self.index).nbytes

    def tune(self, value):
        self.index.nprobe = value

    def search(self, x):
        return self.index.search(x, K)[1]


class FaissFlat(Faiss):
    @staticmethod
    def description(n_lists):
        return f"IVF{n_lists},Flat"


class FaissPQ(Faiss):
    @staticmethod
    def description(n_lists):
        return f"IVF{n_lists},PQ43x8np"  # of 129 columns; without what only Hamming distances need, which takes minutes


class FaissHNSW(Faiss):
    TRIED = (16, 64, 256, 1024)

    @staticmethod
    def description(n_lists):
        return "HNSW16,Flat"

    def tune(self, value):
        self.index.hnsw.efSearch = value


SYSTEMS = {"hnswlib": Hnswlib, "faiss IVF-Flat": FaissFlat, "faiss HNSW": FaissHNSW, "faiss IVF-PQ": FaissPQ}
