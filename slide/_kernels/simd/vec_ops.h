/* The inner loops that deserve wide registers, as a table of function pointers: one table an instruction set.
 *
 * Shapes. A group of samples is a block of LANES samples side by side ("lanes"): inputs x (d x LANES), logits and
 * deltas (n x LANES). `ld` is the distance between rows of every lane block of a call, in floats. `ids` names n rows
 * of the weight matrix W (row stride `stride`); `cols` names the d columns that the input has, NULL for all of them in order.
 */
#ifndef SLIDE_VEC_OPS_H
#define SLIDE_VEC_OPS_H
#include <stdint.h>

#define SLIDE_LANES 16
#define SLIDE_GRADIENT_ROWS 48 /* rows whose gradients are summed together */
#define SLIDE_AHEAD (4 * SLIDE_GRADIENT_ROWS) /* of each: weights, two moments, coefficients */
#define SLIDE_TILE_ROWS 256 /* rows that stay in the second-level cache while all lanes of a group pass */

typedef struct {
    float lr, beta1, beta2, eps;  /* lr carries the bias corrections */
    float decay;                  /* lr * weight decay, decoupled */
} slide_adam;

/* Pieces of memory that will be needed soon. A loop that has other work prefetches some lines of them at each turn:
 * all at once would fill the queue for memory and stop the loop. */
typedef struct {
    const char *at[SLIDE_AHEAD];
    int64_t left[SLIDE_AHEAD]; /* cache lines of each that were not prefetched yet */
    int64_t n, lines;          /* pieces; their lines */
} slide_ahead;

/* The next lines to prefetch, `most` of them at most, which are then done with; returns how many. */
static inline int64_t slide_take_lines(slide_ahead *ahead, int64_t most, const char **line)
{
    int64_t found = 0;
    while (found < most && ahead->n > 0) {
        int64_t k = ahead->n - 1;
        line[found++] = ahead->at[k];
        ahead->at[k] += 64;
        if (--ahead->left[k] == 0) ahead->n--;
    }
    ahead->lines -= found;
    return found;
}

static inline void slide_prefetch(slide_ahead *ahead, int64_t lines)
{
    const char *line;
    while (lines-- > 0 && slide_take_lines(ahead, 1, &line)) __builtin_prefetch(line, 1, 2);
}

typedef struct {
    const char *name;
    /* out[a] = W[ids[a], cols] . x + bias[ids[a]], for ld lanes, whole LANES. bias may be NULL. `more` ids follow the
     * n; of lanes more than LANES, n is TILE at most. */
    void (*lane_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n, int64_t more,
                        const int32_t *cols, int64_t d, const float *x, float *out, int64_t ld);
    /* dx[j] += sum_a W[ids[a], cols[j]] * delta[a], for as many lanes. */
    void (*lane_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n, int64_t more,
                                const int32_t *cols, int64_t d, const float *delta, float *dx, int64_t ld);
    /* x[a] <- weights[a] * exp(x[a] - max over a); of `lanes` lanes, whole LANES, the maxima of x in max and the sums in
     * sum; weights NULL: 1. */
    void (*lane_exp)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, float *max, float *sum);
    /* x[a] <- x[a] * factor - even * weights[a], of `lanes` lanes, whole LANES; weights NULL: 1. */
    void (*lane_deltas)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, const float *factor,
                        const float *even);
    /* w . mean + errors * sqrt(w**2 . variance) */
    float (*row_bound)(const float *w, const float *mean, const float *variance, int64_t d, float errors);
    /* As those of lanes for one sample: dots, axpys, exp. */
    void (*row_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n,
                       const int32_t *cols, int64_t d, const float *x, float *out);
    void (*row_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n, const int32_t *cols,
                               int64_t d, const float *delta, float *dx);
    float (*row_max)(const float *x, int64_t n);
    float (*row_exp)(float *x, int64_t n, float max);  /* x <- exp(x - max); returns the sum */
    /* g += sum_s c[s] * x[s * d ..], over m samples stored one after the other. */
    void (*row_gradient)(const float *c, const float *x, int64_t m, int64_t d, float *g);
    /* The same of n rows of coefficients, g (n x d) from zero; totals (n) of the coefficients. Prefetches
     * what is ahead. */
    void (*rows_gradient)(const float *const *c, int64_t n, const float *x, int64_t m, int64_t d, float *g,
                          float *totals, slide_ahead *ahead);
    /* out += sum_k c[k] * W[ids[k]]: rows of d floats. */
    void (*row_lookup)(const float *W, int64_t d, const int32_t *ids, const float *c, int64_t n, float *out);
    void (*adam)(float *w, float *m, float *v, const float *g, int64_t n, const slide_adam *p);
    /* adam; meanwhile as much at next_w, next_m and next_v is prefetched. */
    void (*adam_ahead)(float *w, float *m, float *v, const float *g, int64_t n, const slide_adam *p,
                       const float *next_w, const float *next_m, const float *next_v);
    void (*sgd)(float *w, const float *g, int64_t n, float lr, float decay);
    void (*scale)(float *x, int64_t n, float c);
    /* out (m x panel) = a (m x depth) panel (depth x panel) + bias (m); top (panel) <- the largest of top and out.
     * bias, top and ahead may be NULL; lda, ld: floats from row to row. Prefetches what is ahead. */
    void (*panel_product)(const float *a, int64_t lda, int64_t m, const float *panel, int64_t depth,
                          const float *bias, float *out, int64_t ld, float *top, slide_ahead *ahead);
    /* out (m x panel) += a (depth x m)^T panel (depth x panel, rows of ldp) */
    void (*panel_add_transposed)(const float *a, int64_t lda, int64_t m, const float *panel, int64_t ldp,
                                 int64_t depth, float *out, int64_t ldo, slide_ahead *ahead);
    /* x (m x panel) <- exp(x - top); sum (panel) of its rows */
    void (*panel_exp)(float *x, int64_t ld, int64_t m, const float *top, float *sum);
    /* z (m x n) <- z * factor - even, n whole panels; sum (m) of its columns */
    void (*panel_deltas)(float *z, int64_t ld, int64_t m, int64_t n, const float *factor, const float *even,
                         float *sum);
    /* bfloat16 is the upper half of a float32. */
    void (*widen)(const uint16_t *a, int64_t n, float *out); /* out <- a, exactly */
    /* out <- a to the nearest, ties to even; NaN stays NaN. */
    void (*narrow)(const float *a, int64_t n, uint16_t *out);
    /* out <- a to one of both neighbours, so that the mean is a: up with the share of the way that lies behind.
     * Place j takes the lower (half 0) or upper (half 1) 16 of its 32 random bits, a function of (stream, j). */
    void (*narrow_at_random)(const float *a, int64_t n, uint64_t stream, int half, uint16_t *out);
    /* adam, then w narrowed at random (half 0); in the second form m to the nearest and v at random (half 1) too. */
    void (*adam_bfloat16)(uint16_t *w, float *m, float *v, const float *g, int64_t n, const slide_adam *p,
                          uint64_t stream);
    void (*adam_bfloat16_moments)(uint16_t *w, uint16_t *m, uint16_t *v, const float *g, int64_t n,
                                  const slide_adam *p, uint64_t stream);
    int panel; /* columns of a panel: two registers */
    /* lane_logits for LANES lanes and all d columns of bfloat16 weights, where the processor multiplies them; or NULL. */
    void (*lane_logits_bfloat16)(const uint16_t *W, int64_t d, const float *bias, const int32_t *ids, int64_t n,
                                 const float *x, float *out, int64_t ld);
} slide_vec_ops;

#endif
