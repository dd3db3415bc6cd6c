// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and tanh layers over time: one product with the recurrent weights a step, for all sequences, and the gates.
//
// The weights are packed once a run (B of h w^T, or of da w), so that every step reads them in order; what one step hands to
// the next lies dense in scratch. Sequences do not see one another, so parts are sequences, and threads never wait.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

enum { PACK_FROM = 4 }; // steps from which packing pays

struct state {
    void *packed, *product;
    float *gates; // [rows, gates]
    float *h, *c; // [rows, hidden]
};

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }
static size_t most(size_t a, size_t b) { return a > b ? a : b; }

// Bytes of packed weights and of a product, whichever way the product goes.
static size_t packed_bytes(int64_t gates, int64_t hidden)
{
    return line_up(most(KERNEL_NAME(product_packed_bytes)(gates, hidden),
                        KERNEL_NAME(product_packed_bytes)(hidden, gates)));
}
static size_t product_bytes(int64_t rows, int64_t gates, int64_t hidden)
{
    return line_up(most(KERNEL_NAME(product_scratch_bytes)(rows, gates, hidden),
                        KERNEL_NAME(product_scratch_bytes)(rows, hidden, gates)));
}

size_t KERNEL_NAME(recurrent_scratch_bytes)(enum cell kind, int64_t batch, int64_t hidden)
{
    int64_t gates = cell_gates(kind) * hidden;
    return packed_bytes(gates, hidden) + product_bytes(batch, gates, hidden) +
           line_up((size_t)(batch * gates) * sizeof(float)) +
           2 * line_up((size_t)(batch * hidden) * sizeof(float));
}

static struct state take_state(const struct recurrent *r, int64_t rows, void *scratch)
{
    int64_t gates = cell_gates(r->kind) * r->hidden;
    struct state s = {.packed = scratch};
    s.product = (char *)s.packed + packed_bytes(gates, r->hidden);
    s.gates = (float *)((char *)s.product + product_bytes(r->batch, gates, r->hidden));
    s.h = (float *)((char *)s.gates + line_up((size_t)(rows * gates) * sizeof(float)));
    s.c = (float *)((char *)s.h + line_up((size_t)(rows * r->hidden) * sizeof(float)));
    return s;
}

static int64_t length_of(const struct recurrent *r, int64_t b)
{
    return r->lengths ? r->lengths[b] : r->tokens;
}

static int64_t longest(const struct recurrent *r, int64_t from, int64_t to)
{
    int64_t steps = 0;
    for (int64_t b = from; b < to; b++) steps = length_of(r, b) > steps ? length_of(r, b) : steps;
    return steps;
}

// The row of [batch, tokens] that step `step` of sequence b is.
static int64_t row_of(const struct recurrent *r, int64_t b, int64_t step)
{
    return b * r->tokens + (r->reverse ? length_of(r, b) - 1 - step : step);
}

static void take_rows(float *to, const float *from, int64_t first, int64_t rows, int64_t width)
{
    size_t bytes = (size_t)(rows * width) * sizeof *to;
    if (from)
        memcpy(to, from + first * width, bytes);
    else
        memset(to, 0, bytes);
}

// Positions behind the end of a sequence.
static void clear_rest(const struct recurrent *r, int64_t b, float *x, int64_t width)
{
    int64_t length = length_of(r, b);
    if (x && length < r->tokens)
        memset(x + (b * r->tokens + length) * width, 0,
               (size_t)((r->tokens - length) * width) * sizeof *x);
}

