/* The loops that deserve wide registers, as a table of function pointers: one table per instruction set.
 *
 * Which loop is where:
 *   vec_ops.h                this table: what each loop does, shapes and units
 *   vec_sets.h               the instruction sets, their registers and tuning; the choice at run time
 *   vec_template.h           one set: its vector types, the templates below, its table
 *     lanes_template.h       lane_logits, lane_input_gradient
 *     rows_template.h        row_logits, row_input_gradient, row_lookup, row_bound
 *     softmax_template.h     lane_exp, lane_deltas, row_max, row_exp, panel_exp, panel_deltas
 *     panels_template.h      panel_product, panel_add_transposed
 *     gradients_template.h   row_gradient, rows_gradient
 *     optimizer_template.h   adam, adam_ahead, adam_where, sgd, scale
 *     screen_template.h      screen
 *     bfloat16_template.h    widen, narrow, narrow_at_random, adam_bfloat16, adam_bfloat16_moments
 *     hashing_template.h     block_fill, block_negate, block_hide_zeros, block_simhash, block_wta, block_rotate,
 *                            block_nearest_vertex
 *   bfloat16_dot.h           lane_logits_bfloat16, for the one set that has it
 *   hashing_lanes.h          blocks of rows side by side; published, for hashes compiled outside of this package
 *   bfloat16_bits.h          rounding and random bits
 *   prefetch.h               requests for cache lines
 *
 * Shapes. A group of samples is a block of LANES samples side by side ("lanes"), or several such blocks: inputs x
 * (d, lanes), logits and deltas (n, lanes). `ids` names n rows of the weight matrix W; `cols` names the d columns that
 * the input has, NULL for all of them in order. Every distance between rows (stride, ld, lda, ldo, ldp) is in floats.
 */
#ifndef SLIDE_VEC_OPS_H
#define SLIDE_VEC_OPS_H
#include <stdint.h>
#include "prefetch.h"

#define SLIDE_LANES 16
#define SLIDE_TILE_ROWS 256                        /* of an active set, that stay in the second-level cache */
#define SLIDE_SCREEN_ROWS 32                       /* rows of 4 bits side by side */
#define SLIDE_GRADIENT_ROWS 48                     /* rows whose gradients are summed together */
#define SLIDE_MOST_AHEAD (4 * SLIDE_GRADIENT_ROWS) /* of each: weights, two moments, coefficients */
#define SLIDE_INTERLEAVED 8                        /* projections of SimHash whose terms lie interleaved */

typedef struct {
    float lr, beta1, beta2, eps; /* lr carries the bias corrections */
    float decay;                 /* lr * weight decay, decoupled */
} slide_adam;

/* Pieces of memory that will be needed soon. A loop that has other work prefetches some lines of them at each turn:
 * all at once would fill the queue for memory and stop the loop. */
