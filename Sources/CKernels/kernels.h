// What every path provides: the loops over one block of a matrix that fits in the first-level cache.
// The functions in include/ cut their work into such blocks and are the same on every path.
#ifndef CKERNELS_KERNELS_H
#define CKERNELS_KERNELS_H

#include "include/compare.h"
#include "include/cpu.h"
#include "include/elements.h"
#include "include/merge.h"

enum {
  /// Lanes of every sum: an element is added to the lane of its column modulo this.
  CK_LANES = 32,
  /// Columns whose lanes are added up before the sum joins the row's total.
  CK_BLOCK_COLUMNS = 512,
  /// Most rows of a block.
  CK_BLOCK_ROWS = 8,
};

typedef struct {
  void (*widen)(ck_element element, const void *from, float *to, size_t count);
  void (*round)(ck_element element, const float *from, void *to, size_t count);

  /// Adds to the statistics of rows that are at most CK_BLOCK_COLUMNS wide, and stores them.
  void (*store_block)(const ck_store *block);

  /// `to = fma(scale, B·A, from)` for at most CK_BLOCK_ROWS rows; both have rows of CK_BLOCK_COLUMNS.
  ///
  /// `panels` is A cut into groups of CK_LANES columns, each rank × CK_LANES; `from` NULL means +0.
  void (*low_rank_block)(ptrdiff_t rows, ptrdiff_t groups, ptrdiff_t rank, const float *panels,
                         const float *b, float scale, const float *from, float *to);

  double (*dot)(const float *x, const float *y, size_t count);
  void (*axpy)(float a, const float *x, float *y, size_t count);
  void (*scale)(float a, float *x, size_t count);
  void (*add_squares)(const float *x, double *sums, size_t count);

  void (*compare)(const float *a, const float *b, size_t count, ck_comparison *result);
  uint32_t (*largest_distance)(ck_element element, const void *a, const void *b, size_t count);
} ck_kernels;

extern const ck_kernels *const ck_kernels_portable;
#if defined(__x86_64__)
extern const ck_kernels *const ck_kernels_avx2;
extern const ck_kernels *const ck_kernels_avx512;
#endif
#if defined(__aarch64__)
extern const ck_kernels *const ck_kernels_neon;
#endif

static inline const ck_kernels *ck_kernels_chosen(void) {
  switch (ck_get_path()) {
#if defined(__x86_64__)
    case CK_PATH_AVX2: return ck_kernels_avx2;
    case CK_PATH_AVX512: return ck_kernels_avx512;
#endif
#if defined(__aarch64__)
    case CK_PATH_NEON: return ck_kernels_neon;
#endif
    default: return ck_kernels_portable;
  }
}

/// The portable store_block: it defines the result, and the other paths call it for a row whose
/// block holds an infinity or a NaN.
void ck_store_block_portable(const ck_store *block);

#endif
