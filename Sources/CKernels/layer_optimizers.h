// Steps of the optimisers.

/// PyTorch's single-tensor AdamW: decay first, `m += (1 − β1)·(g − m)`, `v = β2·v + (1 − β2)·g²`,
/// `p −= (step·m)/(√v/root + ε)`.
CK_TARGET static void adamw(const ck_adamw *step, ptrdiff_t count, const float *gradients,
                            float *values, float *first, float *second) {
  vec rest1 = v_splat(step->rest1), rest2 = v_splat(step->rest2);
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    ptrdiff_t left = count - i;
    vec g = v_take(gradients + i, left), m = v_take(first + i, left);
    vec v = v_take(second + i, left), p = v_take(values + i, left);
    p *= v_splat(step->keep);
    m += rest1 * (g - m);
    v = v * v_splat(step->beta2) + rest2 * g * g;
    vec size = v_sqrt(v) / v_splat(step->root) + v_splat(step->epsilon);
    p -= v_splat(step->step_size) * m / size;
    v_put(first + i, m, left);
    v_put(second + i, v, left);
    v_put(values + i, p, left);
  }
}

/// bitsandbytes' AdamW between decoding and encoding: torch's add and addcmul are fused.
CK_TARGET static void adamw_decoded(const ck_adamw *step, ptrdiff_t count,
                                    const float *gradients, float *values, float *first,
                                    float *second) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    ptrdiff_t left = count - i;
    vec g = v_take(gradients + i, left), m = v_take(first + i, left);
    vec v = v_take(second + i, left), p = v_take(values + i, left);
    m = v_fma(g, v_splat(step->rest1), m * v_splat(step->beta1));
    v = v_fma(v_splat(step->rest2) * g, g, v * v_splat(step->beta2));
    vec size = v_sqrt(v) / v_splat(step->root) + v_splat(step->epsilon);
    p = p * v_splat(step->keep) + v_splat(-step->step_size) * m / size;
    v_put(first + i, m, left);
    v_put(second + i, v, left);
    v_put(values + i, p, left);
  }
}

CK_TARGET static void sgd(float rate, float momentum, float keep, ptrdiff_t count,
                          const float *gradients, float *values, float *velocity) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    ptrdiff_t left = count - i;
    vec g = v_take(gradients + i, left);
    if (velocity) {
      g = v_splat(momentum) * v_take(velocity + i, left) + g;
      v_put(velocity + i, g, left);
    }
    v_put(values + i, v_take(values + i, left) * v_splat(keep) - v_splat(rate) * g, left);
  }
}

CK_TARGET static double sum_of_squares(ptrdiff_t count, const float *x) {
  typedef double wide __attribute__((vector_size(128)));
  wide sum = {0};
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    wide value = __builtin_convertvector(v_take(x + i, count - i), wide);
    sum += value * value;
  }
  double total = 0;
  for (int lane = 0; lane < LANES; lane++) total += sum[lane];
  return total;
}
