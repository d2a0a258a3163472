/* Products and the softmax of a group's lanes, for one instruction set; included by vec_template.h, whose macros it uses.
 */
/* sum[k] += row[k][c] * x for ROWS rows and the lanes of one input column. */
#define ADD_COLUMN(c, x)                                                                      \
    do {                                                                                      \
        V part[BLOCKS * PARTS];                                                               \
        for (int q = 0; q < parts; q++) part[q] = load((x) + q * WIDTH);                      \
        for (int k = 0; k < ROWS; k++)                                                        \
            for (int q = 0; q < parts; q++) sum[k][q] += row[k][c] * part[q];                 \
    } while (0)

/* Lanes that fill `parts` registers, of d columns, side by side: at a distance of a power of two they would share few
 * places in a cache. */
TARGET static inline void NAME(pack)(const float *x, int64_t d, int64_t ld, int parts, float *out)
{
    for (int64_t j = 0; j < d; j++)
        for (int q = 0; q < parts; q++) store(out + (j * parts + q) * WIDTH, load(x + j * ld + q * WIDTH));
}

/* The logits of m rows for the packed inputs of `parts` registers of lanes, from bias on, or, `further`, from out on;
 * of the row `distance` further on, if before `left`, the columns from..to are prefetched. `parts` is a constant of
 * every call. */
TARGET static ALWAYS_INLINE void NAME(logits_parts)(const int parts, const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t m,
                                     const int32_t *cols, int64_t d, const float *x, float *out, int64_t ld,
                                     int further, int64_t distance, int64_t left, int64_t from, int64_t to)
{
    const float *row[ROWS], *ahead[ROWS];
    for (int64_t a = 0; a < m; a += ROWS) {
        V sum[ROWS][BLOCKS * PARTS];
        for (int k = 0; k < ROWS; k++) {
            int64_t here = a + k < m ? a + k : m - 1, next = a + distance + k;
            next = next < left ? next : left - 1;
            row[k] = W + ids[here] * stride;
            ahead[k] = W + ids[next] * stride;
            if (bias) __builtin_prefetch(bias + ids[next], 0, 2);
            for (int q = 0; q < parts; q++) {
                sum[k][q] = splat(bias && !further ? bias[ids[here]] : 0.0f);
                if (further) sum[k][q] = load(out + here * ld + q * WIDTH);
            }
        }
        int64_t j = 0;
        if (cols) {
            for (; j < d; j++) ADD_COLUMN(cols[j], x + j * parts * WIDTH);
        } else {
            for (; j + 16 <= d; j += 16) {
                if (from <= j && j < to)
                    for (int k = 0; k < ROWS; k++) __builtin_prefetch(ahead[k] + j, 0, 2);
                for (int i = 0; i < 16; i++) ADD_COLUMN(j + i, x + (j + i) * parts * WIDTH);
            }
            for (; j < d; j++) ADD_COLUMN(j, x + j * parts * WIDTH);
        }
        for (int k = 0; k < ROWS && a + k < m; k++)
            for (int q = 0; q < parts; q++) store(out + (a + k) * ld + q * WIDTH, sum[k][q]);
    }
}

TARGET static void NAME(logits_tile)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t m,
                                     const int32_t *cols, int64_t d, const float *x, float *out, int64_t ld,
                                     int further, int64_t distance, int64_t left, int64_t from, int64_t to)
{
    NAME(logits_parts)(PARTS, W, stride, bias, ids, m, cols, d, x, out, ld, further, distance, left, from, to);
}

/* The same for BLOCKS blocks of lanes. */
TARGET static void NAME(wide_tile)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t m,
                                   const int32_t *cols, int64_t d, const float *x, float *out, int64_t ld,
                                   int further, int64_t distance, int64_t left, int64_t from, int64_t to)
{
    NAME(logits_parts)(BLOCKS * PARTS, W, stride, bias, ids, m, cols, d, x, out, ld, further, distance, left, from, to);
}

/* Rows stay in the cache while all lanes pass. The first lanes read them as they come from memory; the others fetch the
 * `more` rows that follow, each some columns of them. */
