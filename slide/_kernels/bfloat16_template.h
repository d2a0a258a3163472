/* The operations of vec_ops.h on bfloat16 weights, for one instruction set; included by vec_template.h.
 *
 * Two neighbouring weights are broadcast together as one 32-bit word, from which a shift makes the first a float32
 * and a mask the second (on little-endian processors, as all of these are). Products and sums are those of
 * lane_logits and lane_input_gradient, in the same order.
 */
#define PAIR(row, c) ((VI){0} + *(const slide_pair *)((row) + (c)))
#define FIRST(pair) ((V)((pair) << 16))
#define SECOND(pair) ((V)((pair) & (int32_t)0xFFFF0000))
#define ONLY(row, c) ((V)((VI){0} + (int32_t)((uint32_t)(row)[c] << 16)))

#define ADD_COLUMNS(c, x)                                                                              \
    do {                                                                                               \
        V part[PARTS], other[PARTS];                                                                   \
        for (int q = 0; q < PARTS; q++) part[q] = load((x) + q * WIDTH);                               \
        for (int q = 0; q < PARTS; q++) other[q] = load((x) + ld + q * WIDTH);                         \
        for (int k = 0; k < ROWS; k++) {                                                               \
            VI pair = PAIR(row[k], c);                                                                 \
            SLIDE_KEEP_VECTOR(pair);                                                                   \
            for (int q = 0; q < PARTS; q++) sum[k][q] += FIRST(pair) * part[q];                        \
            for (int q = 0; q < PARTS; q++) sum[k][q] += SECOND(pair) * other[q];                      \
        }                                                                                              \
    } while (0)

TARGET static void NAME(lane_logits_bfloat16)(const uint16_t *W, int64_t d, const float *bias, const int32_t *ids,
                                              int64_t n, const float *x, float *out, int64_t ld)
{
    const uint16_t *row[ROWS], *ahead[ROWS];
    for (int64_t a = 0; a < n; a += ROWS) {
        V sum[ROWS][PARTS];
        for (int k = 0; k < ROWS; k++) {
            int64_t here = a + k < n ? a + k : n - 1, next = a + AHEAD + k < n ? a + AHEAD + k : n - 1;
            row[k] = W + ids[here] * d;
            ahead[k] = W + ids[next] * d;
            __builtin_prefetch(bias + ids[next], 0, 2);
            for (int q = 0; q < PARTS; q++) sum[k][q] = splat(bias[ids[here]]);
        }
        int64_t j = 0;
        for (; j + 32 <= d; j += 32) {
            for (int k = 0; k < ROWS; k++) __builtin_prefetch(ahead[k] + j, 0, 2);
            for (int i = 0; i < 32; i += 2) ADD_COLUMNS(j + i, x + (j + i) * ld);
        }
        for (; j + 2 <= d; j += 2) ADD_COLUMNS(j, x + j * ld);
        for (int k = 0; k < ROWS && j < d; k++)
            for (int q = 0; q < PARTS; q++) sum[k][q] += ONLY(row[k], j) * load(x + j * ld + q * WIDTH);
        for (int k = 0; k < ROWS && a + k < n; k++)
            for (int q = 0; q < PARTS; q++) store(out + (a + k) * ld + q * WIDTH, sum[k][q]);
    }
}

#define ADD_TILE(COUNT)                                                                                \
    do {                                                                                               \
        V sum[COUNT][PARTS];                                                                           \
        for (int i = 0; i < COUNT; i++)                                                                \
            for (int q = 0; q < PARTS; q++) sum[i][q] = load(dx + (j + i) * ld + q * WIDTH);           \
        for (int64_t a = 0; a < m; a++) {                                                              \
            V part[PARTS];                                                                             \
            for (int q = 0; q < PARTS; q++) part[q] = load(delta + a * ld + q * WIDTH);                \
            for (int i = 0; i + 2 <= COUNT; i += 2) {                                                  \
                VI pair = PAIR(row[a], j + i);                                                         \
                SLIDE_KEEP_VECTOR(pair);                                                               \
                for (int q = 0; q < PARTS; q++) sum[i][q] += FIRST(pair) * part[q];                    \
                for (int q = 0; q < PARTS; q++) sum[i + 1][q] += SECOND(pair) * part[q];               \
            }                                                                                          \
            for (int q = 0; q < PARTS && COUNT % 2; q++) sum[0][q] += ONLY(row[a], j) * part[q];       \
        }                                                                                              \
        for (int i = 0; i < COUNT; i++)                                                                \
            for (int q = 0; q < PARTS; q++) store(dx + (j + i) * ld + q * WIDTH, sum[i][q]);           \
    } while (0)

