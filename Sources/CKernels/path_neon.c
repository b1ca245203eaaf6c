#if defined(__aarch64__)
#include "simd_neon.h"
// The vocabulary above, then the kernels over it.
#include "simd_kernels.h"

const ck_kernels *const ck_kernels_neon = &kernels;
#endif
