// Cuts a matrix product into panels and tiles. The result does not depend on how: every element of C
// is one chain of fma, and a later part of the chain starts from what the earlier part left in C.
#include "include/gemm.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gemm_kernels.h"
#include "scalar.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum {
  /// Units of the sums that are in the panels of B at a time.
  BLOCK_UNITS = 256,
  /// Columns of B that one job packs: with BLOCK_UNITS a quarter of a second-level cache of 1 MiB.
  JOB_COLUMNS = 256,
  /// Panels of A that one job packs.
  JOB_PANELS = 8,
  /// Bytes of A that are packed at a time.
  PACKED_BYTES = 32 << 20,
  /// Products of fewer multiplications are done at once by the caller.
  ALONE = 1 << 17,
  /// Jobs for each worker, so that none waits long for the last one.
  JOBS_A_WORKER = 4,
};

static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static ptrdiff_t divided_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
static size_t whole_lines(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/// VDPBF16PS does two fma at once, but on Intel's cores at a quarter of the rate of one: there the same
/// numbers come sooner from f32.
static int prefers_bf16_products(void) {
#if defined(__x86_64__)
  return !__builtin_cpu_is("intel");
#else
  return 0;
#endif
}

static int has_bf16_products(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
#else
  return 0;
#endif
}

/// -1 until somebody chooses.
static _Atomic int bf16_products = -1;

int ck_set_bf16_products(int taken) {
  if (taken && !has_bf16_products()) return -1;
  atomic_store(&bf16_products, taken);
  return 0;
}

int ck_get_bf16_products(void) {
  int taken = atomic_load_explicit(&bf16_products, memory_order_relaxed);
  if (taken < 0) {
    taken = has_bf16_products() && prefers_bf16_products();
    atomic_store_explicit(&bf16_products, taken, memory_order_relaxed);
  }
  return taken;
}

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
} layout;

static layout numbers_of(const ck_product *product) {
  layout chosen = {.units = product->depth};
  int bf16 = product->precision == CK_MULTIPLY_BF16;
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX2: chosen.kernels = ck_gemm_avx2; break;
    case CK_PATH_AVX512: chosen.kernels = ck_gemm_avx512; break;
#endif
#if defined(__aarch64__)
    case CK_PATH_NEON: chosen.kernels = ck_gemm_neon; break;
#endif
    default: chosen.kernels = bf16 ? ck_gemm_portable_flushing : ck_gemm_portable;
  }
  if (!bf16) return chosen;
  chosen.rounds = 1;
#if defined(__x86_64__)
  if (ck_get_path() == CK_PATH_AVX512 && ck_get_bf16_products()) {
    chosen.kernels = ck_gemm_avx512_bf16;
    chosen.pairs = 1;
    chosen.units = divided_up(product->depth, 2);
    return chosen;
  }
#endif
  chosen.flushes = 1;
  chosen.units = 2 * divided_up(product->depth, 2);
  return chosen;
}

static layout layout_of(const ck_product *product) {
  layout layout = numbers_of(product);
  ptrdiff_t lanes = layout.kernels->lanes;
  ptrdiff_t vectors = smaller(divided_up(product->columns, lanes), layout.kernels->tile_vectors);
  layout.width = (int)(vectors * lanes);
  return layout;
}

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

static desk desk_in(char *memory) {
  desk desk;
  desk.ready = memory;
  desk.wide = (float *)(memory += READY_BYTES);
  desk.halves = (uint16_t *)(memory += ROW_NUMBERS * 4);
  desk.edge = (float *)(memory += ROW_NUMBERS * 2);
  desk.panels = (uint32_t *)(memory + EDGE_BYTES);
  return desk;
}

// Packing

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
static int is_ready(const packing *packing) {
  if (packing->operand->decode || packing->scale != 1) return 0;
  if (packing->layout->pairs) return packing->operand->element == CK_BF16;
  return packing->operand->element == CK_F32 && !packing->layout->rounds;
}

static const char *stored_at(const ck_operand *operand, ptrdiff_t row, ptrdiff_t column) {
  return (const char *)operand->start
         + (row * operand->stride + column) * (ptrdiff_t)ck_element_size(operand->element);
}

