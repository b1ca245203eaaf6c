#define LANES 4
#define TILE_ROWS 4
#define TILE_VECTORS 2
#define CK_TARGET
#define MULTIPLY_ADD(a, b, sum) __builtin_elementwise_fma(a, b, sum)
#define STORE_SOME(p, x, count) \
  for (int i_ = 0; i_ < (count); i_++) (p)[i_] = (x)[i_]
#define COPY_SOME(to, from, count) \
  for (int i_ = 0; i_ < (count); i_++) (to)[i_] = (from)[i_]

#include "gemm_tile.h"

const ck_gemm_kernels *const ck_gemm_portable = &gemm_kernels;
