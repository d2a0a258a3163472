/* bfloat16 weights and moments; included by vec_template.h. */
#define WIDENED_COLUMNS 128 /* that Adam takes at a time */

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

/* Adam is that of float32 on copies of whole registers: bit for bit its results, narrowed. */
TARGET static void NAME(adam_bfloat16)(uint16_t *restrict w, float *restrict m, float *restrict v,
                                       const float *restrict g, int64_t n, const slide_adam *p, uint64_t stream)
{
    float wide[WIDENED_COLUMNS];
    for (int64_t j = 0; j < n; j += WIDENED_COLUMNS) {
        int64_t count = n - j < WIDENED_COLUMNS ? n - j : WIDENED_COLUMNS;
        NAME(widen)(w + j, count, wide);
        NAME(adam)(wide, m + j, v + j, g + j, count, p);
        NAME(narrow_at_random)(wide, count, slide_stream_from(stream, j), 0, w + j);
    }
}

TARGET static void NAME(adam_bfloat16_moments)(uint16_t *restrict w, uint16_t *restrict m, uint16_t *restrict v,
                                               const float *restrict g, int64_t n, const slide_adam *p, uint64_t stream)
{
    float wide_m[WIDENED_COLUMNS], wide_v[WIDENED_COLUMNS];
    for (int64_t j = 0; j < n; j += WIDENED_COLUMNS) {
        int64_t count = n - j < WIDENED_COLUMNS ? n - j : WIDENED_COLUMNS;
        NAME(widen)(m + j, count, wide_m);
        NAME(widen)(v + j, count, wide_v);
        NAME(adam_bfloat16)(w + j, wide_m, wide_v, g + j, count, p, slide_stream_from(stream, j));
        NAME(narrow)(wide_m, count, m + j);
        NAME(narrow_at_random)(wide_v, count, slide_stream_from(stream, j), 1, v + j);
    }
}
#undef WIDENED_COLUMNS
