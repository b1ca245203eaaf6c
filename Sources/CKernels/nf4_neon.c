#if defined(__aarch64__)

#include <arm_neon.h>

#include "nf4_kernels.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

/// Sixteen elements.
CK_INLINE void load(ck_element element, const char *from, float32x4_t to[4]) {
  for (int k = 0; k < 4; k++) {
    if (element == CK_F32) {
      to[k] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)from + 16 * k));
      continue;
    }
    const uint8x8_t bytes = vld1_u8((const uint8_t *)from + 8 * k);
    to[k] = element == CK_F16
                ? vcvt_f32_f16(vreinterpret_f16_u8(bytes))
                : vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(bytes), 16));
  }
}

/// The thresholds by level of the bisection, counted from the largest down: comparisons say where an
/// element is not above, which a NaN never is.
typedef struct {
  float32x4_t first, second_low, second_high;
  uint8x16_t third;
  uint8x16x2_t fourth;
} levels;

CK_INLINE levels make_levels(const float *t) {
  const float third[4] = {t[13], t[9], t[5], t[1]};
  const float fourth[8] = {t[14], t[12], t[10], t[8], t[6], t[4], t[2], t[0]};
  levels result;
  result.first = vdupq_n_f32(t[7]);
  result.second_low = vdupq_n_f32(t[3]);
  result.second_high = vdupq_n_f32(t[11]);
  result.third = vreinterpretq_u8_f32(vld1q_f32(third));
  result.fourth.val[0] = vreinterpretq_u8_f32(vld1q_f32(fourth));
  result.fourth.val[1] = vreinterpretq_u8_f32(vld1q_f32(fourth + 4));
  return result;
}

/// Positions of the four bytes of entry −n of a table of f32.
CK_INLINE uint8x16_t bytes_of_entry(uint32x4_t n) {
  return vreinterpretq_u8_u32(
      vmlsq_u32(vdupq_n_u32(0x03020100), n, vdupq_n_u32(0x04040404)));
}

/// Places of four scaled elements, minus 15.
CK_INLINE uint32x4_t places_less_15(float32x4_t scaled, const levels *t) {
  uint32x4_t n = vcleq_f32(scaled, t->first);
  const float32x4_t second = vbslq_f32(n, t->second_low, t->second_high);
  n = vaddq_u32(vaddq_u32(n, n), vcleq_f32(scaled, second));
  const uint8x16_t third = vqtbl1q_u8(t->third, bytes_of_entry(n));
  n = vaddq_u32(vaddq_u32(n, n), vcleq_f32(scaled, vreinterpretq_f32_u8(third)));
  const uint8x16_t fourth = vqtbl2q_u8(t->fourth, bytes_of_entry(n));
  return vaddq_u32(vaddq_u32(n, n), vcleq_f32(scaled, vreinterpretq_f32_u8(fourth)));
}

/// Codes of sixteen elements.
CK_INLINE uint8x16_t codes_of(
    const float32x4_t values[4], float reciprocal, const levels *thresholds, uint8x16_t codes) {
  uint16x4_t narrow[4];
  for (int k = 0; k < 4; k++) {
    const float32x4_t scaled = vmulq_n_f32(values[k], reciprocal);
    narrow[k] = vmovn_u32(places_less_15(scaled, thresholds));
  }
  const uint8x16_t n = vcombine_u8(
      vmovn_u16(vcombine_u16(narrow[0], narrow[1])), vmovn_u16(vcombine_u16(narrow[2], narrow[3])));
  return vqtbl1q_u8(codes, vaddq_u8(n, vdupq_n_u8(15)));
}

CK_INLINE void scales_element(
    ck_element element, const char *from, size_t blocks, size_t block, float *absmax) {
  const size_t size = ck_element_size(element);
  const uint32x4_t magnitude = vdupq_n_u32(0x7FFFFFFF);
  float32x4_t values[4];
  for (size_t b = 0; b < blocks; b++, from += block * size) {
    uint32x4_t largest = vdupq_n_u32(0);
    for (size_t i = 0; i < block; i += 16) {
      load(element, from + i * size, values);
      for (int k = 0; k < 4; k++) {
        largest = vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(values[k]), magnitude));
      }
    }
    absmax[b] = nf4_absmax(vmaxvq_u32(largest));
  }
}

