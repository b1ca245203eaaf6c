// The kernels of a matrix product over vectors of LANES floats. The including file defines
//
//   LANES, TILE_ROWS, TILE_VECTORS   the tile: all its sums stay in registers
//   CK_TARGET                        the attribute that allows the instructions
//   MULTIPLY_ADD(a, b, sum)          one unit of a sum
//   STORE_SOME(p, x, count)          stores the first `count` lanes
//   COPY_SOME(to, from, count)       copies `count` units, fewer than LANES
//
// and gets a static table `gemm_kernels`.
#include <string.h>

#include "gemm_kernels.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

#define V CK_INLINE CK_TARGET

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float unaligned_vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t unit_vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t unaligned_unit_vec __attribute__((vector_size(4 * LANES), aligned(2)));
typedef uint16_t half_vec __attribute__((vector_size(2 * LANES), aligned(2)));

V vec load(const float *p) { return *(const unaligned_vec *)p; }
V void store(float *p, vec x) { *(unaligned_vec *)p = x; }
V unit_vec load_units(const void *p) { return *(const unaligned_unit_vec *)p; }
V void store_units(uint32_t *p, unit_vec x) { *(unaligned_unit_vec *)p = x; }

#if LANES == 16
#define SAME_LANES 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define LOW_LANES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_LANES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define SAME_LANES 0, 0, 0, 0, 0, 0, 0, 0
#define LOW_LANES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_LANES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define SAME_LANES 0, 0, 0, 0
#define LOW_LANES 0, 4, 1, 5
#define HIGH_LANES 2, 6, 3, 7
#endif

/// A move, so that a pair of bf16 stays what it is.
V vec splat(float x) { return __builtin_shufflevector((vec){x}, (vec){x}, SAME_LANES); }

/// `rows` and `vectors` are constants: everything unrolls into registers.
V void tile_of(int rows, int vectors, ptrdiff_t units, const float *a, const float *b,
               ptrdiff_t b_stride, const float *start, ptrdiff_t start_stride, float *c,
               ptrdiff_t c_stride) {
  vec sum[TILE_ROWS][TILE_VECTORS];
#pragma clang loop unroll(full)
  for (int row = 0; row < rows; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      sum[row][v] = start ? load(start + row * start_stride + v * LANES) : (vec){0};
    }
  }
  for (ptrdiff_t k = 0; k < units; k++) {
    vec right[TILE_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) right[v] = load(b + v * LANES);
#pragma clang loop unroll(full)
    for (int row = 0; row < rows; row++) {
      vec left = splat(a[row]);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[row][v] = MULTIPLY_ADD(left, right[v], sum[row][v]);
    }
    a += rows;
    b += b_stride;
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < rows; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) store(c + row * c_stride + v * LANES, sum[row][v]);
  }
}

#define TILE_CASE(count)                                                                      \
  case count:                                                                                 \
    if (count <= TILE_ROWS) {                                                                 \
      tile_of(count <= TILE_ROWS ? count : 1, vectors, units, a, b, b_stride, start,           \
              start_stride, c, c_stride);                                                     \
    }                                                                                         \
    break;

V void tile_rows_of(int vectors, int rows, ptrdiff_t units, const float *a, const float *b,
                    ptrdiff_t b_stride, const float *start, ptrdiff_t start_stride, float *c,
                    ptrdiff_t c_stride) {
  switch (rows) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4)
    TILE_CASE(5)
    TILE_CASE(6)
    TILE_CASE(7)
    TILE_CASE(8)
    TILE_CASE(9)
    TILE_CASE(10)
    TILE_CASE(11)
    TILE_CASE(12)
    TILE_CASE(13)
    TILE_CASE(14)
  }
}

CK_TARGET static void tile(int rows, int vectors, ptrdiff_t units, const void *a, const void *b,
                           ptrdiff_t b_stride, const float *start, ptrdiff_t start_stride, float *c,
                           ptrdiff_t c_stride) {
  switch (vectors) {
    case 1: tile_rows_of(1, rows, units, a, b, b_stride, start, start_stride, c, c_stride); break;
    case 2: tile_rows_of(2, rows, units, a, b, b_stride, start, start_stride, c, c_stride); break;
#if TILE_VECTORS > 2
    case 3: tile_rows_of(3, rows, units, a, b, b_stride, start, start_stride, c, c_stride); break;
#endif
  }
}

