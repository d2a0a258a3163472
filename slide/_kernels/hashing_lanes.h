/* Sixteen rows side by side: a block holds coordinate j of row `lane` at block[16 * j + lane], so that one vector
 * operation serves sixteen rows. GCC's and clang's vector types carry it on any machine; where the loader can choose
 * (GCC, glibc, x86-64) a wider build of each function is chosen at run time. Additions and comparisons only: every
 * build gives the same bits. Blocks are aligned to 64 bytes by the caller. */
#ifndef SLIDE_HASHING_LANES_H
#define SLIDE_HASHING_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define SLIDE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SLIDE_CLONES
#endif

#define LANES 16
typedef float lanes_f __attribute__((vector_size(64), may_alias));
typedef int32_t lanes_i __attribute__((vector_size(64), may_alias));
typedef uint32_t lanes_u __attribute__((vector_size(64), may_alias));

/* Copies `live` rows of `dim` coordinates into a block; the other lanes get zeros. A coordinate takes `step` vectors. */
SLIDE_CLONES static void fill_block(const float *rows, ptrdiff_t live, ptrdiff_t dim, ptrdiff_t step, float *block)
{
    for (ptrdiff_t j = 0; j < dim; j++) {
        float *to = block + j * step * LANES;
        if (live == LANES)
            for (ptrdiff_t lane = 0; lane < LANES; lane++) to[lane] = rows[lane * dim + j];
        else
            for (ptrdiff_t lane = 0; lane < LANES; lane++) to[lane] = lane < live ? rows[lane * dim + j] : 0.0f;
    }
}

/* The second vector of each coordinate becomes the first one negated: a signed sum is then additions only. */
SLIDE_CLONES static void negate_block(ptrdiff_t dim, float *block)
{
    lanes_f *vectors = (lanes_f *)block;
    for (ptrdiff_t j = 0; j < dim; j++) vectors[2 * j + 1] = -vectors[2 * j];
}

/* Zeros become minus infinity, which never wins a bin. */
SLIDE_CLONES static void hide_zeros(ptrdiff_t dim, float *block)
{
    const lanes_f zero = {0};
    const lanes_i hidden = (lanes_i)(zero - INFINITY);
    lanes_f *vectors = (lanes_f *)block;
    for (ptrdiff_t j = 0; j < dim; j++) {
        lanes_i mask = vectors[j] == zero;
        vectors[j] = (lanes_f)((mask & hidden) | (~mask & (lanes_i)vectors[j]));
    }
}

/* Four sums at a time hide the latency of the addition; terms: (ceil(K L / 4), n_terms, 4), entries 2 j + (sign < 0).
 * codes: (L, 16). */
SLIDE_CLONES static void simhash_lanes(const float *block, const int32_t *terms, ptrdiff_t n_terms, ptrdiff_t K,
                                       ptrdiff_t L, uint32_t *codes)
{
    const lanes_f *vectors = (const lanes_f *)block;
    const lanes_f zero = {0};
    lanes_u *out = (lanes_u *)codes, code = {0};
    ptrdiff_t bit = 0;
    for (ptrdiff_t done = 0; done < K * L; done += 4) {
        lanes_f sum[4] = {zero, zero, zero, zero};
        for (ptrdiff_t i = 0; i < n_terms; i++, terms += 4) {
            sum[0] += vectors[terms[0]];
            sum[1] += vectors[terms[1]];
            sum[2] += vectors[terms[2]];
            sum[3] += vectors[terms[3]];
        }
        for (ptrdiff_t q = 0; q < 4 && done + q < K * L; q++) {
            code = code + code - (lanes_u)(sum[q] > zero);
            if (++bit == K) {
                *out++ = code;
                code ^= code;
                bit = 0;
            }
        }
    }
}

static inline __attribute__((always_inline)) lanes_i winner(const lanes_f *vectors, const int32_t *bin,
                                                            ptrdiff_t width, int32_t nobody)
{
    const lanes_f zero = {0};
    lanes_f best = zero - INFINITY;
    lanes_i position = (lanes_i)zero + nobody;
    for (ptrdiff_t j = 0; j < width; j++) {
        lanes_f x = vectors[bin[j]];
        lanes_i mask = x > best;
        best = (lanes_f)((mask & (lanes_i)x) | (~mask & (lanes_i)best));
        position = (mask & (int32_t)j) | (~mask & position);
    }
    return position;
}

/* The position of the largest coordinate of each bin, the first of equals, `nobody` where none is above -inf.
 * bins: (K L, width); positions: (K L, 16); codes: (L, 16). Returns whether any position is negative. */
SLIDE_CLONES static int wta_lanes(const float *block, const int32_t *bins, ptrdiff_t width, ptrdiff_t K, ptrdiff_t L,
                                  int bits, int32_t nobody, int32_t *positions, uint32_t *codes)
{
    const lanes_f *vectors = (const lanes_f *)block;
    lanes_i *found = (lanes_i *)positions, seen = {0};
    lanes_u *out = (lanes_u *)codes;
    for (ptrdiff_t table = 0; table < L; table++) {
        lanes_u code = {0};
        for (ptrdiff_t k = 0; k < K; k++, bins += width) {
            lanes_i position = width == 8 ? winner(vectors, bins, 8, nobody) : winner(vectors, bins, width, nobody);
            *found++ = position;
            seen |= position;
            code = (code << bits) | (lanes_u)position;
        }
        *out++ = code;
    }
    for (ptrdiff_t lane = 0; lane < LANES; lane++)
        if (seen[lane] < 0) return 1;
    return 0;
}

#endif
