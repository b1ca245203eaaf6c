// The kernels of a path, over the vocabulary of one of the simd_*.h files, which is included before.
// Defines a static table `kernels`.
#include "kernels.h"
#include "compare_loops.h"
#include "vector_loops.h"

#pragma STDC FP_CONTRACT OFF

V v32 v_widen(ck_element element, const void *p) {
  switch (element) {
    case CK_F32: return v_load(p);
    case CK_F16: return v_widen_f16(p);
    default: return v_widen_bf16(p);
  }
}

V v32 v_merge(ck_element element, void *p, v32 x, const void *before, int64_t *changed) {
  switch (element) {
    case CK_F32: return v_merge_f32(p, x, before, changed);
    case CK_F16: return v_merge_f16(p, x, before, changed);
    default: return v_merge_bf16(p, x, before, changed);
  }
}

V void widen_all(ck_element element, const char *from, float *to, size_t count) {
  size_t size = ck_element_size(element), done = 0;
  for (; done + CK_LANES <= count; done += CK_LANES) {
    v_store(to + done, v_widen(element, from + done * size));
  }
  if (done < count) {
    char padded[CK_LANES * 4] = {0};
    float widened[CK_LANES];
    memcpy(padded, from + done * size, (count - done) * size);
    v_store(widened, v_widen(element, padded));
    memcpy(to + done, widened, (count - done) * sizeof(float));
  }
}

CK_TARGET static void widen(ck_element element, const void *from, float *to, size_t count) {
  switch (element) {
    case CK_F32: memmove(to, from, count * sizeof(float)); break;
    case CK_F16: widen_all(CK_F16, from, to, count); break;
    case CK_BF16: widen_all(CK_BF16, from, to, count); break;
  }
}

V void round_all(ck_element element, const float *from, char *to, size_t count) {
  size_t size = ck_element_size(element), done = 0;
  for (; done + CK_LANES <= count; done += CK_LANES) {
    v32 x = v_load(from + done);
    element == CK_F16 ? v_round_f16(to + done * size, x) : v_round_bf16(to + done * size, x);
  }
  if (done < count) {
    float padded[CK_LANES] = {0};
    char rounded[CK_LANES * 4];
    memcpy(padded, from + done, (count - done) * sizeof(float));
    v32 x = v_load(padded);
    element == CK_F16 ? v_round_f16(rounded, x) : v_round_bf16(rounded, x);
    memcpy(to + done * size, rounded, (count - done) * size);
  }
}

CK_TARGET static void round_to(ck_element element, const float *from, void *to, size_t count) {
  switch (element) {
    case CK_F32: memmove(to, from, count * sizeof(float)); break;
    case CK_F16: round_all(CK_F16, from, to, count); break;
    case CK_BF16: round_all(CK_BF16, from, to, count); break;
  }
}

typedef struct {
  v32 delta_squared, kept_dot_delta, weight_squared;
  int64_t changed;
} row_sums;

/// 32 elements of a row, all of them numbers.
V void store_lanes(ck_form form, ck_element element, const void *stored, const float *delta,
                   v32 factors, void *out, row_sums *sums) {
  v32 weight = v_widen(element, stored);
  v32 given = v_load(delta);
  v32 wanted, change;
  if (form == CK_GENERAL) {
    wanted = v_keep_equal(weight, given);
    change = v_sub(wanted, weight);
  } else {
    wanted = v_add_unless_zero(weight, given);
    change = given;
    if (form == CK_SCALED) {
      wanted = v_mul(wanted, factors);
      change = v_sub(wanted, weight);
    }
  }
  v32 merged = v_merge(element, out, wanted, stored, &sums->changed);
  v32 kept = v_sub(merged, weight);
  sums->delta_squared = v_fma(change, change, sums->delta_squared);
  sums->kept_dot_delta = v_fma(kept, change, sums->kept_dot_delta);
  sums->weight_squared = v_fma(weight, weight, sums->weight_squared);
}

/// memcpy without the call.
V void copy_bytes(char *to, const char *from, size_t count) {
  size_t done = 0;
  for (; done + sizeof(v32) <= count; done += sizeof(v32)) {
    v_store((float *)(void *)(to + done), v_load((const float *)(const void *)(from + done)));
  }
  if (done < count) memcpy(to + done, from + done, count - done);
}

