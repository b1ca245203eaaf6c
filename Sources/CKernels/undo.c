// Which w may have been stored as w' = round(Q·(w + D)), and which of them it was.
//
// All operations are monotone, in the order of the floats' bits with -0 below +0: the w that give one w'
// follow each other in that order. A place is an element's position in it, from 0.
#include "include/undo.h"

#include "include/cpu.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

enum {
  /// Elements whose nearest values are found at a time.
  BLOCK = 256,
};

CK_INLINE uint32_t ck_magnitude(ck_element element) {
  return element == CK_F32 ? 0x7FFFFFFF : 0x7FFF;
}

CK_INLINE uint32_t ck_infinity(ck_element element) {
  switch (element) {
    case CK_F32: return 0x7F800000;
    case CK_F16: return 0x7C00;
    default: return 0x7F80;
  }
}

/// The NaN that is stored where arithmetic gave one.
CK_INLINE uint32_t ck_stored_nan(ck_element element) {
  switch (element) {
    case CK_F32: return 0x7FC00000;
    case CK_F16: return 0x7E00;
    default: return 0x7FC0;
  }
}

CK_INLINE uint32_t ck_place(ck_element element, uint32_t bits) {
  uint32_t sign = ck_magnitude(element) + 1;
  return bits & sign ? (sign | (sign - 1)) - bits : bits | sign;
}

/// The bits of the element at `place`, beyond either end of the order those of the other.
CK_INLINE uint32_t ck_at_place(ck_element element, uint32_t place) {
  uint32_t sign = ck_magnitude(element) + 1;
  place &= sign | (sign - 1);
  return place & sign ? place - sign : (sign | (sign - 1)) - place;
}

/// What `weight` is stored as, where neither it nor the result is a NaN; else some NaN.
CK_INLINE uint32_t ck_rounded_change(ck_element element, int scaled, uint32_t weight, float delta,
                                     float factor) {
  float w = ck_widen_bits(element, weight);
  float sum = delta == 0 ? w : w + delta;
  return ck_round_bits(element, scaled ? sum * factor : sum);
}

#define CK_TARGET
#define CK_NAMED(name) name##_portable
#include "undo_nearest.h"
#undef CK_TARGET
#undef CK_NAMED

#if defined(__x86_64__)
#define CK_TARGET __attribute__((target("avx2,fma,f16c")))
#define CK_NAMED(name) name##_avx2
#include "undo_nearest.h"
#undef CK_TARGET
#undef CK_NAMED

#define CK_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))
#define CK_NAMED(name) name##_avx512
#include "undo_nearest.h"
#undef CK_TARGET
#undef CK_NAMED
#endif

static void nearest(const ck_changed *changed, size_t start, size_t count, uint32_t *values,
                    uint32_t *open) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX2: nearest_avx2(changed, start, count, values, open); break;
    case CK_PATH_AVX512: nearest_avx512(changed, start, count, values, open); break;
#endif
    default: nearest_portable(changed, start, count, values, open);
  }
}

// MARK: Search

/// One element that was changed.
typedef struct {
  ck_element element;
  int scaled;
  uint32_t merged;  // no NaN
  float delta;
  float factor;
} changed_element;

/// On which side of the candidates the value at `place`, no NaN, is: -1 below, 0 one of them, 1 above.
CK_INLINE int side(const changed_element *changed, uint32_t place) {
  ck_element element = changed->element;
  float weight = ck_widen_bits(element, ck_at_place(element, place));
  float sum = changed->delta == 0 ? weight : weight + changed->delta;
  // ∞ - ∞: the infinite weight is at its end of the order, or there are no candidates at all.
  if (sum != sum) return weight < 0 ? -1 : 1;
  float result = changed->scaled ? sum * changed->factor : sum;
  int descends = changed->scaled && ck_bits(changed->factor) >> 31;
  if (result != result) {
    // ±∞ · 0 is at the ends; 0 · ±∞ is between what gives -∞ and what gives ∞.
    if (sum != 0) return sum < 0 ? -1 : 1;
    return (changed->merged & (ck_magnitude(element) + 1)) == 0 ? (descends ? 1 : -1)
                                                                : (descends ? -1 : 1);
  }
  uint32_t found = ck_round_bits(element, result);
  if (found == changed->merged) return 0;
  int below = ck_place(element, found) < ck_place(element, changed->merged);
  return below != descends ? -1 : 1;
}

/// The last place from `from` on, in the direction of `step` (1 or -1), before `end` (included), that
/// is on the side `wanted`, given that `from` is and that the side changes at most once.
CK_INLINE uint32_t last_on_side(const changed_element *changed, int wanted, uint32_t from, int step,
                                uint32_t end) {
  uint64_t room = step > 0 ? end - from : from - end;
  uint64_t inside = 0, stride = 1;
  uint64_t outside = room + 1;
  while (inside + stride < outside) {
    uint64_t next = inside + stride;
    if (side(changed, step > 0 ? from + (uint32_t)next : from - (uint32_t)next) == wanted) {
      inside = next;
      stride *= 2;
    } else {
      outside = next;
    }
  }
  while (outside - inside > 1) {
    uint64_t next = inside + (outside - inside) / 2;
    if (side(changed, step > 0 ? from + (uint32_t)next : from - (uint32_t)next) == wanted) {
      inside = next;
    } else {
      outside = next;
    }
  }
  return step > 0 ? from + (uint32_t)inside : from - (uint32_t)inside;
}

