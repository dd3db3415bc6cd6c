// SPDX-License-Identifier: Apache-2.0
// A recurrent layer over time. The product of its inputs stands before it as a linear layer over all positions at
// once; this operation is what waits for the position before.
#include "op/recurrent.h"

#include "op/real_math.h"

#include <string.h>

bool recurrent_check(struct graph *g, const struct value *y, int gates_input, const char *name,
                     int weight, int lengths)
{
    const struct recurrent_attributes *attributes = y->attributes;
    if (attributes->kind <= CELL_NONE || attributes->kind >= CELL_COUNT) {
        graph_fail(g, STATUS_USAGE, "%s: there is no recurrent cell %d", y->op->name,
                   (int)attributes->kind);
        return false;
    }
    if (!check_input(g, y, gates_input, name, F32, 3) || !check_input(g, y, weight, "w", F32, 2))
        return false;
    struct shape gates = y->input[gates_input]->shape, w = y->input[weight]->shape;
    char text[64], text_w[64];
    int count = cell_gates(attributes->kind);
    if (gates.size[2] != w.size[0] || w.size[0] != count * w.size[1])
        graph_fail(g, STATUS_SHAPE,
                   "%s: %s %s and w %s do not fit; they are [batch, tokens, %d * hidden] and "
                   "[%d * hidden, hidden]",
                   y->op->name, name, shape_print(gates, text), shape_print(w, text_w), count,
                   count);
    if (!g->status && y->input[lengths])
        check_shape(g, y, lengths, "lengths", I32, shape_of(1, gates.size[0]));
    return !g->status;
}

static void infer(struct graph *g, struct value *y)
{
    if (!recurrent_check(g, y, 0, "z", 1, 5)) return;
    struct shape z = y->input[0]->shape, state = shape_of(2, z.size[0], y->input[1]->shape.size[1]);
    if (y->input[2]) check_shape(g, y, 2, "bias", F32, shape_of(1, z.size[2]));
    if (y->input[3]) check_shape(g, y, 3, "h0", F32, state);
    if (y->input[4]) check_shape(g, y, 4, "c0", F32, state);
    y->shape = shape_of(3, z.size[0], z.size[1], state.size[1]);
}

static void infer_aux(struct graph *g, const struct value *y, struct value *aux)
{
    const struct recurrent_attributes *attributes = y->attributes;
    int64_t hidden = shape_last(y->shape);
    (void)g;
    aux->shape = aux->aux_index == 0
                     ? shape_with_last(y->shape, cell_kept(attributes->kind) * hidden)
                     : shape_of(2, y->shape.size[0], hidden);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const struct recurrent_attributes *attributes = y->attributes;
    bool gru = attributes->kind == CELL_GRU;
    struct value *lengths = y->input[5];
    struct value *kept = attributes->kind == CELL_TANH ? y : graph_aux(g, y, 0);
    struct value *previous =
        gru || wants(y, 1) ? op_recurrent_previous(g, y, y->input[3], lengths, attributes->reverse)
                           : NULL;
    struct value *da = op_recurrent_grad(
        g, (struct value *[]){kept, y->input[1], dy, gru ? previous : NULL, y->input[4], lengths},
        attributes);
    if (wants(y, 3)) dx[3] = graph_aux(g, da, 0);
    if (wants(y, 4)) dx[4] = graph_aux(g, da, 1);
    if (wants(y, 0)) dx[0] = gru ? graph_aux(g, da, 2) : da;
    if (wants(y, 1)) dx[1] = op_linear_grad_weight(g, previous, da, LAYOUT_OUT_IN);
    if (wants(y, 2)) dx[2] = op_column_sum(g, da);
}

// ---- the definition ----
static real logistic(real x) { return 1 / (1 + real_exp(-x)); }

// Unit j of position `row`: `before` the states, c the cell so far; writes the new cell and kept values; returns the output.
static real unit(const struct recurrent_sequence *s, int64_t row, int64_t j, const real *before,
                 real *c_p)
{
    int64_t n = s->hidden, gates = cell_gates(s->kind);
    real x[4] = {0}, a[4] = {0}, values[5] = {0}, h;
    for (int k = 0; k < gates; k++) {
        for (int64_t i = 0; before && i < n; i++) a[k] += before[i] * s->w[(k * n + j) * n + i];
        if (s->bias) a[k] += s->bias[k * n + j];
        x[k] = s->z[(row * gates + k) * n + j];
    }
    switch (s->kind) {
    case CELL_LSTM:
        for (int k = 0; k < 4; k++)
            values[k] = k == 2 ? real_tanh(x[k] + a[k]) : logistic(x[k] + a[k]);
        values[4] = *c_p = values[1] * *c_p + values[0] * values[2];
        h = values[3] * real_tanh(*c_p);
        break;
    case CELL_GRU:
        values[0] = logistic(x[0] + a[0]);
        values[1] = logistic(x[1] + a[1]);
        values[2] = real_tanh(x[2] + values[0] * a[2]);
        values[3] = a[2];
        h = (1 - values[1]) * values[2] + values[1] * (before ? before[j] : 0);
        break;
    default:
        values[0] = h = real_tanh(x[0] + a[0]);
    }
    int64_t kept = cell_kept(s->kind);
    for (int k = 0; s->kept && k < kept; k++) s->kept[(row * kept + k) * n + j] = values[k];
    return h;
}

