#include "include/int8.h"

#include "include/cpu.h"
#include "nf4_scalar.h"

#pragma STDC FP_CONTRACT OFF

/// An element as LLM.int8 sees it: in f16.
NF4_INLINE float half_element(ck_stored stored, const char *from, size_t i) {
  const float value = nf4_load(stored, from, i);
  return stored == CK_STORED_F16 ? value : nf4_widen_f16(nf4_round_f16(value));
}

/// Nearest integer of |value| < 2²², a half to the even one: adding 1.5·2²³ leaves no fraction bits.
NF4_INLINE float nearest(float value) { return (value + 0x1.8p23f) - 0x1.8p23f; }

NF4_INLINE void encode_stored(
    ck_stored stored, const char *from, size_t columns, int8_t *codes, float *scale) {
  uint32_t largest = 0;
  for (size_t i = 0; i < columns; i++) {
    const uint32_t magnitude = nf4_bits(half_element(stored, from, i)) & 0x7FFFFFFF;
    largest = magnitude > largest ? magnitude : largest;
  }
  *scale = nf4_absmax(largest);
  if (largest == 0 || largest >= 0x7F800000) {
    memset(codes, 0, columns);
    return;
  }
  const float factor = 127.0f / *scale;
  for (size_t i = 0; i < columns; i++) {
    codes[i] = (int8_t)(int32_t)nearest(half_element(stored, from, i) * factor);
  }
}

NF4_INLINE void encode_row(
    ck_stored stored, const char *from, size_t columns, int8_t *codes, float *scale) {
  switch (stored) {
    case CK_STORED_F32:
      encode_stored(CK_STORED_F32, from, columns, codes, scale);
      return;
    case CK_STORED_F16:
      encode_stored(CK_STORED_F16, from, columns, codes, scale);
      return;
    case CK_STORED_BF16:
      encode_stored(CK_STORED_BF16, from, columns, codes, scale);
      return;
  }
}

NF4_INLINE void decode_stored(
    const int8_t *codes, float scale, size_t count, ck_stored stored, void *to) {
  for (size_t i = 0; i < count; i++) {
    const float value = (float)codes[i] * scale * 0x1.020408p-7f;
    nf4_store(stored, nf4_canonical(value), to, i);
  }
}

NF4_INLINE void decode_row(
    const int8_t *codes, float scale, size_t count, ck_stored stored, void *to) {
  switch (stored) {
    case CK_STORED_F32:
      decode_stored(codes, scale, count, CK_STORED_F32, to);
      return;
    case CK_STORED_F16:
      decode_stored(codes, scale, count, CK_STORED_F16, to);
      return;
    case CK_STORED_BF16:
      decode_stored(codes, scale, count, CK_STORED_BF16, to);
      return;
  }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))

AVX512 static void encode_avx512(
    ck_stored stored, const char *from, size_t columns, int8_t *codes, float *scale) {
  encode_row(stored, from, columns, codes, scale);
}

AVX2 static void encode_avx2(
    ck_stored stored, const char *from, size_t columns, int8_t *codes, float *scale) {
  encode_row(stored, from, columns, codes, scale);
}

AVX512 static void decode_avx512(
    const int8_t *codes, float scale, size_t count, ck_stored stored, void *to) {
  decode_row(codes, scale, count, stored, to);
}

AVX2 static void decode_avx2(
    const int8_t *codes, float scale, size_t count, ck_stored stored, void *to) {
  decode_row(codes, scale, count, stored, to);
}
#endif

void ck_int8_encode_rows(
    ck_stored stored, const void *from, size_t rows, size_t columns, int8_t *codes, float *scales) {
  const ck_path path = ck_get_path();
  const char *source = from;
  for (size_t r = 0; r < rows; r++) {
    switch (path) {
#if defined(__x86_64__)
      case CK_PATH_AVX512:
        encode_avx512(stored, source, columns, codes, scales + r);
        break;
      case CK_PATH_AVX2:
        encode_avx2(stored, source, columns, codes, scales + r);
        break;
#endif
      default:
        encode_row(stored, source, columns, codes, scales + r);
    }
    source += columns * nf4_size(stored);
    codes += columns;
  }
}

void ck_int8_decode(const int8_t *codes, float scale, size_t count, ck_stored stored, void *to) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX512:
      decode_avx512(codes, scale, count, stored, to);
      return;
    case CK_PATH_AVX2:
      decode_avx2(codes, scale, count, stored, to);
      return;
#endif
    default:
      decode_row(codes, scale, count, stored, to);
  }
}
