#ifndef CKERNELS_LAYER_H
#define CKERNELS_LAYER_H

#include <stddef.h>

/// An elementwise function between two matrix products.
typedef enum {
  CK_IDENTITY = 0,
  CK_RELU = 1,
  /// x·Φ(x).
  CK_GELU = 2,
  /// ½x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
  CK_GELU_TANH = 3,
  /// x·σ(1.702·x).
  CK_GELU_SIGMOID = 4,
  /// x·σ(x).
  CK_SILU = 5,
  CK_TANH = 6,
} ck_activation;

/// Rows that were normalised, and with what: `x̂ = (x − mean)·inverse`.
typedef struct {
  ptrdiff_t rows, width;
  /// `rows × width`.
  const float *_Nonnull x;
  /// One number a row; NULL in RMSNorm, whose mean is taken to be zero.
  const float *_Nullable mean;
  /// One number a row: 1/√(variance + ε).
  const float *_Nonnull inverse;
  /// `width` numbers; the bias may be NULL.
  const float *_Nonnull weight, *_Nullable bias;
} ck_norm;

/// A strip of attention: `rows` queries against the keys `first_key ..< first_key + keys`.
typedef struct {
  ptrdiff_t rows, keys;
  /// The number of the first query, and of the first key, in their sequence.
  ptrdiff_t first_row, first_key;
  /// Query i sees key j where j ≤ i.
  int causal;
  /// Query i sees key j where |i − j| < window; 0: all.
  ptrdiff_t window;
  float scale;
} ck_strip;

/// How AdamW steps: what one group needs at one step.
typedef struct {
  /// 1 − learning rate · weight decay.
  float keep;
  /// 1 − β1, β2 and 1 − β2.
  float rest1, beta2, rest2;
  /// Learning rate / (1 − β1ᵗ), and √(1 − β2ᵗ).
  float step_size, root;
  float epsilon;
  /// β1, for the 8-bit step.
  float beta1;
} ck_adamw;

