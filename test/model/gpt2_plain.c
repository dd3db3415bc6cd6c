// SPDX-License-Identifier: Apache-2.0
// Every function comes as a pair: forward, and backward, which gets the gradient of the loss with respect to
// the output (dy) and adds to the gradients with respect to inputs and weights (dx, dw). "rows" are all
// positions of all sequences, batch * length.
#include "gpt2_plain.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// ---- where the weights are ----

static double *take(double **next, long count)
{
    double *here = *next;
    *next += count;
    return here;
}

static double *take_bias(const struct plain_config *c, double **next, long count)
{
    return c->bias ? take(next, count) : NULL;
}

long plain_count(const struct plain_config *c)
{
    long width = c->width, hidden = c->hidden, norm = c->bias ? 2 * width : width;
    long layer = 2 * norm + 4 * width * width + 2 * width * hidden;
    if (c->bias) layer += 3 * width + width + hidden + width;
    return (c->vocabulary + c->context) * width + c->layers * layer + norm;
}

void plain_map(const struct plain_config *c, double *block, struct plain_weights *weights)
{
    double *next = block;
    long width = c->width, hidden = c->hidden;
    weights->wte = take(&next, c->vocabulary * width);
    weights->wpe = take(&next, c->context * width);
    for (int i = 0; i < c->layers; i++) {
        struct plain_layer *l = &weights->layer[i];
        l->ln_1_weight = take(&next, width);
        l->ln_1_bias = take_bias(c, &next, width);
        l->attention_weight = take(&next, width * 3 * width);
        l->attention_bias = take_bias(c, &next, 3 * width);
        l->projection_weight = take(&next, width * width);
        l->projection_bias = take_bias(c, &next, width);
        l->ln_2_weight = take(&next, width);
        l->ln_2_bias = take_bias(c, &next, width);
        l->up_weight = take(&next, width * hidden);
        l->up_bias = take_bias(c, &next, hidden);
        l->down_weight = take(&next, hidden * width);
        l->down_bias = take_bias(c, &next, width);
    }
    weights->ln_f_weight = take(&next, width);
    weights->ln_f_bias = take_bias(c, &next, width);
}

// ---- embedding: x = wte[token] + wpe[position] ----

static void embed_forward(const struct plain_config *c, const struct plain_weights *w,
                          const int *tokens, int batch, int length, double *x)
{
    for (int row = 0; row < batch * length; row++)
        for (int i = 0; i < c->width; i++)
            x[row * c->width + i] =
                w->wte[tokens[row] * c->width + i] + w->wpe[row % length * c->width + i];
}

static void embed_backward(const struct plain_config *c, const int *tokens, int batch, int length,
                           const double *dx, struct plain_weights *dw)
{
    for (int row = 0; row < batch * length; row++)
        for (int i = 0; i < c->width; i++) {
            dw->wte[tokens[row] * c->width + i] += dx[row * c->width + i];
            dw->wpe[row % length * c->width + i] += dx[row * c->width + i];
        }
}

// ---- linear: y [rows, out] = x [rows, in] . w [in, out] + bias [out] ----

static void linear_forward(const double *x, const double *w, const double *bias, int rows, int in,
                           int out, double *y)
{
    for (int row = 0; row < rows; row++)
        for (int j = 0; j < out; j++) {
            double sum = bias ? bias[j] : 0;
            for (int i = 0; i < in; i++) sum += x[row * in + i] * w[i * out + j];
            y[row * out + j] = sum;
        }
}

// dx = dy . w^T, dw = x^T . dy, dbias = the sum of dy over rows.
static void linear_backward(const double *x, const double *w, const double *dy, int rows, int in,
                            int out, double *dx, double *dw, double *dbias)
{
    for (int row = 0; row < rows; row++)
        for (int j = 0; j < out; j++) {
            double d = dy[row * out + j];
            for (int i = 0; i < in; i++) {
                dx[row * in + i] += d * w[i * out + j];
                dw[i * out + j] += d * x[row * in + i];
            }
            if (dbias) dbias[j] += d;
        }
}

// ---- layer norm: y = (x - mean) / sqrt(variance + epsilon) * gain + bias, each row by itself ----

static void norm_statistics(const double *x, int width, double epsilon, double *mean, double *scale)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < width; i++) sum += x[i];
    *mean = sum / width;
    for (int i = 0; i < width; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *scale = 1 / sqrt(squares / width + epsilon);
}

