// Elementwise functions and their derivatives.

/// f(x), and f'(x) to `slope`.
V vec activation(ck_activation kind, vec x, vec *slope) {
  vec one = v_splat(1);
  switch (kind) {
    case CK_IDENTITY:
      *slope = one;
      return x;
    case CK_RELU:
      *slope = v_select(x > v_splat(0), one, v_splat(0));
      return v_max(x, v_splat(0));
    case CK_GELU: {
      vec density, below = v_normal(x, &density);
      *slope = v_fma(x, density, below);
      return x * below;
    }
    case CK_GELU_TANH: {
      // ½(1 + tanh u) = σ(2u); 2u = x·(c + d·x²), c = 2√(2/π), d = 0.044715·c.
      vec square = x * x;
      vec s = v_sigmoid(x * v_fma(square, v_splat(0x1.2444f2p-4f), v_splat(0x1.988454p+0f)));
      vec steepness = v_fma(square, v_splat(0x1.b6676cp-3f), v_splat(0x1.988454p+0f));
      *slope = v_fma(x * s * (one - s), steepness, s);
      return x * s;
    }
    case CK_GELU_SIGMOID: {
      vec s = v_sigmoid(x * v_splat(1.702f));
      *slope = v_fma(x * v_splat(1.702f) * s, one - s, s);
      return x * s;
    }
    case CK_SILU: {
      vec s = v_sigmoid(x);
      *slope = v_fma(x * s, one - s, s);
      return x * s;
    }
    case CK_TANH: {
      vec y = v_tanh(x);
      *slope = v_fma(-y, y, one);
      return y;
    }
  }
}

/// Calls `body` with each kind as a constant.
#define FOR_KIND(kind, body)                                  \
  switch (kind) {                                             \
    case CK_IDENTITY: body(CK_IDENTITY); break;               \
    case CK_RELU: body(CK_RELU); break;                       \
    case CK_GELU: body(CK_GELU); break;                       \
    case CK_GELU_TANH: body(CK_GELU_TANH); break;             \
    case CK_GELU_SIGMOID: body(CK_GELU_SIGMOID); break;       \
    case CK_SILU: body(CK_SILU); break;                       \
    case CK_TANH: body(CK_TANH); break;                       \
  }

V void activate_all(ck_activation kind, ptrdiff_t count, const float *x, float *y) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    vec slope;
    v_put(y + i, activation(kind, v_take(x + i, count - i), &slope), count - i);
  }
}

CK_TARGET static void activate(ck_activation kind, ptrdiff_t count, const float *x, float *y) {
#define BODY(kind) activate_all(kind, count, x, y)
  FOR_KIND(kind, BODY)
#undef BODY
}

V void activate_backward_all(ck_activation kind, ptrdiff_t count, const float *x, const float *g,
                             float *dx) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    vec slope;
    activation(kind, v_take(x + i, count - i), &slope);
    v_put(dx + i, v_take(g + i, count - i) * slope, count - i);
  }
}

CK_TARGET static void activate_backward(ck_activation kind, ptrdiff_t count, const float *x,
                                        const float *g, float *dx) {
#define BODY(kind) activate_backward_all(kind, count, x, g, dx)
  FOR_KIND(kind, BODY)
#undef BODY
}

V void gate_all(ck_activation kind, ptrdiff_t count, const float *gate, const float *up,
                float *y) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    vec slope;
    vec opened = activation(kind, v_take(gate + i, count - i), &slope);
    v_put(y + i, opened * v_take(up + i, count - i), count - i);
  }
}

CK_TARGET static void gate(ck_activation kind, ptrdiff_t count, const float *gate,
                           const float *up, float *y) {
#define BODY(kind) gate_all(kind, count, gate, up, y)
  FOR_KIND(kind, BODY)
#undef BODY
}

V void gate_backward_all(ck_activation kind, ptrdiff_t count, const float *g, float *gate,
                         float *up) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    vec slope, gradient = v_take(g + i, count - i), factor = v_take(up + i, count - i);
    vec opened = activation(kind, v_take(gate + i, count - i), &slope);
    v_put(gate + i, gradient * factor * slope, count - i);
    v_put(up + i, gradient * opened, count - i);
  }
}

CK_TARGET static void gate_backward(ck_activation kind, ptrdiff_t count, const float *g,
                                    float *gate, float *up) {
#define BODY(kind) gate_backward_all(kind, count, g, gate, up)
  FOR_KIND(kind, BODY)
#undef BODY
}

CK_TARGET static void add(ptrdiff_t count, const float *a, const float *b, float *y) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    v_put(y + i, v_take(a + i, count - i) + v_take(b + i, count - i), count - i);
  }
}

CK_TARGET static void scale(ptrdiff_t count, float factor, float *y) {
  for (ptrdiff_t i = 0; i < count; i += LANES) {
    v_put(y + i, v_take(y + i, count - i) * v_splat(factor), count - i);
  }
}

CK_TARGET static void rotate(ptrdiff_t heads, ptrdiff_t dim, ptrdiff_t half,
                             const float *cosines, const float *sines, int back, float *x) {
  for (ptrdiff_t i = 0; i < half; i += LANES) {
    ptrdiff_t left = half - i;
    vec c = v_take(cosines + i, left), s = v_take(sines + i, left);
    if (back) s = -s;
    for (ptrdiff_t head = 0; head < heads; head++) {
      float *first = x + head * dim + i, *second = first + half;
      vec a = v_take(first, left), b = v_take(second, left);
      v_put(first, a * c - b * s, left);
      v_put(second, b * c + a * s, left);
    }
  }
}
