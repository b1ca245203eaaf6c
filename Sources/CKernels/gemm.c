// Cuts a matrix product into panels and tiles. The result does not depend on how: every element of C
// is one chain of fma, and a later part of the chain starts from what the earlier part left in C.
#include "include/gemm.h"

#include <stdlib.h>
#include <string.h>

#include "gemm_panels.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum {
  /// Panels of A that one job packs.
  JOB_PANELS = 8,
  /// Bytes of A that are packed at a time.
  PACKED_BYTES = 32 << 20,
  /// Bytes of A that are multiplied with one strip of B after the other: they stay in the second-level
  /// cache.
  CHUNK_BYTES = 256 << 10,
  /// Products of fewer multiplications are done at once by the caller.
  ALONE = 1 << 17,
  /// Jobs for each worker, so that none waits long for the last one.
  JOBS_A_WORKER = 4,
};

static size_t whole_lines(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/// Tells the processor to take subnormals for zeros; returns what to give back.
static uint64_t begin_flushing(void) {
#if defined(__x86_64__)
  unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);
  return saved;
#elif defined(__aarch64__)
  uint64_t saved;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
  __asm__ volatile("msr fpcr, %0" : : "r"(saved | 1u << 24));
  return saved;
#else
  return 0;
#endif
}

static void end_flushing(uint64_t saved) {
#if defined(__x86_64__)
  _mm_setcsr((unsigned)saved);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(saved));
#endif
}

/// A product with rows of A packed.
typedef struct {
  const ck_product *product;
  layout layout;
  ck_workers *workers;
  /// The rows of A that are packed, and their panels.
  ptrdiff_t row, rows, panels;
  uint32_t *packed;
  /// How C is cut into jobs.
  ptrdiff_t job_columns, column_jobs, job_panels;
} state;

/// The first row of panel `panel`, counted from `state->row`. All panels but the last are full.
static ptrdiff_t panel_row(const state *state, ptrdiff_t panel) {
  return smaller(panel * state->layout.kernels->tile_rows, state->rows);
}

/// Packs `rows` rows of A from `row` on, counted from `state->row`, into panels of `width`.
static void pack_rows(const state *state, ptrdiff_t row, ptrdiff_t rows, int width,
                      const desk *desk) {
  const ck_product *product = state->product;
  const layout *layout = &state->layout;
  ptrdiff_t all = layout->units;
  packing packing = {layout, &product->a, product->depth, layout->scale_a, width, desk};
  uint32_t *panels = state->packed + row * all;
  for (ptrdiff_t unit = 0; unit < all; unit += BLOCK_UNITS) {
    part part = {state->row + row, rows, unit, smaller(BLOCK_UNITS, all - unit)};
    (product->a.transposed ? ck_pack_across : ck_pack_along)(&packing, part, all * width,
                                                             panels + unit * width);
  }
}

static void pack_panels(const state *state, ptrdiff_t first, ptrdiff_t end, const desk *desk) {
  int width = state->layout.kernels->tile_rows;
  ptrdiff_t row = panel_row(state, first), rows = panel_row(state, end) - row;
  ptrdiff_t full = rows / width * width;
  if (full > 0) pack_rows(state, row, full, width, desk);
  if (rows > full) pack_rows(state, row + full, rows - full, (int)(rows - full), desk);
}

