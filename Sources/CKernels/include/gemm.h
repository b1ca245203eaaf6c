#ifndef CKERNELS_GEMM_H
#define CKERNELS_GEMM_H

#include "elements.h"
#include "workers.h"

/// Writes `count` elements of one stored row of a matrix, from `column` on, in f32.
typedef void (*ck_row_decoder)(const void *context, ptrdiff_t row, ptrdiff_t column,
                               ptrdiff_t count, float *to);

/// An operand of a product: a matrix stored row by row, taken as it is or transposed.
typedef struct {
  /// The stored elements; unused with a decoder.
  const void *start;
  ck_element element;
  /// Elements from one stored row to the next.
  ptrdiff_t stride;
  /// The operand is the transpose of what is stored.
  int transposed;
  /// Where the elements come from instead (a quantised matrix); NULL when they are at `start`.
  ck_row_decoder decode;
  const void *decode_context;
} ck_operand;

/// What a product is added to.
typedef enum {
  CK_FROM_ZERO = 0,
  /// What is in C.
  CK_FROM_C = 1,
  /// The bias: one number a column.
  CK_FROM_BIAS = 2,
} ck_product_start;

/// How the operands are multiplied.
typedef enum {
  /// In f32.
  CK_MULTIPLY_F32 = 0,
  /// Rounded to bf16, to nearest even, and summed in f32.
  CK_MULTIPLY_BF16 = 1,
} ck_precision;

/// `C = start + scale·A·B`, C of `rows × columns`, A of `rows × depth`, B of `depth × columns`.
///
/// Guarantee, for any cut into tiles, any count of workers and any path. In f32:
///
///     c = start;  for k ascending: c = fma(fl(scale·A[i,k]), B[k,j], c)
///
/// In bf16, with r() the rounding to bf16 (subnormals of either format count as zeros of their sign,
/// as operands and as results of each fma) and depth filled up with a zero to an even number:
///
///     c = start;  for k = 0, 2, 4…: c = fma(r(scale·A[i,k+1]), r(B[k+1,j]), c)
///                                   c = fma(r(scale·A[i,k]),   r(B[k,j]),   c)
///
/// which is what VDPBF16PS does. The bits of a NaN are not promised.
typedef struct {
  ptrdiff_t rows, columns, depth;
  ck_operand a, b;
  float scale;
  ck_product_start from;
  const float *bias;
  ck_precision precision;
  /// f32, overlapping no operand.
  float *c;
  ptrdiff_t c_stride;
} ck_product;

/// Computes the product with all workers.
void ck_multiply(ck_workers *workers, const ck_product *product);

/// Bytes that `ck_multiply_alone` works in: no fewer than for any product that is smaller in rows,
/// columns and depth.
size_t ck_multiply_scratch(const ck_product *product);
/// Computes the product on this thread, in `scratch`, aligned to 64 bytes: for small products inside
/// of a job.
void ck_multiply_alone(const ck_product *product, void *scratch);

/// Whether bf16 products are left to VDPBF16PS on the AVX-512 path: where the processor has it and does
/// it fast, unless ck_set_bf16_products chose. The numbers are the same either way.
int ck_get_bf16_products(void);

/// Returns 0, or -1 when this processor does not have VDPBF16PS.
int ck_set_bf16_products(int taken);

#endif
