/* Every loop of vec_ops.h for one instruction set, and its table. The includer (vec_sets.h) defines
 *   SET          the name of the set,               NAME(f)      that of function f in it,
 *   TARGET       the attribute of its functions,    WIDTH        floats in a register,
 * how much is in flight in registers,
 *   LOGIT_ROWS   rows of weights in lane_logits,    DX_COLUMNS   columns of dx in lane_input_gradient,
 *   LANE_BLOCKS  blocks of lanes in both,           STRIP_ROWS   rows of gradients in rows_gradient,
 *   PANEL_ROWS   rows of sums in the panel products: 2 * PANEL_ROWS sums, two of the panel and one more fill them,
 *   HASH_SUMS    sums in block_simhash, a divisor of INTERLEAVED,
 *   SCREEN_QUERIES  inputs in screen,
 * and, where the set has them,
 *   RECIPROCAL_ROOT(x), RECIPROCAL(x)      to 12 bits or more,
 *   TAKE_LARGER(x, best, position, j)      where x > best: best becomes x, and position j,
 *   LARGEST(x)                             of the floats of a register,
 *   DOT_BYTES(sum, u, s)                   sum + products of four bytes each, of u 0 to 15, of s signed; DOT_BYTES_VNNI
 * too, for processors with that extension. Vectors are GCC vector extensions of one register each, so the same source
 * serves every set.
 */
#define V NAME(floats)
#define VI NAME(ints)
#define VU NAME(words)
#define PARTS (SLIDE_LANES / WIDTH) /* registers that hold a block of lanes */
#define PANEL (2 * WIDTH)           /* columns of a panel */
#define STRIP_COLUMNS (8 * WIDTH)   /* of one row, whose sums stay in registers */
#define load(p) (*(const NAME(floats_unaligned) *)(p))
#define store(p, value) (*(NAME(floats_unaligned) *)(p) = (value))
#define splat(c) ((V){0} + (c))
#define choose(k, a, b) ((V)(((VI)(a) & (k)) | ((VI)(b) & ~(k))))
#define larger(a, b) choose((a) > (b), a, b)
#define smaller(a, b) choose((a) < (b), a, b)

typedef float V __attribute__((vector_size(4 * WIDTH)));
typedef int32_t VI __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t VU __attribute__((vector_size(4 * WIDTH)));
typedef int32_t NAME(ints_unaligned) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef float NAME(floats_unaligned) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

#include "lanes_template.h"
#include "rows_template.h"
#include "softmax_template.h"
#include "panels_template.h"
#include "gradients_template.h"
#include "optimizer_template.h"
#include "bfloat16_template.h"
#include "hashing_template.h"
#include "screen_template.h"
#ifdef DOT_BYTES_VNNI
#define SCREEN(f) NAME(f##_vnni)
#define SCREEN_TARGET __attribute__((target("avx512vnni,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#define DOT_BYTES DOT_BYTES_VNNI
#include "screen_template.h"
#endif

static const slide_vec_ops NAME(ops) = {
    .name = SET,
    .panel = PANEL,
    .lane_logits = NAME(lane_logits),
    .lane_input_gradient = NAME(lane_input_gradient),
    .lane_logits_bfloat16 = NULL,
    .row_logits = NAME(row_logits),
    .row_input_gradient = NAME(row_input_gradient),
    .row_lookup = NAME(row_lookup),
    .row_bound = NAME(row_bound),
    .lane_exp = NAME(lane_exp),
    .lane_deltas = NAME(lane_deltas),
    .row_max = NAME(row_max),
    .row_exp = NAME(row_exp),
    .panel_product = NAME(panel_product),
    .panel_add_transposed = NAME(panel_add_transposed),
    .panel_exp = NAME(panel_exp),
    .panel_deltas = NAME(panel_deltas),
    .screen = NAME(screen),
    .row_gradient = NAME(row_gradient),
    .rows_gradient = NAME(rows_gradient),
    .adam = NAME(adam),
    .adam_ahead = NAME(adam_ahead),
    .adam_where = NAME(adam_where),
    .sgd = NAME(sgd),
    .scale = NAME(scale),
    .widen = NAME(widen),
    .narrow = NAME(narrow),
    .narrow_at_random = NAME(narrow_at_random),
    .adam_bfloat16 = NAME(adam_bfloat16),
    .adam_bfloat16_moments = NAME(adam_bfloat16_moments),
    .block_fill = NAME(block_fill),
    .block_negate = NAME(block_negate),
    .block_hide_zeros = NAME(block_hide_zeros),
    .block_simhash = NAME(block_simhash),
    .block_wta = NAME(block_wta),
    .block_rotate = NAME(block_rotate),
    .block_nearest_vertex = NAME(block_nearest_vertex),
};

#undef SET
#undef NAME
#undef TARGET
#undef WIDTH
#undef LOGIT_ROWS
#undef DX_COLUMNS
#undef LANE_BLOCKS
#undef STRIP_ROWS
#undef PANEL_ROWS
#undef HASH_SUMS
#undef SCREEN_QUERIES
#undef LARGEST
#undef DOT_BYTES_VNNI
#undef RECIPROCAL_ROOT
#undef RECIPROCAL
#undef TAKE_LARGER
#undef V
#undef VI
#undef VU
#undef PARTS
#undef PANEL
#undef STRIP_COLUMNS
#undef load
#undef store
#undef splat
#undef choose
#undef larger
#undef smaller
