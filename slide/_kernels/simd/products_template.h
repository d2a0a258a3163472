/* Matrix products in panels, for one instruction set; included by vec_template.h, whose macros it uses.
 *
 * A panel is PANEL columns side by side: two registers. A tile of TILE rows and a panel stays in registers while the
 * depth runs; the panel stays in the first-level cache while the rows run.
 */
#define PANEL (2 * WIDTH)

/* sum[k] += FACTOR, an expression of k, times a row of the panel, for COUNT rows. */
#define ADD_PANEL(COUNT, FACTOR)                                                              \
    do {                                                                                      \
        V p0 = load(p), p1 = load(p + WIDTH);                                                 \
        for (int k = 0; k < COUNT; k++) {                                                     \
            float c_ = FACTOR;                                                                \
            sum[k][0] += c_ * p0;                                                             \
            sum[k][1] += c_ * p1;                                                             \
        }                                                                                     \
    } while (0)

/* The lines that a tile prefetches, one every EVERY steps of its depth; `idle`, which is in the cache, where none is
 * left. */
#define EVERY 4
#define A_TILE 64
static inline void NAME(tile_lines)(slide_ahead *ahead, int64_t depth, const void *idle, const char **line)
{
    int64_t most = depth / EVERY < A_TILE ? depth / EVERY : A_TILE, count = ahead ? slide_take_lines(ahead, most, line) : 0;
    for (; count < A_TILE; count++) line[count] = (const char *)idle;
}

TARGET static void NAME(panel_product)(const float *a, int64_t lda, int64_t m, const float *panel, int64_t depth,
                                       const float *bias, float *out, int64_t ld, float *top, slide_ahead *ahead)
{
    const char *line[A_TILE];
    for (int64_t r = 0; r < m; r += TILE) {
        const float *row[TILE];
        V sum[TILE][2];
        NAME(tile_lines)(ahead, depth, panel, line);
        for (int k = 0; k < TILE; k++) {
            int64_t here = r + k < m ? r + k : m - 1;
            row[k] = a + here * lda;
            sum[k][0] = sum[k][1] = splat(bias ? bias[here] : 0.0f);
        }
        const float *p = panel;
        int64_t j = 0;
        for (; j + EVERY <= depth; j += EVERY) {
            __builtin_prefetch(line[j / EVERY % A_TILE], 1, 2);
            for (int i = 0; i < EVERY; i++, p += PANEL) ADD_PANEL(TILE, row[k][j + i]);
        }
        for (; j < depth; j++, p += PANEL) ADD_PANEL(TILE, row[k][j]);
        for (int k = 0; k < TILE && r + k < m; k++) {
            store(out + (r + k) * ld, sum[k][0]);
            store(out + (r + k) * ld + WIDTH, sum[k][1]);
        }
        if (top) {
            V t0 = load(top), t1 = load(top + WIDTH);
            for (int k = 0; k < TILE; k++) {
                t0 = larger(sum[k][0], t0);
                t1 = larger(sum[k][1], t1);
            }
            store(top, t0);
            store(top + WIDTH, t1);
        }
    }
}

/* out of COUNT rows from c on: += the columns c.. of a, times the panel. */
#define ADD_TILE(COUNT)                                                                       \
    do {                                                                                      \
        V sum[COUNT][2];                                                                      \
        NAME(tile_lines)(ahead, depth, panel, line);                                                 \
        for (int k = 0; k < COUNT; k++) {                                                     \
            sum[k][0] = load(out + (c + k) * ldo);                                            \
            sum[k][1] = load(out + (c + k) * ldo + WIDTH);                                    \
        }                                                                                     \
        const float *col = a + c, *p = panel;                                                 \
        int64_t j = 0;                                                                        \
        for (; j + EVERY <= depth; j += EVERY) {                                              \
            __builtin_prefetch(line[j / EVERY % A_TILE], 1, 2);                               \
            for (int i = 0; i < EVERY; i++, col += lda, p += ldp) ADD_PANEL(COUNT, col[k]);   \
        }                                                                                     \
        for (; j < depth; j++, col += lda, p += ldp) ADD_PANEL(COUNT, col[k]);                \
        for (int k = 0; k < COUNT; k++) {                                                     \
            store(out + (c + k) * ldo, sum[k][0]);                                            \
            store(out + (c + k) * ldo + WIDTH, sum[k][1]);                                    \
        }                                                                                     \
    } while (0)

TARGET static void NAME(panel_add_transposed)(const float *a, int64_t lda, int64_t m, const float *panel, int64_t ldp,
                                              int64_t depth, float *out, int64_t ldo, slide_ahead *ahead)
{
    const char *line[A_TILE];
    int64_t c = 0;
    for (; c + TILE <= m; c += TILE) ADD_TILE(TILE);
    for (; c + 4 <= m; c += 4) ADD_TILE(4);
    for (; c + 2 <= m; c += 2) ADD_TILE(2);
    for (; c < m; c++) ADD_TILE(1);
}

TARGET static void NAME(panel_exp)(float *x, int64_t ld, int64_t m, const float *top, float *sum)
{
    V t0 = load(top), t1 = load(top + WIDTH), s0 = splat(0.0f), s1 = splat(0.0f);
    for (int64_t r = 0; r < m; r++) {
        V e0 = NAME(exp_)(load(x + r * ld) - t0), e1 = NAME(exp_)(load(x + r * ld + WIDTH) - t1);
        store(x + r * ld, e0);
        store(x + r * ld + WIDTH, e1);
        s0 += e0;
        s1 += e1;
    }
    store(sum, s0);
    store(sum + WIDTH, s1);
}

TARGET static void NAME(panel_deltas)(float *z, int64_t ld, int64_t m, int64_t n, const float *factor,
                                      const float *even, float *sum)
{
    for (int64_t r = 0; r < m; r++) {
        float *row = z + r * ld;
        V s0 = splat(0.0f), s1 = splat(0.0f);
        for (int64_t i = 0; i < n; i += PANEL) {
            V d0 = load(row + i) * load(factor + i) - load(even + i);
            V d1 = load(row + i + WIDTH) * load(factor + i + WIDTH) - load(even + i + WIDTH);
            store(row + i, d0);
            store(row + i + WIDTH, d1);
            s0 += d0;
            s1 += d1;
        }
        s0 += s1;
        sum[r] = 0.0f;
        for (int i = 0; i < WIDTH; i++) sum[r] += s0[i];
    }
}

#undef ADD_TILE
#undef PANEL
#undef A_TILE
#undef EVERY
#undef ADD_PANEL