/// One tile, whose panel of B has `columns` columns of C.
static void multiply_tile(const state *state, const desk *desk, ptrdiff_t row, int rows,
                          ptrdiff_t column, int columns, ptrdiff_t unit, ptrdiff_t units,
                          const uint32_t *a, const void *b, ptrdiff_t b_stride) {
  const ck_product *product = state->product;
  const ck_gemm_kernels *kernels = state->layout.kernels;
  int vectors = (int)divided_up(columns, kernels->lanes);
  float *c = product->c + row * product->c_stride + column;
  const float *start = NULL;
  ptrdiff_t start_stride = 0;
  if (unit > 0 || product->from == CK_FROM_C) {
    start = c;
    start_stride = product->c_stride;
  } else if (product->from == CK_FROM_BIAS) {
    start = product->bias + column;
  }
  if (columns == vectors * kernels->lanes) {
    kernels->tile(rows, vectors, units, a, b, b_stride, start, start_stride, c, product->c_stride);
    return;
  }
  float *edge = desk->edge;
  for (int i = 0; start && i < rows; i++) {
    memcpy(edge + i * CK_TILE_COLUMNS, start + i * start_stride, columns * sizeof(float));
  }
  kernels->tile(rows, vectors, units, a, b, b_stride, start ? edge : NULL, CK_TILE_COLUMNS, edge,
                CK_TILE_COLUMNS);
  for (int i = 0; i < rows; i++) {
    memcpy(c + i * product->c_stride, edge + i * CK_TILE_COLUMNS, columns * sizeof(float));
  }
}

/// Whether tiles read B where it is stored: packing pays from a third row of tiles on.
static int reads_in_place(const state *state, const packing *packing) {
  return state->panels <= 2 && !packing->operand->transposed && !state->layout.pairs
         && ck_is_ready(packing);
}

/// The part of C under the panels `first ..< end` of A and `columns` columns of B.
static void multiply_part(const state *state, ptrdiff_t first, ptrdiff_t end, ptrdiff_t column,
                          ptrdiff_t columns, const desk *desk) {
  const ck_product *product = state->product;
  const layout *layout = &state->layout;
  int width = layout->width;
  packing packing = {layout, &product->b, product->depth, layout->scale_b, width, desk};
  ptrdiff_t in_place = reads_in_place(state, &packing) ? columns / width * width : 0;
  for (ptrdiff_t unit = 0; unit < layout->units; unit += BLOCK_UNITS) {
    ptrdiff_t units = smaller(BLOCK_UNITS, layout->units - unit);
    part part = {column + in_place, columns - in_place, unit, units};
    if (part.columns > 0) {
      (product->b.transposed ? ck_pack_along : ck_pack_across)(&packing, part,
                                                               BLOCK_UNITS * width, desk->panels);
    }
    ptrdiff_t chunk = CHUNK_BYTES / (units * layout->kernels->tile_rows * 4);
    for (ptrdiff_t from = first; from < end; from += chunk) {
      ptrdiff_t to = smaller(from + chunk, end);
      for (ptrdiff_t done = 0; done < columns; done += width) {
        const void *b = desk->panels + (done - in_place) * BLOCK_UNITS;
        ptrdiff_t b_stride = width;
        if (done < in_place) {
          b = stored_at(&product->b, unit, column + done);
          b_stride = product->b.stride;
        }
        for (ptrdiff_t panel = from; panel < to; panel++) {
          ptrdiff_t row = panel_row(state, panel), rows = panel_row(state, panel + 1) - row;
          const uint32_t *a = state->packed + row * layout->units + unit * rows;
          multiply_tile(state, desk, state->row + row, (int)rows, column + done,
                        (int)smaller(width, columns - done), unit, units, a, b, b_stride);
        }
      }
    }
  }
}

static void pack_job(void *context, ptrdiff_t index, int worker) {
  const state *state = context;
  desk desk = desk_in(ck_workers_scratch(state->workers, worker, DESK_BYTES));
  ptrdiff_t first = index * JOB_PANELS;
  pack_panels(state, first, smaller(first + JOB_PANELS, state->panels), &desk);
}

static void multiply_job(void *context, ptrdiff_t index, int worker) {
  const state *state = context;
  desk desk = desk_in(ck_workers_scratch(state->workers, worker, DESK_BYTES));
  ptrdiff_t column = index % state->column_jobs * state->job_columns;
  ptrdiff_t panel = index / state->column_jobs * state->job_panels;
  uint64_t saved = state->layout.flushes ? begin_flushing() : 0;
  multiply_part(state, panel, smaller(panel + state->job_panels, state->panels), column,
                smaller(state->job_columns, state->product->columns - column), &desk);
  if (state->layout.flushes) end_flushing(saved);
}

