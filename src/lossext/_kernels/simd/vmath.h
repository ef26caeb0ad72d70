/* The mathematical functions of vectors.  Never libm's scalar calls: they keep a loop from being vectorised. */
#ifndef LX_VMATH_H
#define LX_VMATH_H

#include "exp.h"
#include "gamma.h"
#include "log.h"
#include "pow.h"

#endif
