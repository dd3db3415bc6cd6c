// SPDX-License-Identifier: Apache-2.0
// What the operations of recurrent layers share: the check of their shapes, and the definition for one sequence.
#ifndef STN_OP_RECURRENT_H
#define STN_OP_RECURRENT_H

#include "op/common.h"

// Whether the inputs named are [batch, tokens, gates * hidden], w [gates * hidden, hidden] and lengths [batch] or absent.
bool recurrent_check(struct graph *g, const struct value *y, int gates_input, const char *name,
                     int weight, int lengths);

// Pointers to the rows of one sequence; h0, c0, bias, kept, last_h and last_c may be NULL. last_h and last_c may be h0 and c0.
struct recurrent_sequence {
    enum cell kind;
    bool reverse;
    int64_t hidden, length;
    const real *z, *w, *bias, *h0, *c0;
    real *y, *kept, *last_h, *last_c;
};
void recurrent_sequence(const struct recurrent_sequence *s);
struct cost recurrent_cost(const struct value *y, int64_t rows, int64_t gates, int64_t hidden);
#endif
