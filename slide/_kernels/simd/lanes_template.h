/* Forward and backward products of a group's lanes; included by vec_template.h. */
#define PASS NAME(pass)
#define L1_ROWS 32         /* of weights, that lane_input_gradient keeps in the first-level cache together */
#define PACKED_COLUMNS 256 /* of the inputs or their gradients, that stay there side by side */

/* sum[k] += row[k][c] * x for LOGIT_ROWS rows and the lanes of one input column. */
#define ADD_COLUMN(c, x)                                                      \
    do {                                                                      \
        V part[LANE_BLOCKS * PARTS];                                          \
        for (int q = 0; q < parts; q++) part[q] = load((x) + q * WIDTH);      \
        for (int k = 0; k < LOGIT_ROWS; k++)                                  \
            for (int q = 0; q < parts; q++) sum[k][q] += row[k][c] * part[q]; \
    } while (0)

/* Lanes that fill `parts` registers, of d columns, side by side: at a distance of a power of two they would share few
 * places in a cache. */
TARGET static inline void NAME(pack)(const float *x, int64_t d, int64_t ld, int parts, float *out)
{
    for (int64_t j = 0; j < d; j++)
        for (int q = 0; q < parts; q++) store(out + (j * parts + q) * WIDTH, load(x + j * ld + q * WIDTH));
}

/* What lane_logits does at a time: some lanes of its inputs, packed, and some of their columns. */
typedef struct {
    const float *W;
    int64_t stride;
    const float *bias;
    const int32_t *ids;
    int64_t n;
    const int32_t *cols;
    int64_t d;
    const float *x;
    float *out;
    int64_t ld;
    int onto_out;           /* sums start from out, not from bias */
    int64_t distance, left; /* the row `distance` further on, if before `left`, is fetched meanwhile: */
    int64_t from, to;       /* these columns of it */
} PASS;

/* One pass, whose `parts`, a constant of every call, counts the registers of its lanes. */
TARGET static ALWAYS_INLINE void NAME(logits_parts)(const int parts, const PASS pass)
{
    const float *row[LOGIT_ROWS], *ahead[LOGIT_ROWS], *x = pass.x, *bias = pass.bias;
    const int32_t *ids = pass.ids, *cols = pass.cols;
    int64_t n = pass.n, d = pass.d, ld = pass.ld;
    for (int64_t a = 0; a < n; a += LOGIT_ROWS) {
        V sum[LOGIT_ROWS][LANE_BLOCKS * PARTS];
        for (int k = 0; k < LOGIT_ROWS; k++) {
            int64_t here = a + k < n ? a + k : n - 1, next = a + pass.distance + k;
            next = next < pass.left ? next : pass.left - 1;
            row[k] = pass.W + ids[here] * pass.stride;
            ahead[k] = pass.W + ids[next] * pass.stride;
            if (bias) slide_prefetch_read_l2(bias + ids[next]);
            for (int q = 0; q < parts; q++) {
                sum[k][q] = splat(bias && !pass.onto_out ? bias[ids[here]] : 0.0f);
                if (pass.onto_out) sum[k][q] = load(pass.out + here * ld + q * WIDTH);
            }
        }
        int64_t j = 0;
        if (cols) {
            for (; j < d; j++) ADD_COLUMN(cols[j], x + j * parts * WIDTH);
        } else {
            for (; j + 16 <= d; j += 16) {
                if (pass.from <= j && j < pass.to)
                    for (int k = 0; k < LOGIT_ROWS; k++) slide_prefetch_read_l2(ahead[k] + j);
                for (int i = 0; i < 16; i++) ADD_COLUMN(j + i, x + (j + i) * parts * WIDTH);
            }
            for (; j < d; j++) ADD_COLUMN(j, x + j * parts * WIDTH);
        }
        for (int k = 0; k < LOGIT_ROWS && a + k < n; k++)
            for (int q = 0; q < parts; q++) store(pass.out + (a + k) * ld + q * WIDTH, sum[k][q]);
    }
}

