#if defined(__aarch64__)
#define CK_TARGET
#include "layer_kernels.h"

const ck_layer_kernels *const ck_layer_neon = &layer_kernels;
#endif
