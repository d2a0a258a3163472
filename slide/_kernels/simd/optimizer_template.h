/* The optimizer on the weights of a row; included by vec_template.h. */
#ifdef RECIPROCAL_ROOT
/* One step of Adam, WIDTH weights side by side. Roots and quotients by one step of Newton's method from 12 bits or
 * more: to 1 ulp, in a third of the time. The root of what may be less than a normal number is taken of 2**60 times as
 * much. */
TARGET static inline void NAME(adam_step)(V *w, V *m, V *v, V g, const slide_adam *p)
{
    *m = p->beta1 * *m + (1.0f - p->beta1) * g;
    *v = p->beta2 * *v + (1.0f - p->beta2) * (g * g);
    VI tiny = *v < splat(1.0e-30f);
    V x = smaller(*v, splat(3.0e38f)) * choose(tiny, splat(0x1p60f), splat(1.0f));
    V y = RECIPROCAL_ROOT(x), root = x * y;
    root += 0.5f * y * (x - root * root);
    root *= choose(tiny, splat(0x1p-30f), splat(1.0f));
    root = choose(*v > splat(0.0f), root, splat(0.0f)) + p->eps;
    V inverse = RECIPROCAL(root);
    inverse *= 2.0f - root * inverse;
    *w = (1.0f - p->decay) * *w - p->lr * *m * inverse;
}
#endif

TARGET static inline void NAME(adam_weight)(float *w, float *m, float *v, float g, const slide_adam *p)
{
    *m = p->beta1 * *m + (1.0f - p->beta1) * g;
    *v = p->beta2 * *v + (1.0f - p->beta2) * (g * g);
    *w = (1.0f - p->decay) * *w - p->lr * *m / (sqrtf(*v) + p->eps);
}

#ifdef RECIPROCAL_ROOT
/* The same of fewer than WIDTH weights. */
TARGET static inline void NAME(adam_rest)(float *restrict w, float *restrict m, float *restrict v,
                                          const float *restrict g, int64_t n, const slide_adam *p)
{
    float of[4][WIDTH] = {{0.0f}};
    for (int64_t j = 0; j < n; j++) of[0][j] = w[j], of[1][j] = m[j], of[2][j] = v[j], of[3][j] = g[j];
    V wj = load(of[0]), mj = load(of[1]), vj = load(of[2]);
    NAME(adam_step)(&wj, &mj, &vj, load(of[3]), p);
    for (int64_t j = 0; j < n; j++) w[j] = wj[j], m[j] = mj[j], v[j] = vj[j];
}
#endif

TARGET static inline void NAME(adam)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                                     int64_t n, const slide_adam *p)
{
    int64_t j = 0;
#ifdef RECIPROCAL_ROOT
    for (; j + WIDTH <= n; j += WIDTH) {
        V wj = load(w + j), mj = load(m + j), vj = load(v + j);
        NAME(adam_step)(&wj, &mj, &vj, load(g + j), p);
        store(m + j, mj);
        store(v + j, vj);
        store(w + j, wj);
    }
    if (n - j > 2) { /* of one or two, as a bias is, copies would be the larger part */
        NAME(adam_rest)(w + j, m + j, v + j, g + j, n - j, p);
        return;
    }
#endif
    for (; j < n; j++) NAME(adam_weight)(w + j, m + j, v + j, g[j], p);
}

TARGET static void NAME(adam_where)(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                                    const float *restrict where, int64_t n, const slide_adam *p)
{
    int64_t j = 0;
#ifdef RECIPROCAL_ROOT
    for (; j + WIDTH <= n; j += WIDTH) {
        VI on = load(where + j) > splat(0.0f);
        V w0 = load(w + j), m0 = load(m + j), v0 = load(v + j), wj = w0, mj = m0, vj = v0;
        NAME(adam_step)(&wj, &mj, &vj, load(g + j), p);
        store(m + j, choose(on, mj, m0));
        store(v + j, choose(on, vj, v0));
        store(w + j, choose(on, wj, w0));
    }
#endif
    for (; j < n; j++)
        if (where[j] > 0.0f) NAME(adam_weight)(w + j, m + j, v + j, g[j], p);
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