TARGET static void NAME(logits_pass)(PASS pass)
{
    NAME(logits_parts)(PARTS, pass);
}

/* The same for LANE_BLOCKS blocks of lanes. */
TARGET static void NAME(wide_logits_pass)(PASS pass)
{
    NAME(logits_parts)(LANE_BLOCKS * PARTS, pass);
}

/* Rows stay in the cache while all lanes pass. The first lanes read them as they come from memory; the others fetch the
 * `more` rows that follow, each some columns of them. */
TARGET static void NAME(lane_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n,
                                     int64_t more, const int32_t *cols, int64_t d, const float *x, float *out,
                                     int64_t ld)
{
    float packed[PACKED_COLUMNS * LANE_BLOCKS * SLIDE_LANES];
    int64_t blocks = ld / SLIDE_LANES, others = (blocks - 1) / LANE_BLOCKS, first = 0;
    do {
        int64_t columns = d - first < PACKED_COLUMNS ? d - first : PACKED_COLUMNS;
        int64_t share = others ? (columns / 16 + others - 1) / others * 16 : 0;
        PASS pass = {.W = cols ? W : W + first, .stride = stride, .bias = bias, .ids = ids, .n = n, .ld = ld};
        pass.cols = cols ? cols + first : NULL, pass.d = columns, pass.onto_out = first > 0;
        for (int64_t b = 0; b < blocks; b += LANE_BLOCKS) {
            int wide = LANE_BLOCKS > 1 && b + LANE_BLOCKS <= blocks;
            pass.x = x + first * ld + b * SLIDE_LANES, pass.out = out + b * SLIDE_LANES;
            if (ld > SLIDE_LANES) {
                NAME(pack)(pass.x, columns, ld, wide ? LANE_BLOCKS * PARTS : PARTS, packed);
                pass.x = packed;
            }
            pass.from = (b / LANE_BLOCKS - 1) * share, pass.to = more ? pass.from + share : 0;
            pass.distance = n, pass.left = n + more;
            if (b == 0) pass.from = 0, pass.to = columns, pass.distance = ROWS_AHEAD, pass.left = n;
            (wide ? NAME(wide_logits_pass) : NAME(logits_pass))(pass);
        }
        first += PACKED_COLUMNS;
    } while (first < d);
}

/* dx of COUNT columns, DX_COLUMNS at most, from j on; their weights are at row[a][COLUMN(i)] of the m rows of a tile.
 */
#define ADD_ROWS(COUNT, COLUMN)                                                                   \
    do {                                                                                          \
        V sum[DX_COLUMNS][LANE_BLOCKS * PARTS];                                                   \
        for (int i = 0; i < COUNT; i++)                                                           \
            for (int q = 0; q < parts; q++) sum[i][q] = load(dx + ((j + i) * parts + q) * WIDTH); \
        for (int64_t a = 0; a < m; a++) {                                                         \
            const float *w = row[a];                                                              \
            V part[LANE_BLOCKS * PARTS];                                                          \
            for (int q = 0; q < parts; q++) part[q] = load(delta + (a * parts + q) * WIDTH);      \
            for (int i = 0; i < COUNT; i++)                                                       \
                for (int q = 0; q < parts; q++) sum[i][q] += w[COLUMN(i)] * part[q];              \
        }                                                                                         \
        for (int i = 0; i < COUNT; i++)                                                           \
            for (int q = 0; q < parts; q++) store(dx + ((j + i) * parts + q) * WIDTH, sum[i][q]); \
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
            for (int64_t i = 0; i < d; i += 16) slide_prefetch_read_l2(ahead[fetched] + i);
        ADD_ROWS(at_once, IN_ORDER);
    }
    for (; j < d; j++) ADD_ROWS(1, IN_ORDER);
}

