// SPDX-License-Identifier: Apache-2.0
// The gradient of a recurrent layer: through time backward to the gates, from which products over all positions at once
// give the rest. And the states that positions began with, which those products read.
#include "op/real_math.h"
#include "op/recurrent.h"

#include <string.h>

// ---- the gradient of the gates: inputs kept, w, dy, previous, c0, lengths ----
static void infer_grad(struct graph *g, struct value *da)
{
    const struct recurrent_attributes *attributes = da->attributes;
    if (!check_input(g, da, 0, "kept", F32, 3) || !check_input(g, da, 1, "w", F32, 2)) return;
    if (attributes->kind <= CELL_NONE || attributes->kind >= CELL_COUNT) {
        graph_fail(g, STATUS_USAGE, "recurrent_grad: there is no recurrent cell %d",
                   (int)attributes->kind);
        return;
    }
    struct shape kept = da->input[0]->shape;
    int64_t n = da->input[1]->shape.size[1], gates = cell_gates(attributes->kind) * n;
    struct shape y = shape_with_last(kept, n), state = shape_of(2, kept.size[0], n);
    if (!check_shape(g, da, 1, "w", F32, shape_of(2, gates, n)) ||
        !check_shape(g, da, 0, "kept", F32,
                     shape_with_last(kept, cell_kept(attributes->kind) * n)) ||
        !check_shape(g, da, 2, "dy", F32, y))
        return;
    if (attributes->kind == CELL_GRU || da->input[3]) check_shape(g, da, 3, "previous", F32, y);
    if (da->input[4]) check_shape(g, da, 4, "c0", F32, state);
    if (da->input[5]) check_shape(g, da, 5, "lengths", I32, shape_of(1, kept.size[0]));
    da->shape = shape_with_last(kept, gates);
}

static void infer_grad_aux(struct graph *g, const struct value *da, struct value *aux)
{
    (void)g;
    aux->shape = aux->aux_index == 2 ? da->shape
                                     : shape_of(2, da->shape.size[0], da->input[1]->shape.size[1]);
}

// One position: dh what reaches the output of unit j. Writes the gradients of its gates and returns what goes on: to the cell
// before (LSTM), past the product to the state before (GRU).
static real unit_grad(enum cell kind, int64_t n, int64_t j, const real *kept, real old, real dh,
                      real carry, real *da, real *dz)
{
    const real *s = kept + j;
    if (kind == CELL_LSTM) {
        real cell = real_tanh(s[4 * n]), dc = carry + dh * s[3 * n] * (1 - cell * cell);
        da[j] = dc * s[2 * n] * s[0] * (1 - s[0]);
        da[n + j] = dc * old * s[n] * (1 - s[n]);
        da[2 * n + j] = dc * s[0] * (1 - s[2 * n] * s[2 * n]);
        da[3 * n + j] = dh * cell * s[3 * n] * (1 - s[3 * n]);
        carry = dc * s[n];
    } else if (kind == CELL_GRU) {
        real dn = dh * (1 - s[n]) * (1 - s[2 * n] * s[2 * n]);
        da[j] = dn * s[3 * n] * s[0] * (1 - s[0]);
        da[n + j] = dh * (old - s[2 * n]) * s[n] * (1 - s[n]);
        da[2 * n + j] = dn * s[0];
        if (dz) dz[2 * n + j] = dn;
        carry = dh * s[n];
    } else {
        da[j] = dh * (1 - s[0] * s[0]);
        carry = 0;
    }
    for (int k = 0; dz && k < (kind == CELL_GRU ? 2 : cell_gates(kind)); k++)
        dz[k * n + j] = da[k * n + j];
    return carry;
}

// What the gates' gradients `da` say about unit j of the state before; none: 0.
static real through(const real *da, const real *w, int64_t gates, int64_t n, int64_t j)
{
    real sum = 0;
    for (int64_t k = 0; da && k < gates; k++) sum += da[k] * w[k * n + j];
    return sum;
}

