/* Products of codes: rows of weights of 4 bits by inputs of 8; included by vec_template.h.
 *
 * SCREEN_ROWS rows lie side by side. Of each group of 8 columns a row has 4 bytes, whose low halves are the columns 0
 * to 3 and whose high halves are 4 to 7. Sums are integers, and so the same in every set.
 *
 * Included again where a processor may have an instruction for DOT_BYTES: with SCREEN(f), the name of function f, and
 * SCREEN_TARGET.
 */
#define SCREEN_PARTS (SLIDE_SCREEN_ROWS / WIDTH) /* registers that hold a column of the rows */

#ifndef SCREEN
#define SCREEN(f) NAME(f)
#define SCREEN_TARGET TARGET
#endif
#ifndef DOT_BYTES
#define SIGNED_BYTE(s, i) ((s) << (24 - 8 * (i)) >> 24)
#define DOT_BYTES(sum, u, s)                                                          \
    ((sum) + ((u) & 255) * SIGNED_BYTE(s, 0) + ((u) >> 8 & 255) * SIGNED_BYTE(s, 1) + \
     ((u) >> 16 & 255) * SIGNED_BYTE(s, 2) + ((u) >> 24) * SIGNED_BYTE(s, 3))
#endif

#ifndef LARGEST
TARGET static inline float NAME(largest)(V x)
{
    float most = x[0];
    for (int i = 1; i < WIDTH; i++) most = x[i] > most ? x[i] : most;
    return most;
}
#define LARGEST NAME(largest)
#endif

/* A function for COUNT inputs. */
#define SCREEN_SOME(COUNT)                                                                                       \
    SCREEN_TARGET static void SCREEN(screen_##COUNT)(const uint8_t *rows, int64_t groups, const float *scale,    \
                                                     const float *shift, const slide_query *queries, float *out, \
                                                     float *top)                                                 \
    {                                                                                                            \
        VI sum[COUNT][SCREEN_PARTS];                                                                             \
        for (int k = 0; k < COUNT; k++)                                                                          \
            for (int r = 0; r < SCREEN_PARTS; r++) sum[k][r] = (VI){0};                                          \
        for (int64_t g = 0; g < groups; g++, rows += 4 * SLIDE_SCREEN_ROWS) {                                    \
            VI low[SCREEN_PARTS], high[SCREEN_PARTS];                                                            \
            for (int r = 0; r < SCREEN_PARTS; r++) {                                                             \
                VI bytes = *(const NAME(ints_unaligned) *)(rows + 4 * WIDTH * r);                                \
                low[r] = bytes & 0x0F0F0F0F;                                                                     \
                high[r] = bytes >> 4 & 0x0F0F0F0F;                                                               \
            }                                                                                                    \
            for (int k = 0; k < COUNT; k++) {                                                                    \
                VI first = (VI){0} + *(const slide_four *)(queries[k].codes + 8 * g);                            \
                VI second = (VI){0} + *(const slide_four *)(queries[k].codes + 8 * g + 4);                       \
                for (int r = 0; r < SCREEN_PARTS; r++) sum[k][r] = DOT_BYTES(sum[k][r], low[r], first);          \
                for (int r = 0; r < SCREEN_PARTS; r++) sum[k][r] = DOT_BYTES(sum[k][r], high[r], second);        \
            }                                                                                                    \
        }                                                                                                        \
        for (int k = 0; k < COUNT; k++) {                                                                        \
            V best = splat(-3e38f);                                                                              \
            for (int r = 0; r < SCREEN_PARTS; r++) {                                                             \
                V z = __builtin_convertvector(sum[k][r], V) * queries[k].step - queries[k].zero;                 \
                z = load(scale + r * WIDTH) * z + (load(shift + r * WIDTH) + queries[k].base);                   \
                store(out + k * SLIDE_SCREEN_ROWS + r * WIDTH, z);                                               \
                best = larger(z, best);                                                                          \
            }                                                                                                    \
            top[k] = LARGEST(best);                                                                              \
        }                                                                                                        \
    }

SCREEN_SOME(1)
#if SCREEN_QUERIES >= 2
SCREEN_SOME(2)
#endif
#if SCREEN_QUERIES >= 8
SCREEN_SOME(4)
SCREEN_SOME(8)
#endif

SCREEN_TARGET static void SCREEN(screen)(const uint8_t *rows, int64_t groups, const float *scale, const float *shift,
                                         const slide_query *queries, int64_t n, float *out, float *top)
{
    int64_t k = 0;
#if SCREEN_QUERIES >= 8
    for (; k + 8 <= n; k += 8)
        SCREEN(screen_8)(rows, groups, scale, shift, queries + k, out + k * SLIDE_SCREEN_ROWS, top + k);
    for (; k + 4 <= n; k += 4)
        SCREEN(screen_4)(rows, groups, scale, shift, queries + k, out + k * SLIDE_SCREEN_ROWS, top + k);
#endif
#if SCREEN_QUERIES >= 2
    for (; k + 2 <= n; k += 2)
        SCREEN(screen_2)(rows, groups, scale, shift, queries + k, out + k * SLIDE_SCREEN_ROWS, top + k);
#endif
    for (; k < n; k++) SCREEN(screen_1)(rows, groups, scale, shift, queries + k, out + k * SLIDE_SCREEN_ROWS, top + k);
}

#undef SCREEN_SOME
#undef SCREEN_PARTS
#undef SCREEN
#undef SCREEN_TARGET
#undef DOT_BYTES
#ifdef SIGNED_BYTE
#undef SIGNED_BYTE
#endif
