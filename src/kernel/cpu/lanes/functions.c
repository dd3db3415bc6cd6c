// SPDX-License-Identifier: Apache-2.0
// The functions of functions.h over an array: what tests measure, and what other rooms may use where weights
// are touched.
#include "kernel/cpu/lanes/functions.h"

#include "kernel/cpu/kernels.h"

void KERNEL_NAME(function_values)(float *y, const float *x, int64_t n, enum lanes_function function)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes v = lanes_load_some(x + i, some);
        switch (function) {
        case FUNCTION_EXP:
            v = lanes_exp(v);
            break;
        case FUNCTION_LOG:
            v = lanes_log(v);
            break;
        case FUNCTION_TANH:
            v = lanes_tanh(v);
            break;
        case FUNCTION_ERF:
            v = lanes_erf(v);
            break;
        case FUNCTION_SIGMOID:
            v = lanes_sigmoid(v);
            break;
        }
        lanes_store_some(y + i, v, some);
    }
}
