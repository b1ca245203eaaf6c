// Attention by strips. Every strip is one job of the forward pass; in the backward pass one job takes
// all strips that add to the same keys, in order, so that the sums do not depend on the workers.
#include "include/attention.h"

#include <string.h>

#include "include/layer.h"

typedef struct {
  const ck_attention *all;
  ck_workers *workers;
  const float *out_gradient;
  float *dq, *dk, *dv;
} state;

static ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

static ptrdiff_t strips_of(const ck_attention *all, ptrdiff_t sequence) {
  ptrdiff_t length = all->starts[sequence + 1] - all->starts[sequence];
  return (length + CK_STRIP_ROWS - 1) / CK_STRIP_ROWS;
}

/// The strip of queries from `row` on, with the keys that any of them sees.
static ck_strip strip_at(const ck_attention *all, ptrdiff_t length, ptrdiff_t row) {
  ptrdiff_t rows = smaller(CK_STRIP_ROWS, length - row), first = 0, end = length;
  if (all->causal) end = row + rows;
  if (all->window > 0) {
    first = larger(0, row - all->window + 1);
    end = smaller(end, row + rows - 1 + all->window);
  }
  return (ck_strip){.rows = rows, .keys = end - first, .first_row = row, .first_key = first,
                    .causal = all->causal, .window = all->window, .scale = all->scale};
}

static ck_operand operand(const float *start, ptrdiff_t stride, int transposed) {
  return (ck_operand){.start = start, .element = CK_F32, .stride = stride,
                      .transposed = transposed};
}

static void multiply(const ck_attention *all, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth,
                     ck_operand a, ck_operand b, ck_product_start from, float *c,
                     ptrdiff_t c_stride, void *scratch) {
  ck_product product = {.rows = rows, .columns = columns, .depth = depth, .a = a, .b = b,
                        .scale = 1, .from = from, .precision = all->precision, .c = c,
                        .c_stride = c_stride};
  ck_multiply_alone(&product, scratch);
}

/// Bytes for the largest product of a strip with `keys` keys.
static size_t product_bytes(const ck_attention *all, ptrdiff_t keys) {
  ptrdiff_t inner = larger(all->dim, CK_STRIP_ROWS);
  ck_product product = {.rows = larger(keys, CK_STRIP_ROWS), .columns = inner, .depth = inner,
                        .precision = all->precision};
  ck_product wide = product;
  wide.rows = CK_STRIP_ROWS;
  wide.depth = keys;
  size_t tall_bytes = ck_multiply_scratch(&product), wide_bytes = ck_multiply_scratch(&wide);
  return tall_bytes > wide_bytes ? tall_bytes : wide_bytes;
}

/// Floats for the scores of a strip, in whole cache lines.
static ptrdiff_t scores_of(ptrdiff_t keys) { return (CK_STRIP_ROWS * keys + 15) & ~(ptrdiff_t)15; }

static void forward_job(void *context, ptrdiff_t index, int worker) {
  const state *state = context;
  const ck_attention *all = state->all;
  ptrdiff_t head = index % all->heads, number = index / all->heads, sequence = 0;
  while (number >= strips_of(all, sequence)) number -= strips_of(all, sequence++);
  ptrdiff_t start = all->starts[sequence], length = all->starts[sequence + 1] - start;
  ck_strip strip = strip_at(all, length, number * CK_STRIP_ROWS);
  ptrdiff_t kv_head = head * all->kv_heads / all->heads;

  ptrdiff_t scores_count = scores_of(strip.keys);
  float *scores = ck_workers_scratch(
      state->workers, worker, scores_count * sizeof(float) + product_bytes(all, strip.keys));
  void *scratch = scores + scores_count;
  ptrdiff_t row = start + strip.first_row, key = start + strip.first_key;
  const float *q = all->q + row * all->q_stride + head * all->dim;
  const float *k = all->k + key * all->k_stride + kv_head * all->dim;
  const float *v = all->v + key * all->v_stride + kv_head * all->dim;
  multiply(all, strip.rows, strip.keys, all->dim, operand(q, all->q_stride, 0),
           operand(k, all->k_stride, 1), CK_FROM_ZERO, scores, strip.keys, scratch);
  ck_layer()->softmax(&strip, scores, all->log_sums + head * all->tokens + row);
  multiply(all, strip.rows, all->dim, strip.keys, operand(scores, strip.keys, 0),
           operand(v, all->v_stride, 0), CK_FROM_ZERO,
           all->out + row * all->out_stride + head * all->dim, all->out_stride, scratch);
}

