// SPDX-License-Identifier: Apache-2.0
// activation(x · w + bias) + residual in both layouts of w, and its gradients: two more products and a sum
// over rows.
#include "op/activation.h"
#include "op/common.h"

static const struct linear_attributes *attributes_of(const struct value *y)
{
    return y->attributes;
}

// Sizes of w whatever its layout.
static int64_t weight_in(const struct value *w, enum layout layout)
{
    return w->shape.size[layout == LAYOUT_OUT_IN];
}
static int64_t weight_out(const struct value *w, enum layout layout)
{
    return w->shape.size[layout == LAYOUT_IN_OUT];
}

static bool check_weight(struct graph *g, const struct value *y, int i)
{
    enum layout layout = attributes_of(y)->layout;
    if (layout != LAYOUT_OUT_IN && layout != LAYOUT_IN_OUT) {
        graph_fail(g, STATUS_USAGE, "%s: there is no layout %d", y->op->name, (int)layout);
        return false;
    }
    return check_input(g, y, i, "w", F32, 2);
}

static void check_columns(struct graph *g, const struct value *y, const char *name, int64_t wanted)
{
    const struct value *x = y->input[0], *w = y->input[1];
    bool out_in = attributes_of(y)->layout == LAYOUT_OUT_IN;
    char text_x[64], text_w[64];
    if (shape_last(x->shape) != wanted)
        graph_fail(g, STATUS_SHAPE,
                   "%s: %s %s does not fit w %s (%s): the last dimension has to be %lld",
                   y->op->name, name, shape_print(x->shape, text_x), shape_print(w->shape, text_w),
                   out_in ? "out, in" : "in, out", (long long)wanted);
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) || !check_weight(g, y, 1)) return;
    enum layout layout = attributes_of(y)->layout;
    int64_t out = weight_out(y->input[1], layout);
    check_columns(g, y, "x", weight_in(y->input[1], layout));
    if (y->input[2]) check_shape(g, y, 2, "bias", F32, shape_of(1, out));
    if (!activation_known(attributes_of(y)->activation))
        graph_fail(g, STATUS_USAGE, "linear: there is no activation %d",
                   (int)attributes_of(y)->activation);
    y->shape = shape_with_last(y->input[0]->shape, out);
    if (y->inputs > 3) check_shape(g, y, 3, "residual", F32, y->shape);
}

static void infer_aux(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = y->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    enum activation activation = attributes_of(y)->activation;
    enum layout layout = attributes_of(y)->layout;
    struct value *dz = activation == ACTIVATION_NONE
                           ? dy
                           : op_activation_grad(g, graph_aux(g, y, 0), dy, activation);
    // The parameters' first: x and their gradients are dead before dx needs a place.
    if (wants(y, 1)) dx[1] = op_linear_grad_weight(g, y->input[0], dz, layout);
    if (wants(y, 2)) dx[2] = op_column_sum(g, dz);
    if (wants(y, 0)) dx[0] = op_linear_grad_input(g, dz, y->input[1], layout);
    if (y->inputs > 3 && wants(y, 3)) dx[3] = dy;
}

// Only the activation, from what went into it, which its own gradient reads.
static struct value *again(struct graph *g, struct value *y)
{
    enum activation activation = attributes_of(y)->activation;
    return activation == ACTIVATION_NONE ? NULL : op_activation(g, graph_aux(g, y, 0), activation);
}

// Element [o, i] of w.
static int64_t at(enum layout layout, int64_t out, int64_t in, int64_t o, int64_t i)
{
    return layout == LAYOUT_OUT_IN ? o * in + i : i * out + o;
}

static void reference(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *x = call->input[0], *w = call->input[1], *bias = call->input[2];
    const real *residual = call->input[3];
    real *y = call->output[0], *before = call->output[1];
    enum layout layout = attributes_of(v)->layout;
    int64_t rows = shape_rows(v->shape), out = shape_last(v->shape),
            in = shape_last(v->input[0]->shape);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < out; o++) {
            real sum = 0;
            for (int64_t i = 0; i < in; i++) sum += x[row * in + i] * w[at(layout, out, in, o, i)];
            if (bias) sum += bias[o];
            if (before) before[row * out + o] = sum;
            sum = activation_value(attributes_of(v)->activation, sum);
            y[row * out + o] = residual ? residual[row * out + o] + sum : sum;
        }
}

