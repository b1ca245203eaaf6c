// 32 lanes of f32 in four AVX registers.
#include <immintrin.h>

#include "scalar.h"

#define CK_TARGET __attribute__((target("avx2,fma,f16c,popcnt")))
#define V CK_INLINE CK_TARGET

/// Rows of the register tile of low_rank_block: 8 of the 16 registers hold sums.
enum { TILE_ROWS = 2 };

typedef struct {
  __m256 part[4];
} v32;

#define V_EACH(expression)                                    \
  ({                                                          \
    v32 result;                                               \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) result.part[i] = (expression); \
    result;                                                   \
  })

V v32 v_splat(float x) { return V_EACH(_mm256_set1_ps(x)); }
V v32 v_load(const float *p) { return V_EACH(_mm256_loadu_ps(p + 8 * i)); }

V void v_store(float *p, v32 x) {
  for (int i = 0; i < 4; i++) _mm256_storeu_ps(p + 8 * i, x.part[i]);
}

V v32 v_add(v32 a, v32 b) { return V_EACH(_mm256_add_ps(a.part[i], b.part[i])); }
V v32 v_sub(v32 a, v32 b) { return V_EACH(_mm256_sub_ps(a.part[i], b.part[i])); }
V v32 v_mul(v32 a, v32 b) { return V_EACH(_mm256_mul_ps(a.part[i], b.part[i])); }

/// a·b + c, rounded once.
V v32 v_fma(v32 a, v32 b, v32 c) {
  return V_EACH(_mm256_fmadd_ps(a.part[i], b.part[i], c.part[i]));
}

/// w where d is a zero, w + d elsewhere.
V v32 v_add_unless_zero(v32 w, v32 d) {
  return V_EACH(_mm256_blendv_ps(w.part[i], _mm256_add_ps(w.part[i], d.part[i]),
                                 _mm256_cmp_ps(d.part[i], _mm256_setzero_ps(), _CMP_NEQ_UQ)));
}

/// w where x = w, x elsewhere: zeros keep the sign they have in w.
V v32 v_keep_equal(v32 w, v32 x) {
  return V_EACH(_mm256_blendv_ps(x.part[i], w.part[i],
                                 _mm256_cmp_ps(x.part[i], w.part[i], _CMP_EQ_OQ)));
}

/// The sum of the lanes: upper half onto lower half until one is left.
V float v_sum(v32 x) {
  __m256 s8 = _mm256_add_ps(_mm256_add_ps(x.part[0], x.part[2]),
                            _mm256_add_ps(x.part[1], x.part[3]));
  __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

V __m128i v_halves(const void *p, int i) { return _mm_loadu_si128((const __m128i *)p + i); }

/// In how many of the words of two registers the bits differ.
V int v_different_words(__m256i a, __m256i b) {
  return 16 - __builtin_popcount((unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi16(a, b))) / 2;
}

V v32 v_widen_bf16(const void *p) {
  return V_EACH(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v_halves(p, i)), 16)));
}

/// A number whose upper half is `x` rounded to bf16; a NaN gives some bits or other.
V __m256i v_nearest_bf16(__m256 x) {
  __m256i bits = _mm256_castps_si256(x);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
}

/// The upper halves of two registers.
V __m256i v_upper_halves(__m256i low, __m256i high) {
  __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
  return _mm256_permute4x64_epi64(packed, 0xD8);
}

/// Stores numbers rounded, adds to `changed` in how many lanes they differ from `before`, and returns
/// what was stored. A NaN gives some bits or other.
V v32 v_merge_bf16(void *p, v32 x, const void *before, int64_t *changed) {
  __m256i rounded[4];
  for (int i = 0; i < 4; i++) rounded[i] = v_nearest_bf16(x.part[i]);
  for (int i = 0; i < 2; i++) {
    __m256i halves = v_upper_halves(rounded[2 * i], rounded[2 * i + 1]);
    *changed += v_different_words(halves, _mm256_loadu_si256((const __m256i *)before + i));
    _mm256_storeu_si256((__m256i *)p + i, halves);
  }
  const __m256i mask = _mm256_set1_epi32((int)0xFFFF0000);
  return V_EACH(_mm256_castsi256_ps(_mm256_and_si256(rounded[i], mask)));
}

/// Rounds and stores anything.
V void v_round_bf16(void *p, v32 x) {
  __m256i rounded[4];
  for (int i = 0; i < 4; i++) {
    __m256 quiet = _mm256_or_ps(x.part[i], _mm256_castsi256_ps(_mm256_set1_epi32(0x00400000)));
    __m256 nan = _mm256_cmp_ps(x.part[i], x.part[i], _CMP_UNORD_Q);
    __m256 number = _mm256_castsi256_ps(v_nearest_bf16(x.part[i]));
    rounded[i] = _mm256_castps_si256(_mm256_blendv_ps(number, quiet, nan));
  }
  for (int i = 0; i < 2; i++) {
    _mm256_storeu_si256((__m256i *)p + i, v_upper_halves(rounded[2 * i], rounded[2 * i + 1]));
  }
}

V v32 v_widen_f16(const void *p) { return V_EACH(_mm256_cvtph_ps(v_halves(p, i))); }

V __m256i v_nearest_f16(__m256 low, __m256 high) {
  return _mm256_set_m128i(_mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT));
}

V v32 v_merge_f16(void *p, v32 x, const void *before, int64_t *changed) {
  __m128i halves[4];
  for (int i = 0; i < 2; i++) {
    __m256i both = v_nearest_f16(x.part[2 * i], x.part[2 * i + 1]);
    *changed += v_different_words(both, _mm256_loadu_si256((const __m256i *)before + i));
    _mm256_storeu_si256((__m256i *)p + i, both);
    halves[2 * i] = _mm256_castsi256_si128(both);
    halves[2 * i + 1] = _mm256_extracti128_si256(both, 1);
  }
  return V_EACH(_mm256_cvtph_ps(halves[i]));
}

V void v_round_f16(void *p, v32 x) {
  for (int i = 0; i < 2; i++) {
    _mm256_storeu_si256((__m256i *)p + i, v_nearest_f16(x.part[2 * i], x.part[2 * i + 1]));
  }
}

V v32 v_merge_f32(void *p, v32 x, const void *before, int64_t *changed) {
  for (int i = 0; i < 4; i++) {
    __m256i equal = _mm256_cmpeq_epi32(_mm256_castps_si256(x.part[i]),
                                       _mm256_loadu_si256((const __m256i *)before + i));
    *changed += 8 - __builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(equal)));
  }
  v_store(p, x);
  return x;
}
