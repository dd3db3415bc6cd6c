// SPDX-License-Identifier: Apache-2.0
// The kernel computes both gradients or none: where only one was asked for, the other goes into
// scratch. Rows whose target is ignored (padding; all but the masked tokens) cost nothing: where there are some, the others are
// put one behind the other, and what comes out is spread over the rows again. Their sums add the same numbers in the same order.
#include "backend/cpu/launch.h"

#include <string.h>

static struct output_loss describe(const struct value *v)
{
    const struct output_loss_attributes *attributes = v->attributes;
    struct shape x = v->input[0]->shape;
    return (struct output_loss){.rows = shape_rows(x),
                                .room = shape_rows(x),
                                .width = shape_last(x),
                                .vocabulary = v->input[1]->shape.size[0],
                                .smoothing = (float)attributes->smoothing};
}

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t stray_bytes(const struct value *v)
{
    if (!v->aux[0] == !v->aux[1]) return 0;
    return line_up((size_t)shape_count(v->input[v->aux[0] ? 1 : 0]->shape) * sizeof(float));
}

// ---- rows that count ----
// One behind the other; room for all of the problem's.
struct dense {
    float *x;         // [rows, width]
    int32_t *targets; // [rows]
    float *losses;    // [rows]
};

static size_t row_bytes(const struct output_loss *loss, int64_t width)
{
    return line_up((size_t)(loss->room * width) * sizeof(float));
}

static size_t dense_bytes(const struct output_loss *loss)
{
    return row_bytes(loss, loss->width) + 2 * row_bytes(loss, 1);
}

static struct dense dense_at(const struct output_loss *loss, unsigned char *memory)
{
    unsigned char *behind_x = memory + row_bytes(loss, loss->width);
    return (struct dense){(float *)memory, (int32_t *)behind_x,
                          (float *)(behind_x + row_bytes(loss, 1))};
}

static int64_t counting(const int32_t *targets, int64_t rows)
{
    int64_t count = 0;
    for (int64_t r = 0; r < rows; r++) count += targets[r] >= 0;
    return count;
}

static void gather(const struct output_loss *loss, const struct dense *dense,
                   const struct part *part)
{
    struct range rows = part_range(part, loss->rows, 1);
    int64_t to = counting(loss->targets, rows.first), width = loss->width;
    for (int64_t r = rows.first; r < rows.last; r++) {
        if (loss->targets[r] < 0) continue;
        memcpy(dense->x + to * width, loss->x + r * width, (size_t)width * sizeof(float));
        dense->targets[to++] = loss->targets[r];
    }
}

// Rows move to their places from the last one on: none is further back than where it belongs. Parts are columns.
static void spread(float *x, int64_t width, const int32_t *targets, int64_t rows, int64_t count,
                   struct range columns)
{
    if (columns.first >= columns.last) return;
    size_t bytes = (size_t)(columns.last - columns.first) * sizeof(float);
    for (int64_t r = rows - 1; r >= 0; r--) {
        float *to = x + r * width + columns.first;
        if (targets[r] < 0)
            memset(to, 0, bytes);
        else if (--count < r)
            memcpy(to, x + count * width + columns.first, bytes);
    }
}

static void clear(const struct output_loss *loss, const struct part *part)
{
    struct range entries = part_range(part, loss->vocabulary, 1);
    if (loss->dw)
        memset(loss->dw + entries.first * loss->width, 0,
               (size_t)((entries.last - entries.first) * loss->width) * sizeof(float));
    if (part->index == 0) *loss->loss = 0;
}

// loss: of all rows, of which `count` count. scratch: the dense rows, then the kernel's.
static void launch_dense(const struct step *step, const struct output_loss *loss, int64_t count,
                         unsigned char *scratch, const struct part *part)
{
    struct output_loss some = *loss;
    struct dense dense = dense_at(loss, scratch);
    gather(loss, &dense, part);
    part_meet(part);
    some.rows = count;
    some.x = dense.x;
    some.targets = dense.targets;
    if (loss->losses) some.losses = dense.losses;
    if (count)
        KERNEL_OF(step, output_loss)(&some, scratch + dense_bytes(loss), part);
    else
        clear(loss, part);
    part_meet(part);
    if (loss->dx)
        spread(loss->dx, loss->width, loss->targets, loss->rows, count,
               part_range(part, loss->width, COLUMN_UNIT));
    if (!loss->losses || part->index > 0) return;
    memcpy(loss->losses, dense.losses, (size_t)count * sizeof(float));
    spread(loss->losses, 1, loss->targets, loss->rows, count, (struct range){0, 1});
}

// ---- the step ----
struct scratch scratch_output_loss(const struct value *v, kernel_function sizes, int threads)
{
    struct output_loss loss = describe(v);
    size_t kernel = ((__typeof__(&output_loss_scratch_bytes_generic))sizes)(
        loss.rows, loss.width, loss.vocabulary, threads);
    return (struct scratch){.shared = stray_bytes(v) + dense_bytes(&loss) + kernel};
}

// The table as an operand B of the logits, and of dx where gradients are asked for.
void packing_output_loss(const struct value *v, const struct cpu_row *row, struct packing *packing)
{
    struct output_loss loss = describe(v);
    struct product across = {
        .cols = loss.vocabulary, .depth = loss.width, .b_depth = 1, .b_col = loss.width};
    struct product dx = {
        .cols = loss.width, .depth = loss.vocabulary, .b_depth = loss.width, .b_col = 1};
    packing[0] = packing_of(v->input[1], row, &across);
    if (v->aux[0] || v->aux[1]) packing[1] = packing_of(v->input[1], row, &dx);
}

void launch_output_loss(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct output_loss loss = describe(call->value);
    size_t stray = stray_bytes(call->value);
    unsigned char *scratch =
        call->scratch; // the stray gradient, rows that count, then the kernel's
    loss.x = call->input[0];
    loss.w = call->input[1];
    loss.targets = call->input[2];
    loss.loss = call->output[0];
    loss.dx = call->output[1];
    loss.dw = call->output[2];
    loss.losses = call->output[3];
    loss.packed_across = step->packed[0];
    loss.packed = step->packed[1];
    if (stray && !loss.dx) loss.dx = (float *)scratch;
    if (stray && !loss.dw) loss.dw = (float *)scratch;
    scratch += stray;
    int64_t count = counting(loss.targets, loss.rows);
    if (count < loss.rows)
        launch_dense(step, &loss, count, scratch, part);
    else
        KERNEL_OF(step, output_loss)(&loss, scratch + dense_bytes(&loss), part);
}
