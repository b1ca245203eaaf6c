#include "include/cpu.h"
#include "include/nf4.h"
#include "nf4_scalar.h"

#pragma STDC FP_CONTRACT OFF

enum { WIDTH = 16 };

typedef float lanes __attribute__((vector_size(4 * WIDTH), aligned(4)));

/// Sixteen columns of `rows` rows; constant for the compiler.
NF4_INLINE void strip(
    const float *a, size_t a_stride, const int rows, const float *panel, size_t panel_stride,
    size_t depth, float *out, size_t out_stride) {
  lanes sum[8];
  for (int r = 0; r < rows; r++) sum[r] = *(const lanes *)(out + r * out_stride);
  for (size_t k = 0; k < depth; k++) {
    const lanes column = *(const lanes *)(panel + k * panel_stride);
    for (int r = 0; r < rows; r++) {
      const lanes factor = (lanes){0} + a[r * a_stride + k];
      sum[r] = __builtin_elementwise_fma(factor, column, sum[r]);
    }
  }
  for (int r = 0; r < rows; r++) *(lanes *)(out + r * out_stride) = sum[r];
}

NF4_INLINE void rows_product(
    const float *a, size_t a_stride, const int rows, const float *panel, size_t panel_stride,
    size_t depth, size_t width, float *out, size_t out_stride) {
  size_t j = 0;
  for (; j + WIDTH <= width; j += WIDTH) {
    strip(a, a_stride, rows, panel + j, panel_stride, depth, out + j, out_stride);
  }
  for (; j < width; j++) {
    for (int r = 0; r < rows; r++) {
      float sum = out[r * out_stride + j];
      for (size_t k = 0; k < depth; k++) {
        sum = __builtin_fmaf(a[r * a_stride + k], panel[k * panel_stride + j], sum);
      }
      out[r * out_stride + j] = sum;
    }
  }
}

/// `most` rows at a time, as many as the path has registers for.
NF4_INLINE void product(
    const int most, const float *a, size_t a_stride, size_t tokens, const float *panel,
    size_t panel_stride, size_t depth, size_t width, float *out, size_t out_stride) {
  size_t t = 0;
  for (; t + most <= tokens; t += most) {
    rows_product(
        a + t * a_stride, a_stride, most, panel, panel_stride, depth, width, out + t * out_stride,
        out_stride);
  }
  for (; t < tokens; t++) {
    rows_product(
        a + t * a_stride, a_stride, 1, panel, panel_stride, depth, width, out + t * out_stride,
        out_stride);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))) static void
product_avx512(
    const float *a, size_t a_stride, size_t tokens, const float *panel, size_t panel_stride,
    size_t depth, size_t width, float *out, size_t out_stride) {
  product(8, a, a_stride, tokens, panel, panel_stride, depth, width, out, out_stride);
}

__attribute__((target("avx2,fma,f16c"))) static void product_avx2(
    const float *a, size_t a_stride, size_t tokens, const float *panel, size_t panel_stride,
    size_t depth, size_t width, float *out, size_t out_stride) {
  product(4, a, a_stride, tokens, panel, panel_stride, depth, width, out, out_stride);
}
#endif

void ck_panel_product(
    const float *a, size_t a_stride, size_t tokens, const float *panel, size_t panel_stride,
    size_t depth, size_t width, float *out, size_t out_stride) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX512:
      product_avx512(a, a_stride, tokens, panel, panel_stride, depth, width, out, out_stride);
      return;
    case CK_PATH_AVX2:
      product_avx2(a, a_stride, tokens, panel, panel_stride, depth, width, out, out_stride);
      return;
#endif
    default:
      product(4, a, a_stride, tokens, panel, panel_stride, depth, width, out, out_stride);
  }
}
