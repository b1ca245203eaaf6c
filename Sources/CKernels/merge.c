// Cuts a merge into blocks. The result does not depend on how: rows are independent of each other,
// and a row's statistics grow by blocks of CK_BLOCK_COLUMNS columns from left to right.
#include "include/merge.h"

#include <string.h>

#include "kernels.h"
#include "scalar.h"

enum {
  /// Elements of A that are gathered into panels at a time: half a second-level cache of 1 MiB.
  PANEL_ELEMENTS = 128 * 1024,
  /// Bytes. Panels and blocks begin at multiples: a vector across two lines is loaded twice.
  CACHE_LINE = 64,
};

static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

static ptrdiff_t groups_of(ptrdiff_t columns) { return (columns + CK_LANES - 1) / CK_LANES; }

void ck_store_rows(const ck_store *store) {
  const ck_kernels *kernels = ck_kernels_chosen();
  size_t size = ck_element_size(store->element);
  memset(store->statistics, 0, store->rows * sizeof *store->statistics);
  for (ptrdiff_t row = 0; row < store->rows; row++) {
    for (ptrdiff_t column = 0; column < store->columns; column += CK_BLOCK_COLUMNS) {
      ck_store block = *store;
      block.rows = 1;
      block.columns = smaller(CK_BLOCK_COLUMNS, store->columns - column);
      block.stored = (const char *)store->stored + row * store->stored_stride + column * size;
      block.out = (char *)store->out + row * store->out_stride + column * size;
      block.delta = store->delta + row * store->delta_stride + column;
      if (store->form == CK_SCALED) {
        block.factors = store->factors + row * store->factor_row_stride
                        + column * store->factor_column_stride;
      }
      block.statistics = store->statistics + row;
      kernels->store_block(&block);
    }
  }
}

/// Columns whose panels are made at a time: a multiple of CK_BLOCK_COLUMNS.
static ptrdiff_t panel_columns(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t columns) {
  ptrdiff_t rank = 1;
  for (ptrdiff_t i = 0; i < count; i++) rank += terms[i].rank;
  ptrdiff_t blocks = PANEL_ELEMENTS / (rank * CK_BLOCK_COLUMNS);
  if (blocks < 1) blocks = 1;
  return smaller(blocks * CK_BLOCK_COLUMNS, groups_of(columns) * CK_LANES);
}

size_t ck_low_rank_scratch(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t columns) {
  ptrdiff_t rank = 0;
  for (ptrdiff_t i = 0; i < count; i++) rank += terms[i].rank;
  return (size_t)(rank * panel_columns(terms, count, columns)) + CACHE_LINE / sizeof(float);
}

/// Copies columns of A, `rank × columns`, into groups of CK_LANES columns, each `rank × CK_LANES`; the
/// last one is filled up with zeros.
static void gather_panels(const ck_low_rank *term, ptrdiff_t columns, ptrdiff_t first,
                          ptrdiff_t width, float *panels) {
  for (ptrdiff_t start = 0; start < width; start += CK_LANES) {
    ptrdiff_t count = smaller(CK_LANES, width - start);
    for (ptrdiff_t k = 0; k < term->rank; k++) {
      const float *from = term->a + k * columns + first + start;
      if (count == CK_LANES) {
        memcpy(panels, from, CK_LANES * sizeof(float));
      } else {
        memset(panels, 0, CK_LANES * sizeof(float));
        memcpy(panels, from, count * sizeof(float));
      }
      panels += CK_LANES;
    }
  }
}

/// A low-rank change and what becomes of it.
typedef struct {
  const ck_low_rank *terms;
  ptrdiff_t count;
  ptrdiff_t rows;
  ptrdiff_t columns;
  float *delta;           // D that the terms are added to, or NULL
  const ck_store *store;  // what D is stored with, or NULL
  float *panels;
} low_rank_job;

/// A rectangle of D of at most CK_BLOCK_ROWS × CK_BLOCK_COLUMNS.
typedef struct {
  ptrdiff_t row, rows, column, columns;
} rectangle;