/// Stores one row as if every element and every result were a number. Where that is not so, an
/// infinity or a NaN stays in the sum of kept·d to the end: the row is then left to the portable code.
V void store_row(ck_form form, ck_element element, const ck_store *block, ptrdiff_t row) {
  size_t size = ck_element_size(element);
  const char *stored = (const char *)block->stored + row * block->stored_stride;
  const float *delta = block->delta + row * block->delta_stride;
  int own_factors = form == CK_SCALED && block->factor_column_stride != 0;
  const float *factors = form == CK_SCALED ? block->factors + row * block->factor_row_stride : NULL;
  v32 factor = v_splat(form == CK_SCALED ? factors[0] : 0);
  // `stored` is needed again when this turns out to be in vain.
  _Alignas(64) char aside[CK_BLOCK_COLUMNS * 4];
  char *out = (char *)block->out + row * block->out_stride;
  char *merged = out == stored ? aside : out;
  v32 zero = v_splat(0);
  row_sums sums = {zero, zero, zero, 0};

  ptrdiff_t column = 0;
  for (; column + CK_LANES <= block->columns; column += CK_LANES) {
    if (own_factors) factor = v_load(factors + column);
    store_lanes(form, element, stored + column * size, delta + column, factor,
                merged + column * size, &sums);
  }
  if (column < block->columns) {
    // Lanes beyond the row hold w = D = Q = +0, stay so, and add nothing to any sum.
    ptrdiff_t rest = block->columns - column;
    char padded[CK_LANES * 4] = {0};
    float padded_delta[CK_LANES] = {0}, padded_factors[CK_LANES] = {0};
    memcpy(padded, stored + column * size, rest * size);
    memcpy(padded_delta, delta + column, rest * sizeof(float));
    for (ptrdiff_t i = 0; factors && i < rest; i++) {
      padded_factors[i] = factors[own_factors ? column + i : 0];
    }
    factor = v_load(padded_factors);
    char rounded[CK_LANES * 4];
    store_lanes(form, element, padded, padded_delta, factor, rounded, &sums);
    memcpy(merged + column * size, rounded, rest * size);
  }

  float kept_dot_delta = v_sum(sums.kept_dot_delta);
  if (!ck_is_finite(kept_dot_delta)) {
    ck_store alone = *block;
    alone.rows = 1;
    alone.stored = stored;
    alone.out = out;
    alone.delta = delta;
    alone.factors = factors;
    alone.statistics = block->statistics + row;
    ck_store_block_portable(&alone);
    return;
  }
  ck_row_statistics *statistics = block->statistics + row;
  statistics->delta_squared += (double)v_sum(sums.delta_squared);
  statistics->kept_dot_delta += (double)kept_dot_delta;
  statistics->weight_squared += (double)v_sum(sums.weight_squared);
  statistics->changed += sums.changed;
  if (merged == aside) copy_bytes(out, aside, block->columns * size);
}

V void store_rows(ck_form form, ck_element element, const ck_store *block) {
  for (ptrdiff_t row = 0; row < block->rows; row++) store_row(form, element, block, row);
}

V void store_form(ck_form form, const ck_store *block) {
  switch (block->element) {
    case CK_F32: store_rows(form, CK_F32, block); break;
    case CK_F16: store_rows(form, CK_F16, block); break;
    case CK_BF16: store_rows(form, CK_BF16, block); break;
  }
}

CK_TARGET static void store_block(const ck_store *block) {
  switch (block->form) {
    case CK_ADDITIVE: store_form(CK_ADDITIVE, block); break;
    case CK_SCALED: store_form(CK_SCALED, block); break;
    case CK_GENERAL: store_form(CK_GENERAL, block); break;
  }
}

/// `rows`, a constant, rows of one group of columns: the sums stay in registers.
V void low_rank_tile(int rows, ptrdiff_t rank, const float *panel, const float *b, float scale,
                     const float *from, float *to) {
  v32 sums[TILE_ROWS];
#pragma clang loop unroll(full)
  for (int row = 0; row < rows; row++) sums[row] = v_splat(0);
  for (ptrdiff_t k = 0; k < rank; k++) {
    v32 a = v_load(panel + k * CK_LANES);
#pragma clang loop unroll(full)
    for (int row = 0; row < rows; row++) {
      sums[row] = v_fma(v_splat(b[row * rank + k]), a, sums[row]);
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < rows; row++) {
    v32 addend = from ? v_load(from + row * CK_BLOCK_COLUMNS) : v_splat(0);
    v_store(to + row * CK_BLOCK_COLUMNS, v_fma(v_splat(scale), sums[row], addend));
  }
}

CK_TARGET static void low_rank_block(ptrdiff_t rows, ptrdiff_t groups, ptrdiff_t rank,
                                     const float *panels, const float *b, float scale,
                                     const float *from, float *to) {
  // Down the rows first: the panel of a group stays in the first-level cache.
  for (ptrdiff_t group = 0; group < groups; group++) {
    const float *panel = panels + group * rank * CK_LANES;
    for (ptrdiff_t row = 0; row < rows;) {
      ptrdiff_t start = row * CK_BLOCK_COLUMNS + group * CK_LANES;
      const float *addend = from ? from + start : NULL;
      if (rows - row >= TILE_ROWS) {
        low_rank_tile(TILE_ROWS, rank, panel, b + row * rank, scale, addend, to + start);
        row += TILE_ROWS;
      } else {
        low_rank_tile(1, rank, panel, b + row * rank, scale, addend, to + start);
        row += 1;
      }
    }
  }
}

CK_TARGET static void axpy(float a, const float *x, float *y, size_t count) {
  size_t done = 0;
  for (; done + CK_LANES <= count; done += CK_LANES) {
    v_store(y + done, v_fma(v_splat(a), v_load(x + done), v_load(y + done)));
  }
  if (done < count) {
    float padded_x[CK_LANES] = {0}, padded_y[CK_LANES] = {0};
    memcpy(padded_x, x + done, (count - done) * sizeof(float));
    memcpy(padded_y, y + done, (count - done) * sizeof(float));
    v_store(padded_y, v_fma(v_splat(a), v_load(padded_x), v_load(padded_y)));
    memcpy(y + done, padded_y, (count - done) * sizeof(float));
  }
}

static const ck_kernels kernels = {
    .widen = widen,
    .round = round_to,
    .store_block = store_block,
    .low_rank_block = low_rank_block,
    .dot = dot,
    .axpy = axpy,
    .scale = scale,
    .add_squares = add_squares,
    .compare = compare,
    .largest_distance = largest_distance,
};