/// Transposes LANES × LANES units: each round deals the lanes of rows i and i + LANES/2 out to rows
/// 2i and 2i + 1, and log2(LANES) rounds exchange the bits of row and lane number.
V void transpose_units(unit_vec rows[LANES]) {
#pragma clang loop unroll(full)
  for (int round = 1; round < LANES; round *= 2) {
    unit_vec dealt[LANES];
#pragma clang loop unroll(full)
    for (int i = 0; i < LANES / 2; i++) {
      dealt[2 * i] = __builtin_shufflevector(rows[i], rows[i + LANES / 2], LOW_LANES);
      dealt[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + LANES / 2], HIGH_LANES);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < LANES; i++) rows[i] = dealt[i];
  }
}

/// LANES units of at most LANES panel columns; the columns from `count` on are zeros.
V void pack_along_block(const char *rows, ptrdiff_t stride, int count, int kept, int width,
                        int swap, uint32_t *panel) {
  unit_vec block[LANES];
#pragma clang loop unroll(full)
  for (int i = 0; i < LANES; i++) {
    block[i] = i < count ? load_units(rows + i * stride) : (unit_vec){0};
  }
  transpose_units(block);
  if (kept == LANES) {
#pragma clang loop unroll(full)
    for (int k = 0; k < LANES; k++) store_units(panel + (k ^ swap) * width, block[k]);
  } else {
#pragma clang loop unroll(full)
    for (int k = 0; k < LANES; k++) STORE_SOME(panel + (k ^ swap) * width, block[k], kept);
  }
}

CK_TARGET static void pack_along(const char *rows, ptrdiff_t stride, int count, int width,
                                 ptrdiff_t units, int swap, uint32_t *panel) {
  for (int column = 0; column < width; column += LANES) {
    int kept = width - column < LANES ? width - column : LANES;
    int there = count - column < kept ? count - column : kept;
    const char *from = rows + column * stride;
    uint32_t *to = panel + column;
    ptrdiff_t k = 0;
    for (; k + LANES <= units; k += LANES) {
      pack_along_block(from + 4 * k, stride, there, kept, width, swap, to + k * width);
    }
    for (; k < units; k++) {
      for (int i = 0; i < kept; i++) {
        uint32_t unit = 0;
        if (i < there) memcpy(&unit, from + i * stride + 4 * k, sizeof unit);
        to[(k ^ swap) * width + i] = unit;
      }
    }
  }
}

CK_TARGET static void pack_across(const uint32_t *row, ptrdiff_t count, int width,
                                  ptrdiff_t panel_units, uint32_t *panels) {
  for (; count > 0; count -= width) {
    int there = count < width ? (int)count : width;
    int i = 0;
    for (; i + LANES <= there; i += LANES) store_units(panels + i, load_units(row + i));
    COPY_SOME(panels + i, row + i, there - i);
    i = there;
    for (; i < width; i++) panels[i] = 0;
    row += width;
    panels += panel_units;
  }
}

CK_TARGET static void pair(const uint16_t *low, const uint16_t *high, ptrdiff_t count,
                           uint32_t *pairs) {
  ptrdiff_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    unit_vec lows = __builtin_convertvector(*(const half_vec *)(low + i), unit_vec);
    unit_vec highs = __builtin_convertvector(*(const half_vec *)(high + i), unit_vec);
    store_units(pairs + i, lows | highs << 16);
  }
  for (; i < count; i++) pairs[i] = low[i] | (uint32_t)high[i] << 16;
}

static const ck_gemm_kernels gemm_kernels = {
    .lanes = LANES,
    .tile_rows = TILE_ROWS,
    .tile_vectors = TILE_VECTORS,
    .tile = tile,
    .pack_along = pack_along,
    .pack_across = pack_across,
    .pair = pair,
};
