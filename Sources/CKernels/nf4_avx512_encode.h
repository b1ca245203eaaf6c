// The loops of AVX-512 that quantize: scales, codes, and what the codes lose.
#ifndef CKERNELS_NF4_AVX512_ENCODE_H
#define CKERNELS_NF4_AVX512_ENCODE_H

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

/// Thirty-two elements, those with even and those with odd indices.
typedef struct {
  __m512 even, odd;
} pairs;

INLINE pairs load_pairs(ck_element element, const char *from) {
  if (element == CK_BF16) {
    const __m512i both = _mm512_loadu_si512(from);
    return (pairs){
        _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)),
        _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xFFFF0000)))};
  }
  const __m512i even =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const __m512 low = load(element, from);
  const __m512 high = load(element, from + 16 * ck_element_size(element));
  return (pairs){
      _mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high)};
}

/// The interval −1 … 1 in 31 buckets with at most one threshold each: round(15 · s) + 16 is that of s.
/// It rises with s, so that the thresholds of lower buckets are those below all of a bucket.
typedef struct {
  /// The bucket's threshold, infinite where there is none, and the place below it.
  __m512 threshold[2];
  __m512i place[2];
  /// For places that are codes: whether the thresholds lie in different buckets.
  int apply;
} buckets;

/// A float whose lowest five bits are the number of the bucket.
INLINE __m512 bucket(__m512 scaled) {
  return _mm512_fmadd_ps(scaled, _mm512_set1_ps(15), _mm512_set1_ps(0x1p23f + 16));
}

INLINE buckets make_buckets(const ck_four_bit_code *code) {
  float threshold[32];
  int32_t place[32];
  const __m512 all = _mm512_maskz_loadu_ps(0x7FFF, code->thresholds);
  int32_t at[16];
  _mm512_storeu_si512(
      at, _mm512_and_si512(_mm512_castps_si512(bucket(all)), _mm512_set1_epi32(31)));
  buckets result = {.apply = code->codes[15] == 15};
  for (int i = 0; i < 15; i++) {
    result.apply &= code->codes[i] == i && (i == 0 || at[i] > at[i - 1]);
  }
  for (int b = 0, next = 0; b < 32; b++) {
    place[b] = next;
    const int has = next < 15 && at[next] == b;
    threshold[b] = has ? code->thresholds[next] : __builtin_inff();
    next += has;
  }
  for (int k = 0; k < 2; k++) {
    result.threshold[k] = _mm512_loadu_ps(threshold + 16 * k);
    result.place[k] = _mm512_loadu_si512(place + 16 * k);
  }
  return result;
}

/// The places of scaled elements, none of them a NaN.
INLINE __m512i place_in_buckets(__m512 scaled, const buckets *t) {
  const __m512i at = _mm512_castps_si512(bucket(scaled));
  const __m512 threshold = _mm512_permutex2var_ps(t->threshold[0], at, t->threshold[1]);
  const __m512i place = _mm512_permutex2var_epi32(t->place[0], at, t->place[1]);
  const __mmask16 above = _mm512_cmp_ps_mask(scaled, threshold, _CMP_NLE_UQ);
  return _mm512_mask_add_epi32(place, above, place, _mm512_set1_epi32(1));
}

/// Places of scaled elements among the thresholds, by bisection.
INLINE __m512i place_by_bisection(__m512 scaled, __m512 thresholds) {
  const __m512i one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
  __m512i at = _mm512_set1_epi32(7);
  __mmask16 above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  at = _mm512_mask_blend_epi32(above, _mm512_set1_epi32(3), _mm512_set1_epi32(11));
  above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  at = _mm512_sub_epi32(at, two);
  at = _mm512_mask_add_epi32(at, above, at, _mm512_set1_epi32(4));
  above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  at = _mm512_sub_epi32(at, one);
  at = _mm512_mask_add_epi32(at, above, at, two);
  above = _mm512_cmp_ps_mask(scaled, _mm512_permutexvar_ps(at, thresholds), _CMP_NLE_UQ);
  return _mm512_mask_add_epi32(at, above, at, one);
}

/// Sums of squares of pairs in 32 lanes: even indices below and above 16, then odd ones.
typedef struct {
  __m512d lane[4];
} squares;

INLINE void add_squares(squares *sums, pairs x) {
  const __m512 parts[2] = {x.even, x.odd};
  for (int k = 0; k < 2; k++) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(parts[k]));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(parts[k], 1));
    // The squares are exact, so that it is all one whether they are added in the same step.
    sums->lane[2 * k] = _mm512_fmadd_pd(low, low, sums->lane[2 * k]);
    sums->lane[2 * k + 1] = _mm512_fmadd_pd(high, high, sums->lane[2 * k + 1]);
  }
}

INLINE double total(const squares *sums) {
  __m128d part[2];
  for (int k = 0; k < 2; k++) {
    const __m512d eight = _mm512_add_pd(sums->lane[2 * k], sums->lane[2 * k + 1]);
    const __m256d four =
        _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    part[k] = _mm_add_sd(two, _mm_unpackhi_pd(two, two));
  }
  return _mm_cvtsd_f64(_mm_add_sd(part[0], part[1]));
}

typedef struct {
  squares error, weight;
  __m512 largest;
} losses;

/// The sixteen values times the scale.
INLINE __m512 scaled_table(__m512 values, float scale) {
  const __m512 table = _mm512_mul_ps(values, _mm512_set1_ps(scale));
  const __mmask16 nan = _mm512_cmp_ps_mask(table, table, _CMP_UNORD_Q);
  return _mm512_mask_blend_ps(nan, table, _mm512_castsi512_ps(_mm512_set1_epi32(0x7FC00000)));
}

