// The loops over elements that a compiler turns into instructions of CK_TARGET by itself. CK_NAMED gives
// them their names; CK_HAS_HALF says that the target converts f16 by an instruction.

CK_INLINE CK_TARGET float CK_NAMED(widened)(ck_element element, uint32_t bits) {
#if CK_HAS_HALF
  if (element == CK_F16) {
    uint16_t half = (uint16_t)bits;
    _Float16 value;
    memcpy(&value, &half, sizeof value);
    return (float)value;
  }
#endif
  return ck_widen_bits(element, bits);
}

/// The stored bits of a number; of a NaN some NaN's.
CK_INLINE CK_TARGET uint32_t CK_NAMED(rounded)(ck_element element, float value) {
#if CK_HAS_HALF
  if (element == CK_F16) {
    _Float16 rounded = (_Float16)value;
    uint16_t half;
    memcpy(&half, &rounded, sizeof half);
    return half;
  }
#endif
  return ck_round_bits(element, value);
}

/// Whether the element at `place` is stored as `merged`, a number.
CK_INLINE CK_TARGET uint32_t CK_NAMED(gives)(ck_element element, int scaled, uint32_t place,
                                             float delta, float factor, uint32_t merged) {
  float weight = CK_NAMED(widened)(element, ck_at_place(element, place));
  float sum = delta == 0 ? weight : weight + delta;
  return CK_NAMED(rounded)(element, scaled ? sum * factor : sum) == merged;
}

/// The element that comes back when the change is taken away again, and whether it is not the only one
/// that gives the stored element.
CK_INLINE CK_TARGET void CK_NAMED(nearest_one)(ck_element element, int scaled, uint32_t merged,
                                               float delta, float factor, uint32_t *value,
                                               uint8_t *open) {
  float sum = CK_NAMED(widened)(element, merged);
  if (scaled) sum /= factor;
  uint32_t nearest = CK_NAMED(rounded)(element, delta == 0 ? sum : sum - delta);
  uint32_t middle = ck_place(element, nearest);
  uint32_t is_nan = (merged & ck_magnitude(element)) > ck_infinity(element);
  *value = nearest;
  *open = (uint8_t)(is_nan | (CK_NAMED(gives)(element, scaled, middle, delta, factor, merged) ^ 1)
                    | CK_NAMED(gives)(element, scaled, middle - 1, delta, factor, merged)
                    | CK_NAMED(gives)(element, scaled, middle + 1, delta, factor, merged));
}

CK_INLINE CK_TARGET void CK_NAMED(nearest_all)(ck_element element, int scaled, size_t count,
                                               const void *merged, const float *delta,
                                               const float *factors, size_t factor_stride,
                                               uint32_t *values, uint8_t *open) {
  const char *bytes = merged;
  size_t size = ck_element_size(element);
  if (scaled && factor_stride == 0) {
    float factor = factors[0];
    for (size_t i = 0; i < count; i++) {
      CK_NAMED(nearest_one)(element, 1, ck_load_bits(element, bytes + i * size), delta[i], factor,
                            values + i, open + i);
    }
  } else {
    for (size_t i = 0; i < count; i++) {
      CK_NAMED(nearest_one)(element, scaled, ck_load_bits(element, bytes + i * size), delta[i],
                            scaled ? factors[i] : 1, values + i, open + i);
    }
  }
}

CK_TARGET static void CK_NAMED(nearest)(const ck_changed *changed, size_t start, size_t count,
                                        uint32_t *values, uint8_t *open) {
  const char *merged = (const char *)changed->merged + start * ck_element_size(changed->element);
  const float *delta = changed->delta + start;
  const float *factors = changed->factors ? changed->factors + start * changed->factor_stride : NULL;
  size_t stride = changed->factor_stride;
#define CK_CASE(element)                                                                      \
  case element:                                                                               \
    if (factors) {                                                                            \
      CK_NAMED(nearest_all)(element, 1, count, merged, delta, factors, stride, values, open); \
    } else {                                                                                  \
      CK_NAMED(nearest_all)(element, 0, count, merged, delta, NULL, 0, values, open);         \
    }                                                                                         \
    break;
  switch (changed->element) {
    CK_CASE(CK_F32)
    CK_CASE(CK_F16)
    CK_CASE(CK_BF16)
  }
#undef CK_CASE
}

CK_INLINE CK_TARGET uint32_t CK_NAMED(differences_of)(ck_element element, size_t count,
                                                      const char *stored, const uint32_t *values,
                                                      const uint8_t *open) {
  size_t size = ck_element_size(element);
  uint32_t differences = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t difference = ck_load_bits(element, stored + i * size) ^ values[i];
    differences |= open[i] ? 0 : difference;
  }
  return differences;
}

/// Not 0 where one of `values` is not the stored element, and not open.
CK_TARGET static uint32_t CK_NAMED(differences)(ck_element element, size_t count,
                                                const char *stored, const uint32_t *values,
                                                const uint8_t *open) {
  return element == CK_F32
             ? CK_NAMED(differences_of)(CK_F32, count, stored, values, open)
             : CK_NAMED(differences_of)(CK_F16, count, stored, values, open);
}

/// Stores `values`.
CK_TARGET static void CK_NAMED(put)(ck_element element, size_t count, const uint32_t *values,
                                    char *stored) {
  if (element == CK_F32) {
    memcpy(stored, values, count * sizeof *values);
  } else {
    for (size_t i = 0; i < count; i++) ck_store_bits(CK_F16, values[i], stored + i * 2);
  }
}

CK_INLINE CK_TARGET uint32_t CK_NAMED(window_of)(ck_element element, int scaled, uint32_t first,
                                                 float delta, float factor, uint32_t merged) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < WINDOW; i++) {
    found |= CK_NAMED(gives)(element, scaled, first + i, delta, factor, merged) << i;
  }
  return found;
}

/// Which of the WINDOW places from `first` on give the stored element, the first in the lowest bit.
CK_TARGET static uint32_t CK_NAMED(window)(const changed_element *changed, uint32_t first) {
  float delta = changed->delta, factor = changed->factor;
  uint32_t merged = changed->merged;
#define CK_CASE(element)                                                    \
  case element:                                                             \
    return changed->scaled                                                  \
               ? CK_NAMED(window_of)(element, 1, first, delta, factor, merged) \
               : CK_NAMED(window_of)(element, 0, first, delta, 1, merged);
  switch (changed->element) {
    CK_CASE(CK_F32)
    CK_CASE(CK_F16)
    default: CK_CASE(CK_BF16)
  }
#undef CK_CASE
}
