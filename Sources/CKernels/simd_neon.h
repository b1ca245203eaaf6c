// 32 lanes of f32 in eight NEON registers.
#include <arm_neon.h>

#include "kernels.h"
#include "scalar.h"

#define CK_TARGET
#define V CK_INLINE

/// Rows of the register tile of low_rank_block: 16 of the 32 registers hold sums.
enum { TILE_ROWS = 2 };

typedef struct {
  float32x4_t part[8];
} v32;

#define V_EACH(expression)                                    \
  ({                                                          \
    v32 result;                                               \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 8; i++) result.part[i] = (expression); \
    result;                                                   \
  })

V v32 v_splat(float x) { return V_EACH(vdupq_n_f32(x)); }
V v32 v_load(const float *p) { return V_EACH(vld1q_f32(p + 4 * i)); }

V void v_store(float *p, v32 x) {
  for (int i = 0; i < 8; i++) vst1q_f32(p + 4 * i, x.part[i]);
}

V v32 v_add(v32 a, v32 b) { return V_EACH(vaddq_f32(a.part[i], b.part[i])); }
V v32 v_sub(v32 a, v32 b) { return V_EACH(vsubq_f32(a.part[i], b.part[i])); }
V v32 v_mul(v32 a, v32 b) { return V_EACH(vmulq_f32(a.part[i], b.part[i])); }

/// a·b + c, rounded once.
V v32 v_fma(v32 a, v32 b, v32 c) { return V_EACH(vfmaq_f32(c.part[i], a.part[i], b.part[i])); }

/// w where d is a zero, w + d elsewhere.
V v32 v_add_unless_zero(v32 w, v32 d) {
  return V_EACH(vbslq_f32(vceqzq_f32(d.part[i]), w.part[i], vaddq_f32(w.part[i], d.part[i])));
}

/// w where x = w, x elsewhere: zeros keep the sign they have in w.
V v32 v_keep_equal(v32 w, v32 x) {
  return V_EACH(vbslq_f32(vceqq_f32(x.part[i], w.part[i]), w.part[i], x.part[i]));
}

/// The sum of the lanes: upper half onto lower half until one is left.
V float v_sum(v32 x) {
  for (int width = 4; width > 0; width /= 2) {
    for (int i = 0; i < width; i++) x.part[i] = vaddq_f32(x.part[i], x.part[i + width]);
  }
  float32x2_t s2 = vadd_f32(vget_low_f32(x.part[0]), vget_high_f32(x.part[0]));
  return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

V uint16x4_t v_halves(const void *p, int i) {
  return vreinterpret_u16_u8(vld1_u8((const uint8_t *)p + 8 * i));
}

V void v_store_halves(void *p, int i, uint16x4_t halves) {
  vst1_u8((uint8_t *)p + 8 * i, vreinterpret_u8_u16(halves));
}

/// Stores words, adds to `changed` how many of them differ from `before`.
V void v_merge_halves(void *p, const uint16x4_t halves[8], const void *before, int64_t *changed) {
  uint16x4_t same = vdup_n_u16(0);
  for (int i = 0; i < 8; i++) same = vsub_u16(same, vceq_u16(halves[i], v_halves(before, i)));
  *changed += CK_LANES - vaddv_u16(same);
  for (int i = 0; i < 8; i++) v_store_halves(p, i, halves[i]);
}

V v32 v_widen_bf16(const void *p) {
  return V_EACH(vreinterpretq_f32_u32(vshll_n_u16(v_halves(p, i), 16)));
}

/// A number whose upper half is `x` rounded to bf16; a NaN gives some bits or other.
V uint32x4_t v_nearest_bf16(float32x4_t x) {
  uint32x4_t bits = vreinterpretq_u32_f32(x);
  uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd);
}

/// Stores numbers rounded, adds to `changed` in how many lanes they differ from `before`, and returns
/// what was stored. A NaN gives some bits or other.
V v32 v_merge_bf16(void *p, v32 x, const void *before, int64_t *changed) {
  uint16x4_t halves[8];
  for (int i = 0; i < 8; i++) halves[i] = vshrn_n_u32(v_nearest_bf16(x.part[i]), 16);
  v_merge_halves(p, halves, before, changed);
  return V_EACH(vreinterpretq_f32_u32(vshll_n_u16(halves[i], 16)));
}

/// Rounds and stores anything.
V void v_round_bf16(void *p, v32 x) {
  for (int i = 0; i < 8; i++) {
    uint32x4_t quiet = vorrq_u32(vreinterpretq_u32_f32(x.part[i]), vdupq_n_u32(0x00400000));
    uint32x4_t number = vceqq_f32(x.part[i], x.part[i]);
    uint32x4_t rounded = vbslq_u32(number, v_nearest_bf16(x.part[i]), quiet);
    v_store_halves(p, i, vshrn_n_u32(rounded, 16));
  }
}

V v32 v_widen_f16(const void *p) {
  return V_EACH(vcvt_f32_f16(vreinterpret_f16_u16(v_halves(p, i))));
}

V v32 v_merge_f16(void *p, v32 x, const void *before, int64_t *changed) {
  uint16x4_t halves[8];
  for (int i = 0; i < 8; i++) halves[i] = vreinterpret_u16_f16(vcvt_f16_f32(x.part[i]));
  v_merge_halves(p, halves, before, changed);
  return V_EACH(vcvt_f32_f16(vreinterpret_f16_u16(halves[i])));
}

V void v_round_f16(void *p, v32 x) {
  for (int i = 0; i < 8; i++) {
    v_store_halves(p, i, vreinterpret_u16_f16(vcvt_f16_f32(x.part[i])));
  }
}

V v32 v_merge_f32(void *p, v32 x, const void *before, int64_t *changed) {
  uint32x4_t same = vdupq_n_u32(0);
  for (int i = 0; i < 8; i++) {
    uint32x4_t old = vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)before + 16 * i));
    same = vsubq_u32(same, vceqq_u32(vreinterpretq_u32_f32(x.part[i]), old));
  }
  *changed += CK_LANES - vaddvq_u32(same);
  v_store(p, x);
  return x;
}
