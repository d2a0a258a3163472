"""A batch at a layer: groups of samples, each with an active set of neurons and the inputs of its samples."""


cdef class Groups:
    """What the kernels of a stage read, made once for each batch.

    indptr, ids       the active neurons of group g are ids[indptr[g]:indptr[g + 1]]
    x_indptr, x_cols  the columns of its inputs are x_cols[x_indptr[g]:x_indptr[g + 1]]; x_cols empty: all, in order
    x                 the inputs themselves, flat, those of group g at x_indptr[g] * lanes: a lane block (columns x
                      lanes, see lanes.pyx) or, for updates, sample by sample (lanes x columns)
    lanes             floats of a row of every block of this batch
    """

    def __init__(self, const int64_t[::1] indptr, const int32_t[::1] ids, const int64_t[::1] x_indptr,
                 const int32_t[::1] x_cols, const float[::1] x, int64_t lanes):
        self.n, self.lanes = indptr.shape[0] - 1, lanes
        self.indptr, self.ids = indptr, ids
        self.x_indptr, self.x_cols, self.x = x_indptr, x_cols, x
