// SPDX-License-Identifier: Apache-2.0
// The descriptor of an operation: what the graph, the passes and the tests know about one.
//
// An operation is a pointer to its descriptor; there is no enum of them and no switch over them.
// op/op.h declares all of them.
#ifndef STN_GRAPH_OPERATION_H
#define STN_GRAPH_OPERATION_H

#include "graph/graph.h"

struct op_call; // op/op.h
struct op_case;
struct cost;

struct op {
    const char *name;
    size_t attribute_bytes; // size of its attributes, 0 if none
    // Sets y->shape and y->dtype from inputs and attributes, or calls graph_fail() with the sizes
    // in the text. Required inputs may be NULL here, after a mistake of the caller's.
    void (*infer)(struct graph *g, struct value *y);
    int aux_count; // auxiliary outputs that it can be asked for, at most MAX_AUX
    // (optional, with aux_count) shape and dtype of auxiliary output aux->aux_index of `y`.
    void (*infer_aux)(struct graph *g, const struct value *y, struct value *aux);
    // Appends the gradients: given dy (shape of y), sets dx[i] for every input i with
    // needs_gradient. Other entries stay NULL. May ask y for auxiliary outputs. vjp_none where no
    // gradient is defined, never NULL.
    void (*vjp)(struct graph *g, struct value *y, struct value *dy, struct value **dx);
    // (optional) The value of y once more, from what the backward pass keeps anyway, or NULL: so cheap that y
    // need not be kept.
    struct value *(*again)(struct graph *g, struct value *y);
    // (optional) sum + y at once, appended instead of op_add(sum, y) where gradients meet.
    struct value *(*add_to)(struct graph *g, struct value *sum, const struct value *y);
    // The definition, plain and slow, over `real`. Writes all of output[0] and of the auxiliary
    // outputs that are not NULL.
    void (*reference)(const struct op_call *call);
    struct cost (*cost)(const struct value *y);
    // (optional) The part of the cost, 0 to 1, that this call's inputs ask for: rows that they have ignored cost nothing.
    double (*asked)(const struct op_call *call);
    unsigned in_place; // bit i: y may lie where input i lies, when that dies here and sizes agree
    unsigned writes;   // bit i: the kernel writes input i, which must be a STATE
    const struct op_case *cases;
    int case_count;
};
#endif
