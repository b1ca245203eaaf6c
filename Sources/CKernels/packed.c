// Parts of packed matrices for products, which ask for a few hundred elements of a row at a time.
#include "include/packed.h"

#include "include/int8.h"
#include "include/nf4.h"

#pragma STDC FP_CONTRACT OFF

enum {
  /// Scales that are restored at a time.
  SCALES = 64,
};

void ck_four_bit_decode_row(
    const void *matrix, ptrdiff_t row, ptrdiff_t column, ptrdiff_t count, float *to) {
  const ck_four_bit_matrix *m = matrix;
  size_t at = (size_t)row * m->columns + (size_t)column;
  const size_t end = at + (size_t)count;
  float restored[SCALES];
  while (at < end) {
    // Whole blocks, as many as there is room for scales.
    const size_t first = at / m->block, start = first * m->block;
    const size_t rest = end - start, most = SCALES * m->block;
    const size_t length = rest < most ? rest : most;
    const float *scales = restored;
    if (m->absmax) {
      scales = m->absmax + first;
    } else {
      ck_nested_restore(
          m->nested_map, m->nested_codes, m->nested_absmax, m->nested_offset, first,
          (length + m->block - 1) / m->block, restored);
    }
    const size_t part = start + length - at;
    ck_four_bit_decode(
        m->values, m->packed + start / 2, scales, m->block, at - start, part, CK_F32, to);
    at += part;
    to += part;
  }
}

void ck_int8_decode_row(
    const void *matrix, ptrdiff_t row, ptrdiff_t column, ptrdiff_t count, float *to) {
  const ck_int8_matrix *m = matrix;
  const int8_t *codes = m->codes + (size_t)row * m->columns + (size_t)column;
  ck_int8_decode(codes, m->scales[row], (size_t)count, CK_F32, to);
}
