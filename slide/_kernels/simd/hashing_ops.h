/* The inner loops of the hash kernels, as a table of function pointers: one table an instruction set.
 *
 * LANES rows lie side by side in a block: coordinate j of row `lane` at block[LANES * j + lane], so that one vector
 * operation serves many rows. Additions and comparisons only: every set gives the same bits. Blocks and everything
 * that is (., LANES) are aligned to 64 bytes by the caller.
 */
#ifndef SLIDE_HASHING_OPS_H
#define SLIDE_HASHING_OPS_H
#include "hashing_lanes.h"

#define SUMS 8 /* projections whose terms lie interleaved */

typedef struct {
    /* Copies LANES rows of `dim` coordinates into a block; a coordinate takes `step` vectors of LANES floats. */
    void (*fill)(const float *const *rows, ptrdiff_t dim, ptrdiff_t step, float *block);
    /* The second vector of each coordinate becomes the first one negated: a signed sum is then additions only. */
    void (*negate)(ptrdiff_t dim, float *block);
    /* Zeros become minus infinity, which never wins a bin; returns whether any coordinate cannot win. */
    int (*hide_zeros)(ptrdiff_t dim, float *block);
    /* Signs of sums. terms: (ceil(K L / SUMS), n_terms, SUMS), entries 2 j + (sign < 0); codes: (L, LANES). */
    void (*simhash)(const float *block, const int32_t *terms, ptrdiff_t n_terms, ptrdiff_t K, ptrdiff_t L,
                    uint32_t *codes);
    /* The position of the largest coordinate of each bin, the first of equals, `nobody` where none is above -inf.
     * bins: (K L, width); positions: (K L, LANES) or NULL; codes: (L, LANES). A `nobody` of -1 anywhere in a code
     * leaves its highest bit set. */
    void (*wta)(const float *block, const int32_t *bins, ptrdiff_t width, ptrdiff_t K, ptrdiff_t L, int bits,
                int32_t nobody, int32_t *positions, uint32_t *codes);
} slide_hash_ops;

#endif
