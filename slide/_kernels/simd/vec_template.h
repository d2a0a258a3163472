/* The operations of vec_ops.h for one instruction set. The includer defines
 *   NAME(f)  the name of function f in this set,    TARGET  its target attribute,
 *   WIDTH    floats in a register,
 *   ROWS     weight rows in flight in lane_logits,  COLS    columns in flight in lane_input_gradient,
 *   BLOCKS   lane blocks in flight in lane_logits,  SIDE    rows in flight in rows_gradient,
 *   RECIPROCAL_ROOT, RECIPROCAL   where it has them, to 12 bits or more,
 *   TILE     rows of a tile of products_template.h: 2 * TILE sums, two of the panel and one more fill the registers.
 * Vectors are GCC vector extensions of one register each, so the same source serves every set.
 */
#define V NAME(floats)
#define VI NAME(ints)
#define PARTS (SLIDE_LANES / WIDTH) /* registers that hold the lanes of a group */
#define load(p) (*(const NAME(floats_unaligned) *)(p))
#define store(p, value) (*(NAME(floats_unaligned) *)(p) = (value))
#define splat(c) ((V){0} + (c))
#define choose(k, a, b) ((V)(((VI)(a) & (k)) | ((VI)(b) & ~(k))))
#define larger(a, b) choose((a) > (b), a, b)
#define smaller(a, b) choose((a) < (b), a, b)

typedef float V __attribute__((vector_size(4 * WIDTH)));
typedef int32_t VI __attribute__((vector_size(4 * WIDTH)));
typedef float NAME(floats_unaligned) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

TARGET static inline V NAME(exp_)(V x)
{
    /* exp(x) = 2^n * e^r, |r| <= ln(2)/2; Taylor to degree 7 keeps the relative error near 1 ulp. */
    x = larger(x, splat(-87.0f));
    x = smaller(x, splat(88.0f));
    V t = x * 1.44269504088896341f + splat(12582912.0f); /* rounds to an integer in the low mantissa bits */
    V n = t - splat(12582912.0f);
    V r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    V p = splat(1.9841270e-4f);
    p = p * r + splat(1.3888889e-3f);
    p = p * r + splat(8.3333333e-3f);
    p = p * r + splat(4.1666667e-2f);
    p = p * r + splat(1.6666667e-1f);
    p = p * r + splat(5.0e-1f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    VI e = __builtin_convertvector(n, VI);
    union { VI i; V f; } scale = {.i = (e + 127) << 23};
    return p * scale.f;
}

#include "lanes_template.h"

TARGET static inline float NAME(dot)(const float *w, const int32_t *cols, const float *x, int64_t d)
{
    int64_t j = 0;
    float tail = 0.0f;
    V sum = splat(0.0f), sum2 = splat(0.0f);
    if (cols) {
        for (; j < d; j++) tail += w[cols[j]] * x[j];
        return tail;
    }
    for (; j + 2 * WIDTH <= d; j += 2 * WIDTH) {
        sum += load(w + j) * load(x + j);
        sum2 += load(w + j + WIDTH) * load(x + j + WIDTH);
    }
    for (; j < d; j++) tail += w[j] * x[j];
    sum += sum2;
    for (int i = 0; i < WIDTH; i++) tail += sum[i];
    return tail;
}

TARGET static float NAME(row_bound)(const float *w, const float *mean, const float *variance, int64_t d, float errors)
{
    V first = splat(0.0f), second = splat(0.0f);
    float middle = 0.0f, spread = 0.0f;
    int64_t j = 0;
    for (; j + WIDTH <= d; j += WIDTH) {
        V x = load(w + j);
        first += x * load(mean + j);
        second += x * x * load(variance + j);
    }
    for (; j < d; j++) {
        middle += w[j] * mean[j];
        spread += w[j] * w[j] * variance[j];
    }
    for (int i = 0; i < WIDTH; i++) {
        middle += first[i];
        spread += second[i];
    }
    return middle + errors * sqrtf(spread);
}

TARGET static void NAME(row_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids,
                                    int64_t n, const int32_t *cols, int64_t d, const float *x, float *out)
{
    for (int64_t a = 0; a < n; a++) {
        if (!cols && a + AHEAD < n)
            for (int64_t j = 0; j < d; j += 16) __builtin_prefetch(W + ids[a + AHEAD] * stride + j, 0, 2);
        out[a] = NAME(dot)(W + ids[a] * stride, cols, x, d) + (bias ? bias[ids[a]] : 0.0f);
    }
}

TARGET static void NAME(row_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n,
                                            const int32_t *cols, int64_t d, const float *delta, float *dx)
{
    for (int64_t a = 0; a < n; a++) {
        const float *w = W + ids[a] * stride;
        float c = delta[a];
        if (cols)
            for (int64_t j = 0; j < d; j++) dx[j] += c * w[cols[j]];
        else
            for (int64_t j = 0; j < d; j++) dx[j] += c * w[j];
    }
}

TARGET static float NAME(row_max)(const float *x, int64_t n)
{
    float top = -3.0e38f;
    int64_t j = 0;
    V most = splat(top);
    for (; j + WIDTH <= n; j += WIDTH) {
        V z = load(x + j);
        most = larger(z, most);
    }
    for (int i = 0; i < WIDTH; i++) top = most[i] > top ? most[i] : top;
    for (; j < n; j++) top = x[j] > top ? x[j] : top;
    return top;
}

TARGET static float NAME(row_exp)(float *x, int64_t n, float max)
{
    V total = splat(0.0f), shift = splat(max);
    int64_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH) {
        V e = NAME(exp_)(load(x + j) - shift);
        store(x + j, e);
        total += e;
    }
    float sum = 0.0f;
    if (j < n) {
        float rest[WIDTH] = {0};
        memcpy(rest, x + j, (n - j) * sizeof(float));
        store(rest, NAME(exp_)(load(rest) - shift));
        memcpy(x + j, rest, (n - j) * sizeof(float));
        for (int64_t i = 0; i < n - j; i++) sum += rest[i];
    }
    for (int i = 0; i < WIDTH; i++) sum += total[i];
    return sum;
}

