#ifndef CKERNELS_UNDO_H
#define CKERNELS_UNDO_H

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

/// Elements that were stored as round(Q·(w + D)) (spec/numerics.md, section 3), with everything about
/// them but w.
typedef struct {
  ck_element element;
  size_t count;
  const void *merged;    // what was stored, any alignment
  const float *delta;    // D
  const float *factors;  // Q; NULL for the additive form
  size_t factor_stride;  // elements, 0 or 1: 0 where Q is the same for all
} ck_changed;

/// Bits on end, the first in the lowest bit of the first byte.
typedef struct {
  uint8_t *bytes;
  size_t capacity;  // bytes that there is room for, or that there are
  size_t used;      // whole bytes written, or read
  uint64_t held;    // bits on their way
  unsigned held_count;
} ck_bit_stream;

/// Appends what tells each w of `stored` from the other values that give the same stored element
/// (spec/undo-record.md, "Candidates"). Returns 0, or -1 when some element is not what its w gives, or
/// there is no room: count × the size of an element is always enough.
int ck_write_candidates(const ck_changed *changed, const void *stored, ck_bit_stream *bits);

/// Brings the bits that are on their way to memory, filled up to a byte with zeros. Returns 0, or -1
/// when there is no room.
int ck_finish_bits(ck_bit_stream *bits);

/// Reads what ck_write_candidates wrote. Returns 0, or -1 when no w gives some element, or when the bits
/// name no w or are too few.
int ck_read_candidates(const ck_changed *changed, void *stored, ck_bit_stream *bits);

#endif
