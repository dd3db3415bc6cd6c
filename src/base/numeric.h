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
    ACTIVATION_SILU,
    ACTIVATION_SIGMOID,
    ACTIVATION_TANH,
    ACTIVATION_COUNT
};

// The cell of a recurrent layer, with PyTorch's equations and order of gates: LSTM i f g o, GRU r z n, TANH one.
// Sources: Hochreiter and Schmidhuber 1997 with Gers et al. 2000; Cho et al. 2014, arXiv:1406.1078; Elman 1990.
enum cell { CELL_NONE, CELL_LSTM, CELL_GRU, CELL_TANH, CELL_COUNT };
// Blocks of `hidden` columns: gates, and what the backward pass reads of a position (LSTM i f g o c; GRU r z n and what
// goes into n from before; TANH the output).
static inline int cell_gates(enum cell kind)
{
    return kind == CELL_LSTM ? 4 : kind == CELL_GRU ? 3 : 1;
}
static inline int cell_kept(enum cell kind)
{
    return kind == CELL_LSTM ? 5 : kind == CELL_GRU ? 4 : 1;
}

// Of a sequence to one vector.
enum pool { POOL_MEAN, POOL_MAX, POOL_FIRST, POOL_LAST, POOL_SUM, POOL_COUNT };

// Of a row of scores s. SOFTMAX: cross-entropy of one class. BINARY: -t log sigmoid(s) - (1 - t) log(1 - sigmoid(s)). SQUARED: (s - t)^2.
// HINGE: max(0, 1 - t s), t = +-1 (of classes: each against the rest). SQUARED_HINGE: its square. Summed over a row.
enum score_loss { LOSS_SOFTMAX, LOSS_BINARY, LOSS_SQUARED, LOSS_HINGE, LOSS_SQUARED_HINGE };

// Of a model's matrix products; all else is float32. bf16x3: operands as sums of two bf16, three products. bf16: operands
// rounded to bf16. Sums, weights and results are float32 in all three.
enum precision { PRECISION_FLOAT32, PRECISION_BF16X3, PRECISION_BF16, PRECISION_COUNT };
const char *precision_name(enum precision precision); // "bf16x3"
// Returns 0 where `name` is none.
int precision_find(const char *name, enum precision *precision_p);
#endif
