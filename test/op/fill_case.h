// SPDX-License-Identifier: Apache-2.0
// Numbers and graphs for the test cases of operations.
#ifndef STN_TEST_OP_FILL_CASE_H
#define STN_TEST_OP_FILL_CASE_H

#include "base/philox.h"
#include "op/op.h"

#include <stdio.h>
#include <string.h>

// +-[0.1, 1]: away from 0, where ReLU has a corner and a norm over one element an abrupt slope.
static inline real test_number(uint32_t stream, uint64_t i)
{
    struct philox_address address = {.seed = 5, .stream = philox_stream(PHILOX_TEST, stream)};
    double u = 2 * philox_uniform(address, i) - 1;
    return (real)(u < 0 ? u * 0.9 - 0.1 : u * 0.9 + 0.1);
}

// Fills what input `i` of a case holds.
static inline void fill_input(const struct op_case *test, int i, uint32_t stream, void *data)
{
    int64_t n = shape_count(test->input[i]);
    struct philox_address address = {.seed = 6, .stream = philox_stream(PHILOX_TEST, stream)};
    for (int64_t k = 0; k < n; k++) {
        uint32_t bits = philox_bits(address, (uint64_t)k);
        if (test->dtype[i] == F32) ((real *)data)[k] = test_number(stream, (uint64_t)k);
        if (test->dtype[i] == U32) ((uint32_t *)data)[k] = bits;
        if (test->dtype[i] != I32) continue;
        int32_t id = (int32_t)(bits % (uint32_t)(test->integer_limit ? test->integer_limit : 1));
        ((int32_t *)data)[k] = test->negative && bits >> 29 == 0 ? -1 : id;
    }
}

// "linear case 3: [7, 13] [5, 13] [5]"
static inline const char *case_name(const struct op *op, int number, char text[256])
{
    const struct op_case *test = &op->cases[number];
    int used = snprintf(text, 256, "%s case %d:", op->name, number);
    char shape[64];
    for (int i = 0; i < test->inputs && used < 200; i++)
        used += snprintf(text + used, (size_t)(256 - used), " %s",
                         test->input[i].rank < 0 ? "-" : shape_print(test->input[i], shape));
    return text;
}

// The inputs of a case as leaves of g: F32 ones as parameters when `parameters` is set (offsets
// behind one another), states where the operation writes, inputs else. Returns elements of
// parameters.
static inline int64_t case_leaves(struct graph *g, const struct op *op, const struct op_case *test,
                                  bool parameters, struct value *leaf[MAX_INPUTS])
{
    int64_t elements = 0;
    for (int i = 0; i < test->inputs; i++) {
        leaf[i] = NULL;
        if (test->input[i].rank < 0) continue;
        if (op->writes >> i & 1) {
            leaf[i] = graph_state(g, "state", test->dtype[i], test->input[i]);
        } else if (test->dtype[i] == F32 && parameters) {
            leaf[i] = graph_parameter(g, "parameter", test->input[i], elements, i);
            elements += shape_count(test->input[i]);
        } else {
            leaf[i] = graph_input(g, "input", test->dtype[i], test->input[i]);
        }
    }
    return elements;
}
#endif
