from libc.stdint cimport int32_t, int64_t, uint8_t


cdef class Blocks:
    cdef const int64_t[::1] first
    cdef const uint8_t[:, :, ::1] codes
    cdef const float[:, ::1] scale
    cdef const float[:, ::1] shift
    cdef const int32_t[:, ::1] ids
