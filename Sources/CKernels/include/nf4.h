#ifndef CKERNELS_NF4_H
#define CKERNELS_NF4_H

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

/// A 4-bit code: sixteen values, and how a scaled weight finds the nearest.
typedef struct {
  /// Value of each code.
  float values[16];
  /// Midpoints between neighbouring values in ascending order.
  float thresholds[15];
  /// The code of the value at each place of the ascending order.
  uint8_t codes[16];
} ck_four_bit_code;

/// Quantizes `count` elements, the first of which starts a block.
///
/// Each full block: absmax = max |x|, s = x · (1 / max(absmax, 1e-38)). A short block at the end:
/// absmax = max(max |x|, 1e-38), s = x / absmax. The place of s is the number of thresholds that are
/// not ≥ s; a tie goes to the lower value. The first of two elements takes the high half of a byte; a
/// last odd one is paired with s = 0.
///
/// A NaN makes the block's absmax a NaN (0x7FC00000) and all its codes the last place; an infinity
/// makes the absmax infinite. So a block holds a non-finite element exactly when its absmax is not
/// finite.
///
/// `block`: a multiple of 32. `packed` receives ⌈count/2⌉ bytes, `absmax` ⌈count/block⌉ values. `from`
/// may have any alignment.
void ck_four_bit_encode(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, size_t block,
    uint8_t *packed, float *absmax);

/// The scales that ck_four_bit_encode finds, alone: `absmax` receives ⌈count/block⌉ values.
void ck_four_bit_scales(
    ck_element element, const void *from, size_t count, size_t block, float *absmax);

/// Decodes elements `start ..< start + count` of the tensor whose element 0 lies in the first byte of
/// `packed` and belongs to `absmax[0]`: f32(values[code] · absmax), rounded once, to nearest even, to
/// the stored type. A NaN is 0x7FC00000 (0x7E00, 0x7FC0). `to` may have any alignment.
void ck_four_bit_decode(
    const float *values, const uint8_t *packed, const float *absmax, size_t block, size_t start,
    size_t count, ck_element element, void *to);

/// The sum in f32 that torch.sum gives on one thread: 32 running sums (8 lanes, 4 in flight), each a
/// cascade of four levels.
float ck_cascade_sum(const float *values, size_t count);

/// Quantizes `absmax − offset` to 8 bits in blocks of 256 by bitsandbytes' rule for processors:
/// through `lookup`, the code at each of 65536 equal steps from −1 to 1. A block of zeros gets code 0.
/// A NaN counts neither for a block's maximum nor for its code, which is lookup[0].
void ck_nested_encode_by_lookup(
    const float *absmax, size_t count, float offset, const uint8_t *lookup, uint8_t *codes,
    float *nested_absmax);

/// As above with the nearest of the map's values: `midpoints` are the 255 between neighbours; an
/// exact midpoint goes to the even code.
void ck_nested_encode_nearest(
    const float *absmax, size_t count, float offset, const float *midpoints, uint8_t *codes,
    float *nested_absmax);

/// Restores scales `start ..< start + count`: f32(f32(map[code] · nested_absmax) + offset). A NaN is
/// 0x7FC00000.
void ck_nested_restore(
    const float *map, const uint8_t *codes, const float *nested_absmax, float offset, size_t start,
    size_t count, float *absmax);

/// What a run of elements lost by quantization.
typedef struct {
  double error_squared;
  double weight_squared;
  double largest_error;
} ck_quantization_error;

/// Compares `count` stored elements with their decoded values: differences in f32, their squares,
/// exact in f64, summed in 32 lanes (index modulo 32, ascending), and these lane k to lane k + 16, then
/// k + 8, 4, 2, 1. The same bits on every path. Where f32 overflows, the sums are infinite.
ck_quantization_error ck_measure_error(
    ck_element element, const void *from, const float *decoded, size_t count);

/// Elements of a run of ck_four_bit_encode_measured.
enum { CK_FOUR_BIT_RUN = 4096 };

/// Quantizes `count` elements, the first of which starts a block, and measures what is lost.
///
/// `absmax`: what ck_four_bit_scales finds; `restored`: the scales that decoding will find, the same or
/// near. `packed` receives the bytes of ck_four_bit_encode; `errors` one entry for each
/// CK_FOUR_BIT_RUN elements, as of ck_measure_error of that run alone. `block` divides CK_FOUR_BIT_RUN.
void ck_four_bit_encode_measured(
    const ck_four_bit_code *code, ck_element element, const void *from, size_t count, size_t block,
    const float *absmax, const float *restored, uint8_t *packed, ck_quantization_error *errors);

/// The index of the first infinity or NaN among `count` stored elements; `count` if there is none.
size_t ck_first_non_finite(ck_element element, const void *from, size_t count);

/// to[c][r] = from[r][c]; strides count elements from one row to the next.
void ck_transpose(
    const float *from, size_t from_stride, size_t rows, size_t columns, float *to,
    size_t to_stride);

/// out[t][j] = fma(a[t][depth−1], panel[depth−1][j], … fma(a[t][0], panel[0][j], out[t][j])) for
/// `tokens` rows t and `width` columns j. Strides count elements from one row to the next.
void ck_panel_product(
    const float *a, size_t a_stride, size_t tokens, const float *panel, size_t panel_stride,
    size_t depth, size_t width, float *out, size_t out_stride);

#endif
