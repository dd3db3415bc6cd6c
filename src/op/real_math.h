// SPDX-License-Identifier: Apache-2.0
// The C library's functions in the precision of `real`, for reference kernels. They define values
// up to rounding only: fast kernels have polynomials of their own, and no weight of a real run
// passes through these.
#ifndef STN_OP_REAL_MATH_H
#define STN_OP_REAL_MATH_H

#include "graph/graph.h"

#include <math.h>

static inline real real_exp(real x) { return _Generic(x, float : expf, double : exp)(x); }
static inline real real_log(real x) { return _Generic(x, float : logf, double : log)(x); }
static inline real real_tanh(real x) { return _Generic(x, float : tanhf, double : tanh)(x); }
static inline real real_erf(real x) { return _Generic(x, float : erff, double : erf)(x); }
static inline real real_sqrt(real x) { return _Generic(x, float : sqrtf, double : sqrt)(x); }
#endif
