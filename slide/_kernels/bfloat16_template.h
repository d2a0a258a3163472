/* The operations of vec_ops.h on bfloat16 weights, for one instruction set; included by vec_template.h. */
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
