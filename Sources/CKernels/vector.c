#include "include/vector.h"

#include "kernels.h"

double ck_dot(const float *x, const float *y, size_t count) {
  return ck_kernels_chosen()->dot(x, y, count);
}

void ck_axpy(float a, const float *x, float *y, size_t count) {
  ck_kernels_chosen()->axpy(a, x, y, count);
}

void ck_scale(float a, float *x, size_t count) { ck_kernels_chosen()->scale(a, x, count); }

void ck_add_squares(const float *x, double *sums, size_t count) {
  ck_kernels_chosen()->add_squares(x, sums, count);
}
