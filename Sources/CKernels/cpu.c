#include "include/cpu.h"

#include <stdatomic.h>

static int available(ck_path path) {
  switch (path) {
    case CK_PATH_PORTABLE:
      return 1;
#if defined(__x86_64__)
    case CK_PATH_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
             && __builtin_cpu_supports("f16c");
    case CK_PATH_AVX512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
             && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
#if defined(__aarch64__)
    case CK_PATH_NEON:
      return 1;
#endif
    default:
      return 0;
  }
}

static ck_path widest(void) {
  static const ck_path order[] = {CK_PATH_AVX512, CK_PATH_AVX2, CK_PATH_NEON};
  for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
    if (available(order[i])) return order[i];
  }
  return CK_PATH_PORTABLE;
}

/// -1 until the first use.
static _Atomic int chosen = -1;

ck_path ck_get_path(void) {
  int path = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (path < 0) {
    path = widest();
    atomic_store_explicit(&chosen, path, memory_order_relaxed);
  }
  return (ck_path)path;
}

int ck_set_path(ck_path path) {
  if (!available(path)) return -1;
  atomic_store_explicit(&chosen, path, memory_order_relaxed);
  return 0;
}