// ---- one position forward: h and c in place; z and a the two parts of what goes into the gates ----
static void lstm_forward(int64_t n, const float *z, const float *a, float *c, float *h, float *kept)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = lanes_left(j, n);
        lanes gate[4];
        for (int k = 0; k < 4; k++)
            gate[k] = lanes_add(lanes_load_some(z + k * n + j, some),
                                lanes_load_some(a + k * n + j, some));
        gate[0] = lanes_sigmoid(gate[0]), gate[1] = lanes_sigmoid(gate[1]);
        gate[2] = lanes_tanh(gate[2]), gate[3] = lanes_sigmoid(gate[3]);
        lanes cell = lanes_fma(gate[1], lanes_load_some(c + j, some), lanes_mul(gate[0], gate[2]));
        lanes_store_some(c + j, cell, some);
        lanes_store_some(h + j, lanes_mul(gate[3], lanes_tanh(cell)), some);
        if (!kept) continue;
        for (int k = 0; k < 4; k++) lanes_store_some(kept + k * n + j, gate[k], some);
        lanes_store_some(kept + 4 * n + j, cell, some);
    }
}

static void gru_forward(int64_t n, const float *z, const float *a, float *h, float *kept)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = lanes_left(j, n);
        lanes before = lanes_load_some(a + 2 * n + j, some), old = lanes_load_some(h + j, some);
        lanes reset =
            lanes_sigmoid(lanes_add(lanes_load_some(z + j, some), lanes_load_some(a + j, some)));
        lanes update = lanes_sigmoid(
            lanes_add(lanes_load_some(z + n + j, some), lanes_load_some(a + n + j, some)));
        lanes new = lanes_tanh(lanes_fma(reset, before, lanes_load_some(z + 2 * n + j, some)));
        lanes_store_some(h + j, lanes_fma(update, lanes_sub(old, new), new), some);
        if (!kept) continue;
        lanes_store_some(kept + j, reset, some);
        lanes_store_some(kept + n + j, update, some);
        lanes_store_some(kept + 2 * n + j, new, some);
        lanes_store_some(kept + 3 * n + j, before, some);
    }
}

static void tanh_forward(int64_t n, const float *z, const float *a, float *h, float *kept)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = lanes_left(j, n);
        lanes new =
            lanes_tanh(lanes_add(lanes_load_some(z + j, some), lanes_load_some(a + j, some)));
        lanes_store_some(h + j, new, some);
        if (kept) lanes_store_some(kept + j, new, some);
    }
}

// What one position reads and writes, whatever the kind.
static void step_forward(const struct recurrent *r, int64_t row, const float *a, float *c, float *h)
{
    int64_t n = r->hidden;
    const float *z = r->z + row * cell_gates(r->kind) * n;
    float *kept = r->kept ? r->kept + row * cell_kept(r->kind) * n : NULL;
    if (r->kind == CELL_LSTM)
        lstm_forward(n, z, a, c, h, kept);
    else if (r->kind == CELL_GRU)
        gru_forward(n, z, a, h, kept);
    else
        tanh_forward(n, z, a, h, kept);
    memcpy(r->y + row * n, h, (size_t)n * sizeof *h);
}

// gates = bias, for every row: the state is 0.
static void set_gates(const struct recurrent *r, float *gates, int64_t rows, int64_t width)
{
    for (int64_t b = 0; b < rows; b++) take_rows(gates + b * width, r->bias, 0, 1, width);
}

