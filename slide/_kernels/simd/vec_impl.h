/* Instantiates vec_template.h for every instruction set that this compiler can make, and chooses at run time. */
#ifndef SLIDE_VEC_IMPL_H
#define SLIDE_VEC_IMPL_H
#include <math.h>
#include <string.h>
#include "vec_ops.h"

#define AHEAD 16 /* rows of the next blocks to prefetch: far enough for memory, near enough for the L2 cache */
#define SAMPLES 128 /* whose columns rows_gradient packs together */
#define STAY 32  /* rows of lane_input_gradient that stay in the first-level cache together */
#define DEPTH 256 /* columns of the inputs, packed, that do */
#define TOGETHER 4 /* rows that a softmax takes at once */
typedef uint32_t slide_bits __attribute__((may_alias));             /* the bits of a float */
typedef int32_t slide_pair __attribute__((may_alias, aligned(2)));  /* two bfloat16 side by side */

static inline float slide_wide(uint16_t half)
{
    union { uint32_t i; float f; } x = {.i = (uint32_t)half << 16};
    return x.f;
}

static inline uint32_t slide_bits_of(float f)
{
    union { float f; uint32_t i; } x = {.f = f};
    return x.i;
}

/* Place j of a stream of 64 bits has the counter low half + j * SLIDE_COUNT and the key high half, and 32 random bits:
 * the mixer is Wellons' lowbias32 (2018), the key joins between its rounds. */
#define SLIDE_COUNT 0x9E3779B9u
static inline uint32_t slide_mix_bits(uint32_t counter, uint32_t key)
{
    uint32_t x = (counter ^ (counter >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15) ^ key) * 0x846CA68Bu;
    return x ^ (x >> 16);
}

/* The stream whose place 0 is place j of this one. */
static inline uint64_t slide_stream_from(uint64_t stream, int64_t j)
{
    return (stream & 0xFFFFFFFF00000000u) | (uint32_t)((uint32_t)stream + (uint32_t)j * SLIDE_COUNT);
}

/* The upper half of x + added; a NaN must not be carried into infinity. */
static inline uint16_t slide_upper_half(uint32_t x, uint32_t added)
{
    return (x & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0 : (uint16_t)((x + added) >> 16);
}

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define STRING_(x) #x
#define STRING(x) STRING_(x)

#define SET plain
#define NAME(f) f##_plain
#define TARGET
#define WIDTH 4
#define ROWS 2
#define COLS 2
#define BLOCKS 1
#define SIDE 4
#define TILE 6
#include "vec_template.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SLIDE_X86 1
#include <immintrin.h>
#define SET avx2
#define NAME(f) f##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define WIDTH 8
#define ROWS 4
#define COLS 4
#define BLOCKS 1
#define SIDE 4
#define RECIPROCAL_ROOT(x) ((V)_mm256_rsqrt_ps((__m256)(x)))
#define RECIPROCAL(x) ((V)_mm256_rcp_ps((__m256)(x)))
#define TILE 6
#include "vec_template.h"

#define SET avx512
#define NAME(f) f##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")))
#define WIDTH 16
#define ROWS 8
#define COLS 16
#define BLOCKS 2
#define SIDE 8
#define RECIPROCAL_ROOT(x) ((V)_mm512_rsqrt14_ps((__m512)(x)))
#define RECIPROCAL(x) ((V)_mm512_rcp14_ps((__m512)(x)))
#define TILE 12
#include "vec_template.h"

#if __GNUC__ >= 10 || defined(__clang__)
#define SLIDE_BF16 1
#define NAME(f) f##_avx512bf16
#define TARGET __attribute__((target("avx512bf16,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#define DOT(sum, w, x) ((dot_floats_avx512bf16)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(w), (__m512bh)(x)))
#include "bfloat16_dot.h"
static slide_vec_ops ops_avx512bf16; /* those of avx512 but for one: see slide_find_ops */
#endif
#endif

#if defined(__aarch64__) && defined(__GNUC__)
#define SLIDE_ARM64 1
/* Every arm64 processor has NEON, so plain is NEON too: this set makes use of all its 32 registers. */
#define SET neon
#define NAME(f) f##_neon
#define TARGET
#define WIDTH 4
#define ROWS 4
#define COLS 4
#define BLOCKS 1
#define SIDE 4
#define TILE 12
#include "vec_template.h"
#endif

/* The table of that name, NULL where this build or this processor does not have it. */
static const slide_vec_ops *slide_find_ops(const char *name)
{
#ifdef SLIDE_X86
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#ifdef SLIDE_BF16
    if (strcmp(name, "avx512bf16") == 0 && avx512 && __builtin_cpu_supports("avx512bf16")) {
        ops_avx512bf16 = ops_avx512;
        ops_avx512bf16.name = "avx512bf16";
        ops_avx512bf16.lane_logits_bfloat16 = lane_logits_dot_avx512bf16;
        return &ops_avx512bf16;
    }
#endif
    if (strcmp(name, "avx512") == 0 && avx512) return &ops_avx512;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &ops_avx2;
#endif
#ifdef SLIDE_ARM64
    if (strcmp(name, "neon") == 0) return &ops_neon;
#endif
    return strcmp(name, "plain") == 0 ? &ops_plain : 0;
}

#endif