// Products of [rows, in] and [in, out], in any order.
static struct cost product_cost(const struct value *y, int64_t rows, int64_t in, int64_t out)
{
    return (struct cost){.flops = 2.0 * (double)rows * (double)in * (double)out,
                         .bytes = touched_bytes(y)};
}

static struct cost cost(const struct value *y)
{
    return product_cost(y, shape_rows(y->shape), shape_last(y->input[0]->shape),
                        shape_last(y->shape));
}

#define LINEAR(kind, order)                                                                        \
    .attributes = &(const struct linear_attributes) { kind, order }
#define CASE(n)                                                                                    \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE2(n, 13), SHAPE2(5, 13), SHAPE1(5)},                                           \
     LINEAR(ACTIVATION_GELU_TANH, LAYOUT_OUT_IN)},                                                 \
        {.inputs = 3,                                                                              \
         .input = {SHAPE3(2, 3, n), SHAPE2(n, 7), SHAPE1(7)},                                      \
         LINEAR(ACTIVATION_GELU, LAYOUT_IN_OUT)},                                                  \
        {.inputs = 3,                                                                              \
         .input = {SHAPE2(5, n), SHAPE2(n, n), ABSENT},                                            \
         LINEAR(ACTIVATION_NONE, LAYOUT_OUT_IN)},                                                  \
        {.inputs = 3,                                                                              \
         .input = {SHAPE2(4, 9), SHAPE2(9, n), SHAPE1(n)},                                         \
         LINEAR(ACTIVATION_SILU, LAYOUT_IN_OUT)},                                                  \
        {.inputs = 3,                                                                              \
         .input = {SHAPE2(n, n), SHAPE2(n, 3), ABSENT},                                            \
         LINEAR(ACTIVATION_RELU, LAYOUT_IN_OUT)},                                                  \
        {.inputs = 4,                                                                              \
         .input = {SHAPE3(2, n, 9), SHAPE2(9, n), SHAPE1(n), SHAPE3(2, n, n)},                     \
         LINEAR(ACTIVATION_NONE, LAYOUT_IN_OUT)},                                                  \
        {.inputs = 4,                                                                              \
         .input = {SHAPE2(n, 11), SHAPE2(6, 11), ABSENT, SHAPE2(n, 6)},                            \
         LINEAR(ACTIVATION_SILU, LAYOUT_OUT_IN)},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op linear_op = {.name = "linear",
                             .attribute_bytes = sizeof(struct linear_attributes),
                             .infer = infer,
                             .aux_count = 1,
                             .infer_aux = infer_aux,
                             .vjp = vjp,
                             .again = again,
                             .reference = reference,
                             .cost = cost,
                             CASES(cases)};

struct value *(op_linear)(struct graph *g, struct value *x, struct value *w, struct value *bias,
                          enum activation activation, enum layout layout)
{
    struct linear_attributes attributes = {activation, layout};
    return graph_append(g, &linear_op, (struct value *[]){x, w, bias}, 3, &attributes,
                        sizeof attributes);
}

struct value *(op_linear_add)(struct graph *g, struct value *x, struct value *w, struct value *bias,
                              struct value *residual, enum layout layout)
{
    struct linear_attributes attributes = {ACTIVATION_NONE, layout};
    return graph_append(g, &linear_op, (struct value *[]){x, w, bias, residual}, 4, &attributes,
                        sizeof attributes);
}

// ---- gradient with respect to x ----
static void infer_grad_input(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "dy", F32, ANY_RANK) || !check_weight(g, y, 1)) return;
    enum layout layout = attributes_of(y)->layout;
    check_columns(g, y, "dy", weight_out(y->input[1], layout));
    y->shape = shape_with_last(y->input[0]->shape, weight_in(y->input[1], layout));
}

static void reference_grad_input(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *dy = call->input[0], *w = call->input[1];
    real *dx = call->output[0];
    enum layout layout = attributes_of(v)->layout;
    int64_t rows = shape_rows(v->shape), in = shape_last(v->shape),
            out = shape_last(v->input[0]->shape);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < in; i++) {
            real sum = 0;
            for (int64_t o = 0; o < out; o++)
                sum += dy[row * out + o] * w[at(layout, out, in, o, i)];
            dx[row * in + i] = sum;
        }
}

