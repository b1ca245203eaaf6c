#if defined(__x86_64__)
#define CK_TARGET __attribute__((target("avx2,fma,f16c")))
#include "layer_kernels.h"

const ck_layer_kernels *const ck_layer_avx2 = &layer_kernels;
#endif
