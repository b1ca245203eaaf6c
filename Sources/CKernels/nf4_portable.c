#include "nf4_kernels.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

enum { STRIP = 32 };

static void encode_strip(
    const ck_four_bit_code *code, const float *values, float reciprocal, uint8_t *packed) {
  float scaled[STRIP];
  int32_t place[STRIP] = {0};
  for (int i = 0; i < STRIP; i++) scaled[i] = values[i] * reciprocal;
  for (int k = 0; k < 15; k++) {
    const float threshold = code->thresholds[k];
    for (int i = 0; i < STRIP; i++) place[i] += !(scaled[i] <= threshold);
  }
  for (int i = 0; i < STRIP; i += 2) {
    packed[i / 2] = (uint8_t)(code->codes[place[i]] << 4 | code->codes[place[i + 1]]);
  }
}

static void scales(
    ck_element element, const void *from, size_t blocks, size_t block, float *absmax) {
  const char *source = from;
  const size_t size = ck_element_size(element);
  float values[STRIP];
  for (size_t b = 0; b < blocks; b++, source += block * size) {
    uint32_t largest[STRIP] = {0};
    for (size_t at = 0; at < block; at += STRIP) {
      ck_widen(element, source + at * size, values, STRIP);
      for (int i = 0; i < STRIP; i++) {
        uint32_t magnitude = ck_bits(values[i]) & 0x7FFFFFFF;
        largest[i] = magnitude > largest[i] ? magnitude : largest[i];
      }
    }
    for (int i = 1; i < STRIP; i++) {
      if (largest[i] > largest[0]) largest[0] = largest[i];
    }
    absmax[b] = nf4_absmax(largest[0]);
  }
}

static void encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t blocks, size_t block,
    const float *absmax, uint8_t *packed) {
  const char *source = from;
  const size_t size = ck_element_size(element);
  float values[STRIP];
  for (size_t b = 0; b < blocks; b++, source += block * size, packed += block / 2) {
    const float reciprocal = nf4_reciprocal(absmax[b]);
    for (size_t at = 0; at < block; at += STRIP) {
      ck_widen(element, source + at * size, values, STRIP);
      encode_strip(code, values, reciprocal, packed + at / 2);
    }
  }
}

static void decode(
    const float *values, const uint8_t *packed, const float *absmax, size_t blocks, size_t length,
    ck_element element, void *to) {
  char *out = to;
  const size_t size = ck_element_size(element);
  for (size_t b = 0; b < blocks; b++, packed += length / 2, out += length * size) {
    float table[16];
    uint16_t half[16];
    for (int i = 0; i < 16; i++) {
      table[i] = nf4_canonical(values[i] * absmax[b]);
      if (element != CK_F32) half[i] = (uint16_t)ck_round_bits(element, table[i]);
    }
    if (element == CK_F32) {
      for (size_t i = 0; i < length; i++) memcpy(out + 4 * i, &table[nf4_nibble(packed, i)], 4);
    } else {
      for (size_t i = 0; i < length; i++) memcpy(out + 2 * i, &half[nf4_nibble(packed, i)], 2);
    }
  }
}

const nf4_kernels nf4_portable = {scales, encode, decode, NULL};
