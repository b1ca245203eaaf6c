#ifndef CKERNELS_NF4_KERNELS_H
#define CKERNELS_NF4_KERNELS_H

#include "include/nf4.h"

/// The loops that exist once for each path.
typedef struct {
  /// The scales of `blocks` full blocks.
  void (*scales)(
      ck_element element, const void *from, size_t blocks, size_t block, float *absmax);
  /// Quantizes `blocks` full blocks, whose scales are known.
  void (*encode)(
      const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
      const float *absmax, uint8_t *packed);
  /// Decodes `blocks` runs of `length` elements, each with its scale. Every run starts in the high
  /// half of a byte; where `length` is odd there is one run.
  void (*decode)(
      const float *values, const uint8_t *packed, const float *absmax, size_t blocks, size_t length,
      ck_element element, void *to);
  /// `encode`, and what the codes lose when they are decoded with the scales `restored`, as
  /// ck_measure_error has it; at least 32 elements. NULL where it would be no faster than the parts.
  ck_quantization_error (*encode_measured)(
      const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
      const float *absmax, const float *restored, uint8_t *packed);
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
