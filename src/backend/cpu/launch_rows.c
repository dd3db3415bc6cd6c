// SPDX-License-Identifier: Apache-2.0
// Losses of scores; and what is so little work that plain C does, with one rounding after another as written: pooling, windows, batch
// norm. Columns do not see one another there, and rows add in order.
#include "backend/cpu/launch.h"
#include "base/stable_math.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 64 }; // at a time

void launch_score_loss(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    const struct score_loss_attributes *attributes = call->value->attributes;
    struct shape scores = call->value->input[0]->shape;
    struct score_loss_call c = {.loss = attributes->loss,
                                .rows = scores.size[0],
                                .cols = scores.size[1],
                                .smoothing = (float)attributes->smoothing,
                                .scores = call->input[0],
                                .weights = call->input[2],
                                .total = call->output[0],
                                .dscores = call->output[1],
                                .losses = call->output[2]};
    if (call->value->input[1]->dtype == I32) {
        c.labels = call->input[1];
    } else {
        c.goals = call->input[1];
        c.dgoals = call->output[3];
    }
    if (part->index == 0) KERNEL_OF(step, score_loss)(&c);
}

void launch_class_loss(const struct step *step, const struct part *part)
{
    launch_score_loss(step, part);
}

void launch_log_softmax(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    int64_t n = shape_last(call->value->shape);
    struct range rows = part_range(part, shape_rows(call->value->shape), 1);
    KERNEL_OF(step, log_softmax)
    ((float *)call->output[0] + rows.first * n, (const float *)call->input[0] + rows.first * n,
     rows.last - rows.first, n);
}

void launch_add_row(const struct step *step, const struct part *part)
{
    const float *x = step->call.input[0], *row = step->call.input[1];
    struct shape shape = step->call.value->shape;
    int64_t width = shape_last(shape);
    struct range rows = part_range(part, shape_rows(shape), 1);
    float *y = step->call.output[0];
    for (int64_t i = rows.first; i < rows.last; i++)
        for (int64_t j = 0; j < width; j++) y[i * width + j] = x[i * width + j] + row[j];
}

// ---- pooling: by sequences ----
static int64_t length_of(const int32_t *lengths, int64_t b, int64_t tokens)
{
    return lengths && lengths[b] < tokens ? lengths[b] : tokens;
}
static int64_t chosen(enum pool pool, const float *x, int64_t length, int64_t width, int64_t j)
{
    int64_t at = pool == POOL_LAST ? length - 1 : 0;
    for (int64_t t = 1; pool == POOL_MAX && t < length; t++)
        if (x[t * width + j] > x[at * width + j]) at = t;
    return at;
}

static void add_up(float *y, const float *x, int64_t length, int64_t width, enum pool pool)
{
    float count = pool == POOL_MEAN && length > 0 ? (float)length : 1;
    memset(y, 0, (size_t)width * sizeof *y);
    for (int64_t t = 0; t < length; t++)
        for (int64_t j = 0; j < width; j++) y[j] += x[t * width + j];
    for (int64_t j = 0; j < width; j++) y[j] /= count;
}

void launch_pool(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    enum pool pool = ((const struct pool_attributes *)call->value->attributes)->pool;
    struct shape shape = call->value->input[0]->shape;
    int64_t tokens = shape.size[1], width = shape.size[2];
    const int32_t *lengths = call->input[1];
    struct range sequences = part_range(part, shape.size[0], 1);
    for (int64_t b = sequences.first; b < sequences.last; b++) {
        const float *x = (const float *)call->input[0] + b * tokens * width;
        float *y = (float *)call->output[0] + b * width;
        int64_t length = length_of(lengths, b, tokens);
        if (pool == POOL_MEAN || pool == POOL_SUM || length == 0)
            add_up(y, x, length, width, pool);
        else
            for (int64_t j = 0; j < width; j++)
                y[j] = x[chosen(pool, x, length, width, j) * width + j];
    }
}

