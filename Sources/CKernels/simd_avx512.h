// 32 lanes of f32 in two AVX-512 registers.
#include <immintrin.h>

#include "scalar.h"

#define CK_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c,popcnt")))
#define V CK_INLINE CK_TARGET

/// Rows of the register tile of low_rank_block: 16 of the 32 registers hold sums.
enum { TILE_ROWS = 8 };

typedef struct {
  __m512 low, high;
} v32;

V v32 v_splat(float x) { return (v32){_mm512_set1_ps(x), _mm512_set1_ps(x)}; }

V v32 v_load(const float *p) { return (v32){_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16)}; }

V void v_store(float *p, v32 x) {
  _mm512_storeu_ps(p, x.low);
  _mm512_storeu_ps(p + 16, x.high);
}

V v32 v_add(v32 a, v32 b) {
  return (v32){_mm512_add_ps(a.low, b.low), _mm512_add_ps(a.high, b.high)};
}

V v32 v_sub(v32 a, v32 b) {
  return (v32){_mm512_sub_ps(a.low, b.low), _mm512_sub_ps(a.high, b.high)};
}

V v32 v_mul(v32 a, v32 b) {
  return (v32){_mm512_mul_ps(a.low, b.low), _mm512_mul_ps(a.high, b.high)};
}

/// a·b + c, rounded once.
V v32 v_fma(v32 a, v32 b, v32 c) {
  return (v32){_mm512_fmadd_ps(a.low, b.low, c.low), _mm512_fmadd_ps(a.high, b.high, c.high)};
}

/// w where d is a zero, w + d elsewhere.
V v32 v_add_unless_zero(v32 w, v32 d) {
  __m512 zero = _mm512_setzero_ps();
  return (v32){
      _mm512_mask_add_ps(w.low, _mm512_cmp_ps_mask(d.low, zero, _CMP_NEQ_UQ), w.low, d.low),
      _mm512_mask_add_ps(w.high, _mm512_cmp_ps_mask(d.high, zero, _CMP_NEQ_UQ), w.high, d.high)};
}

/// w where x = w, x elsewhere: zeros keep the sign they have in w.
V v32 v_keep_equal(v32 w, v32 x) {
  return (v32){
      _mm512_mask_mov_ps(x.low, _mm512_cmp_ps_mask(x.low, w.low, _CMP_EQ_OQ), w.low),
      _mm512_mask_mov_ps(x.high, _mm512_cmp_ps_mask(x.high, w.high, _CMP_EQ_OQ), w.high)};
}

/// In how many lanes the bits differ.
V int v_count_different(v32 a, v32 b) {
  __mmask16 low = _mm512_cmpneq_epi32_mask(_mm512_castps_si512(a.low), _mm512_castps_si512(b.low));
  __mmask16 high =
      _mm512_cmpneq_epi32_mask(_mm512_castps_si512(a.high), _mm512_castps_si512(b.high));
  return __builtin_popcount(_mm512_kunpackw(high, low));
}

/// The sum of the lanes: upper half onto lower half until one is left.
V float v_sum(v32 x) {
  __m512 s16 = _mm512_add_ps(x.low, x.high);
  __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(s16), _mm512_extractf32x8_ps(s16, 1));
  __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

V v32 v_widen_bf16(const void *p) {
  // Word i of the input becomes the upper half of dword i.
  const __m512i low = _mm512_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9, 8, 8,
                                       7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  __m512i halves = _mm512_loadu_si512(p);
  return (v32){
      _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xAAAAAAAA, low, halves)),
      _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xAAAAAAAA, high, halves))};
}

V __m512i v_nearest_bf16(__m512 x) {
  __m512i bits = _mm512_castps_si512(x);
  __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  __m512i sum = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF));
  return _mm512_mask_add_epi32(sum, odd, sum, _mm512_set1_epi32(1));
}

V void v_store_upper_halves(void *p, __m512i low, __m512i high) {
  const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35,
                                       33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3,
                                       1);
  _mm512_storeu_si512(p, _mm512_permutex2var_epi16(low, odd, high));
}

/// Rounds and stores numbers; returns what was stored. A NaN gives some bits or other.
V v32 v_store_bf16(void *p, v32 x) {
  const __m512i mask = _mm512_set1_epi32((int)0xFFFF0000);
  __m512i low = v_nearest_bf16(x.low), high = v_nearest_bf16(x.high);
  v_store_upper_halves(p, low, high);
  return (v32){_mm512_castsi512_ps(_mm512_and_si512(low, mask)),
               _mm512_castsi512_ps(_mm512_and_si512(high, mask))};
}

V __m512i v_nearest_bf16_or_nan(__m512 x) {
  __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(v_nearest_bf16(x), nan, _mm512_castps_si512(x),
                              _mm512_set1_epi32(0x00400000));
}

/// Rounds and stores anything.
V void v_round_bf16(void *p, v32 x) {
  v_store_upper_halves(p, v_nearest_bf16_or_nan(x.low), v_nearest_bf16_or_nan(x.high));
}

V v32 v_widen_f16(const void *p) {
  const __m256i *halves = p;
  return (v32){_mm512_cvtph_ps(_mm256_loadu_si256(halves)),
               _mm512_cvtph_ps(_mm256_loadu_si256(halves + 1))};
}

V v32 v_store_f16(void *p, v32 x) {
  __m256i *halves = p;
  __m256i low = _mm512_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256i high = _mm512_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_storeu_si256(halves, low);
  _mm256_storeu_si256(halves + 1, high);
  return (v32){_mm512_cvtph_ps(low), _mm512_cvtph_ps(high)};
}

V void v_round_f16(void *p, v32 x) { v_store_f16(p, x); }
