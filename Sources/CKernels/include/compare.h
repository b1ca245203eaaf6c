#ifndef CKERNELS_COMPARE_H
#define CKERNELS_COMPARE_H

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

/// What two vectors have in common. The sums are over the elements that are finite in both.
typedef struct {
  double a_squared;           // Σ a²
  double b_squared;           // Σ b²
  double difference_squared;  // Σ (a − b)²
  double difference_sum;      // Σ |a − b|
  double largest;             // the largest |a − b|
  int64_t differing;          // elements with different bits
  int64_t not_finite;         // elements that are not finite in one of the two, or in both
  int64_t mismatched;         // of those, the ones that are not the same: NaN and NaN are
} ck_comparison;

/// Compares `a` and `b`. Differences and sums are f64: an element goes to one of 8 lanes (index modulo
/// 8, ascending), the lanes are added upper half onto lower half. Each sum is within
/// (count/8 + 5)·2⁻⁵³ of the exact one, relatively.
void ck_compare(const float *a, const float *b, size_t count, ck_comparison *result);

/// The largest distance of two stored elements, counted in representable numbers from one to the other
/// (both zeros are one number), over those that are finite in both. `a` and `b` may have any alignment.
uint32_t ck_largest_distance(ck_element element, const void *a, const void *b, size_t count);

#endif
