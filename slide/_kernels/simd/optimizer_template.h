/* The optimizer on the weights of a row; included by vec_template.h. */
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
        slide_prefetch_write_l2(next_w + j);
        slide_prefetch_write_l2(next_m + j);
        slide_prefetch_write_l2(next_v + j);
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