static void norm_forward(const double *x, const double *gain, const double *bias, int rows,
                         int width, double epsilon, double *y)
{
    for (int row = 0; row < rows; row++, x += width, y += width) {
        double mean, scale;
        norm_statistics(x, width, epsilon, &mean, &scale);
        for (int i = 0; i < width; i++)
            y[i] = (x[i] - mean) * scale * gain[i] + (bias ? bias[i] : 0);
    }
}

// With n the normalised x and dn = dy * gain: dx = scale * (dn - mean(dn) - n * mean(dn * n)).
static void norm_backward(const double *x, const double *gain, const double *dy, int rows,
                          int width, double epsilon, double *dx, double *dgain, double *dbias)
{
    for (int row = 0; row < rows; row++, x += width, dy += width, dx += width) {
        double mean, scale, mean_dn = 0, mean_dn_n = 0;
        norm_statistics(x, width, epsilon, &mean, &scale);
        for (int i = 0; i < width; i++) {
            double n = (x[i] - mean) * scale, dn = dy[i] * gain[i];
            mean_dn += dn / width;
            mean_dn_n += dn * n / width;
            dgain[i] += dy[i] * n;
            if (dbias) dbias[i] += dy[i];
        }
        for (int i = 0; i < width; i++) {
            double n = (x[i] - mean) * scale;
            dx[i] += scale * (dy[i] * gain[i] - mean_dn - n * mean_dn_n);
        }
    }
}

// ---- GELU, the form with tanh: y = x / 2 (1 + tanh(k (x + 0.044715 x^3))), k = sqrt(2 / pi) ----

static const double GELU_SCALE = 0.79788456080286535588, GELU_CUBE = 0.044715;

static void gelu_forward(const double *x, int count, double *y)
{
    for (int i = 0; i < count; i++)
        y[i] = 0.5 * x[i] * (1 + tanh(GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i])));
}

static void gelu_backward(const double *x, const double *dy, int count, double *dx)
{
    for (int i = 0; i < count; i++) {
        double t = tanh(GELU_SCALE * (x[i] + GELU_CUBE * x[i] * x[i] * x[i]));
        double inner = GELU_SCALE * (1 + 3 * GELU_CUBE * x[i] * x[i]);
        dx[i] += dy[i] * (0.5 * (1 + t) + 0.5 * x[i] * (1 - t * t) * inner);
    }
}

// ---- causal attention: y = softmax(q k^T / sqrt(head size)) v, for every sequence and head ----
// qkv [rows, 3 * width]: a row holds its query, its key, its value, each [heads, size].
// share [batch, heads, length, length]: how much query t looks at key s; 0 where s > t.

static void attention_forward(const struct plain_config *c, const double *qkv, int batch,
                              int length, double *share, double *y)
{
    int width = c->width, size = width / c->heads;
    for (int b = 0; b < batch; b++)
        for (int head = 0; head < c->heads; head++)
            for (int t = 0; t < length; t++) {
                const double *q = qkv + (b * length + t) * 3 * width + head * size;
                double *p = share + ((b * c->heads + head) * length + t) * length;
                double *out = y + (b * length + t) * width + head * size, most = -INFINITY, sum = 0;
                for (int s = 0; s <= t; s++) {
                    const double *k = qkv + (b * length + s) * 3 * width + width + head * size;
                    double score = 0;
                    for (int i = 0; i < size; i++) score += q[i] * k[i];
                    p[s] = score / sqrt(size);
                    most = fmax(most, p[s]);
                }
                for (int s = 0; s <= t; s++) sum += p[s] = exp(p[s] - most);
                for (int i = 0; i < size; i++) out[i] = 0;
                for (int s = 0; s <= t; s++) {
                    const double *v = qkv + (b * length + s) * 3 * width + 2 * width + head * size;
                    p[s] /= sum;
                    for (int i = 0; i < size; i++) out[i] += p[s] * v[i];
                }
            }
}

