#ifndef CKERNELS_NF4_KERNELS_H
#define CKERNELS_NF4_KERNELS_H

#include "include/nf4.h"

/// The loops that exist once for each path.
typedef struct {
  /// Quantizes `blocks` full blocks.
  void (*encode)(
      const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
      uint8_t *packed, float *absmax);
  /// Decodes `blocks` runs of `length` elements, each with its scale. Every run starts in the high
  /// half of a byte; where `length` is odd there is one run.
  void (*decode)(
      const float *values, const uint8_t *packed, const float *absmax, size_t blocks, size_t length,
      ck_element element, void *to);
} nf4_kernels;

extern const nf4_kernels nf4_portable;
#if defined(__x86_64__)
extern const nf4_kernels nf4_avx2;
extern const nf4_kernels nf4_avx512;
#endif
#if defined(__aarch64__)
extern const nf4_kernels nf4_neon;
#endif

#endif
