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

/// The sum of the lanes: upper half onto lower half until one is left.
V float v_sum(v32 x) {
  __m512 s16 = _mm512_add_ps(x.low, x.high);
  __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(s16), _mm512_extractf32x8_ps(s16, 1));
  __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

V __m512 v_widen_half_bf16(const __m256i *p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

V v32 v_widen_bf16(const void *p) {
  const __m256i *halves = p;
  return (v32){v_widen_half_bf16(halves), v_widen_half_bf16(halves + 1)};
}

/// A number whose upper half is `x` rounded to bf16; a NaN gives some bits or other.
V __m512i v_nearest_bf16(__m512 x) {
  __m512i bits = _mm512_castps_si512(x);
  __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  __m512i sum = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF));
  return _mm512_mask_add_epi32(sum, odd, sum, _mm512_set1_epi32(1));
}

/// The upper halves of two registers.
V __m512i v_upper_halves(__m512i low, __m512i high) {
  const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35,
                                       33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3,
                                       1);
  return _mm512_permutex2var_epi16(low, odd, high);
}

/// Stores numbers rounded, adds to `changed` in how many lanes they differ from `before`, and returns
/// what was stored. A NaN gives some bits or other.
V v32 v_merge_bf16(void *p, v32 x, const void *before, int64_t *changed) {
  const __m512i mask = _mm512_set1_epi32((int)0xFFFF0000);
  __m512i low = v_nearest_bf16(x.low), high = v_nearest_bf16(x.high);
  __m512i halves = v_upper_halves(low, high);
  *changed += __builtin_popcount(_mm512_cmpneq_epi16_mask(halves, _mm512_loadu_si512(before)));
  _mm512_storeu_si512(p, halves);
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
  _mm512_storeu_si512(
      p, v_upper_halves(v_nearest_bf16_or_nan(x.low), v_nearest_bf16_or_nan(x.high)));
}

V v32 v_widen_f16(const void *p) {
  const __m256i *halves = p;
  return (v32){_mm512_cvtph_ps(_mm256_loadu_si256(halves)),
               _mm512_cvtph_ps(_mm256_loadu_si256(halves + 1))};
}

V __m512i v_nearest_f16(v32 x) {
  return _mm512_inserti64x4(
      _mm512_castsi256_si512(
          _mm512_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)),
      _mm512_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), 1);
}

V v32 v_merge_f16(void *p, v32 x, const void *before, int64_t *changed) {
  __m512i halves = v_nearest_f16(x);
  *changed += __builtin_popcount(_mm512_cmpneq_epi16_mask(halves, _mm512_loadu_si512(before)));
  _mm512_storeu_si512(p, halves);
  return (v32){_mm512_cvtph_ps(_mm512_castsi512_si256(halves)),
               _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
}

V void v_round_f16(void *p, v32 x) { _mm512_storeu_si512(p, v_nearest_f16(x)); }

V v32 v_merge_f32(void *p, v32 x, const void *before, int64_t *changed) {
  const __m512i *old = before;
  __mmask16 low =
      _mm512_cmpneq_epi32_mask(_mm512_castps_si512(x.low), _mm512_loadu_si512(old));
  __mmask16 high =
      _mm512_cmpneq_epi32_mask(_mm512_castps_si512(x.high), _mm512_loadu_si512(old + 1));
  *changed += __builtin_popcount(_mm512_kunpackw(high, low));
  v_store(p, x);
  return x;
}