// Backward through one sequence. Until a position is computed, the first block of its row of da holds what goes on to it.
static void sequence_grad(const struct op_call *call, int64_t b, int64_t length)
{
    const struct value *v = call->value;
    const struct recurrent_attributes *attributes = v->attributes;
    int64_t tokens = v->shape.size[1], gates = v->shape.size[2], n = v->input[1]->shape.size[1];
    int64_t kept_width = shape_last(v->input[0]->shape);
    const real *kept = call->input[0], *w = call->input[1], *dy = call->input[2],
               *previous = call->input[3], *c0 = call->input[4], *after = NULL;
    real *da = call->output[0], *dh0 = call->output[1], *dc0 = call->output[2],
         *dz = call->output[3];
    bool gru = attributes->kind == CELL_GRU, lstm = attributes->kind == CELL_LSTM;
    for (int64_t step = length - 1; step >= 0; step--) {
        int64_t row = b * tokens + (attributes->reverse ? length - 1 - step : step);
        int64_t before = attributes->reverse ? row + 1 : row - 1;
        for (int64_t j = 0; j < n; j++) {
            real carry = da[row * gates + j];
            real dh = dy[row * n + j] + through(after, w, gates, n, j) + (gru ? carry : 0), old = 0;
            if (gru) old = previous[row * n + j];
            if (lstm && step > 0) old = kept[before * kept_width + 4 * n + j];
            if (lstm && step == 0 && c0) old = c0[b * n + j];
            carry = unit_grad(attributes->kind, n, j, kept + row * kept_width, old, dh, carry,
                              da + row * gates, dz ? dz + row * gates : NULL);
            if (step > 0) da[before * gates + j] = carry;
            if (step == 0 && dc0 && lstm) dc0[b * n + j] = carry;
            if (step == 0 && dh0) dh0[b * n + j] = gru ? carry : 0;
        }
        after = da + row * gates;
    }
    for (int64_t j = 0; dh0 && after && j < n; j++)
        dh0[b * n + j] += through(after, w, gates, n, j);
}

static void reference_grad(const struct op_call *call)
{
    const struct value *v = call->value;
    const int32_t *lengths = call->input[5];
    int64_t batch = v->shape.size[0], n = v->input[1]->shape.size[1];
    for (int i = 0; i < 4; i++) {
        int64_t count = i == 0 || i == 3 ? shape_count(v->shape) : batch * n;
        if (call->output[i]) memset(call->output[i], 0, (size_t)count * sizeof(real));
    }
    for (int64_t b = 0; b < batch; b++)
        sequence_grad(call, b, lengths ? lengths[b] : v->shape.size[1]);
}

static struct cost cost_grad(const struct value *da)
{
    return recurrent_cost(da, shape_rows(da->shape), shape_last(da->shape),
                          da->input[1]->shape.size[1]);
}

#define HAS(shape) shape
#define NO(shape)  ABSENT
#define CASE_OF(kind, gates, kept, batch, tokens, n, cells, lengths, reverse)                      \
    {.inputs = 6,                                                                                  \
     .input = {SHAPE3(batch, tokens, (kept) * (n)), SHAPE2((gates) * (n), n),                      \
               SHAPE3(batch, tokens, n), SHAPE3(batch, tokens, n), cells(SHAPE2(batch, n)),        \
               lengths(SHAPE1(batch))},                                                            \
     .dtype = {F32, F32, F32, F32, F32, I32},                                                      \
     .integer_limit = (tokens) + 1,                                                                \
     .attributes = &(const struct recurrent_attributes){kind, reverse}},
#define CASE(kind, gates, kept)                                                                    \
    CASE_OF(kind, gates, kept, 1, 1, 1, HAS, NO, false)                                            \
    CASE_OF(kind, gates, kept, 3, 5, 7, NO, NO, false)                                             \
    CASE_OF(kind, gates, kept, 17, 4, 5, HAS, HAS, true)                                           \
    CASE_OF(kind, gates, kept, 5, 6, 33, NO, HAS, false)