#define STRIP (8 * WIDTH) /* columns whose sums stay in registers */

TARGET static void NAME(row_gradient)(const float *c, const float *x, int64_t m, int64_t d, float *g)
{
    int64_t j = 0;
    for (; j + STRIP <= d; j += STRIP) {
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

/* g (n x d, columns j on) += the gradients of up to SIDE rows by m samples, whose 2 WIDTH columns are packed; meanwhile
 * the lines are prefetched, one every other sample. */
TARGET static inline void NAME(gradient_strip)(const float *const *row, int n, const float *packed, int64_t m,
                                               int64_t d, float *g, const char *const *line)
{
    V sum[SIDE][2];
    for (int k = 0; k < SIDE; k++)
        for (int q = 0; q < 2; q++) sum[k][q] = load(g + (k < n ? k : n - 1) * d + q * WIDTH);
    for (int64_t s = 0; s < m; s++) {
        V x0 = load(packed + 2 * WIDTH * s), x1 = load(packed + 2 * WIDTH * s + WIDTH);
        __builtin_prefetch(line[s / 2], 1, 2);
        for (int k = 0; k < SIDE; k++) {
            sum[k][0] += row[k][s] * x0;
            sum[k][1] += row[k][s] * x1;
        }
    }
    for (int k = 0; k < SIDE && k < n; k++)
        for (int q = 0; q < 2; q++) store(g + k * d + q * WIDTH, sum[k][q]);
}

/* Columns of some samples are packed once for all rows: as they lie, a power of two apart, they would share few places
 * in the first-level cache. */
TARGET static void NAME(rows_gradient)(const float *const *c, int64_t n, const float *x, int64_t m, int64_t d,
                                       float *g, float *totals, slide_ahead *ahead)
{
    float packed[SAMPLES * 2 * WIDTH];
    const char *line[SAMPLES / 2];
    int64_t whole = d / (2 * WIDTH) * (2 * WIDTH);
    int64_t strips = (m + SAMPLES - 1) / SAMPLES * (whole / (2 * WIDTH)) * ((n + SIDE - 1) / SIDE);
    int64_t share = strips ? (ahead->lines + strips - 1) / strips : 0;
    for (int64_t k = 0; k < n; k++) totals[k] = NAME(total)(c[k], m);
    memset(g, 0, n * d * sizeof(float));
    if (n == 1) {
        slide_prefetch(ahead, ahead->lines);
        NAME(row_gradient)(c[0], x, m, d, g);
        return;
    }
    for (int64_t first = 0; first < m; first += SAMPLES) {
        int64_t some = m - first < SAMPLES ? m - first : SAMPLES;
        for (int64_t j = 0; j < whole; j += 2 * WIDTH) {
            for (int64_t s = 0; s < some; s++)
                for (int q = 0; q < 2; q++)
                    store(packed + (2 * s + q) * WIDTH, load(x + (first + s) * d + j + q * WIDTH));
            for (int64_t r = 0; r < n; r += SIDE) {
                const float *row[SIDE];
                int64_t count = slide_take_lines(ahead, share < SAMPLES / 2 ? share : SAMPLES / 2, line);
                for (; count < SAMPLES / 2; count++) line[count] = (const char *)packed;
                for (int k = 0; k < SIDE; k++) row[k] = c[r + k < n ? r + k : n - 1] + first;
                NAME(gradient_strip)(row, n - r < SIDE ? n - r : SIDE, packed, some, d, g + r * d + j, line);
            }
        }
    }
    for (int64_t j = whole; j < d; j++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t s = 0; s < m; s++) g[k * d + j] += c[k][s] * x[s * d + j];
    slide_prefetch(ahead, ahead->lines);
}

TARGET static void NAME(row_lookup)(const float *W, int64_t d, const int32_t *ids, const float *c, int64_t n,
                                    float *out)
{
    for (int64_t k = 0; k < n && k < AHEAD; k++)
        for (int64_t i = 0; i < d; i += 16) __builtin_prefetch(W + ids[k] * d + i, 0, 2);
    int64_t j = 0;
    for (; j + STRIP <= d; j += STRIP) {
        V sum[8];
        for (int i = 0; i < 8; i++) sum[i] = load(out + j + WIDTH * i);
        for (int64_t k = 0; k < n; k++) {
            const float *w = W + ids[k] * d + j;
            if (k + AHEAD < n)
                for (int i = 0; i < 8; i++) __builtin_prefetch(W + ids[k + AHEAD] * d + j + WIDTH * i, 0, 2);
            for (int i = 0; i < 8; i++) sum[i] += c[k] * load(w + WIDTH * i);
        }
        for (int i = 0; i < 8; i++) store(out + j + WIDTH * i, sum[i]);
    }
    for (int64_t k = 0; k < n && j < d; k++) {
        const float *w = W + ids[k] * d;
        for (int64_t i = j; i < d; i++) out[i] += c[k] * w[i];
    }
}

TARGET static inline void NAME(adam)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                                     int64_t n, const slide_adam *p)
{
    float lr = p->lr, b1 = p->beta1, b2 = p->beta2, eps = p->eps, keep = 1.0f - p->decay;
    int64_t j = 0;
#ifdef RECIPROCAL_ROOT
    /* Roots and quotients by one step of Newton's method from 12 bits or more: to 1 ulp, in a third of the time. The
     * root of what may be less than a normal number is taken of 2**60 times as much. */
    for (; j + WIDTH <= n; j += WIDTH) {
        V gj = load(g + j), mj = b1 * load(m + j) + (1.0f - b1) * gj, vj = b2 * load(v + j) + (1.0f - b2) * (gj * gj);
        store(m + j, mj);
        store(v + j, vj);
        VI tiny = vj < splat(1.0e-30f);
        V x = smaller(vj, splat(3.0e38f)) * choose(tiny, splat(0x1p60f), splat(1.0f));
        V y = RECIPROCAL_ROOT(x), root = x * y;
        root += 0.5f * y * (x - root * root);
        root *= choose(tiny, splat(0x1p-30f), splat(1.0f));
        root = choose(vj > splat(0.0f), root, splat(0.0f)) + eps;
        V inverse = RECIPROCAL(root);
        inverse *= 2.0f - root * inverse;
        store(w + j, keep * load(w + j) - lr * mj * inverse);
    }
#endif
    for (; j < n; j++) {
        float gj = g[j];
        float mj = b1 * m[j] + (1.0f - b1) * gj;
        float vj = b2 * v[j] + (1.0f - b2) * (gj * gj);
        m[j] = mj;
        v[j] = vj;
        w[j] = keep * w[j] - lr * mj / (sqrtf(vj) + eps);
    }
}

/* Adam leaves the memory idle while it takes roots: lines of the row at next_w, next_m and next_v come meanwhile. */
TARGET static void NAME(adam_ahead)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                                    int64_t n, const slide_adam *p, const float *next_w, const float *next_m,
                                    const float *next_v)
{
    int64_t j = 0;
    for (; j + 16 <= n; j += 16) {
        __builtin_prefetch(next_w + j, 1, 2);
        __builtin_prefetch(next_m + j, 1, 2);
        __builtin_prefetch(next_v + j, 1, 2);
        NAME(adam)(w + j, m + j, v + j, g + j, 16, p);
    }
    NAME(adam)(w + j, m + j, v + j, g + j, n - j, p);
}

