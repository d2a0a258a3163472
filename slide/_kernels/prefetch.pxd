# Requests for the cache line at p, to be read or written soon, into the first- or the second-level cache; prefetch.h
# says why each has an effect besides.
cdef extern from "prefetch.h" nogil:
    void slide_prefetch_read(const void *p)
    void slide_prefetch_write(const void *p)
    void slide_prefetch_read_l2(const void *p)
    void slide_prefetch_write_l2(const void *p)
    void slide_has_effect()


cdef inline void prefetch_read(const void *p) noexcept nogil:
    slide_prefetch_read(p)
    slide_has_effect()


cdef inline void prefetch_write(const void *p) noexcept nogil:
    slide_prefetch_write(p)
    slide_has_effect()


cdef inline void prefetch_read_l2(const void *p) noexcept nogil:
    slide_prefetch_read_l2(p)
    slide_has_effect()


cdef inline void prefetch_write_l2(const void *p) noexcept nogil:
    slide_prefetch_write_l2(p)
    slide_has_effect()
