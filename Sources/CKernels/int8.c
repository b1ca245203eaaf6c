#include "include/int8.h"

#include "include/cpu.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

/// Elements worked on together.
enum { STRIP = 512 };

/// Elements as LLM.int8 sees them: rounded to f16.
static void load(ck_element element, const void *from, size_t start, size_t count, float *to) {
  ck_widen(element, (const char *)from + start * ck_element_size(element), to, count);
  if (element == CK_F16) return;
  uint16_t halves[STRIP];
  ck_round(CK_F16, to, halves, count);
  ck_widen(CK_F16, halves, to, count);
}

/// The bits of the largest magnitude, where any NaN is larger than all numbers.
CK_INLINE uint32_t largest(const float *values, size_t count) {
  uint32_t result = 0;
  for (size_t i = 0; i < count; i++) {
    const uint32_t magnitude = ck_bits(values[i]) & 0x7FFFFFFF;
    result = magnitude > result ? magnitude : result;
  }
  return result;
}

/// Nearest integers of |value · factor| < 2²², a half to the even one: adding 1.5·2²³ leaves no
/// fraction bits.
CK_INLINE void encode(const float *values, float factor, size_t count, int8_t *codes) {
  for (size_t i = 0; i < count; i++) {
    const float scaled = values[i] * factor;
    codes[i] = (int8_t)(int32_t)((scaled + 0x1.8p23f) - 0x1.8p23f);
  }
}

CK_INLINE void decode(const int8_t *codes, float scale, size_t count, float *values) {
  for (size_t i = 0; i < count; i++) {
    values[i] = nf4_canonical((float)codes[i] * scale * 0x1.020408p-7f);
  }
}

typedef struct {
  uint32_t (*largest)(const float *values, size_t count);
  void (*encode)(const float *values, float factor, size_t count, int8_t *codes);
  void (*decode)(const int8_t *codes, float scale, size_t count, float *values);
} loops;

/// The loops above, compiled for one instruction set.
#define LOOPS(NAME, TARGET)                                                                       \
  TARGET static uint32_t largest_##NAME(const float *values, size_t count) {                      \
    return largest(values, count);                                                                \
  }                                                                                               \
  TARGET static void encode_##NAME(                                                               \
      const float *values, float factor, size_t count, int8_t *codes) {                           \
    encode(values, factor, count, codes);                                                         \
  }                                                                                               \
  TARGET static void decode_##NAME(                                                               \
      const int8_t *codes, float scale, size_t count, float *values) {                            \
    decode(codes, scale, count, values);                                                          \
  }                                                                                               \
  static const loops NAME = {largest_##NAME, encode_##NAME, decode_##NAME};

LOOPS(baseline, )
#if defined(__x86_64__)
LOOPS(avx2, __attribute__((target("avx2,fma,f16c"))))
LOOPS(avx512, __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))))
#endif

static const loops *chosen(void) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX2: return &avx2;
    case CK_PATH_AVX512: return &avx512;
#endif
    default: return &baseline;
  }
}

void ck_int8_encode_rows(
    ck_element element, const void *from, size_t rows, size_t columns, int8_t *codes,
    float *scales) {
  const loops *loop = chosen();
  const char *row = from;
  float values[STRIP];
  for (size_t r = 0; r < rows; r++, row += columns * ck_element_size(element), codes += columns) {
    uint32_t most = 0;
    for (size_t start = 0; start < columns; start += STRIP) {
      const size_t length = columns - start < STRIP ? columns - start : STRIP;
      load(element, row, start, length, values);
      const uint32_t magnitude = loop->largest(values, length);
      if (magnitude > most) most = magnitude;
    }
    scales[r] = nf4_absmax(most);
    if (most == 0 || most >= 0x7F800000) {
      memset(codes, 0, columns);
      continue;
    }
    // torch divides a number by a tensor so: two roundings.
    const float factor = 1.0f / scales[r] * 127.0f;
    for (size_t start = 0; start < columns; start += STRIP) {
      const size_t length = columns - start < STRIP ? columns - start : STRIP;
      load(element, row, start, length, values);
      loop->encode(values, factor, length, codes + start);
    }
  }
}

void ck_int8_decode(
    const int8_t *codes, float scale, size_t count, ck_element element, void *to) {
  const loops *loop = chosen();
  float values[STRIP];
  for (size_t start = 0; start < count; start += STRIP) {
    const size_t length = count - start < STRIP ? count - start : STRIP;
    loop->decode(codes + start, scale, length, values);
    ck_round(element, values, (char *)to + start * ck_element_size(element), length);
  }
}
