/* lane_logits_bfloat16 by products of pairs: DOT(sum, w, x) adds to each lane of sum w's first times x's first and
 * w's second times x's second, all bfloat16. The includer defines NAME and TARGET too, for registers of 16 floats.
 *
 * Half the multiplications, and weights that need no widening; but inputs are rounded to bfloat16, so that logits
 * agree with those of the other sets to its rounding, 2**-9 of each product.
 */
#define DOT_ROWS 8      /* weight rows in flight */
#define DOT_COLUMNS 512 /* columns whose inputs, rounded, stay in the first-level cache */

typedef float NAME(dot_floats) __attribute__((vector_size(64)));
typedef float NAME(dot_floats_unaligned) __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t NAME(dot_pairs) __attribute__((vector_size(64)));

TARGET static inline NAME(dot_pairs) NAME(nearest)(const float *x)
{
    NAME(dot_pairs) bits = (NAME(dot_pairs)) * (const NAME(dot_floats_unaligned) *)x;
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
}

TARGET static void NAME(lane_logits_dot)(const uint16_t *W, int64_t d, const float *bias, const int32_t *ids, int64_t n,
                                         const float *x, float *out, int64_t ld)
{
    NAME(dot_pairs) pairs[DOT_COLUMNS / 2];
    for (int64_t low = 0; low < d; low += DOT_COLUMNS, x += DOT_COLUMNS * ld) {
        int64_t count = d - low < DOT_COLUMNS ? d - low : DOT_COLUMNS, whole = count / 2;
        for (int64_t i = 0; i < whole; i++)
            pairs[i] = (NAME(nearest)(x + 2 * i * ld) & 0xFFFF) | (NAME(nearest)(x + (2 * i + 1) * ld) << 16);
        if (count % 2) pairs[whole] = NAME(nearest)(x + 2 * whole * ld) & 0xFFFF;
        for (int64_t a = 0; a < n; a += DOT_ROWS) {
            const uint16_t *row[DOT_ROWS], *ahead[DOT_ROWS];
            NAME(dot_floats) sum[DOT_ROWS];
            for (int k = 0; k < DOT_ROWS; k++) {
                int64_t here = a + k < n ? a + k : n - 1, next = a + ROWS_AHEAD + k < n ? a + ROWS_AHEAD + k : n - 1;
                row[k] = W + ids[here] * d + low;
                ahead[k] = W + ids[next] * d + low;
                slide_prefetch_read_l2(bias + ids[next]);
                sum[k] = (NAME(dot_floats)){0} + bias[ids[here]];
                if (low) sum[k] = *(const NAME(dot_floats_unaligned) *)(out + here * ld);
            }
            for (int64_t i = 0; i < whole; i++) {
                if (i % 16 == 0)
                    for (int k = 0; k < DOT_ROWS; k++) slide_prefetch_read_l2(ahead[k] + 2 * i);
                for (int k = 0; k < DOT_ROWS; k++)
                    sum[k] = DOT(sum[k], (NAME(dot_pairs)){0} + *(const slide_pair *)(row[k] + 2 * i), pairs[i]);
            }
            for (int k = 0; k < DOT_ROWS && count % 2; k++)
                sum[k] = DOT(sum[k], (NAME(dot_pairs)){0} + (int32_t)row[k][count - 1], pairs[whole]);
            for (int k = 0; k < DOT_ROWS && a + k < n; k++)
                *(NAME(dot_floats_unaligned) *)(out + (a + k) * ld) = sum[k];
        }
    }
}

#undef DOT
#undef NAME
#undef TARGET
