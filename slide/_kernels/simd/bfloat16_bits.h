/* What bfloat16 needs bit by bit, for every instruction set: rounding, and random bits by place. */
#ifndef SLIDE_BFLOAT16_BITS_H
#define SLIDE_BFLOAT16_BITS_H
#include <stdint.h>

typedef uint32_t slide_bits __attribute__((may_alias));            /* the bits of a float */
typedef int32_t slide_pair __attribute__((may_alias, aligned(2))); /* two bfloat16 side by side */

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

#endif
