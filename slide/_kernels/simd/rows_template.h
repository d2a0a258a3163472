/* Forward and backward of one sample, and sums and bounds of rows; included by vec_template.h. */

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

TARGET static void NAME(row_logits)(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n,
                                    const int32_t *cols, int64_t d, const float *x, float *out)
{
    for (int64_t a = 0; a < n; a++) {
        if (!cols && a + ROWS_AHEAD < n)
            for (int64_t j = 0; j < d; j += 16) slide_prefetch_read_l2(W + ids[a + ROWS_AHEAD] * stride + j);
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

TARGET static void NAME(row_lookup)(const float *W, int64_t d, const int32_t *ids, const float *c, int64_t n,
                                    float *out)
{
    for (int64_t k = 0; k < n && k < ROWS_AHEAD; k++)
        for (int64_t i = 0; i < d; i += 16) slide_prefetch_read_l2(W + ids[k] * d + i);
    int64_t j = 0;
    for (; j + STRIP_COLUMNS <= d; j += STRIP_COLUMNS) {
        V sum[8];
        for (int i = 0; i < 8; i++) sum[i] = load(out + j + WIDTH * i);
        for (int64_t k = 0; k < n; k++) {
            const float *w = W + ids[k] * d + j;
            if (k + ROWS_AHEAD < n)
                for (int i = 0; i < 8; i++) slide_prefetch_read_l2(W + ids[k + ROWS_AHEAD] * d + j + WIDTH * i);
            for (int i = 0; i < 8; i++) sum[i] += c[k] * load(w + WIDTH * i);
        }
        for (int i = 0; i < 8; i++) store(out + j + WIDTH * i, sum[i]);
    }
    for (int64_t k = 0; k < n && j < d; k++) {
        const float *w = W + ids[k] * d;
        for (int64_t i = j; i < d; i++) out[i] += c[k] * w[i];
    }
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
