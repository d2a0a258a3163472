/* The operations of vec_ops.h for one instruction set. The includer defines
 *   NAME(f)  the name of function f in this set,   TARGET  its target attribute,
 *   ROWS     weight rows in flight in lane_logits, COLS    columns in flight in lane_input_gradient.
 * Vectors of 16 floats are GCC vector extensions: one AVX-512 register, two of AVX2, four of SSE or NEON.
 */

TARGET static inline v16 NAME(exp16)(v16 x)
{
    /* exp(x) = 2^n * e^r, |r| <= ln(2)/2; Taylor to degree 7 keeps the relative error near 1 ulp. */
    v16 lo = splat(-87.0f), hi = splat(88.0f);
    x = larger(x, lo);
    x = smaller(x, hi);
    v16 t = x * 1.44269504088896341f + splat(12582912.0f); /* rounds to an integer in the low mantissa bits */
    v16 n = t - splat(12582912.0f);
    v16 r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    v16 p = splat(1.9841270e-4f);
    p = p * r + splat(1.3888889e-3f);
    p = p * r + splat(8.3333333e-3f);
    p = p * r + splat(4.1666667e-2f);
    p = p * r + splat(1.6666667e-1f);
    p = p * r + splat(5.0e-1f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    i16 e = __builtin_convertvector(n, i16);
    union { i16 i; v16 f; } scale = {.i = (e + 127) << 23};
    return p * scale.f;
}

TARGET static void NAME(lane_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids,
                                     int64_t n, const int32_t *cols, int64_t d, const float *x, float *out,
                                     int64_t ld)
{
    const float *row[ROWS], *ahead[ROWS];
    for (int64_t a = 0; a < n; a += ROWS) {
        v16 sum[ROWS];
        for (int k = 0; k < ROWS; k++) {
            int64_t here = a + k < n ? a + k : n - 1, next = a + AHEAD + k < n ? a + AHEAD + k : n - 1;
            row[k] = W + ids[here] * stride;
            ahead[k] = W + ids[next] * stride;
            sum[k] = splat(bias ? bias[ids[here]] : 0.0f);
        }
        if (cols) {
            for (int64_t j = 0; j < d; j++) {
                v16 xj = load16(x + j * ld);
                int64_t c = cols[j];
                for (int k = 0; k < ROWS; k++) sum[k] += row[k][c] * xj;
            }
        } else {
            int64_t j = 0;
            for (; j + 16 <= d; j += 16) {
                for (int k = 0; k < ROWS; k++) __builtin_prefetch(ahead[k] + j, 0, 2);
                for (int i = 0; i < 16; i++) {
                    v16 xj = load16(x + (j + i) * ld);
                    for (int k = 0; k < ROWS; k++) sum[k] += row[k][j + i] * xj;
                }
            }
            for (; j < d; j++) {
                v16 xj = load16(x + j * ld);
                for (int k = 0; k < ROWS; k++) sum[k] += row[k][j] * xj;
            }
        }
        for (int k = 0; k < ROWS && a + k < n; k++) store16(out + (a + k) * ld, sum[k]);
    }
}

TARGET static void NAME(lane_input_gradient)(const float *W, int64_t stride, const int32_t *ids, int64_t n,
                                             const int32_t *cols, int64_t d, const float *delta, float *dx,
                                             int64_t ld)
{
    int64_t j = 0;
    for (; j + COLS <= d; j += COLS) {
        v16 sum[COLS];
        for (int i = 0; i < COLS; i++) sum[i] = load16(dx + (j + i) * ld);
        if (cols) {
            for (int64_t a = 0; a < n; a++) {
                const float *w = W + ids[a] * stride;
                v16 da = load16(delta + a * ld);
                for (int i = 0; i < COLS; i++) sum[i] += w[cols[j + i]] * da;
            }
        } else {
            for (int64_t a = 0; a < n; a++) {
                const float *w = W + ids[a] * stride + j;
                v16 da = load16(delta + a * ld);
                for (int i = 0; i < COLS; i++) sum[i] += w[i] * da;
            }
        }
        for (int i = 0; i < COLS; i++) store16(dx + (j + i) * ld, sum[i]);
    }
    for (; j < d; j++) {
        int64_t c = cols ? cols[j] : j;
        v16 sum = load16(dx + j * ld);
        for (int64_t a = 0; a < n; a++) sum += W[ids[a] * stride + c] * load16(delta + a * ld);
        store16(dx + j * ld, sum);
    }
}

TARGET static void NAME(lane_exp)(float *x, int64_t ld, int64_t n, float *max, float *sum)
{
    v16 top = splat(-3.0e38f), total = splat(0.0f);
    for (int64_t a = 0; a < n; a++) {
        v16 z = load16(x + a * ld);
        top = larger(z, top);
    }
    for (int64_t a = 0; a < n; a++) {
        v16 e = NAME(exp16)(load16(x + a * ld) - top);
        store16(x + a * ld, e);
        total += e;
    }
    store16(max, top);
    store16(sum, total);
}

TARGET static inline float NAME(dot)(const float *w, const int32_t *cols, const float *x, int64_t d)
{
    int64_t j = 0;
    float tail = 0.0f;
    v16 sum = splat(0.0f), sum2 = splat(0.0f);
    if (cols) {
        for (; j < d; j++) tail += w[cols[j]] * x[j];
        return tail;
    }
    for (; j + 32 <= d; j += 32) {
        sum += load16(w + j) * load16(x + j);
        sum2 += load16(w + j + 16) * load16(x + j + 16);
    }
    for (; j < d; j++) tail += w[j] * x[j];
    sum += sum2;
    for (int i = 0; i < 16; i++) tail += sum[i];
    return tail;
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
    v16 most = splat(top);
    for (; j + 16 <= n; j += 16) {
        v16 z = load16(x + j);
        most = larger(z, most);
    }
    for (int i = 0; i < 16; i++) top = most[i] > top ? most[i] : top;
    for (; j < n; j++) top = x[j] > top ? x[j] : top;
    return top;
}

TARGET static float NAME(row_exp)(float *x, int64_t n, float max)
{
    v16 total = splat(0.0f), shift = splat(max);
    int64_t j = 0;
    for (; j + 16 <= n; j += 16) {
        v16 e = NAME(exp16)(load16(x + j) - shift);
        store16(x + j, e);
        total += e;
    }
    if (j < n) {
        float rest[16] = {0};
        for (int64_t i = j; i < n; i++) rest[i - j] = x[i];
        v16 e = NAME(exp16)(load16(rest) - shift);
        store16(rest, e);
        for (int64_t i = j; i < n; i++) {
            x[i] = rest[i - j];
            total[0] += rest[i - j];
        }
    }
    float sum = 0.0f;
    for (int i = 0; i < 16; i++) sum += total[i];
    return sum;
}

TARGET static void NAME(row_gradient)(const float *c, const float *x, int64_t m, int64_t d, float *g)
{
    int64_t j = 0;
    for (; j + 128 <= d; j += 128) {
        v16 sum[8];
        for (int i = 0; i < 8; i++) sum[i] = load16(g + j + 16 * i);
        for (int64_t s = 0; s < m; s++)
            for (int i = 0; i < 8; i++) sum[i] += c[s] * load16(x + s * d + j + 16 * i);
        for (int i = 0; i < 8; i++) store16(g + j + 16 * i, sum[i]);
    }
    for (int64_t s = 0; s < m && j < d; s++) {
        const float *xs = x + s * d;
        for (int64_t i = j; i < d; i++) g[i] += c[s] * xs[i];
    }
}

TARGET static void NAME(row_lookup)(const float *W, int64_t d, const int32_t *ids, const float *c, int64_t n,
                                    float *out)
{
    for (int64_t k = 0; k < n && k < AHEAD; k++)
        for (int64_t i = 0; i < d; i += 16) __builtin_prefetch(W + ids[k] * d + i, 0, 2);
    int64_t j = 0;
    for (; j + 128 <= d; j += 128) {
        v16 sum[8];
        for (int i = 0; i < 8; i++) sum[i] = load16(out + j + 16 * i);
        for (int64_t k = 0; k < n; k++) {
            const float *w = W + ids[k] * d + j;
            if (k + AHEAD < n)
                for (int i = 0; i < 8; i++) __builtin_prefetch(W + ids[k + AHEAD] * d + j + 16 * i, 0, 2);
            for (int i = 0; i < 8; i++) sum[i] += c[k] * load16(w + 16 * i);
        }
        for (int i = 0; i < 8; i++) store16(out + j + 16 * i, sum[i]);
    }
    for (int64_t k = 0; k < n && j < d; k++) {
        const float *w = W + ids[k] * d;
        for (int64_t i = j; i < d; i++) out[i] += c[k] * w[i];
    }
}

TARGET static void NAME(adam)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                              int64_t n, const slide_adam *p)
{
    float lr = p->lr, b1 = p->beta1, b2 = p->beta2, eps = p->eps, keep = 1.0f - p->decay;
    for (int64_t j = 0; j < n; j++) {
        float gj = g[j];
        float mj = b1 * m[j] + (1.0f - b1) * gj;
        float vj = b2 * v[j] + (1.0f - b2) * (gj * gj);
        m[j] = mj;
        v[j] = vj;
        w[j] = keep * w[j] - lr * mj / (sqrtf(vj) + eps);
    }
}

TARGET static void NAME(sgd)(float *restrict w, const float *restrict g, int64_t n, float lr, float decay)
{
    for (int64_t j = 0; j < n; j++) w[j] = (1.0f - decay) * w[j] - lr * g[j];
}

TARGET static void NAME(scale)(float *x, int64_t n, float c)
{
    for (int64_t j = 0; j < n; j++) x[j] *= c;
}

static const slide_vec_ops NAME(ops) = {
    STRING(SET), NAME(lane_logits), NAME(lane_input_gradient), NAME(lane_exp), NAME(row_logits),
    NAME(row_input_gradient), NAME(row_max), NAME(row_exp), NAME(row_gradient), NAME(row_lookup), NAME(adam), NAME(sgd), NAME(scale),
};

#undef NAME
#undef TARGET
#undef ROWS
#undef COLS
#undef SET
