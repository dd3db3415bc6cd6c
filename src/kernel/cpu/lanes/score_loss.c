// SPDX-License-Identifier: Apache-2.0
// Losses of scores: rows one after another, columns in lanes, sums of a row as lane reductions; rows add in order.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

#include <math.h>

LANES_INLINE lanes positive(lanes x) { return lanes_max(lanes_zero(), x); }

// Loss of scores s against goals t, and both slopes.
LANES_INLINE lanes pair_loss(enum score_loss loss, lanes s, lanes t, lanes *ds, lanes *dt)
{
    lanes one = lanes_set(1), zero = lanes_zero(), left = lanes_fnma(t, s, one), two = lanes_set(2);
    if (loss == LOSS_BINARY) {
        lanes small = lanes_exp(lanes_neg(lanes_abs(s))), sum = lanes_add(one, small);
        lanes share = lanes_div(lanes_select(lanes_less(zero, s), one, small), sum);
        *ds = lanes_sub(share, t), *dt = lanes_neg(s);
        return lanes_add(lanes_fnma(s, t, positive(s)), lanes_log(sum));
    }
    if (loss == LOSS_SQUARED) {
        lanes d = lanes_sub(s, t);
        *ds = lanes_mul(two, d), *dt = lanes_neg(*ds);
        return lanes_mul(d, d);
    }
    lanes_mask active = lanes_less(zero, left);
    lanes factor = loss == LOSS_HINGE ? one : lanes_mul(two, left);
    *ds = lanes_select(active, lanes_neg(lanes_mul(factor, t)), zero);
    *dt = lanes_select(active, lanes_neg(lanes_mul(factor, s)), zero);
    left = lanes_select(active, left, lanes_max(zero, left)); // keeps a NaN
    return loss == LOSS_HINGE ? left : lanes_mul(left, left);
}

static void store_slopes(float *to, int64_t j, lanes slope, float weight, int64_t some)
{
    if (to) lanes_store_some(to + j, lanes_mul(lanes_set(weight), slope), some);
}

static float score_row(const struct score_loss_call *c, int64_t row, float weight)
{
    const float *scores = c->scores + row * c->cols, *goals = c->goals + row * c->cols;
    float *dscores = c->dscores ? c->dscores + row * c->cols : NULL,
          *dgoals = c->dgoals ? c->dgoals + row * c->cols : NULL;
    lanes sum = lanes_zero();
    for (int64_t j = 0; j < c->cols; j += LANES) {
        int64_t some = lanes_left(j, c->cols);
        lanes ds, dt,
            loss = pair_loss(c->loss, lanes_load_some(scores + j, some),
                             lanes_load_some(goals + j, some), &ds, &dt);
        sum = lanes_keep(lanes_add(sum, loss), sum, some);
        store_slopes(dscores, j, ds, weight, some);
        store_slopes(dgoals, j, dt, weight, some);
    }
    return lanes_sum(sum);
}

// One class against the rest, all of them.
static float hinge_row(const struct score_loss_call *c, const float *scores, int32_t label,
                       float weight, float *dscores)
{
    lanes sum = lanes_zero();
    for (int64_t j = 0; j < c->cols; j += LANES) {
        int64_t some = lanes_left(j, c->cols);
        float goal[LANES];
        for (int64_t i = 0; i < LANES; i++) goal[i] = j + i == label ? 1 : -1;
        lanes ds, dt,
            loss =
                pair_loss(c->loss, lanes_load_some(scores + j, some), lanes_load(goal), &ds, &dt);
        sum = lanes_keep(lanes_add(sum, loss), sum, some);
        store_slopes(dscores, j, ds, weight, some);
    }
    return lanes_sum(sum);
}

static float softmax_row(const struct score_loss_call *c, const float *scores, int32_t label,
                         float weight, float *dscores)
{
    lanes most = lanes_set(-INFINITY), sum = lanes_zero(), all = lanes_zero();
    for (int64_t j = 0; j < c->cols; j += LANES) {
        int64_t some = lanes_left(j, c->cols);
        lanes s = lanes_load_some(scores + j, some);
        most = lanes_keep(lanes_max(most, s), most, some);
        all = lanes_keep(lanes_add(all, s), all, some);
    }
    most = lanes_set(lanes_max_all(most));
    for (int64_t j = 0; j < c->cols; j += LANES) {
        int64_t some = lanes_left(j, c->cols);
        lanes e = lanes_exp(lanes_sub(lanes_load_some(scores + j, some), most));
        sum = lanes_keep(lanes_add(sum, e), sum, some);
    }
    lanes lse = lanes_add(most, lanes_log(lanes_set(lanes_sum(sum))));
    float each = c->smoothing / (float)c->cols, target = 1 - c->smoothing, first[LANES];
    for (int64_t j = 0; dscores && j < c->cols; j += LANES) {
        int64_t some = lanes_left(j, c->cols);
        float goal[LANES];
        for (int64_t i = 0; i < LANES; i++) goal[i] = j + i == label ? each + target : each;
        lanes p = lanes_exp(lanes_sub(lanes_load_some(scores + j, some), lse));
        store_slopes(dscores, j, lanes_sub(p, lanes_load(goal)), weight, some);
    }
    lanes_store(first, lse);
    return first[0] - target * scores[label] - each * lanes_sum(all);
}

void KERNEL_NAME(score_loss)(const struct score_loss_call *c)
{
    float total = 0;
    for (int64_t row = 0; row < c->rows; row++) {
        float weight = c->weights ? c->weights[row] : 1, loss = 0;
        const float *scores = c->scores + row * c->cols;
        float *dscores = c->dscores ? c->dscores + row * c->cols : NULL;
        if (!c->labels)
            loss = score_row(c, row, weight);
        else if (c->labels[row] < 0 && dscores)
            memset(dscores, 0, (size_t)c->cols * sizeof *dscores);
        else if (c->labels[row] >= 0 && c->loss == LOSS_SOFTMAX)
            loss = softmax_row(c, scores, c->labels[row], weight, dscores);
        else if (c->labels[row] >= 0)
            loss = hinge_row(c, scores, c->labels[row], weight, dscores);
        if (c->losses) c->losses[row] = loss;
        total += weight * loss;
    }
    *c->total = total;
}

void KERNEL_NAME(log_softmax)(float *y, const float *x, int64_t rows, int64_t cols)
{
    for (int64_t row = 0; row < rows; row++, x += cols, y += cols) {
        lanes most = lanes_set(-INFINITY), sum = lanes_zero();
        for (int64_t j = 0; j < cols; j += LANES) {
            int64_t some = lanes_left(j, cols);
            most = lanes_keep(lanes_max(most, lanes_load_some(x + j, some)), most, some);
        }
        most = lanes_set(lanes_max_all(most));
        for (int64_t j = 0; j < cols; j += LANES) {
            int64_t some = lanes_left(j, cols);
            lanes e = lanes_exp(lanes_sub(lanes_load_some(x + j, some), most));
            sum = lanes_keep(lanes_add(sum, e), sum, some);
        }
        most = lanes_add(most, lanes_log(lanes_set(lanes_sum(sum))));
        for (int64_t j = 0; j < cols; j += LANES) {
            int64_t some = lanes_left(j, cols);
            lanes_store_some(y + j, lanes_sub(lanes_load_some(x + j, some), most), some);
        }
    }
}
