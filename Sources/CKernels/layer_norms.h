// Normalisation and sums over rows and columns.

V void statistics_of_row(ptrdiff_t width, const float *x, float epsilon, float *mean,
                         float *inverse) {
  vec sum = v_splat(0);
  float center = 0;
  if (mean) {
    for (ptrdiff_t i = 0; i < width; i += LANES) sum += v_take(x + i, width - i);
    center = v_sum(sum) / (float)width;
    *mean = center;
    sum = v_splat(0);
  }
  for (ptrdiff_t i = 0; i < width; i += LANES) {
    vec distance = v_first(v_take(x + i, width - i) - v_splat(center), v_splat(0), width - i);
    sum = v_fma(distance, distance, sum);
  }
  *inverse = 1 / sqrtf(v_sum(sum) / (float)width + epsilon);
}

CK_TARGET static void norm_statistics(ptrdiff_t rows, ptrdiff_t width, const float *x,
                                      const float *added, float *sum, float epsilon, float *mean,
                                      float *inverse) {
  for (ptrdiff_t row = 0; row < rows; row++) {
    const float *values = x + row * width;
    if (added) {
      for (ptrdiff_t i = 0; i < width; i += LANES) {
        v_put(sum + row * width + i,
              v_take(values + i, width - i) + v_take(added + row * width + i, width - i),
              width - i);
      }
      values = sum + row * width;
    }
    statistics_of_row(width, values, epsilon, mean ? mean + row : NULL, inverse + row);
  }
}

/// x̂ of the lanes from `i` on.
V vec normalized(const ck_norm *norm, ptrdiff_t row, ptrdiff_t i) {
  vec x = v_take(norm->x + row * norm->width + i, norm->width - i);
  if (norm->mean) x -= v_splat(norm->mean[row]);
  return x * v_splat(norm->inverse[row]);
}

CK_TARGET static void normalize(const ck_norm *norm, float *y) {
  ptrdiff_t width = norm->width;
  for (ptrdiff_t row = 0; row < norm->rows; row++) {
    for (ptrdiff_t i = 0; i < width; i += LANES) {
      vec weight = v_take(norm->weight + i, width - i);
      vec x = normalized(norm, row, i);
      vec result =
          norm->bias ? v_fma(x, weight, v_take(norm->bias + i, width - i)) : x * weight;
      v_put(y + row * width + i, result, width - i);
    }
  }
}

CK_TARGET static void norm_backward(const ck_norm *norm, const float *g, const float *base,
                                    float *dx) {
  ptrdiff_t width = norm->width;
  for (ptrdiff_t row = 0; row < norm->rows; row++) {
    const float *gradient = g + row * width;
    vec sum = v_splat(0), dot = v_splat(0);
    for (ptrdiff_t i = 0; i < width; i += LANES) {
      // Lanes beyond the row hold g = 0 and add nothing.
      vec weighted = v_take(gradient + i, width - i) * v_take(norm->weight + i, width - i);
      sum += weighted;
      dot = v_fma(weighted, normalized(norm, row, i), dot);
    }
    vec mean = v_splat(norm->mean ? v_sum(sum) / (float)width : 0);
    vec mean_dot = v_splat(v_sum(dot) / (float)width);
    vec inverse = v_splat(norm->inverse[row]);
    for (ptrdiff_t i = 0; i < width; i += LANES) {
      vec weighted = v_take(gradient + i, width - i) * v_take(norm->weight + i, width - i);
      vec inner = v_fma(-normalized(norm, row, i), mean_dot, weighted - mean);
      vec before = base ? v_take(base + row * width + i, width - i) : v_splat(0);
      v_put(dx + row * width + i, v_fma(inner, inverse, before), width - i);
    }
  }
}

CK_TARGET static void norm_gradients(const ck_norm *norm, const float *g, ptrdiff_t column,
                                     ptrdiff_t columns, float *dweight, float *dbias) {
  ptrdiff_t width = norm->width;
  for (ptrdiff_t i = column; i < column + columns; i += LANES) {
    ptrdiff_t left = column + columns - i;
    vec weight = dweight ? v_take(dweight + i, left) : v_splat(0);
    vec bias = dbias ? v_take(dbias + i, left) : v_splat(0);
    for (ptrdiff_t row = 0; row < norm->rows; row++) {
      vec gradient = v_take(g + row * width + i, left);
      vec x = v_take(norm->x + row * width + i, left);
      if (norm->mean) x -= v_splat(norm->mean[row]);
      weight = v_fma(gradient, x * v_splat(norm->inverse[row]), weight);
      bias += gradient;
    }
    if (dweight) v_put(dweight + i, weight, left);
    if (dbias) v_put(dbias + i, bias, left);
  }
}

CK_TARGET static void column_sums(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t stride,
                                  const float *g, float *sums) {
  for (ptrdiff_t i = 0; i < columns; i += LANES) {
    vec sum = v_take(sums + i, columns - i);
    for (ptrdiff_t row = 0; row < rows; row++) sum += v_take(g + row * stride + i, columns - i);
    v_put(sums + i, sum, columns - i);
  }
}

CK_TARGET static void dots(ptrdiff_t rows, ptrdiff_t width, const float *a, ptrdiff_t a_stride,
                           const float *b, ptrdiff_t b_stride, float *result) {
  for (ptrdiff_t row = 0; row < rows; row++) {
    vec sum = v_splat(0);
    for (ptrdiff_t i = 0; i < width; i += LANES) {
      sum = v_fma(v_take(a + row * a_stride + i, width - i),
                  v_take(b + row * b_stride + i, width - i), sum);
    }
    result[row] = v_sum(sum);
  }
}