/// Cuts C so that there are jobs for everybody, of whole panels, and as wide as JOB_COLUMNS allows.
static void cut(state *state) {
  ptrdiff_t width = state->layout.width, columns = state->product->columns;
  ptrdiff_t wanted = JOBS_A_WORKER * ck_workers_count(state->workers);
  ptrdiff_t fewest = divided_up(columns, JOB_COLUMNS / width * width);
  if (state->panels * fewest < wanted) fewest = divided_up(wanted, state->panels);
  state->job_columns = divided_up(divided_up(columns, fewest), width) * width;
  state->column_jobs = divided_up(columns, state->job_columns);
  ptrdiff_t panel_jobs = smaller(divided_up(wanted, state->column_jobs), state->panels);
  state->job_panels = divided_up(state->panels, panel_jobs);
}

static void set_rows(state *state, ptrdiff_t row, ptrdiff_t rows) {
  state->row = row;
  state->rows = rows;
  state->panels = divided_up(rows, state->layout.kernels->tile_rows);
}

/// C = start, where there is nothing to add up.
static void store_start(const ck_product *product) {
  for (ptrdiff_t row = 0; row < product->rows && product->from != CK_FROM_C; row++) {
    float *c = product->c + row * product->c_stride;
    for (ptrdiff_t column = 0; column < product->columns; column++) {
      c[column] = product->from == CK_FROM_BIAS ? product->bias[column] : 0;
    }
  }
}

static size_t packed_bytes(ptrdiff_t rows, const layout *layout) {
  return whole_lines((size_t)rows * layout->units * 4);
}

/// Computes the product on this thread.
static void multiply_here(const ck_product *product, const layout *layout, char *scratch) {
  if (product->depth <= 0) {
    store_start(product);
    return;
  }
  state state = {.product = product, .layout = *layout};
  set_rows(&state, 0, product->rows);
  state.packed = (uint32_t *)scratch;
  desk desk = desk_in(scratch + packed_bytes(product->rows, layout));
  for (ptrdiff_t panel = 0; panel < state.panels; panel += JOB_PANELS) {
    pack_panels(&state, panel, smaller(panel + JOB_PANELS, state.panels), &desk);
  }
  uint64_t saved = layout->flushes ? begin_flushing() : 0;
  ptrdiff_t step = JOB_COLUMNS / layout->width * layout->width;
  for (ptrdiff_t column = 0; column < product->columns; column += step) {
    multiply_part(&state, 0, state.panels, column, smaller(step, product->columns - column),
                  &desk);
  }
  if (layout->flushes) end_flushing(saved);
}

/// Computes the product with all workers; rows of A are packed into `packed`, `most` at a time.
static void multiply_shared(ck_workers *workers, const ck_product *product, const layout *layout,
                            ptrdiff_t most, void *packed) {
  state state = {.product = product, .layout = *layout, .workers = workers, .packed = packed};
  ptrdiff_t blocks = divided_up(product->rows, most);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    ptrdiff_t row = block * product->rows / blocks;
    set_rows(&state, row, (block + 1) * product->rows / blocks - row);
    ck_workers_run(workers, divided_up(state.panels, JOB_PANELS), pack_job, &state);
    cut(&state);
    ck_workers_run(workers, state.column_jobs * divided_up(state.panels, state.job_panels),
                   multiply_job, &state);
  }
}

// Narrow products

/// Whether C is no wider than a vector, and its transpose is wider.
static int is_narrow(const ck_product *product) {
  return product->rows > product->columns
         && product->columns <= ck_layout_of(product).kernels->lanes;
}

/// Cᵀ = start + Bᵀ·(scale·A)ᵀ: the same sums, with the rows of C side by side in vectors.
static ck_product transpose_of(const ck_product *product, float *c, layout *layout) {
  ck_product transposed = *product;
  transposed.rows = product->columns;
  transposed.columns = product->rows;
  transposed.a = product->b;
  transposed.a.transposed = !product->b.transposed;
  transposed.b = product->a;
  transposed.b.transposed = !product->a.transposed;
  transposed.from = product->from == CK_FROM_ZERO ? CK_FROM_ZERO : CK_FROM_C;
  transposed.c = c;
  transposed.c_stride = product->rows;
  *layout = ck_layout_of(&transposed);
  layout->scale_a = 1;
  layout->scale_b = product->scale;
  return transposed;
}

