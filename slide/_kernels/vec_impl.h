/* Instantiates vec_template.h for every instruction set that this compiler can make, and chooses at run time. */
#ifndef SLIDE_VEC_IMPL_H
#define SLIDE_VEC_IMPL_H
#include <math.h>
#include <string.h>
#include "vec_ops.h"

#define AHEAD 16 /* rows of the next blocks to prefetch: far enough for memory, near enough for the L2 cache */
#define STAY 32  /* rows of lane_input_gradient that stay in the first-level cache together */
#define STRING_(x) #x
#define STRING(x) STRING_(x)

#define SET plain
#define NAME(f) f##_plain
#define TARGET
#define WIDTH 4
#define ROWS 2
#define COLS 2
#define TILE 6
#include "vec_template.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SLIDE_X86 1
#define SET avx2
#define NAME(f) f##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define WIDTH 8
#define ROWS 4
#define COLS 4
#define TILE 6
#include "vec_template.h"

#define SET avx512
#define NAME(f) f##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")))
#define WIDTH 16
#define ROWS 8
#define COLS 16
#define TILE 12
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