TARGET static void NAME(lane_input_gradient_bfloat16)(const uint16_t *W, int64_t d, const int32_t *ids, int64_t n,
                                                      const float *delta, float *dx, int64_t ld)
{
    const uint16_t *row[STAY], *next[STAY];
    int64_t share = (STAY * COLS + d - 1) / (d > 0 ? d : 1); /* rows to prefetch for each block of columns */
    for (int64_t k = 0; k < STAY && k < n; k++) next[k] = W + ids[k] * d;
    for (int64_t low = 0; low < n; low += STAY, delta += STAY * ld) {
        int64_t m = n - low < STAY ? n - low : STAY, rest = n - low - m < STAY ? n - low - m : STAY;
        int64_t j = 0, fetched = 0;
        for (int64_t k = 0; k < m; k++) row[k] = next[k];
        for (int64_t k = 0; k < rest; k++) next[k] = W + ids[low + STAY + k] * d;
        for (; j + COLS <= d; j += COLS) {
            for (int64_t end = fetched + share; fetched < end && fetched < rest; fetched++)
                for (int64_t i = 0; i < d; i += 32) __builtin_prefetch(next[fetched] + i, 0, 2);
            ADD_TILE(COLS);
        }
        for (; j < d; j++) ADD_TILE(1);
    }
}

TARGET static void NAME(widen)(const uint16_t *restrict a, int64_t n, float *restrict out)
{
    slide_bits *bits = (slide_bits *)out;
    for (int64_t j = 0; j < n; j++) bits[j] = (uint32_t)a[j] << 16;
}

TARGET static void NAME(narrow)(const float *restrict a, int64_t n, uint16_t *restrict out)
{
    const slide_bits *bits = (const slide_bits *)a;
    for (int64_t j = 0; j < n; j++) out[j] = slide_upper_half(bits[j], 0x7FFFu + ((bits[j] >> 16) & 1u));
}

TARGET static void NAME(narrow_at_random)(const float *restrict a, int64_t n, uint64_t stream, int half,
                                          uint16_t *restrict out)
{
    const slide_bits *bits = (const slide_bits *)a;
    uint32_t counter = (uint32_t)stream, key = (uint32_t)(stream >> 32);
    int shift = 16 * half;
    for (int64_t j = 0; j < n; j++, counter += SLIDE_COUNT)
        out[j] = slide_upper_half(bits[j], (slide_mix_bits(counter, key) >> shift) & 0xFFFFu);
}

/* The arithmetic of adam, and the upper halves of its results; a NaN of arithmetic is quiet and survives the sum. */
TARGET static void NAME(adam_bfloat16)(uint16_t *restrict w, float *restrict m, float *restrict v,
                                       const float *restrict g, int64_t n, const slide_adam *p, uint64_t stream)
{
    float lr = p->lr, b1 = p->beta1, b2 = p->beta2, eps = p->eps, keep = 1.0f - p->decay;
    uint32_t counter = (uint32_t)stream, key = (uint32_t)(stream >> 32);
    for (int64_t j = 0; j < n; j++, counter += SLIDE_COUNT) {
        float gj = g[j];
        float mj = b1 * m[j] + (1.0f - b1) * gj;
        float vj = b2 * v[j] + (1.0f - b2) * (gj * gj);
        m[j] = mj;
        v[j] = vj;
        float wj = keep * slide_wide(w[j]) - lr * mj / (sqrtf(vj) + eps);
        w[j] = (uint16_t)((slide_bits_of(wj) + (slide_mix_bits(counter, key) & 0xFFFFu)) >> 16);
    }
}

TARGET static void NAME(adam_bfloat16_moments)(uint16_t *restrict w, uint16_t *restrict m, uint16_t *restrict v,
                                               const float *restrict g, int64_t n, const slide_adam *p,
                                               uint64_t stream)
{
    float lr = p->lr, b1 = p->beta1, b2 = p->beta2, eps = p->eps, keep = 1.0f - p->decay;
    uint32_t counter = (uint32_t)stream, key = (uint32_t)(stream >> 32);
    for (int64_t j = 0; j < n; j++, counter += SLIDE_COUNT) {
        float gj = g[j];
        float mj = b1 * slide_wide(m[j]) + (1.0f - b1) * gj;
        float vj = b2 * slide_wide(v[j]) + (1.0f - b2) * (gj * gj);
        float wj = keep * slide_wide(w[j]) - lr * mj / (sqrtf(vj) + eps);
        uint32_t random = slide_mix_bits(counter, key), mb = slide_bits_of(mj);
        w[j] = (uint16_t)((slide_bits_of(wj) + (random & 0xFFFFu)) >> 16);
        v[j] = (uint16_t)((slide_bits_of(vj) + (random >> 16)) >> 16);
        m[j] = (uint16_t)((mb + 0x7FFFu + ((mb >> 16) & 1u)) >> 16);
    }
}

#undef PAIR
#undef FIRST
#undef SECOND
#undef ONLY
#undef ADD_COLUMNS
#undef ADD_TILE
