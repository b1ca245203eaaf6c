#ifndef CKERNELS_ELEMENTS_H
#define CKERNELS_ELEMENTS_H

#include <stddef.h>
#include <stdint.h>

/// How an element is stored. Everything is computed in f32 (spec/numerics.md).
typedef enum {
  CK_F32 = 0,
  CK_F16 = 1,
  CK_BF16 = 2,
} ck_element;

/// Widens `count` stored elements to f32, exactly. A NaN stays a NaN: of f32 and bf16 with the same
/// bits, of f16 made quiet, with its sign and payload. `from` may have any alignment.
void ck_widen(ck_element element, const void *from, float *to, size_t count);

/// Rounds `count` values to the stored type, to nearest even: beyond the largest number to infinity,
/// through the subnormals, keeping the sign of zero. A NaN becomes the quiet NaN with its sign and
/// the top bits of its payload (f32: the same bits). `to` may have any alignment.
void ck_round(ck_element element, const float *from, void *to, size_t count);

#endif
