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

/// The short block at the end of a tensor.
static void encode_short(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, uint8_t *packed,
    float *absmax) {
  uint32_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t magnitude = ck_bits(nf4_load(element, from, i)) & 0x7FFFFFFF;
    if (magnitude > largest) largest = magnitude;
  }
  float scale = nf4_absmax(largest);
  if (scale < 1e-38f) scale = 1e-38f;
  *absmax = scale;
  for (size_t i = 0; i < count; i += 2) {
    unsigned first = nf4_code(code, nf4_load(element, from, i) / scale);
    unsigned second = nf4_code(code, i + 1 < count ? nf4_load(element, from, i + 1) / scale : 0.0f);
    packed[i / 2] = (uint8_t)(first << 4 | second);
  }
}

void ck_four_bit_encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, size_t block,
    uint8_t *packed, float *absmax) {
  size_t blocks = count / block, done = blocks * block;
  if (blocks) kernels()->encode(code, element, from, blocks, block, packed, absmax);
  if (done < count) {
    encode_short(
        code, element, (const char *)from + done * ck_element_size(element), count - done, packed + done / 2,
        absmax + blocks);
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
