// 32 lanes of f32 in eight NEON registers.
#include <arm_neon.h>

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

/// In how many lanes the bits differ.
V int v_count_different(v32 a, v32 b) {
  uint32x4_t same = vdupq_n_u32(0);
  for (int i = 0; i < 8; i++) {
    uint32x4_t equal =
        vceqq_u32(vreinterpretq_u32_f32(a.part[i]), vreinterpretq_u32_f32(b.part[i]));
    same = vsubq_u32(same, equal);
  }
  return 32 - (int)vaddvq_u32(same);
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

V v32 v_widen_bf16(const void *p) {
  return V_EACH(vreinterpretq_f32_u32(vshll_n_u16(v_halves(p, i), 16)));
}

V uint32x4_t v_nearest_bf16(float32x4_t x) {
  uint32x4_t bits = vreinterpretq_u32_f32(x);
  uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd);
}

/// Rounds and stores numbers; returns what was stored. A NaN gives some bits or other.
V v32 v_store_bf16(void *p, v32 x) {
  uint32x4_t rounded[8];
  for (int i = 0; i < 8; i++) {
    rounded[i] = v_nearest_bf16(x.part[i]);
    v_store_halves(p, i, vshrn_n_u32(rounded[i], 16));
  }
  return V_EACH(vreinterpretq_f32_u32(vandq_u32(rounded[i], vdupq_n_u32(0xFFFF0000))));
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

V v32 v_store_f16(void *p, v32 x) {
  float16x4_t halves[8];
  for (int i = 0; i < 8; i++) {
    halves[i] = vcvt_f16_f32(x.part[i]);
    v_store_halves(p, i, vreinterpret_u16_f16(halves[i]));
  }
  return V_EACH(vcvt_f32_f16(halves[i]));
}

V void v_round_f16(void *p, v32 x) { v_store_f16(p, x); }
