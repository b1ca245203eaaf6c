// Comparison of two vectors, in the vector extensions that clang turns into instructions of CK_TARGET.
// Everything but the sums is exact; their order is that of include/compare.h.
#ifndef CKERNELS_COMPARE_LOOPS_H
#define CKERNELS_COMPARE_LOOPS_H

#include "include/compare.h"
#include "kernels.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

enum { CK_COMPARE_LANES = 8, CK_DISTANCE_LANES = 16 };

typedef float compare_f32 __attribute__((vector_size(8 * sizeof(float))));
typedef int32_t compare_i32 __attribute__((vector_size(8 * sizeof(int32_t))));
typedef double compare_f64 __attribute__((vector_size(8 * sizeof(double))));
typedef int64_t compare_i64 __attribute__((vector_size(8 * sizeof(int64_t))));

typedef struct {
  compare_f64 a_squared, b_squared, difference_squared, difference_sum, largest;
  compare_i32 differing, not_finite, mismatched;
} comparison_lanes;

/// Takes in 8 elements. A comparison of vectors gives -1 for true.
CK_TARGET CK_INLINE void compare_step(const float *a, const float *b, comparison_lanes *lanes) {
  const compare_i32 infinity = (compare_i32){} + 0x7F800000, magnitude = (compare_i32){} + 0x7FFFFFFF;
  compare_i32 x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  compare_i32 x_magnitude = x & magnitude, y_magnitude = y & magnitude;
  compare_i32 not_finite = (x_magnitude >= infinity) | (y_magnitude >= infinity);
  compare_i32 both_nan = (x_magnitude > infinity) & (y_magnitude > infinity);
  lanes->differing -= x != y;
  lanes->not_finite -= not_finite;
  lanes->mismatched -= not_finite & ~both_nan & (x != y);

  compare_f64 p = __builtin_convertvector((compare_f32)(x & ~not_finite), compare_f64);
  compare_f64 q = __builtin_convertvector((compare_f32)(y & ~not_finite), compare_f64);
  compare_f64 difference = p - q;
  compare_f64 distance = (compare_f64)((compare_i64)difference & INT64_MAX);
  lanes->a_squared += p * p;
  lanes->b_squared += q * q;
  lanes->difference_squared += difference * difference;
  lanes->difference_sum += distance;
  compare_i64 larger = distance > lanes->largest;
  lanes->largest =
      (compare_f64)(((compare_i64)distance & larger) | ((compare_i64)lanes->largest & ~larger));
}

CK_TARGET CK_INLINE double sum_of_compare_lanes(const compare_f64 *values) {
  double lanes[CK_COMPARE_LANES];
  memcpy(lanes, values, sizeof lanes);
  for (int width = CK_COMPARE_LANES / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

CK_TARGET static void compare(const float *a, const float *b, size_t count, ck_comparison *result) {
  comparison_lanes lanes = {0};
  size_t done = 0;
  for (; done + CK_COMPARE_LANES <= count; done += CK_COMPARE_LANES) {
    compare_step(a + done, b + done, &lanes);
  }
  if (done < count) {
    float padded_a[CK_COMPARE_LANES] = {0}, padded_b[CK_COMPARE_LANES] = {0};
    memcpy(padded_a, a + done, (count - done) * sizeof(float));
    memcpy(padded_b, b + done, (count - done) * sizeof(float));
    compare_step(padded_a, padded_b, &lanes);
  }
  *result = (ck_comparison){
      .a_squared = sum_of_compare_lanes(&lanes.a_squared),
      .b_squared = sum_of_compare_lanes(&lanes.b_squared),
      .difference_squared = sum_of_compare_lanes(&lanes.difference_squared),
      .difference_sum = sum_of_compare_lanes(&lanes.difference_sum),
  };
  for (int lane = 0; lane < CK_COMPARE_LANES; lane++) {
    if (lanes.largest[lane] > result->largest) result->largest = lanes.largest[lane];
    result->differing += lanes.differing[lane];
    result->not_finite += lanes.not_finite[lane];
    result->mismatched += lanes.mismatched[lane];
  }
}

// Magnitudes are the elements' places in the order of the numbers of one sign. Two finite ones add up
// to less than the unsigned type holds.
#define DISTANCE_LOOP(name, word, signed_word, sign)                                              \
  typedef word name##_words __attribute__((vector_size(CK_DISTANCE_LANES * sizeof(word))));       \
  typedef signed_word name##_masks                                                                \
      __attribute__((vector_size(CK_DISTANCE_LANES * sizeof(word))));                             \
                                                                                                  \
  CK_TARGET CK_INLINE void name##_step(const void *a, const void *b, word infinity,               \
                                       name##_words *largest) {                                   \
    name##_words x, y;                                                                            \
    memcpy(&x, a, sizeof x);                                                                      \
    memcpy(&y, b, sizeof y);                                                                      \
    name##_words p = x & (word)(sign - 1), q = y & (word)(sign - 1);                              \
    name##_words finite = (name##_words)((p < infinity) & (q < infinity));                        \
    name##_words opposite = (name##_words)(((x ^ y) & (word)sign) != 0);                          \
    name##_words greater = (name##_words)(p > q);                                                 \
    name##_words apart = ((p - q) & greater) | ((q - p) & ~greater);                              \
    name##_words distance = (((p + q) & opposite) | (apart & ~opposite)) & finite;                \
    name##_words larger = (name##_words)(distance > *largest);                                    \
    *largest = (distance & larger) | (*largest & ~larger);                                        \
  }                                                                                               \
                                                                                                  \
  CK_TARGET static uint32_t name(const void *a, const void *b, size_t count, word infinity) {     \
    const char *from_a = a, *from_b = b;                                                          \
    name##_words largest = {0};                                                                   \
    size_t done = 0;                                                                              \
    for (; done + CK_DISTANCE_LANES <= count; done += CK_DISTANCE_LANES) {                        \
      name##_step(from_a + done * sizeof(word), from_b + done * sizeof(word), infinity, &largest); \
    }                                                                                             \
    if (done < count) {                                                                           \
      word padded_a[CK_DISTANCE_LANES] = {0}, padded_b[CK_DISTANCE_LANES] = {0};                  \
      memcpy(padded_a, from_a + done * sizeof(word), (count - done) * sizeof(word));              \
      memcpy(padded_b, from_b + done * sizeof(word), (count - done) * sizeof(word));              \
      name##_step(padded_a, padded_b, infinity, &largest);                                        \
    }                                                                                             \
    uint32_t result = 0;                                                                          \
    for (int lane = 0; lane < CK_DISTANCE_LANES; lane++) {                                        \
      if (largest[lane] > result) result = largest[lane];                                         \
    }                                                                                             \
    return result;                                                                                \
  }

DISTANCE_LOOP(distance_16, uint16_t, int16_t, 0x8000u)
DISTANCE_LOOP(distance_32, uint32_t, int32_t, 0x80000000u)

#undef DISTANCE_LOOP

CK_TARGET static uint32_t largest_distance(ck_element element, const void *a, const void *b,
                                           size_t count) {
  switch (element) {
    case CK_F32: return distance_32(a, b, count, 0x7F800000u);
    case CK_F16: return distance_16(a, b, count, 0x7C00u);
    default: return distance_16(a, b, count, 0x7F80u);
  }
}

#endif
