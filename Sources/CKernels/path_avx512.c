#if defined(__x86_64__)
#include "simd_avx512.h"
// The vocabulary above, then the kernels over it.
#include "simd_kernels.h"

const ck_kernels *const ck_kernels_avx512 = &kernels;
#endif