// With dp[s] = dy . v[s]: the softmax passes back dscore[s] = p[s] (dp[s] - sum of p dp), and scores pass it
// to q and k.
static void attention_backward(const struct plain_config *c, const double *qkv, const double *share,
                               const double *dy, int batch, int length, double *dqkv)
{
    int width = c->width, size = width / c->heads;
    for (int b = 0; b < batch; b++)
        for (int head = 0; head < c->heads; head++)
            for (int t = 0; t < length; t++) {
                int query = (b * length + t) * 3 * width + head * size;
                const double *p = share + ((b * c->heads + head) * length + t) * length;
                const double *d = dy + (b * length + t) * width + head * size;
                double weighted = 0;
                for (int s = 0; s <= t; s++)
                    for (int i = 0; i < size; i++)
                        weighted += p[s] * d[i] *
                                    qkv[(b * length + s) * 3 * width + 2 * width + head * size + i];
                for (int s = 0; s <= t; s++) {
                    int key = (b * length + s) * 3 * width + width + head * size,
                        value = key + width;
                    double dp = 0;
                    for (int i = 0; i < size; i++) {
                        dp += d[i] * qkv[value + i];
                        dqkv[value + i] += p[s] * d[i];
                    }
                    double dscore = p[s] * (dp - weighted) / sqrt(size);
                    for (int i = 0; i < size; i++) {
                        dqkv[query + i] += dscore * qkv[key + i];
                        dqkv[key + i] += dscore * qkv[query + i];
                    }
                }
            }
}

// ---- output layer and loss: logits = x . wte^T; loss = -log softmax(logits)[target], smoothed; summed over
// rows ---- dlogit = softmax(logits) - wanted distribution. dx and dwte may be NULL together.

static double loss_both(const struct plain_config *c, const double *x, const double *wte,
                        const int *targets, int rows, double *logits, double *dx, double *dwte)
{
    int width = c->width, vocabulary = c->vocabulary;
    double loss = 0, spread = c->smoothing / vocabulary;
    for (int row = 0; row < rows; row++, x += width, logits += vocabulary) {
        double most = -INFINITY, sum = 0;
        for (int v = 0; v < vocabulary; v++) {
            logits[v] = 0;
            for (int i = 0; i < width; i++) logits[v] += x[i] * wte[v * width + i];
            most = fmax(most, logits[v]);
        }
        for (int v = 0; v < vocabulary; v++) sum += exp(logits[v] - most);
        if (targets[row] < 0) continue;
        for (int v = 0; v < vocabulary; v++) {
            double wanted = spread + (v == targets[row] ? 1 - c->smoothing : 0);
            double log_share = logits[v] - most - log(sum), dlogit = exp(log_share) - wanted;
            loss -= wanted * log_share;
            for (int i = 0; dx && i < width; i++) {
                dx[row * width + i] += dlogit * wte[v * width + i];
                dwte[v * width + i] += dlogit * x[i];
            }
        }
    }
    return loss;
}

// ---- one layer: x += projection(attention(norm(x))); x += down(gelu(up(norm(x)))) ----

// What the forward pass leaves for the backward pass.
struct saved {
    double *in;     // [rows, width] the residual stream where the layer starts
    double *norm_1; // [rows, width]
    double *qkv;    // [rows, 3 * width]
    double *share;  // [batch, heads, length, length]
    double *heads;  // [rows, width]
    double *middle; // [rows, width] the stream between the two halves
    double *norm_2; // [rows, width]
    double *up;     // [rows, hidden]
    double *active; // [rows, hidden]
    double *out;    // [rows, width]
};

// Zeroed numbers from a heap that is freed as a whole at the end of the step.
struct heap {
    void *piece[64 + 16 * PLAIN_MOST_LAYERS];
    int count;
};

static double *zeros(struct heap *heap, long count)
{
    double *x = calloc((size_t)count, sizeof *x);
    if (!x || heap->count == (int)(sizeof heap->piece / sizeof *heap->piece)) abort();
    return heap->piece[heap->count++] = x;
}

static void layer_forward(const struct plain_config *c, const struct plain_layer *w, int batch,
                          int length, struct heap *heap, struct saved *s)
{
    int rows = batch * length, width = c->width, hidden = c->hidden;
    s->norm_1 = zeros(heap, rows * width);
    s->qkv = zeros(heap, rows * 3 * width);
    s->share = zeros(heap, (long)batch * c->heads * length * length);
    s->heads = zeros(heap, rows * width);
    s->middle = zeros(heap, rows * width);
    norm_forward(s->in, w->ln_1_weight, w->ln_1_bias, rows, width, c->epsilon, s->norm_1);
    linear_forward(s->norm_1, w->attention_weight, w->attention_bias, rows, width, 3 * width,
                   s->qkv);
    attention_forward(c, s->qkv, batch, length, s->share, s->heads);
    linear_forward(s->heads, w->projection_weight, w->projection_bias, rows, width, width,
                   s->middle);
    for (int i = 0; i < rows * width; i++) s->middle[i] += s->in[i];

    s->norm_2 = zeros(heap, rows * width);
    s->up = zeros(heap, rows * hidden);
    s->active = zeros(heap, rows * hidden);
    s->out = zeros(heap, rows * width);
    norm_forward(s->middle, w->ln_2_weight, w->ln_2_bias, rows, width, c->epsilon, s->norm_2);
    linear_forward(s->norm_2, w->up_weight, w->up_bias, rows, width, hidden, s->up);
    gelu_forward(s->up, rows * hidden, s->active);
    linear_forward(s->active, w->down_weight, w->down_bias, rows, hidden, width, s->out);
    for (int i = 0; i < rows * width; i++) s->out[i] += s->middle[i];
}

