#ifndef CKERNELS_PACKED_H
#define CKERNELS_PACKED_H

#include <stddef.h>
#include <stdint.h>

/// A matrix in 4 bits, row by row; blocks run across the ends of rows (include/nf4.h).
typedef struct {
  /// Value of each of the sixteen codes.
  const float *values;
  const uint8_t *packed;
  /// The scales of the blocks; NULL where they are quantized themselves.
  const float *absmax;
  /// Otherwise: one code for each block, the scales of 256 of them, and the values of the 256 codes.
  const uint8_t *nested_codes;
  const float *nested_absmax;
  const float *nested_map;
  float nested_offset;
  /// Elements of a block.
  size_t block;
  size_t columns;
} ck_four_bit_matrix;

/// A matrix in 8 bits, row by row, with a scale for each row (include/int8.h).
typedef struct {
  const int8_t *codes;
  const float *scales;
  size_t columns;
} ck_int8_matrix;

/// Decodes `count` elements of a row, from `column` on, to f32: the bits of ck_nested_restore and
/// ck_four_bit_decode. `matrix` is a ck_four_bit_matrix; a ck_row_decoder for products.
void ck_four_bit_decode_row(
    const void *matrix, ptrdiff_t row, ptrdiff_t column, ptrdiff_t count, float *to);

/// The same for a ck_int8_matrix: the bits of ck_int8_decode.
void ck_int8_decode_row(
    const void *matrix, ptrdiff_t row, ptrdiff_t column, ptrdiff_t count, float *to);

#endif
