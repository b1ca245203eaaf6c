#ifndef CKERNELS_H
#define CKERNELS_H

#include "cpu.h"
#include "int8.h"
#include "nf4.h"

#endif
