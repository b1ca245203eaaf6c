// How a product's operands lie in panels, and the way there.
#ifndef CKERNELS_GEMM_PANELS_H
#define CKERNELS_GEMM_PANELS_H

#include "gemm_kernels.h"
#include "scalar.h"

enum {
  /// Units of the sums that are in the panels of B at a time.
  BLOCK_UNITS = 384,
  /// Columns of B that one job packs: with BLOCK_UNITS 384 KiB of the second-level cache.
  JOB_COLUMNS = 256,
};

CK_INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
CK_INLINE ptrdiff_t divided_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/// How the numbers of a product lie in panels.
typedef struct {
  const ck_gemm_kernels *kernels;
  /// Numbers are rounded to bf16.
  int rounds;
  /// Two bf16 are one unit. Otherwise a rounded number is widened again, and the two of a pair are
  /// exchanged: the sums take the odd one first.
  int pairs;
  /// Subnormals count as zeros: the processor is told so while it multiplies.
  int flushes;
  /// Units of the whole sum.
  ptrdiff_t units;
  /// Columns of a panel of B: those of a tile, fewer where C is narrow.
  int width;
  /// What the numbers of A and of B are multiplied with.
  float scale_a, scale_b;
} layout;

/// The layout for the path, the precision and the width of the product. B is not scaled.
layout ck_layout_of(const ck_product *product);

/// What one thread works in.
typedef struct {
  /// Rows of an operand in the precision of the product: CK_TILE_COLUMNS of ROW_BYTES.
  char *ready;
  /// A row on its way there.
  float *wide;
  uint16_t *halves;
  /// A tile that reaches beyond C.
  float *edge;
  /// BLOCK_UNITS × JOB_COLUMNS units of B.
  uint32_t *panels;
} desk;

enum {
  ROW_BYTES = BLOCK_UNITS * 4,
  /// Most numbers of a row that are made ready at once: pairs of bf16 along the sums.
  ROW_NUMBERS = 2 * BLOCK_UNITS,
  READY_BYTES = CK_TILE_COLUMNS * ROW_BYTES,
  EDGE_BYTES = CK_TILE_ROWS * CK_TILE_COLUMNS * 4,
  DESK_BYTES = READY_BYTES + ROW_NUMBERS * 6 + EDGE_BYTES + BLOCK_UNITS * JOB_COLUMNS * 4,
};

CK_INLINE desk desk_in(char *memory) {
  desk desk;
  desk.ready = memory;
  desk.wide = (float *)(memory += READY_BYTES);
  desk.halves = (uint16_t *)(memory += ROW_NUMBERS * 4);
  desk.edge = (float *)(memory += ROW_NUMBERS * 2);
  desk.panels = (uint32_t *)(memory + EDGE_BYTES);
  return desk;
}

/// An operand on its way into panels.
typedef struct {
  const layout *layout;
  const ck_operand *operand;
  ptrdiff_t depth;
  float scale;
  /// Panel columns: rows of A, columns of B.
  int width;
  const desk *desk;
} packing;

/// A part of an operand: panel columns, and units of the sums.
typedef struct {
  ptrdiff_t column, columns, unit, units;
} part;

/// Whether the panels hold the numbers as they are stored.
int ck_is_ready(const packing *packing);

CK_INLINE const char *stored_at(const ck_operand *operand, ptrdiff_t row, ptrdiff_t column) {
  return (const char *)operand->start
         + (row * operand->stride + column) * (ptrdiff_t)ck_element_size(operand->element);
}

/// Packs rows that lie along the sums: each is a panel column. Panels begin `panel_units` units apart.
void ck_pack_along(const packing *packing, part part, ptrdiff_t panel_units, uint32_t *panels);

/// Packs rows that lie across the sums: each is a unit, or half of one, of every panel.
void ck_pack_across(const packing *packing, part part, ptrdiff_t panel_units, uint32_t *panels);

#endif
