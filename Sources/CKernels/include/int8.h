#ifndef CKERNELS_INT8_H
#define CKERNELS_INT8_H

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

/// Quantizes rows by LLM.int8's rule. Each element is rounded to f16 first; scale = max |w| of the
/// row, code = f32(w · f32(f32(1 / scale) · 127)) rounded to the nearest integer, a half to the even one. A row
/// of zeros gets scale 0 and codes 0. A row with an element that is not finite in f16 gets a scale
/// that is not finite (a NaN is 0x7FC00000); the codes of such a row are 0.
void ck_int8_encode_rows(
    ck_element element, const void *from, size_t rows, size_t columns, int8_t *codes, float *scales);

/// Decodes `count` codes of one row: f32(f32(code · scale) · f32(1/127)), rounded once, to nearest
/// even, to the stored type. `to` may have any alignment.
void ck_int8_decode(const int8_t *codes, float scale, size_t count, ck_element element, void *to);

#endif
