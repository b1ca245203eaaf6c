// The loops over whole blocks of elements, for the instructions of CK_TARGET; CK_NAMED gives them
// their names. They leave to others what needs a search.

/// The element that comes back when the change is taken away again, and whether others give the
/// stored one as well, or this one does not.
CK_INLINE CK_TARGET void CK_NAMED(nearest_one)(ck_element element, int scaled, uint32_t merged,
                                               float delta, float factor, uint32_t *nearest,
                                               uint32_t *open) {
  float sum = ck_widen_bits(element, merged);
  if (scaled) sum /= factor;
  float weight = delta == 0 ? sum : sum - delta;
  uint32_t middle = ck_round_bits(element, weight);
  uint32_t place = ck_place(element, middle);
  uint32_t below = ck_at_place(element, place - 1), above = ck_at_place(element, place + 1);
  uint32_t is_number = (merged & ck_magnitude(element)) <= ck_infinity(element);
  *nearest = middle;
  *open = !is_number | (ck_rounded_change(element, scaled, middle, delta, factor) != merged)
          | (ck_rounded_change(element, scaled, below, delta, factor) == merged)
          | (ck_rounded_change(element, scaled, above, delta, factor) == merged);
}

CK_INLINE CK_TARGET void CK_NAMED(nearest_all)(ck_element element, int scaled, size_t count,
                                               const void *merged, const float *delta,
                                               const float *factors, size_t factor_stride,
                                               uint32_t *nearest, uint32_t *open) {
  const char *bytes = merged;
  size_t size = ck_element_size(element);
  if (scaled && factor_stride == 0) {
    float factor = factors[0];
    for (size_t i = 0; i < count; i++) {
      CK_NAMED(nearest_one)(element, 1, ck_load_bits(element, bytes + i * size), delta[i], factor,
                            nearest + i, open + i);
    }
  } else {
    for (size_t i = 0; i < count; i++) {
      CK_NAMED(nearest_one)(element, scaled, ck_load_bits(element, bytes + i * size), delta[i],
                            scaled ? factors[i] : 1, nearest + i, open + i);
    }
  }
}

CK_TARGET static void CK_NAMED(nearest)(const ck_changed *changed, size_t start, size_t count,
                                        uint32_t *nearest, uint32_t *open) {
  const char *merged = (const char *)changed->merged + start * ck_element_size(changed->element);
  const float *delta = changed->delta + start;
  const float *factors = changed->factors ? changed->factors + start * changed->factor_stride : NULL;
  size_t stride = changed->factor_stride;
#define CK_CASE(element)                                                                       \
  case element:                                                                                \
    if (factors) {                                                                             \
      CK_NAMED(nearest_all)(element, 1, count, merged, delta, factors, stride, nearest, open); \
    } else {                                                                                   \
      CK_NAMED(nearest_all)(element, 0, count, merged, delta, NULL, 0, nearest, open);         \
    }                                                                                          \
    break;
  switch (changed->element) {
    CK_CASE(CK_F32)
    CK_CASE(CK_F16)
    CK_CASE(CK_BF16)
  }
#undef CK_CASE
}