/// Writes `count` numbers of a stored row in the precision of the product.
static void make_ready(const packing *packing, ptrdiff_t row, ptrdiff_t column, ptrdiff_t count,
                       void *into) {
  const ck_operand *operand = packing->operand;
  float *wide = packing->layout->pairs ? packing->desk->wide : into;
  if (operand->decode) {
    operand->decode(operand->decode_context, row, column, count, wide);
  } else {
    ck_widen(operand->element, stored_at(operand, row, column), wide, count);
  }
  if (packing->scale != 1) {
    for (ptrdiff_t i = 0; i < count; i++) wide[i] *= packing->scale;
  }
  if (packing->layout->pairs) {
    ck_round(CK_BF16, wide, into, count);
  } else if (packing->layout->rounds) {
    ck_round(CK_BF16, wide, packing->desk->halves, count);
    ck_widen(CK_BF16, packing->desk->halves, wide, count);
  }
}

/// Packs rows that lie along the sums: each is a panel column.
static void pack_along(const packing *packing, part part, ptrdiff_t panel_units,
                       uint32_t *panels) {
  const layout *layout = packing->layout;
  ptrdiff_t in_unit = layout->pairs ? 2 : 1;
  ptrdiff_t size = 4 / in_unit;
  ptrdiff_t first = part.unit * in_unit;
  ptrdiff_t count = smaller(part.units * in_unit, packing->depth - first);
  int in_place = is_ready(packing) && count == part.units * in_unit;
  for (ptrdiff_t done = 0; done < part.columns; done += packing->width) {
    int columns = (int)smaller(packing->width, part.columns - done);
    ptrdiff_t column = part.column + done;
    const char *rows = packing->desk->ready;
    ptrdiff_t stride = ROW_BYTES;
    if (in_place) {
      rows = stored_at(packing->operand, column, first);
      stride = packing->operand->stride * size;
    } else {
      for (int i = 0; i < columns; i++) {
        char *row = packing->desk->ready + i * ROW_BYTES;
        make_ready(packing, column + i, first, count, row);
        memset(row + count * size, 0, part.units * 4 - count * size);
      }
    }
    layout->kernels->pack_along(rows, stride, columns, packing->width, part.units,
                                layout->flushes, panels);
    panels += panel_units;
  }
}

/// Packs rows that lie across the sums: each is a unit, or half of one, of every panel.
static void pack_across(const packing *packing, part part, ptrdiff_t panel_units,
                        uint32_t *panels) {
  const layout *layout = packing->layout;
  int in_place = is_ready(packing);
  ptrdiff_t in_unit = layout->pairs ? 2 : 1;
  char *const ready[] = {packing->desk->ready, packing->desk->ready + ROW_BYTES};
  uint32_t *joined = (uint32_t *)(packing->desk->ready + 2 * ROW_BYTES);
  for (ptrdiff_t k = 0; k < part.units; k++) {
    const void *rows[2];
    for (ptrdiff_t half = 0; half < in_unit; half++) {
      ptrdiff_t row = (part.unit + k) * in_unit + half;
      rows[half] = ready[half];
      if (row >= packing->depth) {
        memset(ready[half], 0, part.columns * 4);
      } else if (in_place) {
        rows[half] = stored_at(packing->operand, row, part.column);
      } else {
        make_ready(packing, row, part.column, part.columns, ready[half]);
      }
    }
    if (layout->pairs) {
      layout->kernels->pair(rows[0], rows[1], part.columns, joined);
      rows[0] = joined;
    }
    layout->kernels->pack_across(rows[0], part.columns, packing->width, panel_units,
                                 panels + (k ^ layout->flushes) * packing->width);
  }
}

// The product

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
  ptrdiff_t all = state->layout.units;
  packing packing = {&state->layout, &product->a, product->depth, product->scale, width, desk};
  uint32_t *panels = state->packed + row * all;
  for (ptrdiff_t unit = 0; unit < all; unit += BLOCK_UNITS) {
    part part = {state->row + row, rows, unit, smaller(BLOCK_UNITS, all - unit)};
    (product->a.transposed ? pack_across : pack_along)(&packing, part, all * width,
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
                          const uint32_t *a, const uint32_t *b) {
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
    kernels->tile(rows, vectors, units, a, b, state->layout.width, start, start_stride, c,
                  product->c_stride);
    return;
  }
  float *edge = desk->edge;
  for (int i = 0; start && i < rows; i++) {
    memcpy(edge + i * CK_TILE_COLUMNS, start + i * start_stride, columns * sizeof(float));
  }
  kernels->tile(rows, vectors, units, a, b, state->layout.width, start ? edge : NULL,
                CK_TILE_COLUMNS, edge, CK_TILE_COLUMNS);
  for (int i = 0; i < rows; i++) {
    memcpy(c + i * product->c_stride, edge + i * CK_TILE_COLUMNS, columns * sizeof(float));
  }
}

