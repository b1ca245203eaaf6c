// Softmax in attention and in the loss.

/// The largest of `count` numbers times `scale`.
V float largest_of(ptrdiff_t count, float scale, const float *x) {
  vec largest = v_splat(-INFINITY);
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    vec scaled = v_take(x + i, count - i) * v_splat(scale);
    largest = v_max(v_first(scaled, v_splat(-INFINITY), count - i), largest);
  }
  return v_largest(largest);
}

/// x = e^(scale·x − shift); returns the sum.
V float exponentials_of(ptrdiff_t count, float scale, float shift, float *x) {
  vec sum = v_splat(0);
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    vec e = v_exp(v_take(x + i, count - i) * v_splat(scale) - v_splat(shift));
    v_put(x + i, e, count - i);
    sum += v_first(e, v_splat(0), count - i);
  }
  return v_sum(sum);
}

CK_TARGET static void softmax(const ck_strip *strip, float *scores, float *log_sums) {
  for (ptrdiff_t row = 0; row < strip->rows; row++) {
    ptrdiff_t first, end;
    ck_strip_keys(strip, row, &first, &end);
    float *all = scores + row * strip->keys, *seen = all + first;
    ptrdiff_t count = end - first;
    memset(all, 0, first * sizeof(float));
    memset(all + end, 0, (strip->keys - end) * sizeof(float));
    if (count == 0) {
      log_sums[row] = 0;
      continue;
    }
    float largest = largest_of(count, strip->scale, seen);
    float sum = exponentials_of(count, strip->scale, largest, seen);
    log_sums[row] = largest + ck_log(sum);
    scale(count, 1 / sum, seen);
  }
}

CK_TARGET static void softmax_backward(const ck_strip *strip, const float *log_sums,
                                       const float *dots, float *scores, float *gradients) {
  for (ptrdiff_t row = 0; row < strip->rows; row++) {
    ptrdiff_t first, end;
    ck_strip_keys(strip, row, &first, &end);
    float *p = scores + row * strip->keys, *dp = gradients + row * strip->keys;
    memset(p, 0, first * sizeof(float));
    memset(dp, 0, first * sizeof(float));
    memset(p + end, 0, (strip->keys - end) * sizeof(float));
    memset(dp + end, 0, (strip->keys - end) * sizeof(float));
    vec scale = v_splat(strip->scale), shift = v_splat(log_sums[row]), dot = v_splat(dots[row]);
    for (ptrdiff_t i = first; i < end; i += LANES) {
      vec probability = v_exp(v_take(p + i, end - i) * scale - shift);
      v_put(p + i, probability, end - i);
      v_put(dp + i, probability * (v_take(dp + i, end - i) - dot) * scale, end - i);
    }
  }
}

CK_TARGET static float cross_entropy(ptrdiff_t count, ptrdiff_t target, float factor,
                                     float *logits) {
  float largest = largest_of(count, 1, logits), chosen = logits[target];
  if (factor == 0) {
    vec sum = v_splat(0);
    for (ptrdiff_t i = 0; i < count; i += LANES) {
      vec e = v_exp(v_take(logits + i, count - i) - v_splat(largest));
      sum += v_first(e, v_splat(0), count - i);
    }
    return ck_log(v_sum(sum)) - (chosen - largest);
  }
  float sum = exponentials_of(count, 1, largest, logits);
  float probability = logits[target];
  scale(count, factor / sum, logits);
  logits[target] = (probability / sum - 1) * factor;
  return ck_log(sum) - (chosen - largest);
}
