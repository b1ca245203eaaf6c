#if defined(__x86_64__)

#include <immintrin.h>

#include "nf4_kernels.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE __m512 load(ck_element element, const char *from) {
  if (element == CK_F32) return _mm512_loadu_ps(from);
  const __m256i halves = _mm256_loadu_si256((const __m256i *)from);
  if (element == CK_F16) return _mm512_cvtph_ps(halves);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/// Places of 16 scaled elements among the thresholds, by bisection.
INLINE __m128i places(__m512 scaled, __m512 thresholds, __m512 middle) {
  const __m512i one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
  __mmask16 above = _mm512_cmp_ps_mask(scaled, middle, _CMP_NLE_UQ);
  __m512i at = _mm512_mask_blend_epi32(above, _mm512_set1_epi32(3), _mm512_set1_epi32(11));
  above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  at = _mm512_sub_epi32(at, two);
  at = _mm512_mask_add_epi32(at, above, at, _mm512_set1_epi32(4));
  above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  at = _mm512_sub_epi32(at, one);
  at = _mm512_mask_add_epi32(at, above, at, two);
  above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  return _mm512_cvtepi32_epi8(_mm512_mask_add_epi32(at, above, at, one));
}

INLINE void encode_element(
    const ck_four_bit_code *code, ck_element element, const char *from, size_t blocks, size_t block,
    uint8_t *packed, float *absmax) {
  const size_t size = ck_element_size(element);
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512 thresholds = _mm512_maskz_loadu_ps(0x7FFF, code->thresholds);
  const __m512 middle = _mm512_set1_ps(code->thresholds[7]);
  const __m256i codes =
      _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)code->codes));
  const __m256i weights = _mm256_set1_epi16(0x0110);
  for (size_t b = 0; b < blocks; b++, from += block * size, packed += block / 2) {
    __m512i largest = _mm512_setzero_si512();
    for (size_t i = 0; i < block; i += 16) {
      const __m512i bits = _mm512_castps_si512(load(element, from + i * size));
      largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, magnitude));
    }
    absmax[b] = nf4_absmax(_mm512_reduce_max_epu32(largest));
    const __m512 reciprocal = _mm512_set1_ps(nf4_reciprocal(absmax[b]));
    for (size_t i = 0; i < block; i += 32) {
      const __m512 low = _mm512_mul_ps(load(element, from + i * size), reciprocal);
      const __m512 high = _mm512_mul_ps(load(element, from + (i + 16) * size), reciprocal);
      const __m256i place =
          _mm256_set_m128i(places(high, thresholds, middle), places(low, thresholds, middle));
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_shuffle_epi8(codes, place), weights);
      _mm_storeu_si128((__m128i *)(packed + i / 2), _mm256_cvtepi16_epi8(pairs));
    }
  }
}

TARGET static void encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    uint8_t *packed, float *absmax) {
  switch (element) {
    case CK_F32:
      encode_element(code, CK_F32, from, blocks, block, packed, absmax);
      return;
    case CK_F16:
      encode_element(code, CK_F16, from, blocks, block, packed, absmax);
      return;
    case CK_BF16:
      encode_element(code, CK_BF16, from, blocks, block, packed, absmax);
      return;
  }
}

/// The sixteen values times the scale.
INLINE __m512 scaled_table(__m512 values, float scale) {
  const __m512 table = _mm512_mul_ps(values, _mm512_set1_ps(scale));
  const __mmask16 nan = _mm512_cmp_ps_mask(table, table, _CMP_UNORD_Q);
  return _mm512_mask_blend_ps(nan, table, _mm512_castsi512_ps(_mm512_set1_epi32(0x7FC00000)));
}

INLINE void decode_f32(__m512 table, const uint8_t *packed, size_t length, char *to) {
  const __m512i shifts =
      _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24);
  size_t i = 0;
  for (; i + 16 <= length; i += 16) {
    int32_t words[2];
    memcpy(words, packed + i / 2, 8);
    __m512i codes = _mm512_mask_set1_epi32(_mm512_set1_epi32(words[0]), 0xFF00, words[1]);
    codes = _mm512_srlv_epi32(codes, shifts);
    _mm512_storeu_ps(to + 4 * i, _mm512_permutexvar_ps(codes, table));
  }
  if (i == length) return;
  float values[16];
  _mm512_storeu_ps(values, table);
  for (; i < length; i++) memcpy(to + 4 * i, &values[nf4_nibble(packed, i)], 4);
}

INLINE void decode_half(__m256i halves, const uint8_t *packed, size_t length, char *to) {
  // The table twice: of an index only the lowest five bits count, and the fifth is a neighbour's.
  const __m512i table = _mm512_broadcast_i64x4(halves);
  // Byte k of the sixteen goes to words 2k and 2k + 1.
  const __m512i shuffle = _mm512_add_epi32(
      _mm512_set1_epi32((int)0x80008000),
      _mm512_setr_epi32(
          0x00000, 0x10001, 0x20002, 0x30003, 0x40004, 0x50005, 0x60006, 0x70007, 0x80008, 0x90009,
          0xA000A, 0xB000B, 0xC000C, 0xD000D, 0xE000E, 0xF000F));
  const __m512i shifts = _mm512_set1_epi32(0x00000004);
  size_t i = 0;
  for (; i + 32 <= length; i += 32) {
    const __m512i bytes =
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(packed + i / 2)));
    const __m512i codes = _mm512_srlv_epi16(_mm512_shuffle_epi8(bytes, shuffle), shifts);
    _mm512_storeu_si512(to + 2 * i, _mm512_permutexvar_epi16(codes, table));
  }
  if (i == length) return;
  uint16_t values[16];
  _mm256_storeu_si256((__m256i *)values, halves);
  for (; i < length; i++) memcpy(to + 2 * i, &values[nf4_nibble(packed, i)], 2);
}

INLINE __m256i round_bf16(__m512 table) {
  const __m512i bits = _mm512_castps_si512(table);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

TARGET static void decode(
    const float *values, const uint8_t *packed, const float *absmax, size_t blocks, size_t length,
    ck_element element, void *to) {
  const __m512 unit = _mm512_loadu_ps(values);
  char *out = to;
  switch (element) {
    case CK_F32:
      for (size_t b = 0; b < blocks; b++, packed += length / 2, out += length * 4) {
        decode_f32(scaled_table(unit, absmax[b]), packed, length, out);
      }
      return;
    case CK_F16:
      for (size_t b = 0; b < blocks; b++, packed += length / 2, out += length * 2) {
        const __m512 table = scaled_table(unit, absmax[b]);
        decode_half(_mm512_cvtps_ph(table, _MM_FROUND_TO_NEAREST_INT), packed, length, out);
      }
      return;
    case CK_BF16:
      for (size_t b = 0; b < blocks; b++, packed += length / 2, out += length * 2) {
        decode_half(round_bf16(scaled_table(unit, absmax[b])), packed, length, out);
      }
      return;
  }
}

const nf4_kernels nf4_avx512 = {encode, decode};

#endif
