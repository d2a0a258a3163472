from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t


cdef extern from "vec_ops.h" nogil:
    int N_LANES "SLIDE_LANES"
    int MOST_AHEAD "SLIDE_AHEAD"
    enum:
        TILE_ROWS "SLIDE_TILE_ROWS"
        GRADIENT_ROWS "SLIDE_GRADIENT_ROWS"
        TILE "SLIDE_TILE_ROWS"
        BESIDE "SLIDE_GRADIENT_ROWS"

    ctypedef struct AdamStep "slide_adam":
        float lr
        float beta1
        float beta2
        float eps
        float decay

    ctypedef struct Ahead "slide_ahead":
        const char **at
        int64_t *left
        int64_t n
        int64_t lines

    ctypedef struct VecOps "slide_vec_ops":
        const char *name
        int panel
        void (*lane_logits)(const float *, int64_t, const float *, const int32_t *, int64_t, int64_t, const int32_t *,
                            int64_t, const float *, float *, int64_t) noexcept nogil
        void (*lane_input_gradient)(const float *, int64_t, const int32_t *, int64_t, int64_t, const int32_t *,
                                    int64_t, const float *, float *, int64_t) noexcept nogil
        void (*lane_exp)(float *, int64_t, int64_t, int64_t, const float *, float *, float *) noexcept nogil
        void (*lane_deltas)(float *, int64_t, int64_t, int64_t, const float *, const float *,
                            const float *) noexcept nogil
        float (*row_bound)(const float *, const float *, const float *, int64_t, float) noexcept nogil
        void (*row_logits)(const float *, int64_t, const float *, const int32_t *, int64_t, const int32_t *,
                           int64_t, const float *, float *) noexcept nogil
        void (*row_input_gradient)(const float *, int64_t, const int32_t *, int64_t, const int32_t *, int64_t,
                                   const float *, float *) noexcept nogil
        float (*row_max)(const float *, int64_t) noexcept nogil
        float (*row_exp)(float *, int64_t, float) noexcept nogil
        void (*row_gradient)(const float *, const float *, int64_t, int64_t, float *) noexcept nogil
        void (*rows_gradient)(const float *const *, int64_t, const float *, int64_t, int64_t, float *, float *,
                              Ahead *) noexcept nogil
        void (*row_lookup)(const float *, int64_t, const int32_t *, const float *, int64_t, float *) noexcept nogil
        void (*adam)(float *, float *, float *, const float *, int64_t, const AdamStep *) noexcept nogil
        void (*adam_ahead)(float *, float *, float *, const float *, int64_t, const AdamStep *, const float *,
                           const float *, const float *) noexcept nogil
        void (*sgd)(float *, const float *, int64_t, float, float) noexcept nogil
        void (*scale)(float *, int64_t, float) noexcept nogil
        void (*panel_product)(const float *, int64_t, int64_t, const float *, int64_t, const float *, float *,
                              int64_t, float *, Ahead *) noexcept nogil
        void (*panel_add_transposed)(const float *, int64_t, int64_t, const float *, int64_t, int64_t, float *,
                                     int64_t, Ahead *) noexcept nogil
        void (*panel_exp)(float *, int64_t, int64_t, const float *, float *) noexcept nogil
        void (*panel_deltas)(float *, int64_t, int64_t, int64_t, const float *, const float *, float *) noexcept nogil
        void (*lane_logits_bfloat16)(const uint16_t *, int64_t, const float *, const int32_t *, int64_t, const float *,
                                     float *, int64_t) noexcept nogil
        void (*widen)(const uint16_t *, int64_t, float *) noexcept nogil
        void (*narrow)(const float *, int64_t, uint16_t *) noexcept nogil
        void (*narrow_at_random)(const float *, int64_t, uint64_t, int, uint16_t *) noexcept nogil
        void (*adam_bfloat16)(uint16_t *, float *, float *, const float *, int64_t, const AdamStep *,
                              uint64_t) noexcept nogil
        void (*adam_bfloat16_moments)(uint16_t *, uint16_t *, uint16_t *, const float *, int64_t, const AdamStep *,
                                      uint64_t) noexcept nogil


# The live table: chosen when the package is imported, forced by `use`.
cdef const VecOps *ops
