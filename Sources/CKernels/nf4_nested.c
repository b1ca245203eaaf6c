#include "include/nf4.h"
#include "nf4_code.h"

#pragma STDC FP_CONTRACT OFF

enum { LANES = 8, UNROLL = 4, LEVELS = 4, MOST = LANES * UNROLL };

/// Adds `rows` rows of `width` values column by column: rows into level 0; after every 2^power rows
/// each level into the next one, as far up as the row's number has zero digits in base 2^power.
static void cascade(const float *values, size_t rows, size_t width, float *sums) {
  int log2 = 1;
  while (rows > 2 && (size_t)1 << log2 < rows) log2++;
  const int power = log2 / 4 > 4 ? log2 / 4 : 4;
  const size_t step = (size_t)1 << power;
  float level[LEVELS][MOST] = {{0}};
  size_t row = 0;
  while (row + step <= rows) {
    for (size_t k = 0; k < step; k++, row++, values += width) {
      for (size_t i = 0; i < width; i++) level[0][i] += values[i];
    }
    for (int j = 1; j < LEVELS; j++) {
      for (size_t i = 0; i < width; i++) {
        level[j][i] += level[j - 1][i];
        level[j - 1][i] = 0;
      }
      if (row & (step - 1) << (j * power)) break;
    }
  }
  for (; row < rows; row++, values += width) {
    for (size_t i = 0; i < width; i++) level[0][i] += values[i];
  }
  for (size_t i = 0; i < width; i++) {
    sums[i] = level[0][i];
    for (int j = 1; j < LEVELS; j++) sums[i] += level[j][i];
  }
}

float ck_cascade_sum(const float *values, size_t count) {
  // Fewer values than lanes are added as if a lane were one value wide.
  const size_t lanes = count < LANES ? 1 : LANES;
  const size_t vectors = count / lanes, rows = vectors / UNROLL;
  float sums[MOST];
  cascade(values, rows, lanes * UNROLL, sums);
  for (size_t v = rows * UNROLL; v < vectors; v++) {
    for (size_t i = 0; i < lanes; i++) sums[i] += values[v * lanes + i];
  }
  for (size_t k = 1; k < UNROLL; k++) {
    for (size_t i = 0; i < lanes; i++) sums[i] += sums[k * lanes + i];
  }
  float total = 0;
  for (size_t i = vectors * lanes; i < count; i++) total += values[i];
  for (size_t i = 0; i < lanes; i++) total += sums[i];
  return total;
}

enum { BLOCK = 256 };

/// The largest |absmax − offset| of a block, NaN aside.
static float largest_deviation(const float *absmax, size_t count, float offset) {
  // Lanes, so that the compiler may take several at a time: a maximum does not depend on the order.
  float largest[LANES] = {0};
  for (size_t i = 0; i < count; i += LANES) {
    const size_t width = count - i < LANES ? count - i : LANES;
    for (size_t k = 0; k < width; k++) {
      const float magnitude = ck_float(ck_bits(absmax[i + k] - offset) & 0x7FFFFFFF);
      largest[k] = magnitude > largest[k] ? magnitude : largest[k];
    }
  }
  for (size_t k = 1; k < LANES; k++) {
    if (largest[k] > largest[0]) largest[0] = largest[k];
  }
  return largest[0];
}

void ck_nested_encode_by_lookup(
    const float *absmax, size_t count, float offset, const uint8_t *lookup, uint8_t *codes,
    float *nested_absmax) {
  for (size_t start = 0; start < count; start += BLOCK) {
    const size_t end = count - start < BLOCK ? count : start + BLOCK;
    const float largest = largest_deviation(absmax + start, end - start, offset);
    nested_absmax[start / BLOCK] = largest;
    if (largest == 0) {
      memset(codes + start, 0, end - start);
      continue;
    }
    const float reciprocal = 1.0f / largest;
    int32_t steps[BLOCK];
    for (size_t i = start; i < end; i++) {
      float scaled = (absmax[i] - offset) * reciprocal;
      scaled = scaled > 1 ? 1 : scaled < -1 ? -1 : scaled;
      const float step = (scaled + 1.0f) * 0.5f * 65535.0f + 0.5f;
      steps[i - start] = (int32_t)(step >= 0 ? step : 0);
    }
    for (size_t i = start; i < end; i++) codes[i] = lookup[steps[i - start]];
  }
}

void ck_nested_encode_nearest(
    const float *absmax, size_t count, float offset, const float *midpoints, uint8_t *codes,
    float *nested_absmax) {
  for (size_t start = 0; start < count; start += BLOCK) {
    const size_t end = count - start < BLOCK ? count : start + BLOCK;
    const float largest = largest_deviation(absmax + start, end - start, offset);
    nested_absmax[start / BLOCK] = largest;
    const float reciprocal = 1.0f / largest;
    for (size_t i = start; i < end; i++) {
      const float scaled = (absmax[i] - offset) * reciprocal;
      // The number of midpoints below `scaled`.
      unsigned code = 0;
      for (unsigned bit = 128; bit; bit /= 2) {
        if (scaled > midpoints[code + bit - 1]) code += bit;
      }
      if (code < 255 && scaled == midpoints[code]) code += code & 1;
      codes[i] = (uint8_t)code;
    }
  }
}

void ck_nested_restore(
    const float *map, const uint8_t *codes, const float *nested_absmax, float offset, size_t start,
    size_t count, float *absmax) {
  for (size_t i = 0; i < count; i++) {
    const float deviation = map[codes[start + i]] * nested_absmax[(start + i) / BLOCK];
    absmax[i] = nf4_canonical(deviation + offset);
  }
}
