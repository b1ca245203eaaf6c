// What every path provides for matrix products, and what the driver in gemm.c passes to it.
//
// Both operands are copied into panels first. A panel holds `width` rows of A, or columns of B, in the
// order of the sums: unit k of each, for k ascending. A unit is 32 bits wide: one f32, or two bf16 that
// belong to the same fma pair.
#ifndef CKERNELS_GEMM_KERNELS_H
#define CKERNELS_GEMM_KERNELS_H

#include "include/cpu.h"
#include "include/gemm.h"

enum {
  /// Largest tile of any path.
  CK_TILE_ROWS = 16,
  CK_TILE_COLUMNS = 32,
};

typedef struct {
  /// f32 in a vector.
  int lanes;
  /// The tile: rows of C, and vectors side by side.
  int tile_rows, tile_vectors;

  /// `c = start + A·B` for `rows` rows, at most `tile_rows`, and `vectors` vectors of columns, at most
  /// `tile_vectors`, from units of B that lie `b_stride` apart. `start` NULL means zero.
  void (*tile)(int rows, int vectors, ptrdiff_t units, const void *a, const void *b,
               ptrdiff_t b_stride, const float *start, ptrdiff_t start_stride, float *c,
               ptrdiff_t c_stride);

  /// A panel from rows that lie along the sums: unit k of panel column i is the k-th of the row
  /// `stride·i` bytes after `rows`. Columns from `count` on are zeros. `swap` exchanges neighbours: it
  /// then takes an even number of units.
  void (*pack_along)(const char *rows, ptrdiff_t stride, int count, int width,
                     ptrdiff_t units, int swap, uint32_t *panel);
  /// One unit of a row of panels from a row that lies across the sums.
  void (*pack_across)(const uint32_t *row, ptrdiff_t count, int width, ptrdiff_t panel_units,
                      uint32_t *panels);
  /// `pairs[i] = low[i] | high[i] << 16`.
  void (*pair)(const uint16_t *low, const uint16_t *high, ptrdiff_t count, uint32_t *pairs);
} ck_gemm_kernels;

extern const ck_gemm_kernels *const ck_gemm_portable;
/// The portable tile with every subnormal taken for a zero: bf16 products without VDPBF16PS.
extern const ck_gemm_kernels *const ck_gemm_portable_flushing;
#if defined(__x86_64__)
extern const ck_gemm_kernels *const ck_gemm_avx2;
extern const ck_gemm_kernels *const ck_gemm_avx512;
/// Two bf16 a unit.
extern const ck_gemm_kernels *const ck_gemm_avx512_bf16;
#endif
#if defined(__aarch64__)
extern const ck_gemm_kernels *const ck_gemm_neon;
#endif

#endif