static void load_start(const ck_product *product, float *transposed) {
  if (product->from == CK_FROM_ZERO) return;
  for (ptrdiff_t column = 0; column < product->columns; column++) {
    for (ptrdiff_t row = 0; row < product->rows; row++) {
      *transposed++ = product->from == CK_FROM_BIAS ? product->bias[column]
                                                    : product->c[row * product->c_stride + column];
    }
  }
}

static void store_result(const ck_product *product, const float *transposed) {
  for (ptrdiff_t row = 0; row < product->rows; row++) {
    for (ptrdiff_t column = 0; column < product->columns; column++) {
      product->c[row * product->c_stride + column] = transposed[column * product->rows + row];
    }
  }
}

static size_t transpose_bytes(ptrdiff_t rows, ptrdiff_t columns) {
  return whole_lines((size_t)rows * columns * sizeof(float));
}

/// A narrow product by its transpose, with all workers, or on this thread where there are none.
static void multiply_narrow(ck_workers *workers, const ck_product *product, char *scratch) {
  int in_place = product->columns == 1 && product->c_stride == 1;
  float *c = in_place ? product->c : (float *)scratch;
  char *rest = scratch + transpose_bytes(product->rows, product->columns);
  layout layout;
  ck_product transposed = transpose_of(product, c, &layout);
  if (!in_place || product->from == CK_FROM_BIAS) load_start(product, c);
  if (workers) {
    multiply_shared(workers, &transposed, &layout, transposed.rows, rest);
  } else {
    multiply_here(&transposed, &layout, rest);
  }
  if (!in_place) store_result(product, c);
}

// All products

size_t ck_multiply_scratch(const ck_product *product) {
  layout layout = ck_layout_of(product);
  // Enough for either form, so that a smaller product never needs more.
  ptrdiff_t narrow = smaller(product->columns, layout.kernels->lanes);
  return packed_bytes(product->rows, &layout) + packed_bytes(narrow, &layout)
         + transpose_bytes(product->rows, narrow) + DESK_BYTES;
}

void ck_multiply_alone(const ck_product *product, void *scratch) {
  if (product->rows <= 0 || product->columns <= 0) return;
  if (is_narrow(product)) {
    multiply_narrow(NULL, product, scratch);
    return;
  }
  layout layout = ck_layout_of(product);
  multiply_here(product, &layout, scratch);
}

/// Inside of a job the other workers are busy and the shared memory is taken.
static void multiply_inside(const ck_product *product) {
  void *scratch;
  if (posix_memalign(&scratch, 64, ck_multiply_scratch(product)) != 0) abort();
  ck_multiply_alone(product, scratch);
  free(scratch);
}

void ck_multiply(ck_workers *workers, const ck_product *product) {
  if (ck_workers_is_inside(workers)) {
    multiply_inside(product);
    return;
  }
  ck_workers_begin_turn(workers);
  int shared = ck_workers_count(workers);
  if ((double)product->rows * product->columns * product->depth < ALONE) {
    ck_multiply_alone(product, ck_workers_scratch(workers, shared, ck_multiply_scratch(product)));
  } else if (is_narrow(product)) {
    multiply_narrow(workers, product,
                    ck_workers_scratch(workers, shared, ck_multiply_scratch(product)));
  } else {
    layout layout = ck_layout_of(product);
    ptrdiff_t most = PACKED_BYTES / (layout.units * 4);
    ptrdiff_t tile_rows = layout.kernels->tile_rows;
    most = most < tile_rows ? tile_rows : most / tile_rows * tile_rows;
    ptrdiff_t rows = smaller(most, product->rows);
    void *packed = ck_workers_scratch(workers, shared, (size_t)rows * layout.units * 4);
    multiply_shared(workers, product, &layout, most, packed);
  }
  ck_workers_end_turn(workers);
}
