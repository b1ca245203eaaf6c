#ifndef CKERNELS_H
#define CKERNELS_H

#include "cpu.h"
#include "elements.h"
#include "merge.h"

#endif