TARGET static void NAME(gradient_tile)(const float *const *row, int64_t m, const int32_t *cols, int64_t d,
                                       const float *delta, float *dx, const float *const *ahead, int64_t count)
{
    NAME(gradient_parts)(PARTS, DX_COLUMNS, row, m, cols, d, delta, dx, ahead, count);
}

/* The same for LANE_BLOCKS blocks of lanes. */
TARGET static void NAME(wide_gradient_tile)(const float *const *row, int64_t m, const int32_t *cols, int64_t d,
                                            const float *delta, float *dx, const float *const *ahead, int64_t count)
{
    NAME(gradient_parts)(LANE_BLOCKS * PARTS, DX_COLUMNS / LANE_BLOCKS, row, m, cols, d, delta, dx, ahead, count);
}

/* Rows come in tiles that stay in the second-level cache while all lanes pass, and of these in tiles of L1_ROWS in the
 * first while all columns do; the next rows are fetched meanwhile. The sums of a tile are packed. */
TARGET static void NAME(lane_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n,
                                             int64_t more, const int32_t *cols, int64_t d, const float *delta,
                                             float *dx, int64_t ld)
{
    float packed[L1_ROWS * LANE_BLOCKS * SLIDE_LANES], sums[PACKED_COLUMNS * LANE_BLOCKS * SLIDE_LANES];
    const float *row[SLIDE_TILE_ROWS], *next[SLIDE_TILE_ROWS];
    int64_t tile = ld > SLIDE_LANES ? SLIDE_TILE_ROWS : L1_ROWS, blocks = ld / SLIDE_LANES;
    int64_t turns = (blocks + LANE_BLOCKS - 1) / LANE_BLOCKS * (tile / L1_ROWS), share = (tile + turns - 1) / turns;
    for (int64_t first = 0; first < d; first += PACKED_COLUMNS) {
        int64_t columns = d - first < PACKED_COLUMNS ? d - first : PACKED_COLUMNS;
        const float *w = cols ? W : W + first;
        const int32_t *tile_cols = cols ? cols + first : NULL;
        for (int64_t k = 0; k < tile && k < n; k++) next[k] = w + ids[k] * stride;
        for (int64_t low = 0; low < n; low += tile) {
            int64_t m = n - low < tile ? n - low : tile, rest = n + more - low - m, at = 0;
            rest = rest < tile ? rest : tile;
            for (int64_t k = 0; k < m; k++) row[k] = next[k];
            for (int64_t k = 0; k < rest; k++) next[k] = w + ids[low + tile + k] * stride;
            for (int64_t b = 0; b < blocks; b += LANE_BLOCKS) {
                int wide = LANE_BLOCKS > 1 && b + LANE_BLOCKS <= blocks, parts = wide ? LANE_BLOCKS * PARTS : PARTS;
                int64_t lane = b * SLIDE_LANES;
                memset(sums, 0, columns * parts * WIDTH * sizeof(float));
                for (int64_t a = 0; a < m; a += L1_ROWS, at += share) {
                    int64_t some = m - a < L1_ROWS ? m - a : L1_ROWS, count = rest - at < share ? rest - at : share;
                    NAME(pack)(delta + (low + a) * ld + lane, some, ld, parts, packed);
                    (wide ? NAME(wide_gradient_tile) : NAME(gradient_tile))(row + a, some, tile_cols, columns, packed,
                                                                            sums, next + at, count);
                }
                for (int64_t j = 0; j < columns; j++)
                    for (int q = 0; q < parts; q++) {
                        float *out = dx + (first + j) * ld + lane + q * WIDTH;
                        store(out, load(out) + load(sums + (j * parts + q) * WIDTH));
                    }
            }
        }
    }
}

#undef ADD_COLUMN
#undef ADD_ROWS
#undef IN_ORDER
#undef BY_COLUMN
#undef L1_ROWS
#undef PACKED_COLUMNS
#undef PASS
