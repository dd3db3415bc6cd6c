// SPDX-License-Identifier: Apache-2.0
// Cross-entropy fused with the output layer: logits of a row exist only while the row is worked on.
// A forward run that is asked for gradients computes them right there, from the logits that it has
// at hand, so there is no gradient operation.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static void infer(struct graph *g, struct value *y)
{
    const struct output_loss_attributes *attributes = y->attributes;
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) || !check_input(g, y, 1, "w", F32, 2)) return;
    struct shape x = y->input[0]->shape, w = y->input[1]->shape, targets = x;
    char text_x[64], text_w[64];
    targets.rank--;
    if (shape_last(x) != w.size[1])
        graph_fail(g, STATUS_SHAPE,
                   "output_loss: x %s and w %s have to agree in the last dimension",
                   shape_print(x, text_x), shape_print(w, text_w));
    else if (!(attributes->smoothing >= 0 && attributes->smoothing < 1))
        graph_fail(g, STATUS_USAGE,
                   "output_loss: a smoothing of %g; it has to be at least 0 and below 1",
                   attributes->smoothing);
    else if (check_shape(g, y, 2, "targets", I32, targets))
        y->shape = shape_of(1, 1);
}

static void infer_aux(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = y->input[aux->aux_index]->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    // The kernel computes both or none.
    struct value *grad[2] = {graph_aux(g, y, 0), graph_aux(g, y, 1)};
    for (int i = 0; i < 2; i++)
        if (wants(y, i)) dx[i] = op_scale(g, grad[i], dy);
}

struct sizes {
    int64_t rows, width, vocabulary;
};

static struct sizes sizes_of(const struct value *y)
{
    struct shape x = y->input[0]->shape;
    return (struct sizes){shape_rows(x), shape_last(x), y->input[1]->shape.size[0]};
}

static real logit(const real *x, const real *w, int64_t width, int64_t j)
{
    real sum = 0;
    for (int64_t i = 0; i < width; i++) sum += x[i] * w[j * width + i];
    return sum;
}

// Loss of one row; *lse_p the logarithm of the sum of exponentials of its logits.
static real row_loss(const real *x, const real *w, struct sizes n, int32_t target, real smoothing,
                     real *lse_p)
{
    real most = logit(x, w, n.width, 0), sum = 0, all = 0;
    for (int64_t j = 1; j < n.vocabulary; j++) {
        real l = logit(x, w, n.width, j);
        if (l > most) most = l;
    }
    for (int64_t j = 0; j < n.vocabulary; j++) {
        real l = logit(x, w, n.width, j);
        sum += real_exp(l - most);
        all += l;
    }
    *lse_p = most + real_log(sum);
    return *lse_p - (1 - smoothing) * logit(x, w, n.width, target) -
           smoothing / (real)n.vocabulary * all;
}

// Adds one row's part of both gradients; lse as of row_loss.
static void add_gradients(const struct op_call *call, struct sizes n, int64_t row, real smoothing,
                          real lse)
{
    const real *x = (const real *)call->input[0] + row * n.width, *w = call->input[1];
    const int32_t *targets = call->input[2];
    real *dx = call->output[1], *dw = call->output[2];
    for (int64_t j = 0; j < n.vocabulary; j++) {
        real d = real_exp(logit(x, w, n.width, j) - lse) - smoothing / (real)n.vocabulary;
        if (j == targets[row]) d -= 1 - smoothing;
        for (int64_t i = 0; i < n.width; i++) {
            if (dx) dx[row * n.width + i] += d * w[j * n.width + i];
            if (dw) dw[j * n.width + i] += d * x[i];
        }
    }
}

static void reference(const struct op_call *call)
{
    const struct output_loss_attributes *attributes = call->value->attributes;
    struct sizes n = sizes_of(call->value);
    const int32_t *targets = call->input[2];
    real *dx = call->output[1], *dw = call->output[2], *losses = call->output[3];
    real smoothing = (real)attributes->smoothing, total = 0;
    if (dx) memset(dx, 0, (size_t)(n.rows * n.width) * sizeof *dx);
    if (dw) memset(dw, 0, (size_t)(n.vocabulary * n.width) * sizeof *dw);
    for (int64_t row = 0; row < n.rows; row++) {
        real lse, loss = 0;
        INVARIANT(targets[row] < n.vocabulary, "target %d of %lld", targets[row],
                  (long long)n.vocabulary);
        if (targets[row] >= 0) {
            const real *x = (const real *)call->input[0] + row * n.width;
            loss = row_loss(x, call->input[1], n, targets[row], smoothing, &lse);
            if (dx || dw) add_gradients(call, n, row, smoothing, lse);
        }
        if (losses) losses[row] = loss;
        total += loss;
    }
    *(real *)call->output[0] = total;
}

static struct cost cost(const struct value *y)
{
    struct sizes n = sizes_of(y);
    int products = 1 + !!y->aux[0] + !!y->aux[1];
    double logits = (double)n.rows * (double)n.vocabulary;
    return (struct cost){.flops = logits * (2.0 * (double)n.width * products + 12),
                         .bytes = touched_bytes(y)};
}

static double asked(const struct op_call *call)
{
    int64_t rows = sizes_of(call->value).rows, count = 0;
    const int32_t *targets = call->input[2];
    for (int64_t r = 0; r < rows; r++) count += targets[r] >= 0;
    return rows ? (double)count / (double)rows : 1;
}

#define CASE_OF(rows, width, vocabulary, smoothing)                                                \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE2(rows, width), SHAPE2(vocabulary, width), SHAPE1(rows)},                      \
     .dtype = {F32, F32, I32},                                                                     \
     .integer_limit = (vocabulary),                                                                \
     .negative = true,                                                                             \
     .attributes = &(const struct output_loss_attributes){smoothing}},
#define CASE(n)                                                                                    \
    CASE_OF(n, 13, 11, 0) CASE_OF(5, n, 9, 0.1) CASE_OF(6, 8, n, 0) CASE_OF(n, n, n, 0.2)
static const struct op_case cases[] = {ODD_SIZES(CASE) CASE_OF(9, 16, 1000, 0.1)};

const struct op output_loss_op = {.name = "output_loss",
                                  .attribute_bytes = sizeof(struct output_loss_attributes),
                                  .infer = infer,
                                  .aux_count = 3,
                                  .infer_aux = infer_aux,
                                  .vjp = vjp,
                                  .reference = reference,
                                  .cost = cost,
                                  .asked = asked,
                                  CASES(cases)};

struct value *(op_output_loss)(struct graph *g, struct value *x, struct value *w,
                               struct value *targets, double smoothing)
{
    struct output_loss_attributes attributes = {smoothing};
    return graph_append(g, &output_loss_op, (struct value *[]){x, w, targets}, 3, &attributes,
                        sizeof attributes);
}