CK_INLINE void encode_element(
    const ck_four_bit_code *code, ck_element element, const char *from, size_t blocks, size_t block,
    const float *absmax, uint8_t *packed) {
  const size_t size = ck_element_size(element);
  const levels thresholds = make_levels(code->thresholds);
  const uint8x16_t codes = vld1q_u8(code->codes);
  float32x4_t values[4];
  for (size_t b = 0; b < blocks; b++, from += block * size, packed += block / 2) {
    const float reciprocal = nf4_reciprocal(absmax[b]);
    for (size_t i = 0; i < block; i += 32) {
      load(element, from + i * size, values);
      const uint8x16_t low = codes_of(values, reciprocal, &thresholds, codes);
      load(element, from + (i + 16) * size, values);
      const uint8x16_t high = codes_of(values, reciprocal, &thresholds, codes);
      vst1q_u8(packed + i / 2, vsliq_n_u8(vuzp2q_u8(low, high), vuzp1q_u8(low, high), 4));
    }
  }
}

static void scales(
    ck_element element, const void *from, size_t blocks, size_t block, float *absmax) {
  switch (element) {
    case CK_F32: return scales_element(CK_F32, from, blocks, block, absmax);
    case CK_F16: return scales_element(CK_F16, from, blocks, block, absmax);
    case CK_BF16: return scales_element(CK_BF16, from, blocks, block, absmax);
  }
}

static void encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    const float *absmax, uint8_t *packed) {
  switch (element) {
    case CK_F32: return encode_element(code, CK_F32, from, blocks, block, absmax, packed);
    case CK_F16: return encode_element(code, CK_F16, from, blocks, block, absmax, packed);
    case CK_BF16: return encode_element(code, CK_BF16, from, blocks, block, absmax, packed);
  }
}

/// Sixteen codes after each other from eight bytes.
CK_INLINE uint8x16_t unpack(const uint8_t *packed) {
  const uint8x8_t bytes = vld1_u8(packed);
  const uint8x8x2_t pairs = vzip_u8(vshr_n_u8(bytes, 4), vand_u8(bytes, vdup_n_u8(15)));
  return vcombine_u8(pairs.val[0], pairs.val[1]);
}

static void decode(
    const float *values, const uint8_t *packed, const float *absmax, size_t blocks, size_t length,
    ck_element element, void *to) {
  const size_t size = ck_element_size(element);
  uint8_t *out = to;
  for (size_t b = 0; b < blocks; b++, packed += length / 2, out += length * size) {
    uint8_t table[64];
    for (int i = 0; i < 16; i++) nf4_store(element, nf4_canonical(values[i] * absmax[b]), table, i);
    size_t i = 0;
    if (element == CK_F32) {
      const uint8x16x4_t byte = vld4q_u8(table);
      for (; i + 16 <= length; i += 16) {
        const uint8x16_t codes = unpack(packed + i / 2);
        uint8x16x4_t result;
        for (int k = 0; k < 4; k++) result.val[k] = vqtbl1q_u8(byte.val[k], codes);
        vst4q_u8(out + 4 * i, result);
      }
    } else {
      const uint8x16x2_t byte = vld2q_u8(table);
      for (; i + 16 <= length; i += 16) {
        const uint8x16_t codes = unpack(packed + i / 2);
        uint8x16x2_t result;
        for (int k = 0; k < 2; k++) result.val[k] = vqtbl1q_u8(byte.val[k], codes);
        vst2q_u8(out + 2 * i, result);
      }
    }
    for (; i < length; i++) memcpy(out + size * i, table + size * nf4_nibble(packed, i), size);
  }
}

const nf4_kernels nf4_neon = {scales, encode, decode, NULL};

#endif
