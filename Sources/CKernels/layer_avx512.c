#if defined(__x86_64__)
#define CK_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))
#include "layer_kernels.h"

const ck_layer_kernels *const ck_layer_avx512 = &layer_kernels;
#endif
