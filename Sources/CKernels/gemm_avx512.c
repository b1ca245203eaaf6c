#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define TILE_ROWS 14
#define TILE_VECTORS 2
#define CK_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))
#define MULTIPLY_ADD(a, b, sum) __builtin_elementwise_fma(a, b, sum)
#define STORE_SOME(p, x, count) \
  _mm512_mask_storeu_epi32(p, FIRST(count), (__m512i)(x))
#define COPY_SOME(to, from, count) \
  _mm512_mask_storeu_epi32(to, FIRST(count), _mm512_maskz_loadu_epi32(FIRST(count), from))
#define FIRST(count) ((__mmask16)((1u << (count)) - 1))

#include "gemm_tile.h"

const ck_gemm_kernels *const ck_gemm_avx512 = &gemm_kernels;
#endif
