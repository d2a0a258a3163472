/* The instruction sets that this compiler can make, and the choice between them at run time. */
#ifndef SLIDE_VEC_SETS_H
#define SLIDE_VEC_SETS_H
#include <math.h>
#include <string.h>
#include "bfloat16_bits.h"
#include "hashing_lanes.h"
#include "vec_ops.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ROWS_AHEAD 16 /* rows between a prefetch and its use: far enough for memory, near enough for the L2 cache */

_Static_assert(LANES == SLIDE_LANES, "a block of rows has as many lanes as a block of samples");

/* Four codes of an input, anywhere. */
typedef int32_t slide_four __attribute__((aligned(1), may_alias));

#define SET "plain"
#define NAME(f) f##_plain
#define TARGET
#define WIDTH 4
#define LOGIT_ROWS 2
#define DX_COLUMNS 2
#define LANE_BLOCKS 1
#define STRIP_ROWS 4
#define PANEL_ROWS 6
#define HASH_SUMS 2
#define SCREEN_QUERIES 1
#include "vec_template.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SLIDE_X86 1
#include <immintrin.h>
#define SET "avx2"
#define NAME(f) f##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define WIDTH 8
#define LOGIT_ROWS 4
#define DX_COLUMNS 4
#define LANE_BLOCKS 1
#define STRIP_ROWS 4
#define PANEL_ROWS 6
#define HASH_SUMS 4
#define SCREEN_QUERIES 2
#define DOT_BYTES(sum, u, s)              \
    ((VI)_mm256_add_epi32((__m256i)(sum), \
                          _mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)(u), (__m256i)(s)), _mm256_set1_epi16(1))))
#define RECIPROCAL_ROOT(x) ((V)_mm256_rsqrt_ps((__m256)(x)))
#define RECIPROCAL(x) ((V)_mm256_rcp_ps((__m256)(x)))
#define TAKE_LARGER(x, best, position, j)                                                      \
    do {                                                                                       \
        __m256 mask = _mm256_cmp_ps((__m256)(x), (__m256)best, _CMP_GT_OQ);                    \
        best = (V)_mm256_max_ps((__m256)(x), (__m256)best);                                    \
        position = (VI)_mm256_blendv_ps((__m256)position, (__m256)_mm256_set1_epi32(j), mask); \
    } while (0)
#include "vec_template.h"

#if defined(__clang__)
#define OWN_VECTORS /* clang's are of 512 bits where it is not told otherwise */
#else
#define OWN_VECTORS ",prefer-vector-width=512" /* of what GCC vectorizes by itself */
#endif
#define SET "avx512"
#define NAME(f) f##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma" OWN_VECTORS)))
#define WIDTH 16
#define LOGIT_ROWS 8
#define DX_COLUMNS 16
#define LANE_BLOCKS 2
#define STRIP_ROWS 8
#define PANEL_ROWS 12
#define HASH_SUMS 8
#define SCREEN_QUERIES 8
#define DOT_BYTES(sum, u, s)              \
    ((VI)_mm512_add_epi32((__m512i)(sum), \
                          _mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)(u), (__m512i)(s)), _mm512_set1_epi16(1))))
#define RECIPROCAL_ROOT(x) ((V)_mm512_rsqrt14_ps((__m512)(x)))
#define RECIPROCAL(x) ((V)_mm512_rcp14_ps((__m512)(x)))
#define TAKE_LARGER(x, best, position, j)                                                    \
    do {                                                                                     \
        __mmask16 mask = _mm512_cmp_ps_mask((__m512)(x), (__m512)best, _CMP_GT_OQ);          \
        best = (V)_mm512_max_ps((__m512)(x), (__m512)best);                                  \
        position = (VI)_mm512_mask_mov_epi32((__m512i)position, mask, _mm512_set1_epi32(j)); \
    } while (0)
#define LARGEST(x) _mm512_reduce_max_ps((__m512)(x))
#define DOT_BYTES_VNNI(sum, u, s) ((VI)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(u), (__m512i)(s)))
#include "vec_template.h"
static slide_vec_ops ops_avx512vnni; /* that of avx512 but for one entry: see slide_find_ops */

#if __GNUC__ >= 10 || defined(__clang__)
#define SLIDE_BF16 1
#define NAME(f) f##_avx512bf16
#define TARGET __attribute__((target("avx512bf16,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#define DOT(sum, w, x) ((dot_floats_avx512bf16)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(w), (__m512bh)(x)))
#include "bfloat16_dot.h"
static slide_vec_ops ops_avx512bf16; /* that of avx512 but for one entry: see slide_find_ops */
#endif
#endif

#if defined(__aarch64__) && defined(__GNUC__)
#define SLIDE_ARM64 1
/* Every arm64 processor has NEON, so plain is NEON too: this set makes use of all its 32 registers. */
#define SET "neon"
#define NAME(f) f##_neon
#define TARGET
#define WIDTH 4
#define LOGIT_ROWS 4
#define DX_COLUMNS 4
#define LANE_BLOCKS 1
#define STRIP_ROWS 4
#define PANEL_ROWS 12
#define HASH_SUMS 2
#define SCREEN_QUERIES 1
#include "vec_template.h"
#endif

/* The table of that name, NULL where this build or this processor does not have it. */
static const slide_vec_ops *slide_find_ops(const char *name)
{
#ifdef SLIDE_X86
    const slide_vec_ops *widest = &ops_avx512;
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (avx512 && __builtin_cpu_supports("avx512vnni")) {
        ops_avx512vnni = ops_avx512;
        ops_avx512vnni.screen = screen_vnni_avx512;
        widest = &ops_avx512vnni;
    }
#ifdef SLIDE_BF16
    if (strcmp(name, "avx512bf16") == 0 && avx512 && __builtin_cpu_supports("avx512bf16")) {
        ops_avx512bf16 = *widest;
        ops_avx512bf16.name = "avx512bf16";
        ops_avx512bf16.lane_logits_bfloat16 = lane_logits_dot_avx512bf16;
        return &ops_avx512bf16;
    }
#endif
    if (strcmp(name, "avx512") == 0 && avx512) return widest;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &ops_avx2;
#endif
#ifdef SLIDE_ARM64
    if (strcmp(name, "neon") == 0) return &ops_neon;
#endif
    return strcmp(name, "plain") == 0 ? &ops_plain : 0;
}

#endif
