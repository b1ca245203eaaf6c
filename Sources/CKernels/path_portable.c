// The kernels without vector instructions: slow, and the definition of what the others compute.
#include "kernels.h"
#include "scalar.h"

#define CK_TARGET
#include "compare_loops.h"
#include "vector_loops.h"

#pragma STDC FP_CONTRACT OFF

static void widen(ck_element element, const void *from, float *to, size_t count) {
  const char *stored = from;
  size_t size = ck_element_size(element);
  for (size_t i = 0; i < count; i++) {
    to[i] = ck_widen_bits(element, ck_load_bits(element, stored + i * size));
  }
}

static void round_to(ck_element element, const float *from, void *to, size_t count) {
  char *stored = to;
  size_t size = ck_element_size(element);
  for (size_t i = 0; i < count; i++) {
    ck_store_bits(element, ck_round_bits(element, from[i]), stored + i * size);
  }
}

/// The NaN that is stored where arithmetic gave one: positive, quiet, no payload.
static uint32_t quiet_nan(ck_element element) {
  switch (element) {
    case CK_F32: return 0x7FC00000;
    case CK_F16: return 0x7E00;
    default: return 0x7FC0;
  }
}

static double sum_of_lanes(float lanes[CK_LANES]) {
  for (int width = CK_LANES / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
  }
  return (double)lanes[0];
}

static void store_row(const ck_store *block, ptrdiff_t row) {
  size_t size = ck_element_size(block->element);
  const char *stored = (const char *)block->stored + row * block->stored_stride;
  char *out = (char *)block->out + row * block->out_stride;
  const float *delta = block->delta + row * block->delta_stride;
  ck_row_statistics *statistics = block->statistics + row;
  float delta_squared[CK_LANES] = {0}, kept_dot_delta[CK_LANES] = {0};
  float weight_squared[CK_LANES] = {0};

  for (ptrdiff_t column = 0; column < block->columns; column++) {
    uint32_t bits = ck_load_bits(block->element, stored + column * size);
    float weight = ck_widen_bits(block->element, bits);
    float given = delta[column];
    float wanted, change;
    if (block->form == CK_GENERAL) {
      wanted = given == weight ? weight : given;
      change = wanted - weight;
    } else {
      wanted = given == 0 ? weight : weight + given;
      change = given;
      if (block->form == CK_SCALED) {
        wanted *= block->factors[row * block->factor_row_stride
                                 + column * block->factor_column_stride];
        change = wanted - weight;
      }
    }
    uint32_t merged = weight != weight   ? bits
                      : wanted != wanted ? quiet_nan(block->element)
                                         : ck_round_bits(block->element, wanted);
    ck_store_bits(block->element, merged, out + column * size);
    statistics->changed += merged != bits;
    if (ck_is_finite(weight)) {
      float kept = ck_widen_bits(block->element, merged) - weight;
      int lane = column % CK_LANES;
      delta_squared[lane] = ck_fma(change, change, delta_squared[lane]);
      kept_dot_delta[lane] = ck_fma(kept, change, kept_dot_delta[lane]);
      weight_squared[lane] = ck_fma(weight, weight, weight_squared[lane]);
      statistics->overflowed += !ck_is_finite(ck_widen_bits(block->element, merged));
    }
  }
  statistics->delta_squared += sum_of_lanes(delta_squared);
  statistics->kept_dot_delta += sum_of_lanes(kept_dot_delta);
  statistics->weight_squared += sum_of_lanes(weight_squared);
}

void ck_store_block_portable(const ck_store *block) {
  for (ptrdiff_t row = 0; row < block->rows; row++) store_row(block, row);
}

static void low_rank_block(ptrdiff_t rows, ptrdiff_t groups, ptrdiff_t rank, const float *panels,
                           const float *b, float scale, const float *from, float *to) {
  for (ptrdiff_t row = 0; row < rows; row++) {
    for (ptrdiff_t group = 0; group < groups; group++) {
      const float *panel = panels + group * rank * CK_LANES;
      float sums[CK_LANES] = {0};
      for (ptrdiff_t k = 0; k < rank; k++) {
        for (int lane = 0; lane < CK_LANES; lane++) {
          sums[lane] = ck_fma(b[row * rank + k], panel[k * CK_LANES + lane], sums[lane]);
        }
      }
      ptrdiff_t start = row * CK_BLOCK_COLUMNS + group * CK_LANES;
      for (int lane = 0; lane < CK_LANES; lane++) {
        to[start + lane] = ck_fma(scale, sums[lane], from ? from[start + lane] : 0.0f);
      }
    }
  }
}

static void axpy(float a, const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = ck_fma(a, x[i], y[i]);
}

static const ck_kernels kernels = {
    .widen = widen,
    .round = round_to,
    .store_block = ck_store_block_portable,
    .low_rank_block = low_rank_block,
    .dot = dot,
    .axpy = axpy,
    .scale = scale,
    .add_squares = add_squares,
    .compare = compare,
    .largest_distance = largest_distance,
};

const ck_kernels *const ck_kernels_portable = &kernels;
