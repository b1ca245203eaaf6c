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

/// In how many lanes the bits differ.
V int v_count_different(v32 a, v32 b) {
  int same = 0;
  for (int i = 0; i < 4; i++) {
    __m256i equal = _mm256_cmpeq_epi32(_mm256_castps_si256(a.part[i]),
                                       _mm256_castps_si256(b.part[i]));
    same += __builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(equal)));
  }
  return 32 - same;
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

V v32 v_widen_bf16(const void *p) {
  return V_EACH(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v_halves(p, i)), 16)));
}

V __m256i v_nearest_bf16(__m256 x) {
  __m256i bits = _mm256_castps_si256(x);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
}

V void v_store_upper_halves(void *p, const __m256i x[4]) {
  for (int i = 0; i < 2; i++) {
    __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(x[2 * i], 16),
                                         _mm256_srli_epi32(x[2 * i + 1], 16));
    _mm256_storeu_si256((__m256i *)p + i, _mm256_permute4x64_epi64(packed, 0xD8));
  }
}

/// Rounds and stores numbers; returns what was stored. A NaN gives some bits or other.
V v32 v_store_bf16(void *p, v32 x) {
  __m256i rounded[4];
  for (int i = 0; i < 4; i++) rounded[i] = v_nearest_bf16(x.part[i]);
  v_store_upper_halves(p, rounded);
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
  v_store_upper_halves(p, rounded);
}

V v32 v_widen_f16(const void *p) { return V_EACH(_mm256_cvtph_ps(v_halves(p, i))); }

V v32 v_store_f16(void *p, v32 x) {
  __m128i halves[4];
  for (int i = 0; i < 4; i++) {
    halves[i] = _mm256_cvtps_ph(x.part[i], _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128((__m128i *)p + i, halves[i]);
  }
  return V_EACH(_mm256_cvtph_ps(halves[i]));
}

V void v_round_f16(void *p, v32 x) { v_store_f16(p, x); }