void KERNEL_NAME(recurrent)(const struct recurrent *r, int64_t from, int64_t to, void *scratch)
{
    int64_t rows = to - from, n = r->hidden, gates = cell_gates(r->kind) * n;
    if (rows <= 0) return;
    int64_t steps = longest(r, from, to);
    struct state s = take_state(r, rows, scratch);
    take_rows(s.h, r->h0, from, rows, n);
    take_rows(s.c, r->c0, from, rows, n);
    struct product product = {.rows = rows,
                              .cols = gates,
                              .depth = n,
                              .a = s.h,
                              .a_row = n,
                              .a_depth = 1,
                              .b = r->w,
                              .b_depth = 1,
                              .b_col = n,
                              .c = s.gates,
                              .c_row = gates,
                              .bias = r->bias};
    if (steps >= PACK_FROM) {
        KERNEL_NAME(product_pack)(s.packed, &product, 0, gates);
        product.packed = s.packed;
    }
    for (int64_t step = 0; step < steps; step++) {
        if (step == 0 && !r->h0)
            set_gates(r, s.gates, rows, gates);
        else
            KERNEL_NAME(product)(&product, s.product);
        for (int64_t b = 0; b < rows; b++)
            if (step < length_of(r, from + b))
                step_forward(r, row_of(r, from + b, step), s.gates + b * gates, s.c + b * n,
                             s.h + b * n);
    }
    for (int64_t b = from; b < to; b++) {
        clear_rest(r, b, r->y, n);
        clear_rest(r, b, r->kept, cell_kept(r->kind) * n);
    }
    if (r->last_h) memcpy(r->last_h + from * n, s.h, (size_t)(rows * n) * sizeof *s.h);
    if (r->last_c && r->kind == CELL_LSTM)
        memcpy(r->last_c + from * n, s.c, (size_t)(rows * n) * sizeof *s.c);
    else if (r->last_c)
        memset(r->last_c + from * n, 0, (size_t)(rows * n) * sizeof *s.c);
}

// ---- one position backward: dh what comes from later positions, dc of the cell in place ----
// slope x (1 - s) s of a sigmoid, slope x (1 - t^2) of a tanh
LANES_INLINE lanes sigmoid_back(lanes slope, lanes s)
{
    return lanes_mul(slope, lanes_mul(s, lanes_sub(lanes_set(1), s)));
}
LANES_INLINE lanes tanh_back(lanes slope, lanes t)
{
    return lanes_mul(slope, lanes_fnma(t, t, lanes_set(1)));
}

// c: the cell that the position began with, NULL: 0.
static void lstm_backward(int64_t n, const float *kept, const float *c, const float *dy,
                          const float *dh, float *dc, float *da)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = lanes_left(j, n);
        lanes gate[4];
        for (int k = 0; k < 4; k++) gate[k] = lanes_load_some(kept + k * n + j, some);
        lanes cell = lanes_tanh(lanes_load_some(kept + 4 * n + j, some));
        lanes slope = lanes_add(lanes_load_some(dy + j, some), lanes_load_some(dh + j, some));
        lanes down =
            lanes_add(lanes_load_some(dc + j, some), tanh_back(lanes_mul(slope, gate[3]), cell));
        lanes old = c ? lanes_load_some(c + j, some) : lanes_zero();
        lanes_store_some(da + j, sigmoid_back(lanes_mul(down, gate[2]), gate[0]), some);
        lanes_store_some(da + n + j, sigmoid_back(lanes_mul(down, old), gate[1]), some);
        lanes_store_some(da + 2 * n + j, tanh_back(lanes_mul(down, gate[0]), gate[2]), some);
        lanes_store_some(da + 3 * n + j, sigmoid_back(lanes_mul(slope, cell), gate[3]), some);
        lanes_store_some(dc + j, lanes_mul(down, gate[1]), some);
    }
}

// dh becomes the part of the state's gradient that no product brings.
static void gru_backward(int64_t n, const float *kept, const float *old, const float *dy, float *dh,
                         float *da, float *dz)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = lanes_left(j, n);
        lanes reset = lanes_load_some(kept + j, some), update = lanes_load_some(kept + n + j, some);
        lanes new = lanes_load_some(kept + 2 * n + j, some),
              before = lanes_load_some(kept + 3 * n + j, some);
        lanes slope = lanes_add(lanes_load_some(dy + j, some), lanes_load_some(dh + j, some));
        lanes du = lanes_mul(slope, lanes_sub(lanes_load_some(old + j, some), new));
        lanes dn = tanh_back(lanes_mul(slope, lanes_sub(lanes_set(1), update)), new);
        lanes first = sigmoid_back(lanes_mul(dn, before), reset), second = sigmoid_back(du, update);
        lanes_store_some(da + j, first, some);
        lanes_store_some(da + n + j, second, some);
        lanes_store_some(da + 2 * n + j, lanes_mul(dn, reset), some);
        lanes_store_some(dh + j, lanes_mul(slope, update), some);
        if (!dz) continue;
        lanes_store_some(dz + j, first, some);
        lanes_store_some(dz + n + j, second, some);
        lanes_store_some(dz + 2 * n + j, dn, some);
    }
}

