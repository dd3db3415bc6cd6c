// SPDX-License-Identifier: Apache-2.0
// Names of mathematical choices that several rooms share.
#ifndef STN_BASE_NUMERIC_H
#define STN_BASE_NUMERIC_H

// GELU_TANH: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's "gelu_new". GELU: x Phi(x), exact. Source: arXiv:1606.08415.
enum activation {
    ACTIVATION_NONE,
    ACTIVATION_GELU_TANH,
    ACTIVATION_GELU,
    ACTIVATION_RELU,
    ACTIVATION_SILU
};
#endif
