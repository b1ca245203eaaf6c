#include "include/cpu.h"
#include "include/nf4.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

enum { LANES = 32 };

typedef struct {
  double error[LANES], weight[LANES];
  float largest[LANES];
} sums;

CK_INLINE void add(sums *s, int lane, float value, float decoded) {
  const float difference = value - decoded;
  const float magnitude = ck_float(ck_bits(difference) & 0x7FFFFFFF);
  s->error[lane] += (double)difference * (double)difference;
  s->weight[lane] += (double)value * (double)value;
  s->largest[lane] = magnitude > s->largest[lane] ? magnitude : s->largest[lane];
}

CK_INLINE void measure(const float *values, const float *decoded, size_t count, sums *s) {
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    for (int k = 0; k < LANES; k++) add(s, k, values[i + k], decoded[i + k]);
  }
  for (int k = 0; i < count; i++, k++) add(s, k, values[i], decoded[i]);
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))) static void
measure_avx512(const float *values, const float *decoded, size_t count, sums *s) {
  measure(values, decoded, count, s);
}

__attribute__((target("avx2,fma,f16c"))) static void measure_avx2(
    const float *values, const float *decoded, size_t count, sums *s) {
  measure(values, decoded, count, s);
}
#endif

static void measure_portable(const float *values, const float *decoded, size_t count, sums *s) {
  measure(values, decoded, count, s);
}

/// Elements looked at together, a multiple of the lanes.
enum { STRIP = 1024 };

ck_quantization_error ck_measure_error(
    ck_element element, const void *from, const float *decoded, size_t count) {
  void (*loop)(const float *, const float *, size_t, sums *) = measure_portable;
#if defined(__x86_64__)
  if (ck_get_path() == CK_PATH_AVX512) loop = measure_avx512;
  if (ck_get_path() == CK_PATH_AVX2) loop = measure_avx2;
#endif
  sums s = {{0}, {0}, {0}};
  float values[STRIP];
  for (size_t start = 0; start < count; start += STRIP) {
    const size_t length = count - start < STRIP ? count - start : STRIP;
    ck_widen(element, (const char *)from + start * ck_element_size(element), values, length);
    loop(values, decoded + start, length, &s);
  }
  for (int width = LANES / 2; width; width /= 2) {
    for (int k = 0; k < width; k++) {
      s.error[k] += s.error[k + width];
      s.weight[k] += s.weight[k + width];
      if (s.largest[k + width] > s.largest[k]) s.largest[k] = s.largest[k + width];
    }
  }
  return (ck_quantization_error){s.error[0], s.weight[0], s.largest[0]};
}

size_t ck_first_non_finite(ck_element element, const void *from, size_t count) {
  const char *bytes = from;
  for (size_t start = 0; start < count; start += STRIP) {
    const size_t end = count - start < STRIP ? count : start + STRIP;
    // The exponent's bits alone, all ones for an infinity or a NaN.
    uint32_t largest = 0, infinity = 0x7F800000;
    if (element == CK_F32) {
      for (size_t i = start; i < end; i++) {
        const uint32_t exponent = ck_load_bits(CK_F32, bytes + 4 * i) & infinity;
        largest = exponent > largest ? exponent : largest;
      }
    } else {
      const uint16_t mask = element == CK_F16 ? 0x7C00 : 0x7F80;
      uint16_t most = 0;
      for (size_t i = start; i < end; i++) {
        const uint16_t exponent = (uint16_t)ck_load_bits(CK_F16, bytes + 2 * i) & mask;
        most = exponent > most ? exponent : most;
      }
      largest = most;
      infinity = mask;
    }
    if (largest < infinity) continue;
    for (size_t i = start; i < end; i++) {
      if (!ck_is_finite(nf4_load(element, from, i))) return i;
    }
  }
  return count;
}
