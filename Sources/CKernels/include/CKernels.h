#ifndef CKERNELS_H
#define CKERNELS_H

#include "cpu.h"

#endif