void launch_pool_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    enum pool pool = ((const struct pool_attributes *)call->value->attributes)->pool;
    struct shape shape = call->value->shape;
    int64_t tokens = shape.size[1], width = shape.size[2];
    const int32_t *lengths = call->input[1];
    struct range sequences = part_range(part, shape.size[0], 1);
    for (int64_t b = sequences.first; b < sequences.last; b++) {
        const float *x = (const float *)call->input[0] + b * tokens * width,
                    *dy = (const float *)call->input[2] + b * width;
        float *dx = (float *)call->output[0] + b * tokens * width;
        int64_t length = length_of(lengths, b, tokens);
        memset(dx, 0, (size_t)(tokens * width) * sizeof *dx);
        bool adds = pool == POOL_MEAN || pool == POOL_SUM;
        float count = pool == POOL_MEAN ? (float)length : 1;
        for (int64_t t = 0; adds && t < length; t++)
            for (int64_t j = 0; j < width; j++) dx[t * width + j] = dy[j] / count;
        for (int64_t j = 0; !adds && length > 0 && j < width; j++)
            dx[chosen(pool, x, length, width, j) * width + j] = dy[j];
    }
}

// ---- windows: by sequences ----
void launch_window(const struct step *step, const struct part *part)
{
    struct shape y = step->call.value->shape, x = step->call.value->input[0]->shape;
    struct range sequences = part_range(part, y.size[0], 1);
    for (int64_t b = sequences.first; b < sequences.last; b++)
        for (int64_t t = 0; t < y.size[1]; t++)
            memcpy((float *)step->call.output[0] + (b * y.size[1] + t) * y.size[2],
                   (const float *)step->call.input[0] + (b * x.size[1] + t) * x.size[2],
                   (size_t)y.size[2] * sizeof(float));
}

void launch_window_grad(const struct step *step, const struct part *part)
{
    struct shape dy = step->call.value->input[0]->shape, dx = step->call.value->shape;
    struct range sequences = part_range(part, dy.size[0], 1);
    for (int64_t b = sequences.first; b < sequences.last; b++) {
        float *to = (float *)step->call.output[0] + b * dx.size[1] * dx.size[2];
        memset(to, 0, (size_t)(dx.size[1] * dx.size[2]) * sizeof *to);
        for (int64_t t = 0; t < dy.size[1]; t++) {
            const float *from =
                (const float *)step->call.input[0] + (b * dy.size[1] + t) * dy.size[2];
            for (int64_t j = 0; j < dy.size[2]; j++) to[t * dx.size[2] + j] += from[j];
        }
    }
}

// ---- batch norm: by columns ----
struct columns {
    const float *x;
    int64_t rows, width, first, count;
    float mean[COLUMNS], variance[COLUMNS], scale[COLUMNS];
};

static float epsilon_of(const struct value *v)
{
    return (float)((const struct norm_attributes *)v->attributes)->epsilon;
}

static void find_moments(struct columns *c, float epsilon)
{
    memset(c->mean, 0, sizeof c->mean);
    memset(c->variance, 0, sizeof c->variance);
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->count; j++) c->mean[j] += c->x[i * c->width + c->first + j];
    for (int64_t j = 0; j < c->count; j++) c->mean[j] /= (float)c->rows;
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->count; j++) {
            float d = c->x[i * c->width + c->first + j] - c->mean[j];
            c->variance[j] += d * d;
        }
    for (int64_t j = 0; j < c->count; j++) c->variance[j] /= (float)c->rows;
    for (int64_t j = 0; j < c->count; j++) c->scale[j] = 1 / sqrtf(c->variance[j] + epsilon);
}

// The next columns of this part's range; false when there are none.
static bool next_columns(struct columns *c, const struct op_call *call, struct range *left)
{
    if (left->first >= left->last) return false;
    struct shape shape = call->value->shape;
    c->x = call->input[0];
    c->rows = shape_rows(shape), c->width = shape_last(shape), c->first = left->first;
    c->count = left->last - left->first < COLUMNS ? left->last - left->first : COLUMNS;
    left->first += c->count;
    return true;
}

void launch_batch_norm(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct range left = part_range(part, shape_last(call->value->shape), COLUMN_UNIT);
    for (struct columns c; next_columns(&c, call, &left);) {
        const float *gain = (const float *)call->input[1] + c.first,
                    *bias = (const float *)call->input[2] + c.first;
        float *y = (float *)call->output[0] + c.first, *mean = call->output[1],
              *variance = call->output[2];
        find_moments(&c, epsilon_of(call->value));
        for (int64_t i = 0; i < c.rows; i++)
            for (int64_t j = 0; j < c.count; j++)
                y[i * c.width + j] =
                    (c.x[i * c.width + c.first + j] - c.mean[j]) * c.scale[j] * gain[j] + bias[j];
        float unbias = c.rows > 1 ? (float)c.rows / (float)(c.rows - 1) : 1;
        for (int64_t j = 0; mean && j < c.count; j++) mean[c.first + j] = c.mean[j];
        for (int64_t j = 0; variance && j < c.count; j++)
            variance[c.first + j] = c.variance[j] * unbias;
    }
}

