/* The operations of hashing_ops.h for one instruction set. The includer defines
 *   NAME(f)  the name of function f in this set,    TARGET  its target attribute,
 *   WIDTH    floats in a register,                  ABREAST  projections summed at a time, a divisor of SUMS,
 *   TAKE_LARGER(x, best, position, j)  where x > best: best becomes x, and position j.
 * Vectors are GCC vector extensions of one register each, so the same source serves every set.
 */
#define V NAME(hash_floats)
#define VI NAME(hash_ints)
#define VU NAME(hash_words)
#define PARTS (LANES / WIDTH) /* registers that hold the lanes of a block */
#define splat(c) ((V){0} + (c))

typedef float V __attribute__((vector_size(4 * WIDTH), may_alias));
typedef int32_t VI __attribute__((vector_size(4 * WIDTH), may_alias));
typedef uint32_t VU __attribute__((vector_size(4 * WIDTH), may_alias));

TARGET static void NAME(fill)(const float *const *rows, ptrdiff_t dim, ptrdiff_t step, float *block)
{
    slide_transpose(rows, dim, step, block);
}

TARGET static void NAME(negate)(ptrdiff_t dim, float *block)
{
    V *vectors = (V *)block;
    for (ptrdiff_t j = 0; j < dim; j++, vectors += 2 * PARTS)
        for (int q = 0; q < PARTS; q++) vectors[PARTS + q] = -vectors[q];
}

TARGET static int NAME(hide_zeros)(ptrdiff_t dim, float *block)
{
    const V zero = {0}, lowest = zero - INFINITY;
    V *vectors = (V *)block;
    VI absent = {0};
    for (ptrdiff_t i = 0; i < dim * PARTS; i++) {
        VI mask = vectors[i] == zero;
        vectors[i] = (V)((mask & (VI)lowest) | (~mask & (VI)vectors[i]));
        absent |= ~(vectors[i] > lowest);
    }
    for (int lane = 0; lane < WIDTH; lane++)
        if (absent[lane]) return 1;
    return 0;
}

TARGET static void NAME(simhash)(const float *block, const int32_t *terms, ptrdiff_t n_terms, ptrdiff_t K,
                                 ptrdiff_t L, uint32_t *codes)
{
    const V *vectors = (const V *)block;
    const V zero = {0};
    VU *out = (VU *)codes, code[PARTS] = {{0}};
    ptrdiff_t bit = 0;
    for (ptrdiff_t done = 0; done < K * L; done += ABREAST) {
        const int32_t *term = terms + done / SUMS * n_terms * SUMS + done % SUMS;
        V sum[ABREAST][PARTS];
        for (int s = 0; s < ABREAST; s++)
            for (int q = 0; q < PARTS; q++) sum[s][q] = zero;
        for (ptrdiff_t i = 0; i < n_terms; i++, term += SUMS)
            for (int s = 0; s < ABREAST; s++)
                for (int q = 0; q < PARTS; q++) sum[s][q] += vectors[(ptrdiff_t)term[s] * PARTS + q];
        for (int s = 0; s < ABREAST; s++) {
            if (done + s >= K * L) return;
            for (int q = 0; q < PARTS; q++) code[q] = code[q] + code[q] - (VU)(sum[s][q] > zero);
            if (++bit < K) continue;
            bit = 0;
            for (int q = 0; q < PARTS; q++) {
                *out++ = code[q];
                code[q] ^= code[q];
            }
        }
    }
}

TARGET static inline __attribute__((always_inline)) void NAME(winner)(const V *vectors, const int32_t *bin,
                                                                      ptrdiff_t width, int32_t nobody, VI *position)
{
    V best[PARTS];
    for (int q = 0; q < PARTS; q++) {
        best[q] = splat(-INFINITY);
        position[q] = (VI){0} + nobody;
    }
    for (ptrdiff_t j = 0; j < width; j++) {
        const V *x = vectors + (ptrdiff_t)bin[j] * PARTS;
        for (int q = 0; q < PARTS; q++) TAKE_LARGER(x[q], best[q], position[q], (int32_t)j);
    }
}

TARGET static void NAME(wta)(const float *block, const int32_t *bins, ptrdiff_t width, ptrdiff_t K, ptrdiff_t L,
                             int bits, int32_t nobody, int32_t *positions, uint32_t *codes)
{
    const V *vectors = (const V *)block;
    VI position[PARTS], *found = (VI *)positions;
    VU *out = (VU *)codes;
    for (ptrdiff_t table = 0; table < L; table++) {
        VU code[PARTS] = {{0}};
        for (ptrdiff_t k = 0; k < K; k++, bins += width) {
            if (width == 8)
                NAME(winner)(vectors, bins, 8, nobody, position);
            else
                NAME(winner)(vectors, bins, width, nobody, position);
            for (int q = 0; q < PARTS; q++) {
                code[q] = (code[q] << bits) | (VU)position[q];
                if (found) *found++ = position[q];
            }
        }
        for (int q = 0; q < PARTS; q++) *out++ = code[q];
    }
}

static const slide_hash_ops NAME(hash_ops) = {
    NAME(fill), NAME(negate), NAME(hide_zeros), NAME(simhash), NAME(wta),
};

#undef NAME
#undef TARGET
#undef WIDTH
#undef ABREAST
#undef TAKE_LARGER
#undef V
#undef VI
#undef VU
#undef PARTS
#undef splat
