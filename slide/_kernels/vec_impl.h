/* Instantiates vec_template.h for every instruction set that this compiler can make, and chooses at run time. */
#ifndef SLIDE_VEC_IMPL_H
#define SLIDE_VEC_IMPL_H
#include <math.h>
#include <string.h>
#include "vec_ops.h"

#define AHEAD 16 /* rows of the next blocks to prefetch: far enough for memory, near enough for the L2 cache */
#define STRING_(x) #x
#define STRING(x) STRING_(x)

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef float v16_unaligned __attribute__((vector_size(64), aligned(4), may_alias));

/* Macros rather than functions: a function would be compiled for the baseline, not for its caller's target. */
#define load16(p) (*(const v16_unaligned *)(p))
#define store16(p, value) (*(v16_unaligned *)(p) = (value))
#define splat(c) ((v16){0} + (c))
#define choose(k, a, b) ((v16)(((i16)(a) & (k)) | ((i16)(b) & ~(k))))
#define larger(a, b) choose((a) > (b), a, b)
#define smaller(a, b) choose((a) < (b), a, b)

#define SET plain
#define NAME(f) f##_plain
#define TARGET
#define ROWS 2
#define COLS 2
#include "vec_template.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SLIDE_X86 1
#define SET avx2
#define NAME(f) f##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define ROWS 4
#define COLS 4
#include "vec_template.h"

#define SET avx512
#define NAME(f) f##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")))
#define ROWS 8
#define COLS 16
#include "vec_template.h"
#endif

/* The table of that name, NULL where this build or this processor does not have it. */
static const slide_vec_ops *slide_find_ops(const char *name)
{
#ifdef SLIDE_X86
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return &ops_avx512;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &ops_avx2;
#endif
    return strcmp(name, "plain") == 0 ? &ops_plain : 0;
}

#endif
