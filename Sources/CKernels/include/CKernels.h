#ifndef CKERNELS_H
#define CKERNELS_H

#include "cpu.h"
#include "checksum.h"
#include "elements.h"
#include "int8.h"
#include "merge.h"
#include "nf4.h"
#include "vector.h"

#endif
