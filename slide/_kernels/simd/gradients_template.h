/* Gradients of rows of weights by the samples that had them active; included by vec_template.h. */
#define SAMPLES NAME(samples)
#define PACKED_SAMPLES 128                   /* whose columns rows_gradient packs together */
#define LINES_PER_STRIP (PACKED_SAMPLES / 2) /* most cache lines that a strip of gradients prefetches */

TARGET static void NAME(row_gradient)(const float *c, const float *x, int64_t m, int64_t d, float *g)
{
    int64_t j = 0;
    for (; j + STRIP_COLUMNS <= d; j += STRIP_COLUMNS) {
        V sum[8];
        for (int i = 0; i < 8; i++) sum[i] = load(g + j + WIDTH * i);
        for (int64_t s = 0; s < m; s++)
            for (int i = 0; i < 8; i++) sum[i] += c[s] * load(x + s * d + j + WIDTH * i);
        for (int i = 0; i < 8; i++) store(g + j + WIDTH * i, sum[i]);
    }
    for (int64_t s = 0; s < m && j < d; s++) {
        const float *xs = x + s * d;
        for (int64_t i = j; i < d; i++) g[i] += c[s] * xs[i];
    }
}

TARGET static inline float NAME(total)(const float *x, int64_t n)
{
    V sum = splat(0.0f);
    float total = 0.0f;
    int64_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH) sum += load(x + j);
    for (; j < n; j++) total += x[j];
    for (int i = 0; i < WIDTH; i++) total += sum[i];
    return total;
}

/* g (n, d), columns j on, += the gradients of up to STRIP_ROWS rows by m samples, whose PANEL columns are packed;
 * meanwhile the lines are prefetched, one every other sample. */
TARGET static inline void NAME(gradient_strip)(const float *const *row, int n, const float *packed, int64_t m,
                                               int64_t d, float *g, const char *const *line)
{
    V sum[STRIP_ROWS][2];
    for (int k = 0; k < STRIP_ROWS; k++)
        for (int q = 0; q < 2; q++) sum[k][q] = load(g + (k < n ? k : n - 1) * d + q * WIDTH);
    for (int64_t s = 0; s < m; s++) {
        V x0 = load(packed + PANEL * s), x1 = load(packed + PANEL * s + WIDTH);
        slide_prefetch_write_l2(line[s / 2]);
        for (int k = 0; k < STRIP_ROWS; k++) {
            sum[k][0] += row[k][s] * x0;
            sum[k][1] += row[k][s] * x1;
        }
    }
    for (int k = 0; k < STRIP_ROWS && k < n; k++)
        for (int q = 0; q < 2; q++) store(g + k * d + q * WIDTH, sum[k][q]);
}

/* What rows_gradient does at a time: some samples of all rows. */
typedef struct {
    const float *const *c;
    int64_t n, first, some, d;
    const float *x;
} SAMPLES;

/* g (n, stride) += the gradients of PANEL columns, j on; of `columns` of them where that is less. */
TARGET static inline void NAME(gradient_panel)(const SAMPLES *of, int64_t j, int64_t columns, float *g, int64_t stride,
                                               slide_ahead *ahead, int64_t share)
{
    float packed[PACKED_SAMPLES * PANEL];
    const char *line[LINES_PER_STRIP];
    for (int64_t s = 0; s < of->some; s++) {
        const float *xs = of->x + (of->first + s) * of->d + j;
        if (columns == PANEL) {
            for (int q = 0; q < 2; q++) store(packed + (2 * s + q) * WIDTH, load(xs + q * WIDTH));
        } else {
            memset(packed + PANEL * s, 0, PANEL * sizeof(float));
            memcpy(packed + PANEL * s, xs, columns * sizeof(float));
        }
    }
    for (int64_t r = 0; r < of->n; r += STRIP_ROWS) {
        const float *row[STRIP_ROWS];
        int64_t count = slide_take_lines(ahead, share < LINES_PER_STRIP ? share : LINES_PER_STRIP, line);
        for (; count < LINES_PER_STRIP; count++) line[count] = (const char *)packed;
        for (int k = 0; k < STRIP_ROWS; k++) row[k] = of->c[r + k < of->n ? r + k : of->n - 1] + of->first;
        NAME(gradient_strip)(row, of->n - r < STRIP_ROWS ? of->n - r : STRIP_ROWS, packed, of->some, stride,
                             g + r * stride, line);
    }
}

/* Columns of some samples are packed once for all rows: as they lie, a power of two apart, they would share few places
 * in the first-level cache. The last ones, where they do not fill a panel, have gradients of their own meanwhile. */
TARGET static void NAME(rows_gradient)(const float *const *c, int64_t n, const float *x, int64_t m, int64_t d, float *g,
                                       float *totals, slide_ahead *ahead)
{
    float tail[SLIDE_GRADIENT_ROWS * PANEL];
    int64_t whole = d / PANEL * PANEL, panels = (d + PANEL - 1) / PANEL;
    int64_t strips = (m + PACKED_SAMPLES - 1) / PACKED_SAMPLES * panels * ((n + STRIP_ROWS - 1) / STRIP_ROWS);
    int64_t share = strips ? (ahead->lines + strips - 1) / strips : 0;
    for (int64_t k = 0; k < n; k++) totals[k] = NAME(total)(c[k], m);
    memset(g, 0, n * d * sizeof(float));
    if (n == 1) {
        slide_prefetch_ahead(ahead, ahead->lines);
        NAME(row_gradient)(c[0], x, m, d, g);
        return;
    }
    memset(tail, 0, n * PANEL * sizeof(float));
    for (int64_t first = 0; first < m; first += PACKED_SAMPLES) {
        SAMPLES of = {.c = c, .n = n, .first = first, .d = d, .x = x};
        of.some = m - first < PACKED_SAMPLES ? m - first : PACKED_SAMPLES;
        for (int64_t j = 0; j < whole; j += PANEL) NAME(gradient_panel)(&of, j, PANEL, g + j, d, ahead, share);
        if (whole < d) NAME(gradient_panel)(&of, whole, d - whole, tail, PANEL, ahead, share);
    }
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = whole; j < d; j++) g[k * d + j] = tail[k * PANEL + j - whole];
    slide_prefetch_ahead(ahead, ahead->lines);
}

#undef SAMPLES
#undef PACKED_SAMPLES
#undef LINES_PER_STRIP
