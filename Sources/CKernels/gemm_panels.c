#include "gemm_panels.h"

#include <stdatomic.h>
#include <string.h>

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

layout ck_layout_of(const ck_product *product) {
  layout layout = numbers_of(product);
  layout.scale_a = product->scale;
  layout.scale_b = 1;
  ptrdiff_t lanes = layout.kernels->lanes;
  ptrdiff_t vectors = smaller(divided_up(product->columns, lanes), layout.kernels->tile_vectors);
  layout.width = (int)(vectors * lanes);
  return layout;
}

int ck_is_ready(const packing *packing) {
  if (packing->operand->decode || packing->scale != 1) return 0;
  if (packing->layout->pairs) return packing->operand->element == CK_BF16;
  return packing->operand->element == CK_F32 && !packing->layout->rounds;
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

void ck_pack_along(const packing *packing, part part, ptrdiff_t panel_units, uint32_t *panels) {
  const layout *layout = packing->layout;
  ptrdiff_t in_unit = layout->pairs ? 2 : 1;
  ptrdiff_t size = 4 / in_unit;
  ptrdiff_t first = part.unit * in_unit;
  ptrdiff_t count = smaller(part.units * in_unit, packing->depth - first);
  int in_place = ck_is_ready(packing) && count == part.units * in_unit;
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

void ck_pack_across(const packing *packing, part part, ptrdiff_t panel_units, uint32_t *panels) {
  const layout *layout = packing->layout;
  int in_place = ck_is_ready(packing);
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