// x, or zeros where there is none.
static void copy_or_clear(real *to, const real *x, int64_t n)
{
    if (!to) return;
    if (x)
        memmove(to, x, (size_t)n * sizeof *to);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

// Until a position is computed, its row of y holds the cells that it begins with.
void recurrent_sequence(const struct recurrent_sequence *s)
{
    int64_t n = s->hidden;
    const real *before = s->h0, *cells = s->kind == CELL_LSTM ? s->c0 : NULL;
    if (s->length == 0) copy_or_clear(s->last_c, cells, n);
    for (int64_t step = 0; step < s->length; step++) {
        int64_t row = s->reverse ? s->length - 1 - step : step;
        real *y = s->y + row * n, *next = s->last_c;
        if (step == 0) copy_or_clear(y, cells, n);
        if (step + 1 < s->length) next = s->reverse ? y - n : y + n;
        for (int64_t j = 0; j < n; j++) {
            real c = y[j];
            y[j] = unit(s, row, j, before, &c);
            if (next) next[j] = s->kind == CELL_LSTM ? c : 0;
        }
        before = y;
    }
    copy_or_clear(s->last_h, before, n);
}

static real *row_of(real *x, int64_t row, int64_t width) { return x ? x + row * width : NULL; }
static const real *state_of(const real *x, int64_t b, int64_t n) { return x ? x + b * n : NULL; }

static void reference(const struct op_call *call)
{
    const struct value *v = call->value;
    const struct recurrent_attributes *attributes = v->attributes;
    int64_t batch = v->shape.size[0], tokens = v->shape.size[1], n = v->shape.size[2];
    int64_t kept = cell_kept(attributes->kind) * n;
    const int32_t *lengths = call->input[5];
    memset(call->output[0], 0, (size_t)(batch * tokens * n) * sizeof(real));
    if (call->output[1]) memset(call->output[1], 0, (size_t)(batch * tokens * kept) * sizeof(real));
    for (int64_t b = 0; b < batch; b++)
        recurrent_sequence(&(struct recurrent_sequence){
            .kind = attributes->kind,
            .reverse = attributes->reverse,
            .hidden = n,
            .length = lengths ? lengths[b] : tokens,
            .z = (const real *)call->input[0] + b * tokens * cell_gates(attributes->kind) * n,
            .w = call->input[1],
            .bias = call->input[2],
            .h0 = state_of(call->input[3], b, n),
            .c0 = state_of(call->input[4], b, n),
            .y = row_of(call->output[0], b * tokens, n),
            .kept = row_of(call->output[1], b * tokens, kept),
            .last_h = row_of(call->output[2], b, n),
            .last_c = row_of(call->output[3], b, n),
        });
}

// The product of states and weights, and about 20 operations for a gate.
struct cost recurrent_cost(const struct value *y, int64_t rows, int64_t gates, int64_t hidden)
{
    return (struct cost){.flops = (double)rows * (double)gates * (2 * (double)hidden + 20),
                         .bytes = touched_bytes(y)};
}

static struct cost cost(const struct value *y)
{
    return recurrent_cost(y, shape_rows(y->shape), y->input[1]->shape.size[0],
                          shape_last(y->shape));
}

// Number of gates, sizes, and which optional inputs there are.
#define HAS(shape) shape
#define NO(shape)  ABSENT
#define CASE_OF(kind, gates, batch, tokens, n, bias, states, lengths, reverse)                     \
    {.inputs = 6,                                                                                  \
     .input = {SHAPE3(batch, tokens, INT64_C(gates) * (n)), SHAPE2(INT64_C(gates) * (n), n),       \
               bias(SHAPE1(INT64_C(gates) * (n))), states(SHAPE2(batch, n)),                       \
               states(SHAPE2(batch, n)), lengths(SHAPE1(batch))},                                  \
     .dtype = {F32, F32, F32, F32, F32, I32},                                                      \
     .integer_limit = (tokens) + 1,                                                                \
     .attributes = &(const struct recurrent_attributes){kind, reverse}},
#define CASE(kind, gates)                                                                          \
    CASE_OF(kind, gates, 1, 1, 1, HAS, HAS, NO, false)                                             \
    CASE_OF(kind, gates, 3, 5, 7, HAS, NO, NO, false)                                              \
    CASE_OF(kind, gates, 2, 3, 17, NO, HAS, HAS, false)                                            \
    CASE_OF(kind, gates, 17, 4, 5, HAS, HAS, HAS, true)                                            \
    CASE_OF(kind, gates, 5, 6, 33, HAS, NO, HAS, true)                                             \
    CASE_OF(kind, gates, 1, 2, 31, NO, NO, NO, true)
static const struct op_case cases[] = {CASE(CELL_LSTM, 4) CASE(CELL_GRU, 3) CASE(CELL_TANH, 1)};

const struct op recurrent_op = {.name = "recurrent",
                                .attribute_bytes = sizeof(struct recurrent_attributes),
                                .infer = infer,
                                .aux_count = 3,
                                .infer_aux = infer_aux,
                                .vjp = vjp,
                                .reference = reference,
                                .cost = cost,
                                CASES(cases)};

struct value *(op_recurrent)(struct graph *g, struct value *const input[6],
                             const struct recurrent_attributes *attributes)
{
    return graph_append(g, &recurrent_op, input, 6, attributes, sizeof *attributes);
}
