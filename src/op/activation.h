// SPDX-License-Identifier: Apache-2.0
// The definitions of the activation functions, for the references of linear and activation.
#ifndef STN_OP_ACTIVATION_H
#define STN_OP_ACTIVATION_H

#include "base/numeric.h"
#include "graph/graph.h"

real activation_value(enum activation activation, real x);
real activation_slope(enum activation activation, real x); // ReLU's at 0 is 0
bool activation_known(enum activation activation);
#endif