/// The part of C under the panels `first ..< end` of A and `columns` columns of B.
static void multiply_part(const state *state, ptrdiff_t first, ptrdiff_t end, ptrdiff_t column,
                          ptrdiff_t columns, const desk *desk) {
  const ck_product *product = state->product;
  const layout *layout = &state->layout;
  int width = layout->width;
  packing packing = {layout, &product->b, product->depth, 1, width, desk};
  for (ptrdiff_t unit = 0; unit < layout->units; unit += BLOCK_UNITS) {
    ptrdiff_t units = smaller(BLOCK_UNITS, layout->units - unit);
    part part = {column, columns, unit, units};
    (product->b.transposed ? pack_along : pack_across)(&packing, part, BLOCK_UNITS * width,
                                                       desk->panels);
    for (ptrdiff_t done = 0; done < columns; done += width) {
      const uint32_t *b = desk->panels + done * BLOCK_UNITS;
      for (ptrdiff_t panel = first; panel < end; panel++) {
        ptrdiff_t row = panel_row(state, panel), rows = panel_row(state, panel + 1) - row;
        const uint32_t *a = state->packed + row * layout->units + unit * rows;
        multiply_tile(state, desk, state->row + row, (int)rows, column + done,
                      (int)smaller(width, columns - done), unit, units, a, b);
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

/// Cuts C so that there are jobs for everybody, of whole panels, and as large as that allows.
static void cut(state *state) {
  ptrdiff_t width = state->layout.width;
  ptrdiff_t wanted = JOBS_A_WORKER * ck_workers_count(state->workers);
  ptrdiff_t columns = divided_up(divided_up(state->product->columns, wanted), width) * width;
  state->job_columns = smaller(columns, JOB_COLUMNS / width * width);
  state->column_jobs = divided_up(state->product->columns, state->job_columns);
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

size_t ck_multiply_scratch(const ck_product *product) {
  size_t units = layout_of(product).units;
  return whole_lines((size_t)product->rows * units * 4) + DESK_BYTES;
}

void ck_multiply_alone(const ck_product *product, void *scratch) {
  if (product->rows <= 0 || product->columns <= 0) return;
  if (product->depth <= 0) {
    store_start(product);
    return;
  }
  state state = {.product = product, .layout = layout_of(product)};
  set_rows(&state, 0, product->rows);
  state.packed = scratch;
  desk desk = desk_in((char *)scratch + whole_lines(product->rows * state.layout.units * 4));
  for (ptrdiff_t panel = 0; panel < state.panels; panel += JOB_PANELS) {
    pack_panels(&state, panel, smaller(panel + JOB_PANELS, state.panels), &desk);
  }
  uint64_t saved = state.layout.flushes ? begin_flushing() : 0;
  for (ptrdiff_t column = 0; column < product->columns; column += JOB_COLUMNS) {
    multiply_part(&state, 0, state.panels, column,
                  smaller(JOB_COLUMNS, product->columns - column), &desk);
  }
  if (state.layout.flushes) end_flushing(saved);
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
    ck_workers_end_turn(workers);
    return;
  }
  state state = {.product = product, .layout = layout_of(product), .workers = workers};
  ptrdiff_t most = PACKED_BYTES / (state.layout.units * 4);
  ptrdiff_t tile_rows = state.layout.kernels->tile_rows;
  most = most < tile_rows ? tile_rows : most / tile_rows * tile_rows;
  ptrdiff_t blocks = divided_up(product->rows, most);
  for (ptrdiff_t block = 0; block < blocks; block++) {
    ptrdiff_t row = block * product->rows / blocks;
    set_rows(&state, row, (block + 1) * product->rows / blocks - row);
    state.packed =
        ck_workers_scratch(workers, shared, (size_t)state.rows * state.layout.units * 4);
    ck_workers_run(workers, divided_up(state.panels, JOB_PANELS), pack_job, &state);
    cut(&state);
    ck_workers_run(workers, state.column_jobs * divided_up(state.panels, state.job_panels),
                   multiply_job, &state);
  }
  ck_workers_end_turn(workers);
}