/// The passes of a transformer's layers between its matrix products, each over rows that lie one after
/// the other, on one thread.
///
/// Guarantee: the same bits on every path. Sums over a row have sixteen lanes, element i in lane
/// i mod 16, that are added up by halves; exponentials are our own, to two units in the last place.
typedef struct {
  /// `sum = x + added` where `added` is not NULL, and the statistics of the rows of that: `mean` NULL
  /// for RMSNorm, and `inverse`.
  void (*_Nonnull norm_statistics)(ptrdiff_t rows, ptrdiff_t width, const float *_Nonnull x,
                                   const float *_Nullable added, float *_Nullable sum,
                                   float epsilon, float *_Nullable mean,
                                   float *_Nonnull inverse);
  /// `y = x̂·weight + bias`.
  void (*_Nonnull normalize)(const ck_norm *_Nonnull norm, float *_Nonnull y);
  /// `dx = (previous dx) + inverse·(gw − mean(gw) − x̂·mean(gw·x̂))`, gw = g·weight; in RMSNorm without
  /// mean(gw). `base` is the previous dx, or NULL for zero; it may be dx.
  void (*_Nonnull norm_backward)(const ck_norm *_Nonnull norm, const float *_Nonnull g,
                                 const float *_Nullable base, float *_Nonnull dx);
  /// `dweight += Σ g·x̂` and `dbias += Σ g` over the rows, for the columns from `column` on.
  void (*_Nonnull norm_gradients)(const ck_norm *_Nonnull norm, const float *_Nonnull g,
                                  ptrdiff_t column, ptrdiff_t columns,
                                  float *_Nullable dweight, float *_Nullable dbias);
  /// `sums += Σ rows of g`.
  void (*_Nonnull column_sums)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t stride,
                               const float *_Nonnull g, float *_Nonnull sums);

  /// `y = a + b`.
  void (*_Nonnull add)(ptrdiff_t count, const float *_Nonnull a, const float *_Nonnull b,
                       float *_Nonnull y);
  /// `y = factor·y`.
  void (*_Nonnull scale)(ptrdiff_t count, float factor, float *_Nonnull y);
  /// `y = f(x)`.
  void (*_Nonnull activate)(ck_activation kind, ptrdiff_t count, const float *_Nonnull x,
                            float *_Nonnull y);
  /// `dx = g·f'(x)`; dx may be x or g.
  void (*_Nonnull activate_backward)(ck_activation kind, ptrdiff_t count,
                                     const float *_Nonnull x, const float *_Nonnull g,
                                     float *_Nonnull dx);
  /// `y = f(gate)·up`.
  void (*_Nonnull gate)(ck_activation kind, ptrdiff_t count, const float *_Nonnull gate,
                        const float *_Nonnull up, float *_Nonnull y);
  /// `gate = g·up·f'(gate)`, `up = g·f(gate)`, in place.
  void (*_Nonnull gate_backward)(ck_activation kind, ptrdiff_t count, const float *_Nonnull g,
                                 float *_Nonnull gate, float *_Nonnull up);

  /// Rotates the pairs (j, j + half) of each of `heads` heads, `dim` apart, by the angles whose cosines
  /// and sines are given; backwards with `back`.
  void (*_Nonnull rotate)(ptrdiff_t heads, ptrdiff_t dim, ptrdiff_t half,
                          const float *_Nonnull cosines, const float *_Nonnull sines, int back,
                          float *_Nonnull x);

  /// Scores, `rows × keys`, become probabilities, and zero where a key is not seen; `log_sums` receives
  /// each row's logarithm of the sum of e to the scaled scores.
  void (*_Nonnull softmax)(const ck_strip *_Nonnull strip, float *_Nonnull scores,
                           float *_Nonnull log_sums);
  /// Scores become probabilities again, and the probabilities' gradients the scores':
  /// `p·(dp − dots)·scale`, `dots` being each row's Σ p·dp.
  void (*_Nonnull softmax_backward)(const ck_strip *_Nonnull strip,
                                    const float *_Nonnull log_sums, const float *_Nonnull dots,
                                    float *_Nonnull scores, float *_Nonnull gradients);
  /// Σ a·b of each row.
  void (*_Nonnull dots)(ptrdiff_t rows, ptrdiff_t width, const float *_Nonnull a,
                        ptrdiff_t a_stride, const float *_Nonnull b, ptrdiff_t b_stride,
                        float *_Nonnull result);
  /// −log softmax(logits)[target]; the logits become `factor·(softmax − one at target)` unless `factor`
  /// is 0.
  float (*_Nonnull cross_entropy)(ptrdiff_t count, ptrdiff_t target, float factor,
                                  float *_Nonnull logits);

  /// AdamW (Loshchilov and Hutter 2019, algorithm 2) in the order of PyTorch's operations.
  void (*_Nonnull adamw)(const ck_adamw *_Nonnull step, ptrdiff_t count,
                         const float *_Nonnull gradients, float *_Nonnull values,
                         float *_Nonnull first, float *_Nonnull second);
  /// The step of AdamW between decoding and encoding its state, in the order of bitsandbytes' operations
  /// on processors: `m = fma(g, 1 − β1, m·β1)`, `v = fma((1 − β2)·g, g, v·β2)`, decay,
  /// `p += (−step·m)/(√v/root + ε)`.
  void (*_Nonnull adamw_decoded)(const ck_adamw *_Nonnull step, ptrdiff_t count,
                                 const float *_Nonnull gradients, float *_Nonnull values,
                                 float *_Nonnull first, float *_Nonnull second);
  /// `velocity = momentum·velocity + g`, `values = keep·values − rate·velocity`; without velocity g
  /// itself.
  void (*_Nonnull sgd)(float rate, float momentum, float keep, ptrdiff_t count,
                       const float *_Nonnull gradients, float *_Nonnull values,
                       float *_Nullable velocity);
  /// Σ x² in double precision.
  double (*_Nonnull sum_of_squares)(ptrdiff_t count, const float *_Nonnull x);
} ck_layer_kernels;

/// The passes on the chosen path.
const ck_layer_kernels *_Nonnull ck_layer(void);

#endif
