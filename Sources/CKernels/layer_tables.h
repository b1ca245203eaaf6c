// The tables of the paths, and what they share that has no vectors.
#ifndef CKERNELS_LAYER_TABLES_H
#define CKERNELS_LAYER_TABLES_H

#include "include/layer.h"

extern const ck_layer_kernels *const ck_layer_portable;
#if defined(__x86_64__)
extern const ck_layer_kernels *const ck_layer_avx2;
extern const ck_layer_kernels *const ck_layer_avx512;
#endif
#if defined(__aarch64__)
extern const ck_layer_kernels *const ck_layer_neon;
#endif

/// The natural logarithm of a positive number, rounded from double precision.
float ck_log(float x);

/// The keys that row `row` of a strip sees, counted from its first key: `*first ..< *end`.
void ck_strip_keys(const ck_strip *strip, ptrdiff_t row, ptrdiff_t *first, ptrdiff_t *end);

#endif
