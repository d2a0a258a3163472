# The table of loops, one per instruction set. vec_ops.h says what each loop does, with shapes and units.
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "vec_ops.h" nogil:
    int MOST_AHEAD "SLIDE_MOST_AHEAD"
    enum:
        N_LANES "SLIDE_LANES"
        TILE_ROWS "SLIDE_TILE_ROWS"
        GRADIENT_ROWS "SLIDE_GRADIENT_ROWS"
        INTERLEAVED "SLIDE_INTERLEAVED"
        SCREEN_ROWS "SLIDE_SCREEN_ROWS"

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

    ctypedef struct Query "slide_query":
        const int8_t *codes
        float step
        float zero
        float base

    ctypedef struct VecOps "slide_vec_ops":
        const char *name
        int panel

        # Forward and backward of a group: ld lanes; x (d, ld), out and delta (n, ld), dx (d, ld).
        void (*lane_logits)(
            const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n, int64_t more,
            const int32_t *cols, int64_t d, const float *x, float *out, int64_t ld
        ) noexcept nogil
        void (*lane_input_gradient)(
            const float *W, int64_t stride, const int32_t *ids, int64_t n, int64_t more, const int32_t *cols, int64_t d,
            const float *delta, float *dx, int64_t ld
        ) noexcept nogil
        void (*lane_logits_bfloat16)(
            const uint16_t *W, int64_t d, const float *bias, const int32_t *ids, int64_t n, const float *x, float *out,
            int64_t ld
        ) noexcept nogil

        # Forward and backward of one sample: x (d), out and delta (n), dx (d).
        void (*row_logits)(
            const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n, const int32_t *cols,
            int64_t d, const float *x, float *out
        ) noexcept nogil
        void (*row_input_gradient)(
            const float *W, int64_t stride, const int32_t *ids, int64_t n, const int32_t *cols, int64_t d,
            const float *delta, float *dx
        ) noexcept nogil
        void (*row_lookup)(
            const float *W, int64_t d, const int32_t *ids, const float *c, int64_t n, float *out
        ) noexcept nogil
        float (*row_bound)(
            const float *w, const float *mean, const float *variance, int64_t d, float errors
        ) noexcept nogil

        # Softmax of a group, x (n, lanes), and of one sample, x (n).
        void (*lane_exp)(
            float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, float *max, float *sum
        ) noexcept nogil
        void (*lane_deltas)(
            float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, const float *factor,
            const float *even
        ) noexcept nogil
        float (*row_max)(const float *x, int64_t n) noexcept nogil
        float (*row_exp)(float *x, int64_t n, float max) noexcept nogil

        # Layers whose every row is active, in panels of `panel` columns: a (m, depth), b (depth, panel).
        void (*panel_product)(
            const float *a, int64_t lda, int64_t m, const float *b, int64_t depth, const float *bias, float *out,
            int64_t ldo, float *top, Ahead *ahead
        ) noexcept nogil
        void (*panel_add_transposed)(
            const float *a, int64_t lda, int64_t m, const float *b, int64_t ldb, int64_t depth, float *out,
            int64_t ldo, Ahead *ahead
        ) noexcept nogil
        void (*panel_exp)(float *x, int64_t ldx, int64_t m, const float *top, float *sum) noexcept nogil
        void (*panel_deltas)(
            float *z, int64_t ldz, int64_t m, int64_t n, const float *factor, const float *even, float *sum
        ) noexcept nogil

        # Scores of SCREEN_ROWS rows of 4 bits for n inputs: out (n, SCREEN_ROWS), top (n).
        void (*screen)(
            const uint8_t *rows, int64_t groups, const float *scale, const float *shift, const Query *queries,
            int64_t n, float *out, float *top
        ) noexcept nogil

        # Gradients of weights by m samples x (m, d): g (d) of one row, g (n, d) of n.
        void (*row_gradient)(const float *c, const float *x, int64_t m, int64_t d, float *g) noexcept nogil
        void (*rows_gradient)(
            const float *const *c, int64_t n, const float *x, int64_t m, int64_t d, float *g, float *totals,
            Ahead *ahead
        ) noexcept nogil

        # The optimizer on n weights.
        void (*adam)(float *w, float *m, float *v, const float *g, int64_t n, const AdamStep *p) noexcept nogil
        void (*adam_ahead)(
            float *w, float *m, float *v, const float *g, int64_t n, const AdamStep *p, const float *next_w,
            const float *next_m, const float *next_v
        ) noexcept nogil
        void (*adam_where)(
            float *w, float *m, float *v, const float *g, const float *where, int64_t n, const AdamStep *p
        ) noexcept nogil
        void (*sgd)(float *w, const float *g, int64_t n, float lr, float decay) noexcept nogil
        void (*scale)(float *x, int64_t n, float c) noexcept nogil

        # bfloat16 weights and moments, n of them.
        void (*widen)(const uint16_t *a, int64_t n, float *out) noexcept nogil
        void (*narrow)(const float *a, int64_t n, uint16_t *out) noexcept nogil
        void (*narrow_at_random)(const float *a, int64_t n, uint64_t stream, int half, uint16_t *out) noexcept nogil
        void (*adam_bfloat16)(
            uint16_t *w, float *m, float *v, const float *g, int64_t n, const AdamStep *p, uint64_t stream
        ) noexcept nogil
        void (*adam_bfloat16_moments)(
            uint16_t *w, uint16_t *m, uint16_t *v, const float *g, int64_t n, const AdamStep *p, uint64_t stream
        ) noexcept nogil

        # Hashes of a block of LANES rows side by side: block (dim, LANES), codes (L, LANES).
        void (*block_fill)(const float *const *rows, int64_t dim, int64_t step, float *block) noexcept nogil
        void (*block_negate)(float *block, int64_t dim) noexcept nogil
        bint (*block_hide_zeros)(float *block, int64_t dim) noexcept nogil
        void (*block_simhash)(
            const float *block, const int32_t *terms, int64_t n_terms, int64_t K, int64_t L, uint32_t *codes
        ) noexcept nogil
        void (*block_wta)(
            const float *block, const int32_t *bins, int64_t width, int64_t K, int64_t L, int bits, int32_t empty,
            int32_t *positions, uint32_t *codes
        ) noexcept nogil
        void (*block_rotate)(float *block, int64_t size, const float *signs) noexcept nogil
        void (*block_nearest_vertex)(
            const float *block, int64_t n_pieces, int64_t width, uint32_t *vertices
        ) noexcept nogil


# The live table: chosen when the package is imported, forced by `use`.
cdef const VecOps *ops
