/* Matrix products in panels; included by vec_template.h.
 *
 * A panel is PANEL columns side by side: two registers. A tile of PANEL_ROWS rows and a panel stays in registers while
 * the depth runs; the panel stays in the first-level cache while the rows run.
 */
#define STEPS_PER_LINE 4  /* of the depth, for each cache line that a tile prefetches */
#define LINES_PER_TILE 64 /* at most */

/* sum[k] += FACTOR, an expression of k, times a row of the panel, for COUNT rows. */
#define ADD_PANEL(COUNT, FACTOR)              \
    do {                                      \
        V p0 = load(p), p1 = load(p + WIDTH); \
        for (int k = 0; k < COUNT; k++) {     \
            float c_ = FACTOR;                \
            sum[k][0] += c_ * p0;             \
            sum[k][1] += c_ * p1;             \
        }                                     \
    } while (0)

/* The lines that a tile prefetches; `idle`, which is in the cache, where none is left. */
static inline void NAME(tile_lines)(slide_ahead *ahead, int64_t depth, const void *idle, const char **line)
{
    int64_t most = depth / STEPS_PER_LINE < LINES_PER_TILE ? depth / STEPS_PER_LINE : LINES_PER_TILE;
    int64_t count = ahead ? slide_take_lines(ahead, most, line) : 0;
    for (; count < LINES_PER_TILE; count++) line[count] = (const char *)idle;
}

TARGET static void NAME(panel_product)(const float *a, int64_t lda, int64_t m, const float *b, int64_t depth,
                                       const float *bias, float *out, int64_t ldo, float *top, slide_ahead *ahead)
{
    const char *line[LINES_PER_TILE];
    for (int64_t r = 0; r < m; r += PANEL_ROWS) {
        const float *row[PANEL_ROWS];
        V sum[PANEL_ROWS][2];
        NAME(tile_lines)(ahead, depth, b, line);
        for (int k = 0; k < PANEL_ROWS; k++) {
            int64_t here = r + k < m ? r + k : m - 1;
            row[k] = a + here * lda;
            sum[k][0] = sum[k][1] = splat(bias ? bias[here] : 0.0f);
        }
        const float *p = b;
        int64_t j = 0;
        for (; j + STEPS_PER_LINE <= depth; j += STEPS_PER_LINE) {
            slide_prefetch_write_l2(line[j / STEPS_PER_LINE % LINES_PER_TILE]);
            for (int i = 0; i < STEPS_PER_LINE; i++, p += PANEL) ADD_PANEL(PANEL_ROWS, row[k][j + i]);
        }
        for (; j < depth; j++, p += PANEL) ADD_PANEL(PANEL_ROWS, row[k][j]);
        for (int k = 0; k < PANEL_ROWS && r + k < m; k++) {
            store(out + (r + k) * ldo, sum[k][0]);
            store(out + (r + k) * ldo + WIDTH, sum[k][1]);
        }
        if (top) {
            V t0 = load(top), t1 = load(top + WIDTH);
            for (int k = 0; k < PANEL_ROWS; k++) {
                t0 = larger(sum[k][0], t0);
                t1 = larger(sum[k][1], t1);
            }
            store(top, t0);
            store(top + WIDTH, t1);
        }
    }
}

/* out of COUNT rows from c on: += the columns c.. of a, times the panel. */
#define ADD_TILE(COUNT)                                                                              \
    do {                                                                                             \
        V sum[COUNT][2];                                                                             \
        NAME(tile_lines)(ahead, depth, b, line);                                                     \
        for (int k = 0; k < COUNT; k++) {                                                            \
            sum[k][0] = load(out + (c + k) * ldo);                                                   \
            sum[k][1] = load(out + (c + k) * ldo + WIDTH);                                           \
        }                                                                                            \
        const float *col = a + c, *p = b;                                                            \
        int64_t j = 0;                                                                               \
        for (; j + STEPS_PER_LINE <= depth; j += STEPS_PER_LINE) {                                   \
            slide_prefetch_write_l2(line[j / STEPS_PER_LINE % LINES_PER_TILE]);                      \
            for (int i = 0; i < STEPS_PER_LINE; i++, col += lda, p += ldb) ADD_PANEL(COUNT, col[k]); \
        }                                                                                            \
        for (; j < depth; j++, col += lda, p += ldb) ADD_PANEL(COUNT, col[k]);                       \
        for (int k = 0; k < COUNT; k++) {                                                            \
            store(out + (c + k) * ldo, sum[k][0]);                                                   \
            store(out + (c + k) * ldo + WIDTH, sum[k][1]);                                           \
        }                                                                                            \
    } while (0)

TARGET static void NAME(panel_add_transposed)(const float *a, int64_t lda, int64_t m, const float *b, int64_t ldb,
                                              int64_t depth, float *out, int64_t ldo, slide_ahead *ahead)
{
    const char *line[LINES_PER_TILE];
    int64_t c = 0;
    for (; c + PANEL_ROWS <= m; c += PANEL_ROWS) ADD_TILE(PANEL_ROWS);
    for (; c + 4 <= m; c += 4) ADD_TILE(4);
    for (; c + 2 <= m; c += 2) ADD_TILE(2);
    for (; c < m; c++) ADD_TILE(1);
}

#undef ADD_TILE
#undef LINES_PER_TILE
#undef STEPS_PER_LINE
#undef ADD_PANEL
