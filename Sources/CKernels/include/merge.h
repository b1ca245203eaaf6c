#ifndef CKERNELS_MERGE_H
#define CKERNELS_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

/// What storing one row of W' observed. Sums are taken over the elements whose w0 is finite, in the
/// order that spec/numerics.md fixes.
typedef struct {
  double delta_squared;    // Σ d², d the wanted change
  double kept_dot_delta;   // Σ (stored − w0)·d
  double weight_squared;   // Σ w0²
  int64_t changed;         // elements whose bits changed
  int64_t overflowed;      // finite w0 whose stored w' is not finite
} ck_row_statistics;

/// How W' is made when it is stored.
typedef enum {
  CK_ADDITIVE = 0,  // w' = w + D
  CK_SCALED = 1,    // w' = Q·(w + D)
  CK_GENERAL = 2,   // W' given
} ck_form;

/// Rows of stored W0 to be turned into rows of stored W'. Strides count from one row to the next.
typedef struct {
  ck_form form;
  ck_element element;
  ptrdiff_t rows;
  ptrdiff_t columns;
  const void *stored;  // W0, any alignment
  ptrdiff_t stored_stride;  // bytes
  void *out;           // W', any alignment; may be `stored` itself
  ptrdiff_t out_stride;     // bytes
  const float *delta;  // D; for CK_GENERAL W', unrounded
  ptrdiff_t delta_stride;   // elements
  const float *factors;     // Q; NULL unless CK_SCALED
  ptrdiff_t factor_row_stride;     // elements: 0 where Q is the same in every row
  ptrdiff_t factor_column_stride;  // elements, 0 or 1: 0 where Q is the same in every column
  ck_row_statistics *statistics;   // `rows` of them, overwritten
} ck_store;

/// Stores rows of W'.
void ck_store_rows(const ck_store *store);

/// One term `scale · B·A` of a low-rank change. A is `rank × columns`, B has a row of `rank` elements
/// for each row of the band.
typedef struct {
  const float *a;
  const float *b;
  ptrdiff_t rank;
  float scale;
} ck_low_rank;

/// Elements of scratch, f32, that the functions below need for `count` terms.
size_t ck_low_rank_scratch(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t columns);

/// `delta = fma(scale, B·A, delta)` for one term after the other, `delta` being `rows × columns`.
void ck_low_rank_delta(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t rows,
                       ptrdiff_t columns, float *delta, float *scratch);

/// Stores `w + D` with D the sum of the terms, without D ever leaving the cache. Rows of `stored` and
/// `out` follow each other without gaps.
void ck_merge_low_rank(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t rows,
                       ptrdiff_t columns, ck_element element, const void *stored, void *out,
                       ck_row_statistics *statistics, float *scratch);

#endif
