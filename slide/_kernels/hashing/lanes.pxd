# Sixteen rows side by side, for compiled hashes that work on all of them at once; wants slide.get_include().
cdef extern from "hashing_lanes.h" nogil:
    enum:
        LANES
    void fill_block(const float *rows, Py_ssize_t n, Py_ssize_t dim, Py_ssize_t step, float *block)