/// The places of all candidates. Returns 0, or -1 when there are none.
static int find_candidates(const changed_element *changed, uint32_t nearest, uint32_t *first,
                           uint32_t *last) {
  ck_element element = changed->element;
  uint32_t lowest = ck_place(element, ck_infinity(element) | (ck_magnitude(element) + 1));
  uint32_t highest = ck_place(element, ck_infinity(element));
  uint32_t place = ck_place(element, nearest);
  if (place < lowest) place = lowest;
  if (place > highest) place = highest;
  int where = side(changed, place);
  if (where < 0) {
    place = last_on_side(changed, -1, place, 1, highest);
    if (place == highest || side(changed, ++place) != 0) return -1;
  } else if (where > 0) {
    place = last_on_side(changed, 1, place, -1, lowest);
    if (place == lowest || side(changed, --place) != 0) return -1;
  }
  *first = where < 0 ? place : last_on_side(changed, 0, place, -1, lowest);
  *last = where > 0 ? place : last_on_side(changed, 0, place, 1, highest);
  return 0;
}

// MARK: Bits

static int put_bits(ck_bit_stream *bits, uint32_t value, unsigned count) {
  bits->held |= (uint64_t)value << bits->held_count;
  bits->held_count += count;
  while (bits->held_count >= 8) {
    if (bits->used == bits->capacity) return -1;
    bits->bytes[bits->used++] = (uint8_t)bits->held;
    bits->held >>= 8;
    bits->held_count -= 8;
  }
  return 0;
}

int ck_finish_bits(ck_bit_stream *bits) {
  return bits->held_count > 0 ? put_bits(bits, 0, 8 - bits->held_count) : 0;
}

static int get_bits(ck_bit_stream *bits, unsigned count, uint32_t *value) {
  while (bits->held_count < count) {
    if (bits->used == bits->capacity) return -1;
    bits->held |= (uint64_t)bits->bytes[bits->used++] << bits->held_count;
    bits->held_count += 8;
  }
  *value = (uint32_t)(bits->held & (((uint64_t)1 << count) - 1));
  bits->held >>= count;
  bits->held_count -= count;
  return 0;
}

/// Bits that number as many candidates as are above the first.
CK_INLINE unsigned bits_for(uint32_t others) {
  return others == 0 ? 0 : 32 - (unsigned)__builtin_clz(others);
}

// MARK: Elements

CK_INLINE changed_element at(const ck_changed *changed, size_t i) {
  ck_element element = changed->element;
  const char *merged = (const char *)changed->merged + i * ck_element_size(element);
  const float *factors = changed->factors;
  return (changed_element){element, factors != NULL, ck_load_bits(element, merged),
                           changed->delta[i], factors ? factors[i * changed->factor_stride] : 1};
}

static int is_nan(ck_element element, uint32_t bits) {
  return (bits & ck_magnitude(element)) > ck_infinity(element);
}

static int write_one(const changed_element *changed, uint32_t nearest, uint32_t weight,
                     ck_bit_stream *bits) {
  ck_element element = changed->element;
  if (is_nan(element, changed->merged)) {
    if (changed->merged == ck_stored_nan(element)) {
      return put_bits(bits, weight, (unsigned)ck_element_size(element) * 8);
    }
    return weight == changed->merged ? 0 : -1;
  }
  uint32_t first, last;
  if (find_candidates(changed, nearest, &first, &last) != 0) return -1;
  uint32_t place = ck_place(element, weight);
  if (place < first || place > last) return -1;
  return put_bits(bits, place - first, bits_for(last - first));
}

static int read_one(const changed_element *changed, uint32_t nearest, uint32_t *weight,
                    ck_bit_stream *bits) {
  ck_element element = changed->element;
  if (is_nan(element, changed->merged)) {
    *weight = changed->merged;
    if (changed->merged == ck_stored_nan(element)) {
      return get_bits(bits, (unsigned)ck_element_size(element) * 8, weight);
    }
    return 0;
  }
  uint32_t first, last, rank;
  if (find_candidates(changed, nearest, &first, &last) != 0) return -1;
  if (get_bits(bits, bits_for(last - first), &rank) != 0 || rank > last - first) return -1;
  *weight = ck_at_place(element, first + rank);
  return 0;
}

int ck_write_candidates(const ck_changed *changed, const void *stored, ck_bit_stream *bits) {
  uint32_t values[BLOCK], open[BLOCK];
  size_t size = ck_element_size(changed->element);
  for (size_t start = 0; start < changed->count; start += BLOCK) {
    size_t count = changed->count - start < BLOCK ? changed->count - start : BLOCK;
    nearest(changed, start, count, values, open);
    for (size_t i = 0; i < count; i++) {
      uint32_t weight =
          ck_load_bits(changed->element, (const char *)stored + (start + i) * size);
      if (!open[i]) {
        if (weight != values[i]) return -1;
        continue;
      }
      changed_element element = at(changed, start + i);
      if (write_one(&element, values[i], weight, bits) != 0) return -1;
    }
  }
  return 0;
}

int ck_read_candidates(const ck_changed *changed, void *stored, ck_bit_stream *bits) {
  uint32_t values[BLOCK], open[BLOCK];
  size_t size = ck_element_size(changed->element);
  for (size_t start = 0; start < changed->count; start += BLOCK) {
    size_t count = changed->count - start < BLOCK ? changed->count - start : BLOCK;
    nearest(changed, start, count, values, open);
    for (size_t i = 0; i < count; i++) {
      if (open[i]) {
        changed_element element = at(changed, start + i);
        if (read_one(&element, values[i], values + i, bits) != 0) return -1;
      }
      ck_store_bits(changed->element, values[i], (char *)stored + (start + i) * size);
    }
  }
  return 0;
}
