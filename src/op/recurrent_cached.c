// SPDX-License-Identifier: Apache-2.0
// A recurrent layer for new tokens of one sequence, for decoding: what it carries lies in a state.
#include "op/recurrent.h"

#include <string.h>

// Inputs z, w, bias, state, position, length.
static void infer(struct graph *g, struct value *y)
{
    if (!recurrent_check(g, y, 0, "z", 1, 5)) return;
    struct shape z = y->input[0]->shape;
    int64_t n = y->input[1]->shape.size[1];
    if (z.size[0] != 1) {
        graph_fail(g, STATUS_SHAPE, "recurrent_cached: z holds %lld sequences; it takes one",
                   (long long)z.size[0]);
        return;
    }
    if (y->input[2]) check_shape(g, y, 2, "bias", F32, shape_of(1, z.size[2]));
    if (!check_shape(g, y, 3, "state", F32, shape_of(2, INT64_C(2), n)) ||
        !check_shape(g, y, 4, "position", I32, shape_of(1, INT64_C(1))) ||
        !check_shape(g, y, 5, "length", I32, shape_of(1, INT64_C(1))))
        return;
    y->shape = shape_of(3, INT64_C(1), z.size[1], n);
}

static void reference(const struct op_call *call)
{
    const struct value *v = call->value;
    const struct recurrent_attributes *attributes = v->attributes;
    int64_t n = shape_last(v->shape);
    real *state = (real *)call->input[3];
    memset(call->output[0], 0, (size_t)shape_count(v->shape) * sizeof(real));
    if (*(const int32_t *)call->input[4] == 0) memset(state, 0, (size_t)(2 * n) * sizeof *state);
    recurrent_sequence(&(struct recurrent_sequence){.kind = attributes->kind,
                                                    .hidden = n,
                                                    .length = *(const int32_t *)call->input[5],
                                                    .z = call->input[0],
                                                    .w = call->input[1],
                                                    .bias = call->input[2],
                                                    .h0 = state,
                                                    .c0 = state + n,
                                                    .y = call->output[0],
                                                    .last_h = state,
                                                    .last_c = state + n});
}

static struct cost cost(const struct value *y)
{
    return recurrent_cost(y, shape_rows(y->shape), y->input[1]->shape.size[0],
                          shape_last(y->shape));
}

// Positions and lengths are at most the tokens here; a position of 0 is among them.
#define HAS(shape) shape
#define NO(shape)  ABSENT
#define CASE_OF(kind, gates, tokens, n, bias)                                                      \
    {.inputs = 6,                                                                                  \
     .input = {SHAPE3(1, tokens, INT64_C(gates) * (n)), SHAPE2(INT64_C(gates) * (n), n),           \
               bias(SHAPE1(INT64_C(gates) * (n))), SHAPE2(2, n), SHAPE1(1), SHAPE1(1)},            \
     .dtype = {F32, F32, F32, F32, I32, I32},                                                      \
     .integer_limit = (tokens) + 1,                                                                \
     .attributes = &(const struct recurrent_attributes){kind, false}},
#define CASE(kind, gates)                                                                          \
    CASE_OF(kind, gates, 1, 1, HAS)                                                                \
    CASE_OF(kind, gates, 2, 17, NO) CASE_OF(kind, gates, 5, 7, HAS) CASE_OF(kind, gates, 9, 33, HAS)
static const struct op_case cases[] = {CASE(CELL_LSTM, 4) CASE(CELL_GRU, 3) CASE(CELL_TANH, 1)};

const struct op recurrent_cached_op = {.name = "recurrent_cached",
                                       .attribute_bytes = sizeof(struct recurrent_attributes),
                                       .infer = infer,
                                       .vjp = vjp_none,
                                       .reference = reference,
                                       .cost = cost,
                                       .writes = 1u << 3,
                                       CASES(cases)};

struct value *(op_recurrent_cached)(struct graph *g, struct value *const input[6], enum cell kind)
{
    struct recurrent_attributes attributes = {kind, false};
    return graph_append(g, &recurrent_cached_op, input, 6, &attributes, sizeof attributes);
}
