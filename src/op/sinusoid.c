// SPDX-License-Identifier: Apache-2.0
// Positions as sines and cosines of falling frequencies.
#include "op/common.h"

#include <math.h>

static int64_t width_of(const struct value *y)
{
    return ((const struct sinusoid_attributes *)y->attributes)->width;
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "positions", I32, ANY_RANK)) return;
    struct shape shape = y->input[0]->shape;
    if (shape.rank == MAX_RANK || width_of(y) < 1) {
        graph_fail(g, STATUS_SHAPE, "sinusoid: %lld columns behind %d dimensions",
                   (long long)width_of(y), shape.rank);
        return;
    }
    shape.size[shape.rank++] = width_of(y);
    y->shape = shape;
}

static void reference(const struct op_call *call)
{
    int64_t width = shape_last(call->value->shape), rows = shape_rows(call->value->shape);
    const int32_t *positions = call->input[0];
    real *y = call->output[0];
    for (int64_t i = 0; i < rows * width; i++) {
        int64_t j = i % width, pair = j - j % 2;
        int32_t position = positions[i / width];
        double angle = position * pow(10000, -(double)pair / (double)width);
        y[i] = (real)(j % 2 ? cos(angle) : sin(angle));
    }
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 60); }

#define CASE_OF(width, ...)                                                                        \
    {.inputs = 1,                                                                                  \
     .input = {__VA_ARGS__},                                                                       \
     .dtype = {I32},                                                                               \
     .integer_limit = 1000,                                                                        \
     .attributes = &(const struct sinusoid_attributes){width}},
static const struct op_case cases[] = {CASE_OF(1, SHAPE1(1)) CASE_OF(17, SHAPE2(3, 5))
                                           CASE_OF(64, SHAPE2(2, 33))};

const struct op sinusoid_op = {.name = "sinusoid",
                               .attribute_bytes = sizeof(struct sinusoid_attributes),
                               .infer = infer,
                               .vjp = vjp_none,
                               .reference = reference,
                               .cost = cost,
                               CASES(cases)};

struct value *(op_sinusoid)(struct graph *g, struct value *positions, int64_t width)
{
    struct sinusoid_attributes attributes = {width};
    return graph_append(g, &sinusoid_op, (struct value *[]){positions}, 1, &attributes,
                        sizeof attributes);
}
