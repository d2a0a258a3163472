/* Hashes of a block of LANES rows; included by vec_template.h. The lanes of a coordinate are PARTS registers. */
#define WORDS NAME(block_words)
#define FLOATS NAME(block_floats)
#define INTS NAME(block_ints)
#ifndef TAKE_LARGER
#define TAKE_LARGER(x, best, position, j)             \
    do {                                              \
        VI mask = (x) > best;                         \
        best = choose(mask, x, best);                 \
        position = (mask & (j)) | (~mask & position); \
    } while (0)
#endif

/* Registers in blocks: aligned, unlike the rows of matrices. */
typedef float FLOATS __attribute__((vector_size(4 * WIDTH), may_alias));
typedef int32_t INTS __attribute__((vector_size(4 * WIDTH), may_alias));
typedef uint32_t WORDS __attribute__((vector_size(4 * WIDTH), may_alias));

TARGET static void NAME(block_fill)(const float *const *rows, int64_t dim, int64_t step, float *block)
{
    slide_transpose(rows, dim, step, block);
}

TARGET static void NAME(block_negate)(float *block, int64_t dim)
{
    FLOATS *x = (FLOATS *)block;
    for (int64_t j = 0; j < dim; j++, x += 2 * PARTS)
        for (int q = 0; q < PARTS; q++) x[PARTS + q] = -x[q];
}

TARGET static int NAME(block_hide_zeros)(float *block, int64_t dim)
{
    const V zero = {0}, lowest = zero - INFINITY;
    FLOATS *x = (FLOATS *)block;
    VI absent = {0};
    for (int64_t i = 0; i < dim * PARTS; i++) {
        VI is_zero = x[i] == zero;
        x[i] = choose(is_zero, lowest, x[i]);
        absent |= ~(x[i] > lowest);
    }
    for (int lane = 0; lane < WIDTH; lane++)
        if (absent[lane]) return 1;
    return 0;
}

TARGET static void NAME(block_simhash)(const float *block, const int32_t *terms, int64_t n_terms, int64_t K, int64_t L,
                                       uint32_t *codes)
{
    const FLOATS *x = (const FLOATS *)block;
    const V zero = {0};
    VU code[PARTS] = {{0}};
    WORDS *out = (WORDS *)codes;
    int64_t bit = 0;
    for (int64_t done = 0; done < K * L; done += HASH_SUMS) {
        const int32_t *term = terms + done / SLIDE_INTERLEAVED * n_terms * SLIDE_INTERLEAVED + done % SLIDE_INTERLEAVED;
        V sum[HASH_SUMS][PARTS];
        for (int s = 0; s < HASH_SUMS; s++)
            for (int q = 0; q < PARTS; q++) sum[s][q] = zero;
        for (int64_t i = 0; i < n_terms; i++, term += SLIDE_INTERLEAVED)
            for (int s = 0; s < HASH_SUMS; s++)
                for (int q = 0; q < PARTS; q++) sum[s][q] += x[(int64_t)term[s] * PARTS + q];
        for (int s = 0; s < HASH_SUMS; s++) {
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

TARGET static ALWAYS_INLINE void NAME(winner)(const FLOATS *x, const int32_t *bin, int64_t width, int32_t empty,
                                              VI *position)
{
    V best[PARTS];
    for (int q = 0; q < PARTS; q++) {
        best[q] = splat(-INFINITY);
        position[q] = (VI){0} + empty;
    }
    for (int64_t j = 0; j < width; j++) {
        const FLOATS *lanes = x + (int64_t)bin[j] * PARTS;
        for (int q = 0; q < PARTS; q++) TAKE_LARGER(lanes[q], best[q], position[q], (int32_t)j);
    }
}

TARGET static void NAME(block_wta)(const float *block, const int32_t *bins, int64_t width, int64_t K, int64_t L,
                                   int bits, int32_t empty, int32_t *positions, uint32_t *codes)
{
    const FLOATS *x = (const FLOATS *)block;
    VI position[PARTS];
    INTS *found = (INTS *)positions;
    WORDS *out = (WORDS *)codes;
    for (int64_t table = 0; table < L; table++) {
        VU code[PARTS] = {{0}};
        for (int64_t k = 0; k < K; k++, bins += width) {
            if (width == 8)
                NAME(winner)(x, bins, 8, empty, position);
            else
                NAME(winner)(x, bins, width, empty, position);
            for (int q = 0; q < PARTS; q++) {
                code[q] = (code[q] << bits) | (VU)position[q];
                if (found) *found++ = position[q];
            }
        }
        for (int q = 0; q < PARTS; q++) *out++ = code[q];
    }
}

/* (sum, difference) in place of each two of n_pairs neighbouring stretches of `half` coordinates. */
TARGET static ALWAYS_INLINE void NAME(butterflies)(FLOATS *x, int64_t n_pairs, int64_t half)
{
    for (int64_t pair = 0; pair < n_pairs; pair++, x += 2 * half * PARTS)
        for (int64_t i = 0; i < half * PARTS; i++) {
            V a = x[i], b = x[i + half * PARTS];
            x[i] = a + b;
            x[i + half * PARTS] = a - b;
        }
}

TARGET static void NAME(block_rotate)(float *block, int64_t size, const float *signs)
{
    FLOATS *x = (FLOATS *)block;
    for (int round = 0; round < 3; round++, signs += size) {
        for (int64_t j = 0; j < size; j++)
            for (int q = 0; q < PARTS; q++) x[j * PARTS + q] *= signs[j];
        for (int64_t half = 1; half < size; half *= 2) NAME(butterflies)(x, size / (2 * half), half);
    }
}

TARGET static void NAME(block_nearest_vertex)(const float *block, int64_t n_pieces, int64_t width, uint32_t *vertices)
{
    const FLOATS *x = (const FLOATS *)block;
    const V zero = {0};
    WORDS *out = (WORDS *)vertices;
    for (int64_t p = 0; p < n_pieces; p++, x += width * PARTS)
        for (int q = 0; q < PARTS; q++) {
            V best = zero;
            VI vertex = {0};
            for (int64_t j = 0; j < width; j++) {
                V value = x[j * PARTS + q], magnitude = (V)((VI)value & 0x7fffffff);
                VI better = magnitude > best, here = (int32_t)(2 * j) + ((value < zero) & 1);
                best = choose(better, magnitude, best);
                vertex = (better & here) | (~better & vertex);
            }
            *out++ = (VU)vertex;
        }
}

#undef FLOATS
#undef INTS
#undef WORDS
