#include "include/elements.h"

#include "kernels.h"

void ck_widen(ck_element element, const void *from, float *to, size_t count) {
  if (count > 0) ck_kernels_chosen()->widen(element, from, to, count);
}

void ck_round(ck_element element, const float *from, void *to, size_t count) {
  if (count > 0) ck_kernels_chosen()->round(element, from, to, count);
}
