"""TopK sampling: the neurons found most often (paper, appendix B)."""

from slide.rows import ActiveSet
from slide.sampling.base import Sampler
from slide.sampling.threshold import sample_frequent


class TopK(Sampler):
    """Counts how often each neuron is found, over all tables and all samples of the group; keeps the `active`
    highest.

    Of equally frequent neurons those found first are kept, tables from 0; they come in the order in which
    they were found. Counts end at 65,535.

    Differs from the paper: the cut is found in a histogram of the counts, in linear time, and not by sorting.
    """

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None) -> ActiveSet:
        return sample_frequent(tables, codes, n_rows, group_size, n_neurons, 1, self.active, threads)