TARGET static void NAME(lane_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids,
                                     int64_t n, int64_t more, const int32_t *cols, int64_t d, const float *x,
                                     float *out, int64_t ld)
{
    float packed[DEPTH * BLOCKS * SLIDE_LANES];
    int64_t blocks = ld / SLIDE_LANES, others = (blocks - 1) / BLOCKS, first = 0;
    do {
        int64_t depth = d - first < DEPTH ? d - first : DEPTH;
        int64_t share = others ? (depth / 16 + others - 1) / others * 16 : 0;
        const float *w = cols ? W : W + first;
        for (int64_t b = 0; b < blocks; b += BLOCKS) {
            int64_t from = (b / BLOCKS - 1) * share, to = more ? from + share : 0, distance = n, left = n + more;
            int wide = BLOCKS > 1 && b + BLOCKS <= blocks;
            const float *xb = x + first * ld + b * SLIDE_LANES;
            if (b == 0) from = 0, to = depth, distance = AHEAD, left = n;
            if (ld > SLIDE_LANES) NAME(pack)(xb, depth, ld, wide ? BLOCKS * PARTS : PARTS, packed);
            (wide ? NAME(wide_tile) : NAME(logits_tile))(
                w, stride, bias, ids, n, cols ? cols + first : NULL, depth, ld > SLIDE_LANES ? packed : xb,
                out + b * SLIDE_LANES, ld, first > 0, distance, left, from, to);
        }
        first += DEPTH;
    } while (first < d);
}

/* dx of COUNT columns from j on, whose weights are at row[a][COLUMN(i)] of the m rows of a tile. */
#define ADD_ROWS(COUNT, COLUMN)                                                               \
    do {                                                                                      \
        V sum[COUNT][BLOCKS * PARTS];                                                         \
        for (int i = 0; i < COUNT; i++)                                                       \
            for (int q = 0; q < parts; q++) sum[i][q] = load(dx + ((j + i) * parts + q) * WIDTH);      \
        for (int64_t a = 0; a < m; a++) {                                                     \
            const float *w = row[a];                                                          \
            V part[BLOCKS * PARTS];                                                           \
            for (int q = 0; q < parts; q++) part[q] = load(delta + (a * parts + q) * WIDTH);  \
            for (int i = 0; i < COUNT; i++)                                                   \
                for (int q = 0; q < parts; q++) sum[i][q] += w[COLUMN(i)] * part[q];          \
        }                                                                                     \
        for (int i = 0; i < COUNT; i++)                                                       \
            for (int q = 0; q < parts; q++) store(dx + ((j + i) * parts + q) * WIDTH, sum[i][q]);      \
    } while (0)
#define IN_ORDER(i) (j + i)
#define BY_COLUMN(i) cols[j + i]

/* dx of `parts` registers of lanes from m rows, `at_once` columns at once; meanwhile `count` rows `ahead` are
 * prefetched. `parts` and `at_once` are constants of every call. */
TARGET static ALWAYS_INLINE void NAME(gradient_parts)(const int parts, const int at_once, const float *const *row,
                                                      int64_t m, const int32_t *cols, int64_t d, const float *delta,
                                                      float *dx, const float *const *ahead, int64_t count)
{
    int64_t j = 0, fetched = 0, share = (count * at_once + d - 1) / (d > 0 ? d : 1); /* for each block of columns */
    if (cols) {
        for (; j + at_once <= d; j += at_once) ADD_ROWS(at_once, BY_COLUMN);
        for (; j < d; j++) ADD_ROWS(1, BY_COLUMN);
        return;
    }
    for (; j + at_once <= d; j += at_once) {
        for (int64_t end = fetched + share; fetched < end && fetched < count; fetched++)
            for (int64_t i = 0; i < d; i += 16) __builtin_prefetch(ahead[fetched] + i, 0, 2);
        ADD_ROWS(at_once, IN_ORDER);
    }
    for (; j < d; j++) ADD_ROWS(1, IN_ORDER);
}

TARGET static void NAME(gradient_tile)(const float *const *row, int64_t m, const int32_t *cols, int64_t d,
                                       const float *delta, float *dx, const float *const *ahead, int64_t count)
{
    NAME(gradient_parts)(PARTS, COLS, row, m, cols, d, delta, dx, ahead, count);
}

/* The same for BLOCKS blocks of lanes. */
TARGET static void NAME(wide_gradient_tile)(const float *const *row, int64_t m, const int32_t *cols, int64_t d,
                                            const float *delta, float *dx, const float *const *ahead, int64_t count)
{
    NAME(gradient_parts)(BLOCKS * PARTS, COLS / BLOCKS, row, m, cols, d, delta, dx, ahead, count);
}