INLINE __m512 largest_of(__m512 x, __m512 largest) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  // Of a NaN and a number it is the second operand.
  return _mm512_max_ps(
      _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), magnitude)), largest);
}

/// One block. `table`: the values that its codes stand for; `lost` NULL where that is not asked.
INLINE void encode_block(
    ck_element element, const char *from, size_t block, float absmax, int in_buckets,
    const buckets *buckets, __m512 thresholds, __m512i codes, __m512 table, uint8_t *packed,
    losses *lost) {
  const __m512 reciprocal = _mm512_set1_ps(nf4_reciprocal(absmax));
  for (size_t i = 0; i < block; i += 32) {
    const pairs x = load_pairs(element, from + i * ck_element_size(element));
    const __m512 even = _mm512_mul_ps(x.even, reciprocal);
    const __m512 odd = _mm512_mul_ps(x.odd, reciprocal);
    __m512i first, second;
    if (in_buckets) {
      first = place_in_buckets(even, buckets);
      second = place_in_buckets(odd, buckets);
    } else {
      first = _mm512_permutexvar_epi32(place_by_bisection(even, thresholds), codes);
      second = _mm512_permutexvar_epi32(place_by_bisection(odd, thresholds), codes);
    }
    const __m512i both = _mm512_or_si512(_mm512_slli_epi32(first, 4), second);
    _mm_storeu_si128((__m128i *)(packed + i / 2), _mm512_cvtepi32_epi8(both));
    if (lost) {
      const pairs difference = {
          _mm512_sub_ps(x.even, _mm512_permutexvar_ps(first, table)),
          _mm512_sub_ps(x.odd, _mm512_permutexvar_ps(second, table))};
      lost->largest = largest_of(difference.even, lost->largest);
      lost->largest = largest_of(difference.odd, lost->largest);
      add_squares(&lost->error, difference);
      add_squares(&lost->weight, x);
    }
  }
}

INLINE void encode_element(
    const ck_four_bit_code *code, ck_element element, const char *from, size_t blocks, size_t block,
    const float *absmax, const float *restored, uint8_t *packed, losses *lost) {
  const buckets buckets = make_buckets(code);
  const __m512 thresholds = _mm512_maskz_loadu_ps(0x7FFF, code->thresholds);
  const __m512 values = _mm512_loadu_ps(code->values);
  const __m512i codes =
      _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)code->codes));
  const size_t bytes = block * ck_element_size(element);
  for (size_t b = 0; b < blocks; b++, from += bytes, packed += block / 2) {
    const __m512 table = lost ? scaled_table(values, restored[b]) : values;
    if (buckets.apply && ck_is_finite(absmax[b])) {
      encode_block(
          element, from, block, absmax[b], 1, &buckets, thresholds, codes, table, packed, lost);
    } else {
      encode_block(
          element, from, block, absmax[b], 0, &buckets, thresholds, codes, table, packed, lost);
    }
  }
}

TARGET static void encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    const float *absmax, uint8_t *packed) {
  switch (element) {
    case CK_F32:
      return encode_element(code, CK_F32, from, blocks, block, absmax, NULL, packed, NULL);
    case CK_F16:
      return encode_element(code, CK_F16, from, blocks, block, absmax, NULL, packed, NULL);
    case CK_BF16:
      return encode_element(code, CK_BF16, from, blocks, block, absmax, NULL, packed, NULL);
  }
}

INLINE ck_quantization_error measured_element(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    const float *absmax, const float *restored, uint8_t *packed) {
  const __m512d zero = _mm512_setzero_pd();
  losses lost = {
      {{zero, zero, zero, zero}}, {{zero, zero, zero, zero}}, _mm512_setzero_ps()};
  encode_element(code, element, from, blocks, block, absmax, restored, packed, &lost);
  return (ck_quantization_error){
      total(&lost.error), total(&lost.weight), _mm512_reduce_max_ps(lost.largest)};
}

TARGET static ck_quantization_error encode_measured(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    const float *absmax, const float *restored, uint8_t *packed) {
  switch (element) {
    case CK_F32:
      return measured_element(code, CK_F32, from, blocks, block, absmax, restored, packed);
    case CK_F16:
      return measured_element(code, CK_F16, from, blocks, block, absmax, restored, packed);
    default:
      return measured_element(code, CK_BF16, from, blocks, block, absmax, restored, packed);
  }
}

/// The bits of the largest |x| of a block in f32.
INLINE uint32_t largest_magnitude(ck_element element, const char *from, size_t block) {
  __m512i largest = _mm512_setzero_si512();
  if (element == CK_F32) {
    for (size_t i = 0; i < block; i += 16) {
      const __m512i bits = _mm512_loadu_si512(from + 4 * i);
      largest =
          _mm512_max_epu32(largest, _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)));
    }
    return _mm512_reduce_max_epu32(largest);
  }
  // Without their sign, halves are in the order of their bits.
  for (size_t i = 0; i < block; i += 32) {
    const __m512i bits = _mm512_loadu_si512(from + 2 * i);
    largest = _mm512_max_epu16(largest, _mm512_and_si512(bits, _mm512_set1_epi16(0x7FFF)));
  }
  const __m256i half =
      _mm256_max_epu16(_mm512_castsi512_si256(largest), _mm512_extracti64x4_epi64(largest, 1));
  const __m128i eight =
      _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1)));
  return ck_bits(ck_widen_bits(element, 0xFFFF & ~(uint32_t)_mm_cvtsi128_si32(least)));
}

INLINE void scales_element(
    ck_element element, const char *from, size_t blocks, size_t block, float *absmax) {
  for (size_t b = 0; b < blocks; b++, from += block * ck_element_size(element)) {
    absmax[b] = nf4_absmax(largest_magnitude(element, from, block));
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

#endif
