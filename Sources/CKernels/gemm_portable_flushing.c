#include <float.h>

#define LANES 4
#define TILE_ROWS 4
#define TILE_VECTORS 2
#define CK_TARGET
#define MULTIPLY_ADD(a, b, sum) \
  flushed(__builtin_elementwise_fma(flushed(a), flushed(b), flushed(sum)))
#define STORE_SOME(p, x, count) \
  for (int i_ = 0; i_ < (count); i_++) (p)[i_] = (x)[i_]
#define COPY_SOME(to, from, count) \
  for (int i_ = 0; i_ < (count); i_++) (to)[i_] = (from)[i_]

typedef float flushed_vec __attribute__((vector_size(16)));
typedef unsigned flushed_bits __attribute__((vector_size(16)));

/// x, or the zero of its sign where it is subnormal.
static inline __attribute__((always_inline)) flushed_vec flushed(flushed_vec x) {
  flushed_bits bits = (flushed_bits)x;
  flushed_bits is_normal = (flushed_bits)((bits & 0x7F800000u) != 0);
  return (flushed_vec)(bits & (is_normal | 0x80000000u));
}

#include "gemm_tile.h"

const ck_gemm_kernels *const ck_gemm_portable_flushing = &gemm_kernels;