static void tanh_backward(int64_t n, const float *kept, const float *dy, const float *dh, float *da)
{
    for (int64_t j = 0; j < n; j += LANES) {
        int64_t some = lanes_left(j, n);
        lanes slope = lanes_add(lanes_load_some(dy + j, some), lanes_load_some(dh + j, some));
        lanes_store_some(da + j, tanh_back(slope, lanes_load_some(kept + j, some)), some);
    }
}

// The cell that step `step` of sequence b began with; NULL: 0.
static const float *cell_before(const struct recurrent *r, int64_t b, int64_t step)
{
    int64_t n = r->hidden;
    if (step > 0) return r->kept + row_of(r, b, step - 1) * cell_kept(r->kind) * n + 4 * n;
    return r->c0 ? r->c0 + b * n : NULL;
}

static void step_backward(const struct recurrent *r, int64_t b, int64_t step, float *dh, float *dc,
                          float *da)
{
    int64_t n = r->hidden, gates = cell_gates(r->kind) * n, row = row_of(r, b, step);
    const float *kept = r->kept + row * cell_kept(r->kind) * n, *dy = r->dy + row * n;
    size_t bytes = (size_t)gates * sizeof *da;
    float *dz = r->dz ? r->dz + row * gates : NULL;
    if (r->kind == CELL_LSTM)
        lstm_backward(n, kept, cell_before(r, b, step), dy, dh, dc, da);
    else if (r->kind == CELL_GRU)
        gru_backward(n, kept, r->previous + row * n, dy, dh, da, dz);
    else
        tanh_backward(n, kept, dy, dh, da);
    memcpy(r->da + row * gates, da, bytes);
    if (dz && r->kind != CELL_GRU) memcpy(dz, da, bytes);
}

// Sequences that end before a step have 0 in dh, dc and da until it is their turn.
void KERNEL_NAME(recurrent_grad)(const struct recurrent *r, int64_t from, int64_t to, void *scratch)
{
    int64_t rows = to - from, n = r->hidden, gates = cell_gates(r->kind) * n;
    if (rows <= 0) return;
    int64_t steps = longest(r, from, to);
    struct state s = take_state(r, rows, scratch);
    take_rows(s.h, NULL, 0, rows, n);
    take_rows(s.c, NULL, 0, rows, n);
    take_rows(s.gates, NULL, 0, rows, gates);
    struct product product = {.rows = rows,
                              .cols = n,
                              .depth = gates,
                              .a = s.gates,
                              .a_row = gates,
                              .a_depth = 1,
                              .b = r->w,
                              .b_depth = n,
                              .b_col = 1,
                              .c = s.h,
                              .c_row = n,
                              .accumulate = r->kind == CELL_GRU};
    if (steps >= PACK_FROM) {
        KERNEL_NAME(product_pack)(s.packed, &product, 0, n);
        product.packed = s.packed;
    }
    for (int64_t step = steps - 1; step >= 0; step--) {
        for (int64_t b = 0; b < rows; b++)
            if (step < length_of(r, from + b))
                step_backward(r, from + b, step, s.h + b * n, s.c + b * n, s.gates + b * gates);
        if (step > 0 || r->dh0) KERNEL_NAME(product)(&product, s.product);
    }
    for (int64_t b = from; b < to; b++) {
        clear_rest(r, b, r->da, gates);
        clear_rest(r, b, r->dz, gates);
    }
    if (r->dh0) memcpy(r->dh0 + from * n, s.h, (size_t)(rows * n) * sizeof *s.h);
    if (r->dc0) memcpy(r->dc0 + from * n, s.c, (size_t)(rows * n) * sizeof *s.c);
}
