// One block, one element, one code at a time: what the loops of every path agree on.
#ifndef CKERNELS_NF4_CODE_H
#define CKERNELS_NF4_CODE_H

#include "include/nf4.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

/// The one NaN that quantization writes: products of infinities have different signs on different
/// processors.
CK_INLINE float nf4_canonical(float value) {
  return value == value ? value : ck_float(0x7FC00000);
}

/// Element `index` of stored data of any alignment, in f32.
CK_INLINE float nf4_load(ck_element element, const void *from, size_t index) {
  const char *at = (const char *)from + index * ck_element_size(element);
  return ck_widen_bits(element, ck_load_bits(element, at));
}

/// Stores `value` as element `index`.
CK_INLINE void nf4_store(ck_element element, float value, void *to, size_t index) {
  char *at = (char *)to + index * ck_element_size(element);
  ck_store_bits(element, ck_round_bits(element, value), at);
}

/// The scale of a block from the bits of its largest |x|, where any NaN is larger than all numbers.
CK_INLINE float nf4_absmax(uint32_t largest) {
  return ck_float(largest > 0x7F800000 ? 0x7FC00000 : largest);
}

/// 1 / max(absmax, 1e-38); a NaN stays a NaN.
CK_INLINE float nf4_reciprocal(float absmax) {
  return 1.0f / (absmax < 1e-38f ? 1e-38f : absmax);
}

/// The code of a scaled element.
CK_INLINE uint8_t nf4_code(const ck_four_bit_code *code, float scaled) {
  unsigned place = 0;
  for (int i = 0; i < 15; i++) place += !(scaled <= code->thresholds[i]);
  return code->codes[place];
}

/// The code of element `index`.
CK_INLINE unsigned nf4_nibble(const uint8_t *packed, size_t index) {
  return index & 1 ? packed[index / 2] & 15 : packed[index / 2] >> 4;
}

#endif