void ck_attention_forward(ck_workers *workers, const ck_attention *attention) {
  ptrdiff_t strips = 0;
  for (ptrdiff_t s = 0; s < attention->sequences; s++) strips += strips_of(attention, s);
  state state = {.all = attention, .workers = workers};
  ck_workers_run(workers, strips * attention->heads, forward_job, &state);
}

/// What a strip of the backward pass works in.
typedef struct {
  float *scores, *gradients, *dots;
  void *scratch;
} desk;

static void backward_strip(const state *state, ptrdiff_t start, ptrdiff_t length, ptrdiff_t row,
                           ptrdiff_t head, const desk *desk) {
  const ck_attention *all = state->all;
  ck_strip strip = strip_at(all, length, row);
  ptrdiff_t kv_head = head * all->kv_heads / all->heads;
  row += start;
  ptrdiff_t q_at = row * all->q_stride + head * all->dim;
  ptrdiff_t out_at = row * all->out_stride + head * all->dim;
  ptrdiff_t k_at = (start + strip.first_key) * all->k_stride + kv_head * all->dim;
  ptrdiff_t v_at = (start + strip.first_key) * all->v_stride + kv_head * all->dim;
  ck_operand q = operand(all->q + q_at, all->q_stride, 0);
  ck_operand g = operand(state->out_gradient + out_at, all->out_stride, 0);

  multiply(all, strip.rows, strip.keys, all->dim, q, operand(all->k + k_at, all->k_stride, 1),
           CK_FROM_ZERO, desk->scores, strip.keys, desk->scratch);
  multiply(all, strip.rows, strip.keys, all->dim, g, operand(all->v + v_at, all->v_stride, 1),
           CK_FROM_ZERO, desk->gradients, strip.keys, desk->scratch);
  // Σ p·dp = ⟨out, gradient of out⟩ (Dao et al. 2022, appendix B.2).
  ck_layer()->dots(strip.rows, all->dim, all->out + out_at, all->out_stride,
                   state->out_gradient + out_at, all->out_stride, desk->dots);
  ck_layer()->softmax_backward(&strip, all->log_sums + head * all->tokens + row, desk->dots,
                               desk->scores, desk->gradients);
  multiply(all, strip.keys, all->dim, strip.rows, operand(desk->scores, strip.keys, 1), g,
           CK_FROM_C, state->dv + v_at, all->v_stride, desk->scratch);
  multiply(all, strip.rows, all->dim, strip.keys, operand(desk->gradients, strip.keys, 0),
           operand(all->k + k_at, all->k_stride, 0), CK_FROM_ZERO, state->dq + q_at,
           all->q_stride, desk->scratch);
  multiply(all, strip.keys, all->dim, strip.rows, operand(desk->gradients, strip.keys, 1), q,
           CK_FROM_C, state->dk + k_at, all->k_stride, desk->scratch);
}

/// All strips of one sequence that read the same head of keys and values.
static void backward_job(void *context, ptrdiff_t index, int worker) {
  const state *state = context;
  const ck_attention *all = state->all;
  ptrdiff_t kv_head = index % all->kv_heads, sequence = index / all->kv_heads;
  ptrdiff_t start = all->starts[sequence], length = all->starts[sequence + 1] - start;
  for (ptrdiff_t token = start; token < start + length; token++) {
    memset(state->dk + token * all->k_stride + kv_head * all->dim, 0, all->dim * sizeof(float));
    memset(state->dv + token * all->v_stride + kv_head * all->dim, 0, all->dim * sizeof(float));
  }
  ptrdiff_t scores_count = scores_of(length);
  size_t bytes = (2 * scores_count + CK_STRIP_ROWS) * sizeof(float) + product_bytes(all, length);
  desk desk = {.scores = ck_workers_scratch(state->workers, worker, bytes)};
  desk.gradients = desk.scores + scores_count;
  desk.dots = desk.gradients + scores_count;
  desk.scratch = desk.dots + CK_STRIP_ROWS;
  ptrdiff_t group = all->heads / all->kv_heads;
  for (ptrdiff_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
    for (ptrdiff_t row = 0; row < length; row += CK_STRIP_ROWS) {
      backward_strip(state, start, length, row, head, &desk);
    }
  }
}

void ck_attention_backward(ck_workers *workers, const ck_attention *attention,
                           const float *out_gradient, float *dq, float *dk, float *dv) {
  state state = {attention, workers, out_gradient, dq, dk, dv};
  ck_workers_run(workers, attention->sequences * attention->kv_heads, backward_job, &state);
}
