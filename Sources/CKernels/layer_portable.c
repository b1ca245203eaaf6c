#define CK_TARGET
#include "layer_kernels.h"

const ck_layer_kernels *const ck_layer_portable = &layer_kernels;
