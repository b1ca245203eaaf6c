#ifndef CKERNELS_VECTOR_H
#define CKERNELS_VECTOR_H

#include <stddef.h>

/// Σ x·y: the products are exact in f64, added in 32 lanes (index modulo 32, ascending), the lanes
/// upper half onto lower half. Within (count/32 + 5)·2⁻⁵³ of Σ |x·y| of the exact sum.
double ck_dot(const float *x, const float *y, size_t count);

/// y = fma(a, x, y).
void ck_axpy(float a, const float *x, float *y, size_t count);

/// x = a·x.
void ck_scale(float a, float *x, size_t count);

/// sums += x², in f64.
void ck_add_squares(const float *x, double *sums, size_t count);

#endif