static struct cost cost_grad_input(const struct value *y)
{
    return product_cost(y, shape_rows(y->shape), shape_last(y->shape),
                        shape_last(y->input[0]->shape));
}

#define CASE_GRAD_INPUT(n)                                                                         \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE2(n, 13), SHAPE2(13, 5)},                                                      \
     LINEAR(ACTIVATION_NONE, LAYOUT_OUT_IN)},                                                      \
        {.inputs = 2,                                                                              \
         .input = {SHAPE3(2, 3, n), SHAPE2(7, n)},                                                 \
         LINEAR(ACTIVATION_NONE, LAYOUT_IN_OUT)},                                                  \
        {.inputs = 2,                                                                              \
         .input = {SHAPE2(5, 9), SHAPE2(9, n)},                                                    \
         LINEAR(ACTIVATION_NONE, LAYOUT_OUT_IN)},
static const struct op_case cases_grad_input[] = {ODD_SIZES(CASE_GRAD_INPUT)};

const struct op linear_grad_input_op = {.name = "linear_grad_input",
                                        .attribute_bytes = sizeof(struct linear_attributes),
                                        .infer = infer_grad_input,
                                        .vjp = vjp_none,
                                        .reference = reference_grad_input,
                                        .cost = cost_grad_input,
                                        CASES(cases_grad_input)};

struct value *(op_linear_grad_input)(struct graph *g, struct value *dy, struct value *w,
                                     enum layout layout)
{
    struct linear_attributes attributes = {ACTIVATION_NONE, layout};
    return graph_append(g, &linear_grad_input_op, (struct value *[]){dy, w}, 2, &attributes,
                        sizeof attributes);
}

// ---- gradient with respect to w ----
static void infer_grad_weight(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) || !check_input(g, y, 1, "dy", F32, ANY_RANK) ||
        !check_rows(g, y, 0, "x", 1, "dy"))
        return;
    int64_t in = shape_last(y->input[0]->shape), out = shape_last(y->input[1]->shape);
    y->shape =
        attributes_of(y)->layout == LAYOUT_OUT_IN ? shape_of(2, out, in) : shape_of(2, in, out);
}

static void reference_grad_weight(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *x = call->input[0], *dy = call->input[1];
    real *dw = call->output[0];
    int64_t rows = shape_rows(v->input[0]->shape);
    int64_t in = shape_last(v->input[0]->shape), out = shape_last(v->input[1]->shape);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            real sum = 0;
            for (int64_t row = 0; row < rows; row++) sum += x[row * in + i] * dy[row * out + o];
            dw[at(attributes_of(v)->layout, out, in, o, i)] = sum;
        }
}

static struct cost cost_grad_weight(const struct value *y)
{
    const struct value *x = y->input[0], *dy = y->input[1];
    return product_cost(y, shape_rows(x->shape), shape_last(x->shape), shape_last(dy->shape));
}

#define CASE_GRAD_WEIGHT(n)                                                                        \
    {.inputs = 2, .input = {SHAPE2(n, 13), SHAPE2(n, 5)}, LINEAR(ACTIVATION_NONE, LAYOUT_OUT_IN)}, \
        {.inputs = 2,                                                                              \
         .input = {SHAPE3(2, 3, n), SHAPE3(2, 3, 7)},                                              \
         LINEAR(ACTIVATION_NONE, LAYOUT_IN_OUT)},                                                  \
        {.inputs = 2,                                                                              \
         .input = {SHAPE2(5, 9), SHAPE2(5, n)},                                                    \
         LINEAR(ACTIVATION_NONE, LAYOUT_OUT_IN)},
static const struct op_case cases_grad_weight[] = {ODD_SIZES(CASE_GRAD_WEIGHT)};

const struct op linear_grad_weight_op = {.name = "linear_grad_weight",
                                         .attribute_bytes = sizeof(struct linear_attributes),
                                         .infer = infer_grad_weight,
                                         .vjp = vjp_none,
                                         .reference = reference_grad_weight,
                                         .cost = cost_grad_weight,
                                         CASES(cases_grad_weight)};

struct value *(op_linear_grad_weight)(struct graph *g, struct value *x, struct value *dy,
                                      enum layout layout)
{
    struct linear_attributes attributes = {ACTIVATION_NONE, layout};
    return graph_append(g, &linear_grad_weight_op, (struct value *[]){x, dy}, 2, &attributes,
                        sizeof attributes);
}