static const struct op_case cases_grad[] = {CASE(CELL_LSTM, 4, 5) CASE(CELL_GRU, 3, 4)
                                                CASE(CELL_TANH, 1, 1)};

const struct op recurrent_grad_op = {.name = "recurrent_grad",
                                     .attribute_bytes = sizeof(struct recurrent_attributes),
                                     .infer = infer_grad,
                                     .aux_count = 3,
                                     .infer_aux = infer_grad_aux,
                                     .vjp = vjp_none,
                                     .reference = reference_grad,
                                     .cost = cost_grad,
                                     CASES(cases_grad)};

struct value *(op_recurrent_grad)(struct graph *g, struct value *const input[6],
                                  const struct recurrent_attributes *attributes)
{
    return graph_append(g, &recurrent_grad_op, input, 6, attributes, sizeof *attributes);
}

// ---- the states that positions began with: inputs y, h0, lengths ----
static void infer_previous(struct graph *g, struct value *x)
{
    if (!check_input(g, x, 0, "y", F32, 3)) return;
    struct shape y = x->input[0]->shape;
    if (x->input[1]) check_shape(g, x, 1, "h0", F32, shape_of(2, y.size[0], y.size[2]));
    if (x->input[2]) check_shape(g, x, 2, "lengths", I32, shape_of(1, y.size[0]));
    x->shape = y;
}

static void reference_previous(const struct op_call *call)
{
    const struct recurrent_attributes *attributes = call->value->attributes;
    struct shape shape = call->value->shape;
    int64_t tokens = shape.size[1], n = shape.size[2];
    const real *y = call->input[0], *h0 = call->input[1];
    const int32_t *lengths = call->input[2];
    real *x = call->output[0];
    memset(x, 0, (size_t)shape_count(shape) * sizeof *x);
    for (int64_t b = 0; b < shape.size[0]; b++) {
        int64_t length = lengths ? lengths[b] : tokens;
        for (int64_t t = 0; t < length; t++) {
            int64_t before = attributes->reverse ? t + 1 : t - 1;
            bool first = before < 0 || before == length;
            const real *from = first ? (h0 ? h0 + b * n : NULL) : y + (b * tokens + before) * n;
            if (from) memcpy(x + (b * tokens + t) * n, from, (size_t)n * sizeof *x);
        }
    }
}

static struct cost cost_previous(const struct value *x) { return elementwise_cost(x, 0); }

#define CASE_PREVIOUS_OF(batch, tokens, n, state, lengths, reverse)                                \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(batch, tokens, n), state(SHAPE2(batch, n)), lengths(SHAPE1(batch))},         \
     .dtype = {F32, F32, I32},                                                                     \
     .integer_limit = (tokens) + 1,                                                                \
     .attributes = &(const struct recurrent_attributes){CELL_LSTM, reverse}},
static const struct op_case cases_previous[] = {
    CASE_PREVIOUS_OF(1, 1, 1, HAS, NO, false) CASE_PREVIOUS_OF(3, 5, 7, NO, NO, true)
        CASE_PREVIOUS_OF(5, 4, 17, HAS, HAS, false) CASE_PREVIOUS_OF(9, 3, 5, HAS, HAS, true)};

const struct op recurrent_previous_op = {.name = "recurrent_previous",
                                         .attribute_bytes = sizeof(struct recurrent_attributes),
                                         .infer = infer_previous,
                                         .vjp = vjp_none,
                                         .reference = reference_previous,
                                         .cost = cost_previous,
                                         CASES(cases_previous)};

struct value *(op_recurrent_previous)(struct graph *g, struct value *y, struct value *h0,
                                      struct value *lengths, bool reverse)
{
    struct recurrent_attributes attributes = {CELL_LSTM, reverse};
    return graph_append(g, &recurrent_previous_op, (struct value *[]){y, h0, lengths}, 3,
                        &attributes, sizeof attributes);
}
