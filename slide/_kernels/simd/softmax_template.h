/* The exponential, and the softmax of a group's lanes, of one sample and of panels; included by vec_template.h. */
#define SOFTMAX_ROWS 4 /* rows that lane_exp takes at once */

TARGET static inline V NAME(exp)(V x)
{
    /* exp(x) = 2^n * e^r, |r| <= ln(2)/2; Taylor to degree 7 keeps the relative error near 1 ulp. */
    x = larger(splat(-87.0f), x); /* in this order NaN stays NaN */
    x = smaller(splat(88.0f), x);
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
    union {
        VI i;
        V f;
    } scale = {.i = (e + 127) << 23};
    return p * scale.f;
}

/* Rows pass one after the other with all their lanes: lane by lane, they would share few places in a cache. */
TARGET static void NAME(lane_exp)(float *x, int64_t ld, int64_t n, int64_t lanes, const float *weights, float *max,
                                  float *sum)
{
    for (int64_t s = 0; s < lanes; s++) max[s] = -3.0e38f, sum[s] = 0.0f;
    for (int64_t a = 0; a < n; a += SOFTMAX_ROWS) {
        int64_t m = n - a < SOFTMAX_ROWS ? n - a : SOFTMAX_ROWS;
        for (int64_t s = 0; s < lanes; s += WIDTH) {
            V top = load(max + s);
            for (int64_t k = 0; k < m; k++) {
                V z = load(x + (a + k) * ld + s);
                top = larger(z, top);
            }
            store(max + s, top);
        }
    }
    for (int64_t a = 0; a < n; a += SOFTMAX_ROWS) {
        int64_t m = n - a < SOFTMAX_ROWS ? n - a : SOFTMAX_ROWS;
        for (int64_t s = 0; s < lanes; s += WIDTH) {
            V top = load(max + s), total = load(sum + s);
            for (int64_t k = 0; k < m; k++) {
                float *z = x + (a + k) * ld + s;
                V e = NAME(exp)(load(z) - top);
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
        V e = NAME(exp)(load(x + j) - shift);
        store(x + j, e);
        total += e;
    }
    float sum = 0.0f;
    if (j < n) {
        float rest[WIDTH] = {0};
        memcpy(rest, x + j, (n - j) * sizeof(float));
        store(rest, NAME(exp)(load(rest) - shift));
        memcpy(x + j, rest, (n - j) * sizeof(float));
        for (int64_t i = 0; i < n - j; i++) sum += rest[i];
    }
    for (int i = 0; i < WIDTH; i++) sum += total[i];
    return sum;
}

TARGET static void NAME(panel_exp)(float *x, int64_t ldx, int64_t m, const float *top, float *sum)
{
    V t0 = load(top), t1 = load(top + WIDTH), s0 = splat(0.0f), s1 = splat(0.0f);
    for (int64_t r = 0; r < m; r++) {
        V e0 = NAME(exp)(load(x + r * ldx) - t0), e1 = NAME(exp)(load(x + r * ldx + WIDTH) - t1);
        store(x + r * ldx, e0);
        store(x + r * ldx + WIDTH, e1);
        s0 += e0;
        s1 += e1;
    }
    store(sum, s0);
    store(sum + WIDTH, s1);
}

TARGET static void NAME(panel_deltas)(float *z, int64_t ldz, int64_t m, int64_t n, const float *factor,
                                      const float *even, float *sum)
{
    for (int64_t r = 0; r < m; r++) {
        float *row = z + r * ldz;
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

#undef SOFTMAX_ROWS
