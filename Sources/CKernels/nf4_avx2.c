#if defined(__x86_64__)

#include <immintrin.h>

#include "nf4_kernels.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE __m256 load(ck_element element, const char *from) {
  if (element == CK_F32) return _mm256_loadu_ps((const float *)from);
  const __m128i halves = _mm_loadu_si128((const __m128i *)from);
  if (element == CK_F16) return _mm256_cvtph_ps(halves);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/// The thresholds by level of the bisection. A level is looked up by minus the place so far, of which
/// a permutation uses the lowest three bits.
typedef struct {
  __m256 first, second_low, second_high, third, fourth;
} levels;

INLINE levels make_levels(const float *t) {
  levels result;
  result.first = _mm256_set1_ps(t[7]);
  result.second_low = _mm256_set1_ps(t[3]);
  result.second_high = _mm256_set1_ps(t[11]);
  result.third = _mm256_setr_ps(t[1], 0, 0, 0, 0, t[13], t[9], t[5]);
  result.fourth = _mm256_setr_ps(t[0], t[14], t[12], t[10], t[8], t[6], t[4], t[2]);
  return result;
}

/// −1 where `scaled` lies above `threshold` or is a NaN.
INLINE __m256i above(__m256 scaled, __m256 threshold) {
  return _mm256_castps_si256(_mm256_cmp_ps(scaled, threshold, _CMP_NLE_UQ));
}

/// Minus the places of eight scaled elements among the thresholds.
INLINE __m256i negative_places(__m256 scaled, const levels *t) {
  __m256i place = above(scaled, t->first);
  const __m256 second =
      _mm256_blendv_ps(t->second_low, t->second_high, _mm256_castsi256_ps(place));
  place = _mm256_add_epi32(_mm256_add_epi32(place, place), above(scaled, second));
  __m256i up = above(scaled, _mm256_permutevar8x32_ps(t->third, place));
  place = _mm256_add_epi32(_mm256_add_epi32(place, place), up);
  up = above(scaled, _mm256_permutevar8x32_ps(t->fourth, place));
  return _mm256_add_epi32(_mm256_add_epi32(place, place), up);
}

INLINE void scales_element(
    ck_element element, const char *from, size_t blocks, size_t block, float *absmax) {
  const size_t size = ck_element_size(element);
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  for (size_t b = 0; b < blocks; b++, from += block * size) {
    __m256i largest = _mm256_setzero_si256();
    for (size_t i = 0; i < block; i += 8) {
      const __m256i bits = _mm256_castps_si256(load(element, from + i * size));
      largest = _mm256_max_epu32(largest, _mm256_and_si256(bits, magnitude));
    }
    __m128i half =
        _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xB1));
    absmax[b] = nf4_absmax((uint32_t)_mm_cvtsi128_si32(half));
  }
}

INLINE void encode_element(
    const ck_four_bit_code *code, ck_element element, const char *from, size_t blocks, size_t block,
    const float *absmax, uint8_t *packed) {
  const size_t size = ck_element_size(element);
  const levels thresholds = make_levels(code->thresholds);
  const __m256i codes =
      _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)code->codes));
  const __m256i weights = _mm256_set1_epi16(0x0110);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t b = 0; b < blocks; b++, from += block * size, packed += block / 2) {
    const __m256 reciprocal = _mm256_set1_ps(nf4_reciprocal(absmax[b]));
    for (size_t i = 0; i < block; i += 32) {
      __m256i place[4];
      for (int k = 0; k < 4; k++) {
        const __m256 values = load(element, from + (i + 8 * k) * size);
        place[k] = negative_places(_mm256_mul_ps(values, reciprocal), &thresholds);
      }
      __m256i bytes = _mm256_packs_epi16(
          _mm256_packs_epi32(place[0], place[1]), _mm256_packs_epi32(place[2], place[3]));
      bytes = _mm256_permutevar8x32_epi32(bytes, order);
      bytes = _mm256_shuffle_epi8(codes, _mm256_sub_epi8(_mm256_setzero_si256(), bytes));
      const __m256i pairs = _mm256_maddubs_epi16(bytes, weights);
      const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0x08);
      _mm_storeu_si128((__m128i *)(packed + i / 2), _mm256_castsi256_si128(both));
    }
  }
}

