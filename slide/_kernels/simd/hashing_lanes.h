/* Rows side by side, for hash functions that work on sixteen at once; published, see slide/hashing/lanes.pxd.
 *
 * A block holds coordinate j of row `lane` at block[LANES * j + lane]: LANES floats, which are VECTORS vectors of
 * eight. Eight is one AVX register; GCC's and clang's vector types carry it on any machine. Blocks are aligned to 64
 * bytes by the caller, as RowHasher's scratch is.
 *
 * A hash compiled outside of this package puts SLIDE_CLONES before a function to have it built for AVX2 too, and the
 * loader chooses (GCC, glibc, x86-64); without fused multiply-add, so that both builds give the same bits. The
 * package's own loops are in the table of vec_ops.h instead. */
#ifndef SLIDE_HASHING_LANES_H
#define SLIDE_HASHING_LANES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define SLIDE_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define SLIDE_CLONES
#endif

#define LANES 16
#define VECTORS (LANES / 8)
typedef float lanes_f __attribute__((vector_size(32), may_alias));
typedef int32_t lanes_i __attribute__((vector_size(32), may_alias));
typedef uint32_t lanes_u __attribute__((vector_size(32), may_alias));

/* Four floats, for the transpose into a block: any instruction set can do that. */
typedef float slide_quad __attribute__((vector_size(16), may_alias));
typedef float slide_quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));
#define SLIDE_LOAD4(p) (*(const slide_quad_unaligned *)(p))
#define SLIDE_STORE4(p, value) (*(slide_quad_unaligned *)(p) = (value))
#if defined(__clang__) || __GNUC__ >= 12
#define SLIDE_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t slide_quad_places __attribute__((vector_size(16)));
#define SLIDE_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (slide_quad_places){i, j, k, l})
#endif

/* Copies LANES rows of `dim` coordinates into a block; a coordinate takes `step` times LANES floats. */
static inline __attribute__((always_inline)) void slide_transpose(const float *const *rows, ptrdiff_t dim,
                                                                  ptrdiff_t step, float *block)
{
    ptrdiff_t j = 0;
    for (; j + 4 <= dim; j += 4)
        for (int q = 0; q < LANES; q += 4) {
            slide_quad a = SLIDE_LOAD4(rows[q] + j), b = SLIDE_LOAD4(rows[q + 1] + j);
            slide_quad c = SLIDE_LOAD4(rows[q + 2] + j), d = SLIDE_LOAD4(rows[q + 3] + j);
            slide_quad ab = SLIDE_SHUFFLE(a, b, 0, 4, 1, 5), cd = SLIDE_SHUFFLE(c, d, 0, 4, 1, 5);
            float *to = block + j * step * LANES + q;
            SLIDE_STORE4(to, SLIDE_SHUFFLE(ab, cd, 0, 1, 4, 5));
            SLIDE_STORE4(to + step * LANES, SLIDE_SHUFFLE(ab, cd, 2, 3, 6, 7));
            ab = SLIDE_SHUFFLE(a, b, 2, 6, 3, 7), cd = SLIDE_SHUFFLE(c, d, 2, 6, 3, 7);
            SLIDE_STORE4(to + 2 * step * LANES, SLIDE_SHUFFLE(ab, cd, 0, 1, 4, 5));
            SLIDE_STORE4(to + 3 * step * LANES, SLIDE_SHUFFLE(ab, cd, 2, 3, 6, 7));
        }
    for (; j < dim; j++)
        for (int lane = 0; lane < LANES; lane++) block[j * step * LANES + lane] = rows[lane][j];
}

/* n rows (n, dim), 1 to LANES of them, into a block as above; lanes beyond n repeat the last row. */
static inline void fill_block(const float *rows, ptrdiff_t n, ptrdiff_t dim, ptrdiff_t step, float *block)
{
    const float *lanes[LANES];
    for (ptrdiff_t lane = 0; lane < LANES; lane++) lanes[lane] = rows + dim * (lane < n ? lane : n - 1);
    slide_transpose(lanes, dim, step, block);
}

#endif
