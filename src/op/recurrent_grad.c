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
// s, da and dz point to the unit's first gate.
static real unit_grad(enum cell kind, int64_t n, const real *s, real old, real dh, real carry,
                      real *da, real *dz)
{
    if (kind == CELL_LSTM) {
        real cell = real_tanh(s[4 * n]), dc = carry + dh * s[3 * n] * (1 - cell * cell);
        da[0] = dc * s[2 * n] * s[0] * (1 - s[0]);
        da[n] = dc * old * s[n] * (1 - s[n]);
        da[2 * n] = dc * s[0] * (1 - s[2 * n] * s[2 * n]);
        da[3 * n] = dh * cell * s[3 * n] * (1 - s[3 * n]);
        carry = dc * s[n];
    } else if (kind == CELL_GRU) {
        real dn = dh * (1 - s[n]) * (1 - s[2 * n] * s[2 * n]);
        da[0] = dn * s[3 * n] * s[0] * (1 - s[0]);
        da[n] = dh * (old - s[2 * n]) * s[n] * (1 - s[n]);
        da[2 * n] = dn * s[0];
        if (dz) dz[2 * n] = dn;
        carry = dh * s[n];
    } else {
        da[0] = dh * (1 - s[0] * s[0]);
        carry = 0;
    }
    for (int k = 0; dz && k < (kind == CELL_GRU ? 2 : cell_gates(kind)); k++) dz[k * n] = da[k * n];
    return carry;
}

// What the gates' gradients `da` say about unit j of the state before; none: 0.
static real through(const real *da, const real *w, int64_t gates, int64_t n, int64_t j)
{
    real sum = 0;
    for (int64_t k = 0; da && k < gates; k++) sum += da[k] * w[k * n + j];
    return sum;
}

// One sequence of a call, on its way backward.
struct sequence_grad {
    enum cell kind;
    int64_t b, gates, n, kept; // kept: width of a row
    const struct op_call *call;
};

// What the gates of unit j began with: the cell before (LSTM), the state before (GRU). `before` is the row computed before, -1 none.
static real began_with(const struct sequence_grad *s, int64_t row, int64_t before, int64_t j)
{
    const real *kept = s->call->input[0], *previous = s->call->input[3], *c0 = s->call->input[4];
    if (s->kind == CELL_GRU) return previous[row * s->n + j];
    if (s->kind != CELL_LSTM) return 0;
    if (before >= 0) return kept[before * s->kept + 4 * s->n + j];
    return c0 ? c0[s->b * s->n + j] : 0;
}

// Unit j of a row; `after` the gradients of the gates of the row computed after it, NULL: none.
static void position_grad(const struct sequence_grad *s, int64_t row, int64_t before,
                          const real *after, int64_t j)
{
    const real *kept = s->call->input[0], *w = s->call->input[1], *dy = s->call->input[2];
    real *da = s->call->output[0], *dh0 = s->call->output[1], *dc0 = s->call->output[2],
         *dz = s->call->output[3];
    bool gru = s->kind == CELL_GRU;
    real carry = da[row * s->gates + j];
    real dh = dy[row * s->n + j] + through(after, w, s->gates, s->n, j) + (gru ? carry : 0);
    carry = unit_grad(s->kind, s->n, kept + row * s->kept + j, began_with(s, row, before, j), dh,
                      carry, da + row * s->gates + j, dz ? dz + row * s->gates + j : NULL);
    if (before >= 0) {
        da[before * s->gates + j] = carry;
        return;
    }
    if (dc0 && s->kind == CELL_LSTM) dc0[s->b * s->n + j] = carry;
    if (dh0) dh0[s->b * s->n + j] = gru ? carry : 0;
}

// Backward through one sequence. Until a position is computed, the first block of its row of da holds what goes on to it.
static void sequence_grad(const struct op_call *call, int64_t b, int64_t length)
{
    const struct value *v = call->value;
    const struct recurrent_attributes *attributes = v->attributes;
    int64_t tokens = v->shape.size[1];
    const struct sequence_grad s = {attributes->kind,
                                    b,
                                    v->shape.size[2],
                                    v->input[1]->shape.size[1],
                                    shape_last(v->input[0]->shape),
                                    call};
    const real *w = call->input[1], *after = NULL;
    real *da = call->output[0], *dh0 = call->output[1];
    for (int64_t step = length - 1; step >= 0; step--) {
        int64_t row = b * tokens + (attributes->reverse ? length - 1 - step : step);
        int64_t before = attributes->reverse ? row + 1 : row - 1;
        for (int64_t j = 0; j < s.n; j++) position_grad(&s, row, step > 0 ? before : -1, after, j);
        after = da + row * s.gates;
    }
    for (int64_t j = 0; dh0 && after && j < s.n; j++)
        dh0[b * s.n + j] += through(after, w, s.gates, s.n, j);
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
     .input = {SHAPE3(batch, tokens, INT64_C(kept) * (n)), SHAPE2(INT64_C(gates) * (n), n),        \
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
