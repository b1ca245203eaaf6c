#include "include/cpu.h"
#include "include/nf4.h"
#include "nf4_scalar.h"

#pragma STDC FP_CONTRACT OFF

enum { LANES = 16 };

typedef struct {
  double error[LANES], weight[LANES], largest[LANES];
} sums;

NF4_INLINE void add(sums *s, int lane, float value, float decoded) {
  const double difference = (double)value - (double)decoded;
  const double magnitude = difference < 0 ? -difference : difference;
  s->error[lane] += difference * difference;
  s->weight[lane] += (double)value * (double)value;
  s->largest[lane] = magnitude > s->largest[lane] ? magnitude : s->largest[lane];
}

NF4_INLINE void measure_stored(
    ck_stored stored, const char *from, const float *decoded, size_t count, sums *s) {
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    for (int k = 0; k < LANES; k++) add(s, k, nf4_load(stored, from, i + k), decoded[i + k]);
  }
  for (int k = 0; i < count; i++, k++) add(s, k, nf4_load(stored, from, i), decoded[i]);
}

NF4_INLINE void measure(
    ck_stored stored, const void *from, const float *decoded, size_t count, sums *s) {
  switch (stored) {
    case CK_STORED_F32:
      measure_stored(CK_STORED_F32, from, decoded, count, s);
      return;
    case CK_STORED_F16:
      measure_stored(CK_STORED_F16, from, decoded, count, s);
      return;
    case CK_STORED_BF16:
      measure_stored(CK_STORED_BF16, from, decoded, count, s);
      return;
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))) static void
measure_avx512(ck_stored stored, const void *from, const float *decoded, size_t count, sums *s) {
  measure(stored, from, decoded, count, s);
}

__attribute__((target("avx2,fma,f16c"))) static void measure_avx2(
    ck_stored stored, const void *from, const float *decoded, size_t count, sums *s) {
  measure(stored, from, decoded, count, s);
}
#endif

ck_quantization_error ck_measure_error(
    ck_stored stored, const void *from, const float *decoded, size_t count) {
  sums s = {{0}, {0}, {0}};
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX512:
      measure_avx512(stored, from, decoded, count, &s);
      break;
    case CK_PATH_AVX2:
      measure_avx2(stored, from, decoded, count, &s);
      break;
#endif
    default:
      measure(stored, from, decoded, count, &s);
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

/// Elements looked at together.
enum { STRIP = 1024 };

size_t ck_first_non_finite(ck_stored stored, const void *from, size_t count) {
  const char *bytes = from;
  for (size_t start = 0; start < count; start += STRIP) {
    const size_t end = count - start < STRIP ? count : start + STRIP;
    unsigned found = 0;
    if (stored == CK_STORED_F32) {
      for (size_t i = start; i < end; i++) {
        uint32_t bits;
        memcpy(&bits, bytes + 4 * i, 4);
        found |= (bits & 0x7FFFFFFF) >= 0x7F800000;
      }
    } else {
      const uint16_t infinity = stored == CK_STORED_F16 ? 0x7C00 : 0x7F80;
      uint16_t any = 0;
      for (size_t i = start; i < end; i++) {
        uint16_t bits;
        memcpy(&bits, bytes + 2 * i, 2);
        any |= (uint16_t)((bits & infinity) == infinity);
      }
      found = any;
    }
    if (!found) continue;
    for (size_t i = start; i < end; i++) {
      const float value = nf4_load(stored, from, i);
      if ((nf4_bits(value) & 0x7FFFFFFF) >= 0x7F800000) return i;
    }
  }
  return count;
}
