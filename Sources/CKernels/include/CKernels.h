#ifndef CKERNELS_H
#define CKERNELS_H

#include "attention.h"
#include "cpu.h"
#include "elements.h"
#include "gemm.h"
#include "layer.h"
#include "merge.h"
#include "workers.h"

#endif
