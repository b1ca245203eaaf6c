#ifndef CKERNELS_CPU_H
#define CKERNELS_CPU_H

/// The instruction sets that the kernels are written for. Every kernel gives the same bytes on each.
typedef enum {
  CK_PATH_PORTABLE = 0,
  CK_PATH_AVX2 = 1,
  CK_PATH_AVX512 = 2,
  CK_PATH_NEON = 3,
} ck_path;

/// The path that the kernels take: the widest this processor has, unless ck_set_path chose another.
ck_path ck_get_path(void);

/// Makes the kernels take `path`. Returns 0, or -1 when this processor does not have it.
int ck_set_path(ck_path path);

#endif
