#ifndef CKERNELS_H
#define CKERNELS_H

#include "attention.h"
#include "checksum.h"
#include "compare.h"
#include "cpu.h"
#include "elements.h"
#include "gemm.h"
#include "int8.h"
#include "layer.h"
#include "memory.h"
#include "merge.h"
#include "nf4.h"
#include "packed.h"
#include "undo.h"
#include "vector.h"
#include "workers.h"

#endif
