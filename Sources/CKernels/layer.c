#include <string.h>

#include "include/cpu.h"
#include "layer_tables.h"
#include "scalar.h"

const ck_layer_kernels *ck_layer(void) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX2: return ck_layer_avx2;
    case CK_PATH_AVX512: return ck_layer_avx512;
#endif
#if defined(__aarch64__)
    case CK_PATH_NEON: return ck_layer_neon;
#endif
    default: return ck_layer_portable;
  }
}

/// x = 2ⁿ·m with m in [√½, √2): ln x = n·ln 2 + 2·artanh(s), s = (m − 1)/(m + 1), |s| < 0.172.
float ck_log(float x) {
  if (!(x > 0) || !ck_is_finite(x)) return x == 0 ? -INFINITY : x > 0 ? x : NAN;
  double wide = x;
  uint64_t bits;
  memcpy(&bits, &wide, sizeof bits);
  int64_t n = (int64_t)(bits >> 52) - 1023;
  bits = (bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    n += 1;
  }
  double s = (m - 1) / (m + 1), square = s * s, series = 0;
  for (int k = 21; k >= 1; k -= 2) series = series * square + 1.0 / k;
  return (float)((double)n * 0x1.62e42fefa39efp-1 + 2 * s * series);
}

void ck_strip_keys(const ck_strip *strip, ptrdiff_t row, ptrdiff_t *first, ptrdiff_t *end) {
  ptrdiff_t at = strip->first_row + row - strip->first_key;
  *first = 0;
  *end = strip->keys;
  if (strip->causal && at + 1 < *end) *end = at + 1;
  if (strip->window > 0) {
    if (at - strip->window + 1 > *first) *first = at - strip->window + 1;
    if (at + strip->window < *end) *end = at + strip->window;
  }
  if (*end < *first) *end = *first;
}
