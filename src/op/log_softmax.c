// SPDX-License-Identifier: Apache-2.0
// Logits as logs of probabilities: x less the log of the sum of its row's exponentials.
#include "op/common.h"
#include "op/real_math.h"

static void infer(struct graph *g, struct value *y)
{
    if (check_input(g, y, 0, "x", F32, ANY_RANK)) y->shape = y->input[0]->shape;
}

static void reference(const struct op_call *call)
{
    int64_t rows = shape_rows(call->value->shape), n = shape_last(call->value->shape);
    const real *x = call->input[0];
    real *y = call->output[0];
    for (int64_t row = 0; row < rows; row++, x += n, y += n) {
        real most = x[0], sum = 0;
        for (int64_t j = 1; j < n; j++) most = x[j] > most ? x[j] : most;
        for (int64_t j = 0; j < n; j++) sum += real_exp(x[j] - most);
        most += real_log(sum);
        for (int64_t j = 0; j < n; j++) y[j] = x[j] - most;
    }
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 16); }

#define CASE(n) {.inputs = 1, .input = {SHAPE3(2, 3, n)}}, {.inputs = 1, .input = {SHAPE2(n, 5)}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op log_softmax_op = {.name = "log_softmax",
                                  .infer = infer,
                                  .vjp = vjp_none,
                                  .reference = reference,
                                  .cost = cost,
                                  .in_place = 1u << 0,
                                  CASES(cases)};

struct value *(op_log_softmax)(struct graph *g, struct value *x)
{
    return graph_append(g, &log_softmax_op, (struct value *[]){x}, 1, NULL, 0);
}