TARGET static void scales(
    ck_element element, const void *from, size_t blocks, size_t block, float *absmax) {
  switch (element) {
    case CK_F32: return scales_element(CK_F32, from, blocks, block, absmax);
    case CK_F16: return scales_element(CK_F16, from, blocks, block, absmax);
    case CK_BF16: return scales_element(CK_BF16, from, blocks, block, absmax);
  }
}

TARGET static void encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    const float *absmax, uint8_t *packed) {
  switch (element) {
    case CK_F32: return encode_element(code, CK_F32, from, blocks, block, absmax, packed);
    case CK_F16: return encode_element(code, CK_F16, from, blocks, block, absmax, packed);
    case CK_BF16: return encode_element(code, CK_BF16, from, blocks, block, absmax, packed);
  }
}

/// Eight of the values times the scale.
INLINE __m256 scaled_table(const float *values, float scale) {
  const __m256 table = _mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(scale));
  const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FC00000));
  return _mm256_blendv_ps(table, nan, _mm256_cmp_ps(table, table, _CMP_UNORD_Q));
}

INLINE void decode_f32(__m256 low, __m256 high, const uint8_t *packed, size_t length, char *to) {
  const __m256i shifts = _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    int32_t word;
    memcpy(&word, packed + i / 2, 4);
    const __m256i codes = _mm256_srlv_epi32(_mm256_set1_epi32(word), shifts);
    const __m256 values = _mm256_blendv_ps(
        _mm256_permutevar8x32_ps(low, codes), _mm256_permutevar8x32_ps(high, codes),
        _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
    _mm256_storeu_ps((float *)(to + 4 * i), values);
  }
  if (i == length) return;
  float values[16];
  _mm256_storeu_ps(values, low);
  _mm256_storeu_ps(values + 8, high);
  for (; i < length; i++) memcpy(to + 4 * i, &values[nf4_nibble(packed, i)], 4);
}

/// `low` and `high`: eight values of the table each, in 16 bits.
INLINE void decode_half(__m128i low, __m128i high, const uint8_t *packed, size_t length, char *to) {
  const __m128i byte = _mm_set1_epi16(0xFF), nibble = _mm_set1_epi8(15);
  const __m128i lower = _mm_packus_epi16(_mm_and_si128(low, byte), _mm_and_si128(high, byte));
  const __m128i upper = _mm_packus_epi16(_mm_srli_epi16(low, 8), _mm_srli_epi16(high, 8));
  size_t i = 0;
  for (; i + 32 <= length; i += 32) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(packed + i / 2));
    const __m128i first = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
    const __m128i second = _mm_and_si128(bytes, nibble);
    const __m128i codes[2] = {_mm_unpacklo_epi8(first, second), _mm_unpackhi_epi8(first, second)};
    for (int k = 0; k < 2; k++) {
      const __m128i l = _mm_shuffle_epi8(lower, codes[k]), u = _mm_shuffle_epi8(upper, codes[k]);
      __m128i *out = (__m128i *)(to + 2 * i + 32 * k);
      _mm_storeu_si128(out, _mm_unpacklo_epi8(l, u));
      _mm_storeu_si128(out + 1, _mm_unpackhi_epi8(l, u));
    }
  }
  if (i == length) return;
  uint16_t values[16];
  _mm_storeu_si128((__m128i *)values, low);
  _mm_storeu_si128((__m128i *)(values + 8), high);
  for (; i < length; i++) memcpy(to + 2 * i, &values[nf4_nibble(packed, i)], 2);
}

INLINE __m128i round_bf16(__m256 table) {
  const __m256i bits = _mm256_castps_si256(table);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
  const __m256i words = _mm256_srli_epi32(sum, 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

TARGET static void decode(
    const float *values, const uint8_t *packed, const float *absmax, size_t blocks, size_t length,
    ck_element element, void *to) {
  char *out = to;
  for (size_t b = 0; b < blocks; b++, packed += length / 2) {
    const __m256 low = scaled_table(values, absmax[b]), high = scaled_table(values + 8, absmax[b]);
    if (element == CK_F32) {
      decode_f32(low, high, packed, length, out);
      out += length * 4;
      continue;
    }
    if (element == CK_F16) {
      decode_half(
          _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT),
          _mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT), packed, length, out);
    } else {
      decode_half(round_bf16(low), round_bf16(high), packed, length, out);
    }
    out += length * 2;
  }
}

const nf4_kernels nf4_avx2 = {scales, encode, decode, NULL};

#endif
