#ifndef CKERNELS_NF4_SCALAR_H
#define CKERNELS_NF4_SCALAR_H

#include <stdint.h>
#include <string.h>

#include "include/nf4.h"

#pragma STDC FP_CONTRACT OFF

#define NF4_INLINE static inline __attribute__((always_inline))

NF4_INLINE uint32_t nf4_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

NF4_INLINE float nf4_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// The one NaN that quantization writes: products of infinities have different signs on different
/// processors.
NF4_INLINE float nf4_canonical(float value) {
  return value == value ? value : nf4_float(0x7FC00000);
}

NF4_INLINE size_t nf4_size(ck_stored stored) { return stored == CK_STORED_F32 ? 4 : 2; }

// The conversions are written without branches, for the compiler to vectorise.

NF4_INLINE float nf4_widen_f16(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7FFF;
  const uint32_t subnormal = nf4_bits((float)(int32_t)magnitude * 0x1p-24f);
  const uint32_t normal = (magnitude << 13) + (112u << 23);
  const uint32_t special =
      0x7F800000 | magnitude << 13 | (magnitude > 0x7C00 ? 0x400000 : 0);  // a quiet NaN
  const uint32_t finite = magnitude < 0x400 ? subnormal : normal;
  return nf4_float(sign | (magnitude < 0x7C00 ? finite : special));
}

NF4_INLINE uint16_t nf4_round_f16(float value) {
  const uint32_t bits = nf4_bits(value), magnitude = bits & 0x7FFFFFFF;
  // Adding 0.5, whose last place is the smallest f16, rounds as the f16 does.
  const uint32_t subnormal = nf4_bits(nf4_float(magnitude) + 0.5f) - 0x3F000000;
  const uint32_t normal = ((magnitude + 0xFFF + (magnitude >> 13 & 1)) >> 13) - (112u << 10);
  uint32_t half = magnitude < 0x38800000 ? subnormal : normal;
  half = magnitude < 0x477FF000 ? half : 0x7C00;
  half = magnitude <= 0x7F800000 ? half : (0x7E00 | (magnitude >> 13 & 0x3FF));
  return (uint16_t)(half | (bits >> 16 & 0x8000));
}

NF4_INLINE uint16_t nf4_round_bf16(float value) {
  const uint32_t bits = nf4_bits(value);
  const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  return (uint16_t)((bits & 0x7FFFFFFF) <= 0x7F800000 ? rounded : (bits >> 16 | 0x40));
}

/// Element `index` of stored data of any alignment, in f32.
NF4_INLINE float nf4_load(ck_stored stored, const void *from, size_t index) {
  if (stored == CK_STORED_F32) {
    float value;
    memcpy(&value, (const char *)from + 4 * index, 4);
    return value;
  }
  uint16_t bits;
  memcpy(&bits, (const char *)from + 2 * index, 2);
  return stored == CK_STORED_F16 ? nf4_widen_f16(bits) : nf4_float((uint32_t)bits << 16);
}

/// Stores `value` as element `index`.
NF4_INLINE void nf4_store(ck_stored stored, float value, void *to, size_t index) {
  if (stored == CK_STORED_F32) {
    memcpy((char *)to + 4 * index, &value, 4);
    return;
  }
  uint16_t bits = stored == CK_STORED_F16 ? nf4_round_f16(value) : nf4_round_bf16(value);
  memcpy((char *)to + 2 * index, &bits, 2);
}

/// The scale of a block from the bits of its largest |x|, where any NaN is larger than all numbers.
NF4_INLINE float nf4_absmax(uint32_t largest) {
  return nf4_float(largest > 0x7F800000 ? 0x7FC00000 : largest);
}

/// 1 / max(absmax, 1e-38); a NaN stays a NaN.
NF4_INLINE float nf4_reciprocal(float absmax) {
  return 1.0f / (absmax < 1e-38f ? 1e-38f : absmax);
}

/// The code of a scaled element.
NF4_INLINE uint8_t nf4_code(const ck_four_bit_code *code, float scaled) {
  unsigned place = 0;
  for (int i = 0; i < 15; i++) place += !(scaled <= code->thresholds[i]);
  return code->codes[place];
}

/// The code of element `index`.
NF4_INLINE unsigned nf4_nibble(const uint8_t *packed, size_t index) {
  return index & 1 ? packed[index / 2] & 15 : packed[index / 2] >> 4;
}

#endif
