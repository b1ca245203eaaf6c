// Loops over vectors that a compiler turns into instructions of CK_TARGET by itself. Products of two
// f32 are exact in f64, so that it makes no difference whether a product and a sum are fused.
#ifndef CKERNELS_VECTOR_LOOPS_H
#define CKERNELS_VECTOR_LOOPS_H

#include "kernels.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

typedef float v8f __attribute__((vector_size(8 * sizeof(float))));
typedef double v8d __attribute__((vector_size(8 * sizeof(double))));

/// sums += x·y in CK_LANES lanes.
CK_TARGET CK_INLINE void add_products(const float *x, const float *y, v8d sums[CK_LANES / 8]) {
  for (int i = 0; i < CK_LANES / 8; i++) {
    v8f a, b;
    memcpy(&a, x + 8 * i, sizeof a);
    memcpy(&b, y + 8 * i, sizeof b);
    sums[i] += __builtin_convertvector(a, v8d) * __builtin_convertvector(b, v8d);
  }
}

CK_TARGET static double dot(const float *x, const float *y, size_t count) {
  v8d sums[CK_LANES / 8] = {{0}};
  size_t done = 0;
  for (; done + CK_LANES <= count; done += CK_LANES) add_products(x + done, y + done, sums);
  if (done < count) {
    float padded_x[CK_LANES] = {0}, padded_y[CK_LANES] = {0};
    memcpy(padded_x, x + done, (count - done) * sizeof(float));
    memcpy(padded_y, y + done, (count - done) * sizeof(float));
    add_products(padded_x, padded_y, sums);
  }
  double lanes[CK_LANES];
  memcpy(lanes, sums, sizeof lanes);
  for (int width = CK_LANES / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

CK_TARGET static void scale(float a, float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] *= a;
}

CK_TARGET static void add_squares(const float *restrict x, double *restrict sums, size_t count) {
  for (size_t i = 0; i < count; i++) sums[i] += (double)x[i] * (double)x[i];
}

#endif
