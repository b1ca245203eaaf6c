#include "include/compare.h"

#include "kernels.h"

void ck_compare(const float *a, const float *b, size_t count, ck_comparison *result) {
  ck_kernels_chosen()->compare(a, b, count, result);
}

uint32_t ck_largest_distance(ck_element element, const void *a, const void *b, size_t count) {
  return ck_kernels_chosen()->largest_distance(element, a, b, count);
}
