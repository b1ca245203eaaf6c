#if defined(__x86_64__)

#include "nf4_avx512_encode.h"

#pragma STDC FP_CONTRACT OFF

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

const nf4_kernels nf4_avx512 = {scales, encode, decode, encode_measured};

#endif