void launch_batch_norm_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct range left = part_range(part, shape_last(call->value->shape), COLUMN_UNIT);
    for (struct columns c; next_columns(&c, call, &left);) {
        const float *gain = (const float *)call->input[1] + c.first,
                    *dy = (const float *)call->input[2] + c.first;
        float *dx = (float *)call->output[0] + c.first, *dgain = call->output[1],
              *dbias = call->output[2];
        float sum[COLUMNS] = {0}, along[COLUMNS] = {0};
        find_moments(&c, epsilon_of(call->value));
        for (int64_t i = 0; i < c.rows; i++)
            for (int64_t j = 0; j < c.count; j++) {
                sum[j] += dy[i * c.width + j];
                along[j] += dy[i * c.width + j] *
                            ((c.x[i * c.width + c.first + j] - c.mean[j]) * c.scale[j]);
            }
        for (int64_t i = 0; i < c.rows; i++)
            for (int64_t j = 0; j < c.count; j++) {
                float normal = (c.x[i * c.width + c.first + j] - c.mean[j]) * c.scale[j];
                float rest = dy[i * c.width + j] - (sum[j] + normal * along[j]) / (float)c.rows;
                dx[i * c.width + j] = gain[j] * c.scale[j] * rest;
            }
        for (int64_t j = 0; dgain && j < c.count; j++) dgain[c.first + j] = along[j];
        for (int64_t j = 0; dbias && j < c.count; j++) dbias[c.first + j] = sum[j];
    }
}

void launch_batch_norm_running(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct range left = part_range(part, shape_last(call->value->shape), COLUMN_UNIT);
    for (struct columns c; next_columns(&c, call, &left);) {
        const float *gain = (const float *)call->input[1] + c.first,
                    *bias = (const float *)call->input[2] + c.first;
        const float *mean = (const float *)call->input[3] + c.first,
                    *variance = (const float *)call->input[4] + c.first;
        float *y = (float *)call->output[0] + c.first;
        for (int64_t j = 0; j < c.count; j++)
            c.scale[j] = 1 / sqrtf((variance[j] < 0 ? 0 : variance[j]) + epsilon_of(call->value));
        for (int64_t i = 0; i < c.rows; i++)
            for (int64_t j = 0; j < c.count; j++)
                y[i * c.width + j] =
                    (c.x[i * c.width + c.first + j] - mean[j]) * c.scale[j] * gain[j] + bias[j];
    }
}

void launch_drift(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    const struct drift_attributes *attributes = call->value->attributes;
    const float *running = call->input[0], *now = call->input[1];
    float *y = call->output[0];
    struct range r = part_range(part, shape_count(call->value->shape), COLUMN_UNIT);
    for (int64_t i = r.first; i < r.last; i++)
        y[i] = (running[i] - now[i]) * (float)attributes->rows;
}

// ---- positions: rows that stand in the sequence before are copied ----
void launch_sinusoid(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    int64_t width = shape_last(call->value->shape), rows = shape_rows(call->value->shape);
    int64_t each = shape_last(call->value->input[0]->shape);
    const int32_t *positions = call->input[0];
    struct range r = part_range(part, width, COLUMN_UNIT);
    float *y = call->output[0];
    for (int64_t row = 0; row < rows; row++) {
        bool known = row >= each && positions[row] == positions[row - each];
        for (int64_t j = r.first; j < r.last; j++) {
            float *to = y + row * width + j;
            if (known) {
                *to = to[-each * width];
                continue;
            }
            int64_t pair = j - j % 2;
            double rate = stable_exp(-(double)pair / (double)width * 9.210340371976184); // ln 10000
            double angle = (double)positions[row] * rate;
            *to = (float)(j % 2 ? stable_cos(angle) : stable_sin(angle));
        }
    }
}
