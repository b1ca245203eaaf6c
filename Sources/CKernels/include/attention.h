#ifndef CKERNELS_ATTENTION_H
#define CKERNELS_ATTENTION_H

#include "gemm.h"

enum {
  /// Queries of a strip.
  CK_STRIP_ROWS = 64,
};

/// Softmax attention of sequences that lie one after the other: token t of all of them is row t.
///
/// Head h reads the keys and values of head h·kv_heads/heads. Probabilities are never stored: a strip
/// of CK_STRIP_ROWS queries against all their keys is the largest thing in memory, and the backward
/// pass computes it again from `log_sums`.
typedef struct {
  /// Sequence s has the tokens `starts[s] ..< starts[s + 1]`.
  const ptrdiff_t *starts;
  ptrdiff_t sequences;
  ptrdiff_t heads, kv_heads, dim;
  /// Row t of the queries is at `q + t·q_stride`; its heads follow each other, `dim` numbers each.
  const float *q, *k, *v;
  ptrdiff_t q_stride, k_stride, v_stride;
  float *out;
  ptrdiff_t out_stride;
  /// heads × tokens: what the backward pass needs to know.
  float *log_sums;
  ptrdiff_t tokens;
  /// The scores are multiplied with this.
  float scale;
  int causal;
  /// Only keys nearer than this are seen; 0: all.
  ptrdiff_t window;
  ck_precision precision;
} ck_attention;

/// `out = softmax(scale·q·kᵀ)·v`.
void ck_attention_forward(ck_workers *workers, const ck_attention *attention);

/// The gradients of q, k and v, with the strides of these, from the gradient of `out`. They are stored,
/// not added.
void ck_attention_backward(ck_workers *workers, const ck_attention *attention,
                           const float *out_gradient, float *dq, float *dk, float *dv);

#endif
