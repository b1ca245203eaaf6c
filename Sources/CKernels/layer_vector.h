// Sixteen lanes of f32 as the compiler's vector type: one, two or four registers, the same results. The
// including file defines CK_TARGET, the attribute that allows the instructions.
#include <math.h>
#include <string.h>

#include "include/layer.h"
#include "layer_tables.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF
// Vectors that are wider than a register are only passed to functions that disappear.
#pragma clang diagnostic ignored "-Wpsabi"

#define V CK_INLINE CK_TARGET

enum { LANES = 16 };

typedef float vec __attribute__((vector_size(64)));
typedef float unaligned_vec __attribute__((vector_size(64), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(64)));

V vec v_load(const float *p) { return *(const unaligned_vec *)p; }
V void v_store(float *p, vec x) { *(unaligned_vec *)p = x; }

V vec v_splat(float x) {
  return __builtin_shufflevector((vec){x}, (vec){x}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                 0);
}

/// The first `left` of sixteen numbers, then zeros.
V vec v_take(const float *p, ptrdiff_t left) {
  if (left >= LANES) return v_load(p);
  float padded[LANES] = {0};
  memcpy(padded, p, left * sizeof(float));
  return v_load(padded);
}

V void v_put(float *p, vec x, ptrdiff_t left) {
  if (left >= LANES) {
    v_store(p, x);
  } else {
    float all[LANES];
    v_store(all, x);
    memcpy(p, all, left * sizeof(float));
  }
}

/// a·b + c, rounded once.
V vec v_fma(vec a, vec b, vec c) { return __builtin_elementwise_fma(a, b, c); }
V vec v_sqrt(vec x) { return __builtin_elementwise_sqrt(x); }

/// a where the mask is set, b elsewhere.
V vec v_select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
V vec v_max(vec a, vec b) { return v_select(a > b, a, b); }
V vec v_min(vec a, vec b) { return v_select(a < b, a, b); }
V vec v_abs(vec x) { return (vec)((ivec)x & 0x7FFFFFFF); }

/// The lanes below `left` of x; elsewhere y.
V vec v_first(vec x, vec y, ptrdiff_t left) {
  const ivec number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return left >= LANES ? x : v_select(number < (int32_t)left, x, y);
}

/// One number from sixteen: upper half onto lower half until one is left.
#define V_HALVES(x, join)                                                                      \
  ({                                                                                           \
    typedef float half __attribute__((vector_size(32)));                                       \
    typedef float quarter __attribute__((vector_size(16)));                                    \
    half h8 = join(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7),                      \
                   __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));               \
    quarter h4 = join(__builtin_shufflevector(h8, h8, 0, 1, 2, 3),                             \
                      __builtin_shufflevector(h8, h8, 4, 5, 6, 7));                            \
    float a0 = join(h4[0], h4[2]), a1 = join(h4[1], h4[3]);                                    \
    join(a0, a1);                                                                              \
  })
#define V_PLUS(a, b) ((a) + (b))

V float v_sum(vec x) { return V_HALVES(x, V_PLUS); }

V float v_largest(vec x) {
  float lanes[LANES];
  v_store(lanes, x);
  for (int half = LANES / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  }
  return lanes[0];
}

/// eˣ to 2 units in the last place; below -104 zero, above 88.8 infinity.
///
/// x = n·ln 2 + r with |r| ≤ ½ ln 2, eʳ = 1 + r + r²·p(r), p a minimax polynomial.
V vec v_exp(vec x) {
  vec clamped = v_min(v_max(x, v_splat(-104.5f)), v_splat(89.0f));
  // Adding 1.5·2²³ rounds to an integer, which is then in the low bits.
  vec shifted = v_fma(clamped, v_splat(0x1.715476p+0f), v_splat(0x1.8p23f));
  vec n = shifted - v_splat(0x1.8p23f);
  vec r = v_fma(n, v_splat(-0x1.62e400p-1f), clamped);
  r = v_fma(n, v_splat(-0x1.7f7d1cp-20f), r);
  vec p = v_splat(0x1.a17e0cp-13f);
  p = v_fma(p, r, v_splat(0x1.6d4328p-10f));
  p = v_fma(p, r, v_splat(0x1.1110acp-7f));
  p = v_fma(p, r, v_splat(0x1.5554eap-5f));
  p = v_fma(p, r, v_splat(0x1.555556p-3f));
  p = v_fma(p, r, v_splat(0x1p-1f));
  vec e = v_fma(p, r * r, r) + v_splat(1);
  // 2ⁿ in two factors, so that subnormals and infinity come out by themselves.
  ivec power = (ivec)shifted - (ivec)v_splat(0x1.8p23f);
  ivec half = power >> 1;
  vec first = (vec)((half + 127) << 23), second = (vec)((power - half + 127) << 23);
  return v_select(x == x, e * first * second, x);
}

V vec v_sigmoid(vec x) { return v_splat(1) / (v_splat(1) + v_exp(-x)); }

V vec v_tanh(vec x) {
  vec size = v_abs(x), square = x * x;
  vec p = v_splat(-0x1.902fbcp-8f);
  p = v_fma(p, square, v_splat(0x1.582728p-6f));
  p = v_fma(p, square, v_splat(-0x1.b92a24p-5f));
  p = v_fma(p, square, v_splat(0x1.110e36p-3f));
  p = v_fma(p, square, v_splat(-0x1.555552p-2f));
  vec near = v_fma(p * square, x, x);
  vec far = v_splat(1) - v_splat(2) / (v_exp(size + size) + v_splat(1));
  far = (vec)((ivec)far | ((ivec)x & (int32_t)0x80000000));
  return v_select(size < v_splat(0.625f), near, far);
}

/// The normal distribution: Φ(x), its density φ(x) to `density`.
///
/// Φ(−z√2) = ½·erfc(z) = ½·e^(−z²)·t·p(t), t = 1/(1 + 0.4z), p a minimax polynomial.
V vec v_normal(vec x, vec *density) {
  vec e = v_exp(x * x * v_splat(-0.5f));
  *density = e * v_splat(0x1.988454p-2f);
  vec z = v_abs(x) * v_splat(0x1.6a09e6p-1f);
  vec t = v_splat(1) / v_fma(z, v_splat(0.4f), v_splat(1));
  vec p = v_splat(-0x1.7a7e14p-6f);
  p = v_fma(p, t, v_splat(0x1.4ea79cp-3f));
  p = v_fma(p, t, v_splat(-0x1.ad3554p-2f));
  p = v_fma(p, t, v_splat(0x1.c6660ep-2f));
  p = v_fma(p, t, v_splat(-0x1.9a99fap-3f));
  p = v_fma(p, t, v_splat(0x1.d3dc7cp-3f));
  p = v_fma(p, t, v_splat(0x1.275e74p-3f));
  p = v_fma(p, t, v_splat(0x1.b2074cp-3f));
  p = v_fma(p, t, v_splat(0x1.cd67d4p-3f));
  p = v_fma(p, t, v_splat(0x1.ce36a0p-3f));
  vec tail = v_splat(0.5f) * e * t * p;
  return v_select(x < v_splat(0), tail, v_splat(1) - tail);
}