TARGET static void NAME(sgd)(float *restrict w, const float *restrict g, int64_t n, float lr, float decay)
{
    for (int64_t j = 0; j < n; j++) w[j] = (1.0f - decay) * w[j] - lr * g[j];
}

TARGET static void NAME(scale)(float *x, int64_t n, float c)
{
    for (int64_t j = 0; j < n; j++) x[j] *= c;
}

#include "bfloat16_template.h"
#include "products_template.h"

static const slide_vec_ops NAME(ops) = {
    STRING(SET), NAME(lane_logits), NAME(lane_input_gradient), NAME(lane_exp), NAME(lane_deltas), NAME(row_bound),
    NAME(row_logits), NAME(row_input_gradient), NAME(row_max), NAME(row_exp), NAME(row_gradient),
    NAME(rows_gradient), NAME(row_lookup), NAME(adam), NAME(adam_ahead), NAME(sgd), NAME(scale),
    NAME(panel_product), NAME(panel_add_transposed), NAME(panel_exp), NAME(panel_deltas),
    NAME(widen), NAME(narrow), NAME(narrow_at_random),
    NAME(adam_bfloat16), NAME(adam_bfloat16_moments), 2 * WIDTH, 0,
};

#undef NAME
#undef TARGET
#undef ROWS
#undef COLS
#undef TILE
#undef BLOCKS
#undef SIDE
#undef RECIPROCAL_ROOT
#undef RECIPROCAL
#undef SET
#undef V
#undef VI
#undef PARTS
#undef load
#undef store
#undef splat
#undef choose
#undef larger
#undef smaller
#undef STRIP
#undef WIDTH
