// One element at a time: the definition of every conversion and of the fused multiply-add.
#ifndef CKERNELS_SCALAR_H
#define CKERNELS_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "include/elements.h"

#pragma STDC FP_CONTRACT OFF

#define CK_INLINE static inline __attribute__((always_inline))

CK_INLINE uint32_t ck_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

CK_INLINE float ck_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

CK_INLINE size_t ck_element_size(ck_element element) { return element == CK_F32 ? 4 : 2; }

CK_INLINE int ck_is_finite(float value) {
  return (ck_bits(value) & 0x7F800000u) != 0x7F800000u;
}

CK_INLINE float ck_widen_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 0x1F;
  uint32_t fraction = half & 0x3FF;
  if (exponent == 0x1F) {
    return ck_float(sign | 0x7F800000 | fraction << 13 | (fraction ? 0x00400000 : 0));
  }
  if (exponent == 0) return ck_float(sign | ck_bits((float)fraction * 0x1p-24f));
  return ck_float(sign | (exponent + 112) << 23 | fraction << 13);
}

CK_INLINE uint16_t ck_round_f16(float value) {
  uint32_t bits = ck_bits(value);
  uint32_t sign = bits >> 16 & 0x8000;
  uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
  if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);  // from 65520 on
  if (magnitude < 0x38800000) {
    // Below 2^-14 f16 is a grid of 2^-24, and so is f32 in [0.5, 1).
    return (uint16_t)(sign | (ck_bits(ck_float(magnitude) + 0.5f) - ck_bits(0.5f)));
  }
  uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return (uint16_t)(sign | ((rounded - (112u << 23)) >> 13));
}

CK_INLINE float ck_widen_bf16(uint16_t half) { return ck_float((uint32_t)half << 16); }

CK_INLINE uint16_t ck_round_bf16(float value) {
  uint32_t bits = ck_bits(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x0040);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// The stored bits at `from`, of any alignment.
CK_INLINE uint32_t ck_load_bits(ck_element element, const void *from) {
  if (element == CK_F32) {
    uint32_t bits;
    memcpy(&bits, from, sizeof bits);
    return bits;
  }
  uint16_t half;
  memcpy(&half, from, sizeof half);
  return half;
}

CK_INLINE void ck_store_bits(ck_element element, uint32_t bits, void *to) {
  if (element == CK_F32) {
    memcpy(to, &bits, sizeof bits);
  } else {
    uint16_t half = (uint16_t)bits;
    memcpy(to, &half, sizeof half);
  }
}

CK_INLINE float ck_widen_bits(ck_element element, uint32_t bits) {
  switch (element) {
    case CK_F32: return ck_float(bits);
    case CK_F16: return ck_widen_f16((uint16_t)bits);
    default: return ck_widen_bf16((uint16_t)bits);
  }
}

CK_INLINE uint32_t ck_round_bits(ck_element element, float value) {
  switch (element) {
    case CK_F32: return ck_bits(value);
    case CK_F16: return ck_round_f16(value);
    default: return ck_round_bf16(value);
  }
}

/// a·b + c rounded once, with or without an instruction for it.
CK_INLINE float ck_fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  // The product is exact in f64. The sum is rounded to odd, which leaves enough behind for the
  // second rounding, to f32, to be that of the exact sum (Boldo and Melquiond, "Emulation of FMA and
  // correctly rounded sums: proved algorithms using rounding to odd", IEEE TC 57(4), 2008).
  double product = (double)a * (double)b;
  double addend = (double)c;
  double sum = product + addend;
  double virtual_addend = sum - product;
  double error = (product - (sum - virtual_addend)) + (addend - virtual_addend);
  uint64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  // An infinite or undefined sum has an undefined error, and is left as it is.
  if ((error > 0 || error < 0) && !(bits & 1)) {
    bits += (error > 0) == (sum > 0) ? 1 : -(uint64_t)1;
    memcpy(&sum, &bits, sizeof sum);
  }
  return (float)sum;
#endif
}

#endif
