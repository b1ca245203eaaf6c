#include "include/nf4.h"

#include "include/cpu.h"
#include "nf4_kernels.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

static const nf4_kernels *kernels(void) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX512:
      return &nf4_avx512;
    case CK_PATH_AVX2:
      return &nf4_avx2;
#endif
#if defined(__aarch64__)
    case CK_PATH_NEON:
      return &nf4_neon;
#endif
    default:
      return &nf4_portable;
  }
}

/// The scale of a short block at the end of a tensor.
static float short_scale(ck_element element, const void *from, size_t count) {
  uint32_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t magnitude = ck_bits(nf4_load(element, from, i)) & 0x7FFFFFFF;
    if (magnitude > largest) largest = magnitude;
  }
  float scale = nf4_absmax(largest);
  return scale < 1e-38f ? 1e-38f : scale;
}

static void encode_short(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, float scale,
    uint8_t *packed) {
  for (size_t i = 0; i < count; i += 2) {
    unsigned first = nf4_code(code, nf4_load(element, from, i) / scale);
    unsigned second = nf4_code(code, i + 1 < count ? nf4_load(element, from, i + 1) / scale : 0.0f);
    packed[i / 2] = (uint8_t)(first << 4 | second);
  }
}

void ck_four_bit_scales(
    ck_element element, const void *from, size_t count, size_t block, float *absmax) {
  const size_t blocks = count / block, done = blocks * block;
  if (blocks) kernels()->scales(element, from, blocks, block, absmax);
  if (done == count) return;
  const char *rest = (const char *)from + done * ck_element_size(element);
  absmax[blocks] = short_scale(element, rest, count - done);
}

static void encode_scaled(
    const ck_four_bit_code *code, ck_element element, const char *from, size_t count, size_t block,
    const float *absmax, uint8_t *packed) {
  const size_t blocks = count / block, done = blocks * block;
  if (blocks) kernels()->encode(code, element, from, blocks, block, absmax, packed);
  if (done == count) return;
  const char *rest = from + done * ck_element_size(element);
  encode_short(code, element, rest, count - done, absmax[blocks], packed + done / 2);
}

void ck_four_bit_encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, size_t block,
    uint8_t *packed, float *absmax) {
  // So many elements that they are still in the first cache when they are read once more.
  const size_t step = block < CK_FOUR_BIT_RUN ? CK_FOUR_BIT_RUN / block * block : block;
  const char *bytes = from;
  for (size_t start = 0; start < count; start += step) {
    const size_t length = count - start < step ? count - start : step;
    const char *part = bytes + start * ck_element_size(element);
    float *scales = absmax + start / block;
    ck_four_bit_scales(element, part, length, block, scales);
    encode_scaled(code, element, part, length, block, scales, packed + start / 2);
  }
}

void ck_four_bit_encode_measured(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, size_t block,
    const float *absmax, const float *restored, uint8_t *packed, ck_quantization_error *errors) {
  const nf4_kernels *kernel = kernels();
  float decoded[CK_FOUR_BIT_RUN];
  for (size_t start = 0; start < count; start += CK_FOUR_BIT_RUN, errors++) {
    const size_t left = count - start, length = left < CK_FOUR_BIT_RUN ? left : CK_FOUR_BIT_RUN;
    const char *part = (const char *)from + start * ck_element_size(element);
    const float *own = absmax + start / block, *found = restored + start / block;
    uint8_t *codes = packed + start / 2;
    if (kernel->encode_measured && length == CK_FOUR_BIT_RUN) {
      *errors = kernel->encode_measured(code, element, part, length / block, block, own, found, codes);
      continue;
    }
    encode_scaled(code, element, part, length, block, own, codes);
    ck_four_bit_decode(code->values, codes, found, block, 0, length, CK_F32, decoded);
    *errors = ck_measure_error(element, part, decoded, length);
  }
}

void ck_four_bit_decode(
    const float *values, const uint8_t *packed, const float *absmax, size_t block, size_t start,
    size_t count, ck_element element, void *to) {
  const nf4_kernels *kernel = kernels();
  const size_t size = ck_element_size(element), end = start + count;
  char *out = to;
  while (start < end) {
    if (start & 1) {
      float value = values[nf4_nibble(packed, start)] * absmax[start / block];
      nf4_store(element, nf4_canonical(value), out, 0);
      start += 1;
      out += size;
      continue;
    }
    size_t left = end - start, rest = block - start % block, blocks = 1, length = rest;
    if (left < rest) {
      length = left;
    } else if (rest == block) {
      blocks = left / block;
    }
    kernel->decode(
        values, packed + start / 2, absmax + start / block, blocks, length, element, out);
    start += blocks * length;
    out += blocks * length * size;
  }
}
