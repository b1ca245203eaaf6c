#if defined(__x86_64__)
#define LANES 8
#define TILE_ROWS 6
#define TILE_VECTORS 2
#define CK_TARGET __attribute__((target("avx2,fma,f16c")))
#define MULTIPLY_ADD(a, b, sum) __builtin_elementwise_fma(a, b, sum)
#define STORE_SOME(p, x, count) \
  for (int i_ = 0; i_ < (count); i_++) (p)[i_] = (x)[i_]
#define COPY_SOME(to, from, count) \
  for (int i_ = 0; i_ < (count); i_++) (to)[i_] = (from)[i_]

#include "gemm_tile.h"

const ck_gemm_kernels *const ck_gemm_avx2 = &gemm_kernels;
#endif
