/* Instantiates hashing_template.h for the instruction sets of vec_impl.h; the live set there is the one used here. */
#ifndef SLIDE_HASHING_IMPL_H
#define SLIDE_HASHING_IMPL_H
#include <math.h>
#include <string.h>
#include "hashing_ops.h"

/* Width 4: SSE2 on x86-64, NEON on arm64. */
#define NAME(f) f##_plain
#define TARGET
#define WIDTH 4
#define ABREAST 2
#define TAKE_LARGER(x, best, position, j)                      \
    do {                                                       \
        VI mask = (x) > best;                                  \
        best = (V)((mask & (VI)(x)) | (~mask & (VI)best));     \
        position = (mask & (j)) | (~mask & position);          \
    } while (0)
#include "hashing_template.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define SLIDE_HASH_X86 1
#define NAME(f) f##_avx2
#define TARGET __attribute__((target("avx2")))
#define WIDTH 8
#define ABREAST 4
#define TAKE_LARGER(x, best, position, j)                                                                     \
    do {                                                                                                      \
        __m256 mask = _mm256_cmp_ps(x, best, _CMP_GT_OQ);                                                     \
        best = _mm256_max_ps(x, best);                                                                        \
        position = (VI)_mm256_blendv_ps((__m256)position, _mm256_castsi256_ps(_mm256_set1_epi32(j)), mask);   \
    } while (0)
#include "hashing_template.h"

#define NAME(f) f##_avx512
#define TARGET __attribute__((target("avx512f,avx2,prefer-vector-width=512")))
#define WIDTH 16
#define ABREAST 8
#define TAKE_LARGER(x, best, position, j)                                                                     \
    do {                                                                                                      \
        __mmask16 mask = _mm512_cmp_ps_mask(x, best, _CMP_GT_OQ);                                             \
        best = _mm512_max_ps(x, best);                                                                        \
        position = (VI)_mm512_mask_mov_epi32((__m512i)position, mask, _mm512_set1_epi32(j));                  \
    } while (0)
#include "hashing_template.h"
#endif

/* The table for a set that slide_find_ops knows to be here; sets without one of their own take the plain one. */
static const slide_hash_ops *slide_find_hash_ops(const char *set)
{
#ifdef SLIDE_HASH_X86
    if (strncmp(set, "avx512", 6) == 0) return &hash_ops_avx512;
    if (strcmp(set, "avx2") == 0) return &hash_ops_avx2;
#endif
    (void)set;
    return &hash_ops_plain;
}

#endif