static void store_change(const ck_kernels *kernels, const ck_store *store, rectangle at,
                         const float *change) {
  size_t size = ck_element_size(store->element);
  ck_store block = *store;
  block.rows = at.rows;
  block.columns = at.columns;
  block.stored = (const char *)store->stored + at.row * store->stored_stride + at.column * size;
  block.out = (char *)store->out + at.row * store->out_stride + at.column * size;
  block.delta = change;
  block.delta_stride = CK_BLOCK_COLUMNS;
  block.statistics = store->statistics + at.row;
  kernels->store_block(&block);
}

/// Computes one rectangle of D. The panels in memory begin at column `first` and are `width` wide.
static void low_rank_rectangle(const ck_kernels *kernels, const low_rank_job *job, rectangle at,
                               ptrdiff_t first, ptrdiff_t width) {
  _Alignas(64) float change[CK_BLOCK_ROWS * CK_BLOCK_COLUMNS];
  if (job->count == 0 || at.columns % CK_LANES != 0) memset(change, 0, sizeof change);
  float *delta = job->delta ? job->delta + at.row * job->columns + at.column : NULL;
  for (ptrdiff_t row = 0; delta && row < at.rows; row++) {
    memcpy(change + row * CK_BLOCK_COLUMNS, delta + row * job->columns,
           at.columns * sizeof(float));
  }
  const float *panels = job->panels;
  for (ptrdiff_t i = 0; i < job->count; i++) {
    const ck_low_rank *term = job->terms + i;
    kernels->low_rank_block(at.rows, groups_of(at.columns), term->rank,
                            panels + (at.column - first) * term->rank,
                            term->b + at.row * term->rank, term->scale,
                            delta || i > 0 ? change : NULL, change);
    panels += width * term->rank;
  }
  for (ptrdiff_t row = 0; delta && row < at.rows; row++) {
    memcpy(delta + row * job->columns, change + row * CK_BLOCK_COLUMNS,
           at.columns * sizeof(float));
  }
  if (job->store) store_change(kernels, job->store, at, change);
}

static float *aligned(float *scratch) {
  return (float *)(((uintptr_t)scratch + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

static void run_low_rank(const low_rank_job *job) {
  const ck_kernels *kernels = ck_kernels_chosen();
  ptrdiff_t width = panel_columns(job->terms, job->count, job->columns);
  for (ptrdiff_t first = 0; first < job->columns; first += width) {
    ptrdiff_t end = smaller(first + width, job->columns);
    float *panels = job->panels;
    for (ptrdiff_t i = 0; i < job->count; i++) {
      gather_panels(job->terms + i, job->columns, first, end - first, panels);
      panels += width * job->terms[i].rank;
    }
    for (ptrdiff_t row = 0; row < job->rows; row += CK_BLOCK_ROWS) {
      for (ptrdiff_t column = first; column < end; column += CK_BLOCK_COLUMNS) {
        rectangle at = {row, smaller(CK_BLOCK_ROWS, job->rows - row), column,
                        smaller(CK_BLOCK_COLUMNS, end - column)};
        low_rank_rectangle(kernels, job, at, first, width);
      }
    }
  }
}

void ck_low_rank_delta(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t rows,
                       ptrdiff_t columns, float *delta, float *scratch) {
  run_low_rank(&(low_rank_job){terms, count, rows, columns, delta, NULL, aligned(scratch)});
}

void ck_merge_low_rank(const ck_low_rank *terms, ptrdiff_t count, ptrdiff_t rows,
                       ptrdiff_t columns, ck_element element, const void *stored, void *out,
                       ck_row_statistics *statistics, float *scratch) {
  ptrdiff_t stride = columns * (ptrdiff_t)ck_element_size(element);
  ck_store store = {.form = CK_ADDITIVE, .element = element, .stored = stored,
                    .stored_stride = stride, .out = out, .out_stride = stride,
                    .statistics = statistics};
  memset(statistics, 0, rows * sizeof *statistics);
  run_low_rank(&(low_rank_job){terms, count, rows, columns, NULL, &store, aligned(scratch)});
}