typedef struct {
    const char *at[SLIDE_MOST_AHEAD];
    int64_t left[SLIDE_MOST_AHEAD]; /* cache lines of each that were not prefetched yet */
    int64_t n, lines;               /* pieces; their lines */
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

static inline void slide_prefetch_ahead(slide_ahead *ahead, int64_t lines)
{
    const char *line;
    while (lines-- > 0 && slide_take_lines(ahead, 1, &line)) slide_prefetch_write_l2(line);
}

/* An input as the screen takes it: input = step * codes. Of a row of weights, whose codes are 0 to 15 and stand for
 * scale * (code - 7.5), the score is base + shift + scale * (step * (sum of products of codes) - zero), where zero is
 * step * 7.5 * (sum of codes). */
typedef struct {
    const int8_t *codes;
    float step, zero, base;
} slide_query;

typedef struct {
    const char *name;
    int panel; /* columns of a panel: two registers */

    /* Forward and backward of a group: `ld` lanes, whole LANES. `more` ids follow the n, whose rows are fetched; of
     * lanes more than LANES, n is TILE_ROWS at most. */
    /* out (n, ld) = W[ids, cols] x + bias[ids]; bias may be NULL */
    void (*lane_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n, int64_t more,
                        const int32_t *cols, int64_t d, const float *x, float *out, int64_t ld);
    /* dx (d, ld) += W[ids, cols]^T delta (n, ld) */
    void (*lane_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n, int64_t more,
                                const int32_t *cols, int64_t d, const float *delta, float *dx, int64_t ld);
    /* lane_logits for LANES lanes, rows of ld, and all d columns of bfloat16 weights W (., d), where the processor
     * multiplies them; or NULL. */
    void (*lane_logits_bfloat16)(const uint16_t *W, int64_t d, const float *bias, const int32_t *ids, int64_t n,
                                 const float *x, float *out, int64_t ld);

    /* Forward and backward of one sample: x (d), out and delta (n), dx (d). */
    void (*row_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n,
                       const int32_t *cols, int64_t d, const float *x, float *out);
    void (*row_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n, const int32_t *cols,
                               int64_t d, const float *delta, float *dx);
    /* out (d) += sum_k c[k] * W[ids[k]], W (., d) */
    void (*row_lookup)(const float *W, int64_t d, const int32_t *ids, const float *c, int64_t n, float *out);
    /* w . mean + errors * sqrt(w**2 . variance), of d columns */
    float (*row_bound)(const float *w, const float *mean, const float *variance, int64_t d, float errors);

    /* Softmax over the n rows of a group, of `lanes` lanes, whole LANES. weights (n) may be NULL: all 1. */
    /* x (n, lanes) <- weights * exp(x - max); max (lanes) the largest x of each lane, sum (lanes) of the results */
    void (*lane_exp)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, float *max, float *sum);
    /* x (n, lanes) <- x * factor (lanes) - even (lanes) * weights */
    void (*lane_deltas)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, const float *factor,
                        const float *even);
    /* Softmax of one sample: the largest of x (n); x <- exp(x - max), whose sum is returned. */
    float (*row_max)(const float *x, int64_t n);
    float (*row_exp)(float *x, int64_t n, float max);

    /* Layers whose every row is active, as matrix products in panels of `panel` columns. ahead may be NULL. */
    /* out (m, panel) = a (m, depth) b (depth, panel) + bias (m); top (panel) <- the largest of top and out. bias and
     * top may be NULL. */
    void (*panel_product)(const float *a, int64_t lda, int64_t m, const float *b, int64_t depth, const float *bias,
                          float *out, int64_t ldo, float *top, slide_ahead *ahead);
    /* out (m, panel) += a (depth, m)^T b (depth, panel) */
    void (*panel_add_transposed)(const float *a, int64_t lda, int64_t m, const float *b, int64_t ldb, int64_t depth,
                                 float *out, int64_t ldo, slide_ahead *ahead);
    /* x (m, panel) <- exp(x - top); sum (panel) of its rows */
    void (*panel_exp)(float *x, int64_t ldx, int64_t m, const float *top, float *sum);
    /* z (m, n) <- z * factor (n) - even (n), n whole panels; sum (m) of its columns */
    void (*panel_deltas)(float *z, int64_t ldz, int64_t m, int64_t n, const float *factor, const float *even,
                         float *sum);

    /* Gradients of weights, by m samples x (m, d) that lie one after the other. */
    /* g (d) += c (m) x */
    void (*row_gradient)(const float *c, const float *x, int64_t m, int64_t d, float *g);
    /* g (n, d) = c x, totals (n) = the sums of c (n rows of m). */
    void (*rows_gradient)(const float *const *c, int64_t n, const float *x, int64_t m, int64_t d, float *g,
                          float *totals, slide_ahead *ahead);

    /* The optimizer on n weights w, moments m and v, gradients g. */
    void (*adam)(float *w, float *m, float *v, const float *g, int64_t n, const slide_adam *p);
    /* adam; meanwhile as much at next_w, next_m and next_v is prefetched. */
    void (*adam_ahead)(float *w, float *m, float *v, const float *g, int64_t n, const slide_adam *p,
                       const float *next_w, const float *next_m, const float *next_v);
    /* adam of the weights whose `where` (n) is above 0; the others stay, moments too. */
    void (*adam_where)(float *w, float *m, float *v, const float *g, const float *where, int64_t n,
                       const slide_adam *p);
    /* w <- (1 - decay) w - lr g; decay: lr * weight decay */
    void (*sgd)(float *w, const float *g, int64_t n, float lr, float decay);
    void (*scale)(float *x, int64_t n, float c); /* x <- c x */

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
    void (*adam_bfloat16_moments)(uint16_t *w, uint16_t *m, uint16_t *v, const float *g, int64_t n, const slide_adam *p,
                                  uint64_t stream);

    /* Hashes of a block of LANES rows: coordinate j of row `lane` at block[LANES * j + lane]. Blocks and everything
     * that is (., LANES) are aligned to 64 bytes. Every set gives the same bits: a term or a comparison at a time, and
     * products by +-1 alone. */
    /* Copies LANES rows of `dim` coordinates into a block, a coordinate every `step` * LANES floats. */
    void (*block_fill)(const float *const *rows, int64_t dim, int64_t step, float *block);
    /* block (dim, 2, LANES): the second of each coordinate becomes the first one negated, so that a signed sum is
     * additions only. */
    void (*block_negate)(float *block, int64_t dim);
    /* block (dim, LANES): zeros become minus infinity, which never wins a bin; returns whether any coordinate cannot
     * win. */
    int (*block_hide_zeros)(float *block, int64_t dim);
    /* Signs of sums of a block (dim, 2, LANES). terms: (ceil(K L / INTERLEAVED), n_terms, INTERLEAVED), entries
     * 2 j + (sign < 0); codes: (L, LANES), bits of K sums. */
    void (*block_simhash)(const float *block, const int32_t *terms, int64_t n_terms, int64_t K, int64_t L,
                          uint32_t *codes);
    /* The position of the largest coordinate of each bin, the first of equals, `empty` where none is above -inf.
     * bins: (K L, width) coordinates; positions: (K L, LANES) or NULL; codes: (L, LANES), K positions of `bits` bits.
     * An `empty` of -1 anywhere in a code leaves its highest bit set. */
    void (*block_wta)(const float *block, const int32_t *bins, int64_t width, int64_t K, int64_t L, int bits,
                      int32_t empty, int32_t *positions, uint32_t *codes);
    /* A random rotation in place: three rounds of signs (3, size), +-1, and a Walsh-Hadamard transform of `size`
     * coordinates, a power of two; not scaled. */
    void (*block_rotate)(float *block, int64_t size, const float *signs);
    /* The nearest vertex of the cross-polytope of each piece of `width` coordinates: 2 * the place of the largest
     * magnitude, + 1 where it is negative. vertices: (n_pieces, LANES) */
    void (*block_nearest_vertex)(const float *block, int64_t n_pieces, int64_t width, uint32_t *vertices);

    /* Scores of SCREEN_ROWS rows of weights of 4 bits (slide/_kernels/screen.pyx has their layout) for n inputs of
     * 8 * groups codes: out (n, SCREEN_ROWS), top (n) the largest of each input. Sums are exact, of up to 2**31 / 2**12
     * codes. */
    void (*screen)(const uint8_t *rows, int64_t groups, const float *scale, const float *shift,
                   const slide_query *queries, int64_t n, float *out, float *top);
} slide_vec_ops;

#endif