/* Rows come in tiles that stay in the second-level cache while all lanes pass, and of these in tiles of STAY in the
 * first while all columns do; the next rows are fetched meanwhile. The sums of a tile are packed. */
TARGET static void NAME(lane_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n,
                                             int64_t more, const int32_t *cols, int64_t d, const float *delta,
                                             float *dx, int64_t ld)
{
    float packed[STAY * BLOCKS * SLIDE_LANES], sums[DEPTH * BLOCKS * SLIDE_LANES];
    const float *row[SLIDE_TILE_ROWS], *next[SLIDE_TILE_ROWS];
    int64_t tile = ld > SLIDE_LANES ? SLIDE_TILE_ROWS : STAY, blocks = ld / SLIDE_LANES;
    int64_t turns = (blocks + BLOCKS - 1) / BLOCKS * (tile / STAY), share = (tile + turns - 1) / turns;
    for (int64_t first = 0; first < d; first += DEPTH) {
        int64_t depth = d - first < DEPTH ? d - first : DEPTH;
        const float *w = cols ? W : W + first;
        for (int64_t k = 0; k < tile && k < n; k++) next[k] = w + ids[k] * stride;
        for (int64_t low = 0; low < n; low += tile) {
            int64_t m = n - low < tile ? n - low : tile, rest = n + more - low - m, at = 0;
            rest = rest < tile ? rest : tile;
            for (int64_t k = 0; k < m; k++) row[k] = next[k];
            for (int64_t k = 0; k < rest; k++) next[k] = w + ids[low + tile + k] * stride;
            for (int64_t b = 0; b < blocks; b += BLOCKS) {
                int wide = BLOCKS > 1 && b + BLOCKS <= blocks, parts = wide ? BLOCKS * PARTS : PARTS;
                int64_t lane = b * SLIDE_LANES;
                memset(sums, 0, depth * parts * WIDTH * sizeof(float));
                for (int64_t a = 0; a < m; a += STAY, at += share) {
                    int64_t some = m - a < STAY ? m - a : STAY, count = rest - at < share ? rest - at : share;
                    NAME(pack)(delta + (low + a) * ld + lane, some, ld, parts, packed);
                    (wide ? NAME(wide_gradient_tile) : NAME(gradient_tile))(
                        row + a, some, cols ? cols + first : NULL, depth, packed, sums, next + at, count);
                }
                for (int64_t j = 0; j < depth; j++)
                    for (int q = 0; q < parts; q++) {
                        float *out = dx + (first + j) * ld + lane + q * WIDTH;
                        store(out, load(out) + load(sums + (j * parts + q) * WIDTH));
                    }
            }
        }
    }
}

/* Rows pass one after the other with all their lanes: lane by lane, they would share few places in a cache. */
TARGET static void NAME(lane_exp)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights,
                                  float *max, float *sum)
{
    for (int64_t s = 0; s < lanes; s++) max[s] = -3.0e38f, sum[s] = 0.0f;
    for (int64_t a = 0; a < n; a += TOGETHER) {
        int64_t m = n - a < TOGETHER ? n - a : TOGETHER;
        for (int64_t s = 0; s < lanes; s += WIDTH) {
            V top = load(max + s);
            for (int64_t k = 0; k < m; k++) {
                V z = load(x + (a + k) * ld + s);
                top = larger(z, top);
            }
            store(max + s, top);
        }
    }
    for (int64_t a = 0; a < n; a += TOGETHER) {
        int64_t m = n - a < TOGETHER ? n - a : TOGETHER;
        for (int64_t s = 0; s < lanes; s += WIDTH) {
            V top = load(max + s), total = load(sum + s);
            for (int64_t k = 0; k < m; k++) {
                float *z = x + (a + k) * ld + s;
                V e = NAME(exp_)(load(z) - top);
                if (weights) e *= weights[a + k];
                store(z, e);
                total += e;
            }
            store(sum + s, total);
        }
    }
}

TARGET static void NAME(lane_deltas)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights,
                                     const float *factor, const float *even)
{
    for (int64_t a = 0; a < n; a++) {
        float weight = weights ? weights[a] : 1.0f;
        for (int64_t s = 0; s < lanes; s += WIDTH) {
            float *z = x + a * ld + s;
            store(z, load(z) * load(factor + s) - load(even + s) * weight);
        }
    }
}

#undef ADD_COLUMN
#undef ADD_ROWS
#undef IN_ORDER
#undef BY_COLUMN
