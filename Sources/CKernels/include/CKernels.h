#ifndef CKERNELS_H
#define CKERNELS_H

#include "checksum.h"
#include "compare.h"
#include "cpu.h"
#include "elements.h"
#include "int8.h"
#include "merge.h"
#include "nf4.h"
#include "vector.h"

#endif