// The gradient of the stream goes through both halves and past them. dx [rows, width]: in, of the layer's
// end; out, of its start.
static void layer_backward(const struct plain_config *c, const struct plain_layer *w,
                           const struct saved *s, int batch, int length, struct heap *heap,
                           double *dx, struct plain_layer *dw)
{
    int rows = batch * length, width = c->width, hidden = c->hidden;
    double *dactive = zeros(heap, rows * hidden), *dup = zeros(heap, rows * hidden);
    double *dnorm_2 = zeros(heap, rows * width);
    linear_backward(s->active, w->down_weight, dx, rows, hidden, width, dactive, dw->down_weight,
                    dw->down_bias);
    gelu_backward(s->up, dactive, rows * hidden, dup);
    linear_backward(s->norm_2, w->up_weight, dup, rows, width, hidden, dnorm_2, dw->up_weight,
                    dw->up_bias);
    norm_backward(s->middle, w->ln_2_weight, dnorm_2, rows, width, c->epsilon, dx, dw->ln_2_weight,
                  dw->ln_2_bias);

    double *dheads = zeros(heap, rows * width), *dqkv = zeros(heap, rows * 3 * width);
    double *dnorm_1 = zeros(heap, rows * width);
    linear_backward(s->heads, w->projection_weight, dx, rows, width, width, dheads,
                    dw->projection_weight, dw->projection_bias);
    attention_backward(c, s->qkv, s->share, dheads, batch, length, dqkv);
    linear_backward(s->norm_1, w->attention_weight, dqkv, rows, width, 3 * width, dnorm_1,
                    dw->attention_weight, dw->attention_bias);
    norm_backward(s->in, w->ln_1_weight, dnorm_1, rows, width, c->epsilon, dx, dw->ln_1_weight,
                  dw->ln_1_bias);
}

// ---- the step ----

double plain_step(const struct plain_config *c, double *block, const int *tokens,
                  const int *targets, int batch, int length, double *gradients, double *logits)
{
    int rows = batch * length, width = c->width;
    struct heap heap = {.count = 0};
    struct plain_weights w, dw;
    struct saved saved[PLAIN_MOST_LAYERS];
    plain_map(c, block, &w);

    double *x = zeros(&heap, rows * width), *norm_f = zeros(&heap, rows * width);
    if (!logits) logits = zeros(&heap, (long)rows * c->vocabulary);
    embed_forward(c, &w, tokens, batch, length, x);
    for (int i = 0; i < c->layers; i++) {
        saved[i].in = x;
        layer_forward(c, &w.layer[i], batch, length, &heap, &saved[i]);
        x = saved[i].out;
    }
    norm_forward(x, w.ln_f_weight, w.ln_f_bias, rows, width, c->epsilon, norm_f);

    double loss;
    if (gradients) {
        plain_map(c, gradients, &dw);
        double *dnorm_f = zeros(&heap, rows * width), *dx = zeros(&heap, rows * width);
        loss = loss_both(c, norm_f, w.wte, targets, rows, logits, dnorm_f, dw.wte);
        norm_backward(x, w.ln_f_weight, dnorm_f, rows, width, c->epsilon, dx, dw.ln_f_weight,
                      dw.ln_f_bias);
        for (int i = c->layers - 1; i >= 0; i--)
            layer_backward(c, &w.layer[i], &saved[i], batch, length, &heap, dx, &dw.layer[i]);
        embed_backward(c, tokens, batch, length, dx, &dw);
    } else {
        loss = loss_both(c, norm_f, w.wte, targets, rows, logits, NULL, NULL);
    }
    for (int i = 0; i < heap.count; i++) free(heap.piece[i]);
    return loss;
}
