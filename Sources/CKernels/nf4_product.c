#include "include/cpu.h"
#include "include/nf4.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

enum { WIDTH = 16, MOST_ROWS = 8 };

typedef float lanes __attribute__((vector_size(4 * WIDTH), aligned(4)));

/// The operands of ck_panel_product.
typedef struct {
  const float *a;
  size_t a_stride;
  size_t tokens;
  const float *panel;
  size_t panel_stride;
  size_t depth;
  size_t width;
  float *out;
  size_t out_stride;
} product;

/// Sixteen columns of `rows` rows. `fused`: the processor has the fused multiply-add. The compiler
/// sees both as constants.
CK_INLINE void strip(const product *p, size_t token, size_t column, const int rows, const int fused) {
  const float *a = p->a + token * p->a_stride, *panel = p->panel + column;
  float *out = p->out + token * p->out_stride + column;
  lanes sum[MOST_ROWS];
  for (int r = 0; r < rows; r++) sum[r] = *(const lanes *)(out + r * p->out_stride);
  for (size_t k = 0; k < p->depth; k++, panel += p->panel_stride) {
    const lanes values = *(const lanes *)panel;
    for (int r = 0; r < rows; r++) {
      const float factor = a[r * p->a_stride + k];
      if (fused) {
        sum[r] = __builtin_elementwise_fma((lanes){0} + factor, values, sum[r]);
      } else {
        for (int i = 0; i < WIDTH; i++) sum[r][i] = ck_fma(factor, values[i], sum[r][i]);
      }
    }
  }
  for (int r = 0; r < rows; r++) *(lanes *)(out + r * p->out_stride) = sum[r];
}

/// The columns that do not fill a strip.
CK_INLINE void rest(const product *p, size_t token, size_t column, const int fused) {
  const float *a = p->a + token * p->a_stride;
  for (size_t j = column; j < p->width; j++) {
    float sum = p->out[token * p->out_stride + j];
    for (size_t k = 0; k < p->depth; k++) {
      const float value = p->panel[k * p->panel_stride + j];
      sum = fused ? __builtin_fmaf(a[k], value, sum) : ck_fma(a[k], value, sum);
    }
    p->out[token * p->out_stride + j] = sum;
  }
}

CK_INLINE void multiply(const product *p, const int rows, const int fused) {
  const size_t strips = p->width / WIDTH * WIDTH;
  size_t token = 0;
  for (; token + rows <= p->tokens; token += rows) {
    for (size_t j = 0; j < strips; j += WIDTH) strip(p, token, j, rows, fused);
  }
  for (; token < p->tokens; token++) {
    for (size_t j = 0; j < strips; j += WIDTH) strip(p, token, j, 1, fused);
  }
  if (strips == p->width) return;
  for (token = 0; token < p->tokens; token++) rest(p, token, strips, fused);
}

// As many rows at a time as a path has registers for.
#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))) static void
multiply_avx512(const product *p) {
  multiply(p, 8, 1);
}

__attribute__((target("avx2,fma,f16c"))) static void multiply_avx2(const product *p) {
  multiply(p, 4, 1);
}
#endif
#if defined(__aarch64__)
static void multiply_neon(const product *p) { multiply(p, 4, 1); }
#endif

/// Both sides of a square of this edge fit in the first-level cache.
enum { EDGE = 16 };

void ck_transpose(
    const float *from, size_t from_stride, size_t rows, size_t columns, float *to,
    size_t to_stride) {
  for (size_t top = 0; top < rows; top += EDGE) {
    const size_t bottom = rows - top < EDGE ? rows : top + EDGE;
    for (size_t left = 0; left < columns; left += EDGE) {
      const size_t right = columns - left < EDGE ? columns : left + EDGE;
      for (size_t c = left; c < right; c++) {
        for (size_t r = top; r < bottom; r++) to[c * to_stride + r] = from[r * from_stride + c];
      }
    }
  }
}

void ck_panel_product(
    const float *a, size_t a_stride, size_t tokens, const float *panel, size_t panel_stride,
    size_t depth, size_t width, float *out, size_t out_stride) {
  const product p = {a, a_stride, tokens, panel, panel_stride, depth, width, out, out_stride};
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX512: multiply_avx512(&p); return;
    case CK_PATH_AVX2: multiply_avx2(&p); return;
#endif
#if defined(__aarch64__)
    case CK_PATH_NEON: multiply_neon(&p); return;
#endif
    default: multiply(&p, 1, 0);
  }
}
