// SPDX-License-Identifier: Apache-2.0
// Cross-entropy fused with the output layer, with products of bf16 and bf16x3, in tiles of rows by vocabulary entries that
// stay in the second-level cache: logits are made twice, for the sums of their rows and for their gradients, and never kept.
//
// Per row, over tiles of TILE entries upwards: m = the largest logit so far; where it grows, each of the 16 lanes of the sum is
// multiplied by e^(old m - m); then e^(logit - m) is added to lane (entry mod 16). Afterwards lanes add as a tree; loss, and
// gradients from the last m, as output_loss.c says. TILE is part of this definition, the number of rows is not: dw adds
// whole blocks of 32 rows.
//
// A fourth product costs less than what it saves: logits of all entries kept between sums and gradients left room for 32 rows of
// 50,257 entries in 6 MiB, and w was packed and dw accumulated for every 32 rows (1.2 times the time of this, AMD EPYC, AVX-512).
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/bf16_arithmetic.h"
#include "kernel/cpu/lanes/functions.h"
#include "kernel/cpu/product_part.h"

enum {
    TILE = 256,
    MOST_ROWS = 960, // of a chunk: 960 KiB of logits; whole blocks of 32 and tiles of 6, 3, 2 rows
    ROW_UNIT = 12    // of a part's rows
};

static const struct arithmetic bf16 = ARITHMETIC(product_bf16, LANES_ISA);
static const struct arithmetic bf16x3 = ARITHMETIC(product_bf16x3, LANES_ISA);

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// What is known of a row of the chunk.
struct row {
    float most, chosen, factor;   // largest logit, the target's, 1 / sum
    float sum[LANES], all[LANES]; // of e^(logit - most), and of logits
};

struct chunk {
    const struct output_loss *o;
    const struct arithmetic *by;
    const struct part *part;
    int64_t start, rows;
    struct range own; // rows of this part, within the chunk
    float *logits;    // [rows, TILE], then their gradients
    struct row *row;  // [rows]
    void *x_packed;   // the chunk's x as dw's operand B
    float *losses;    // [rows of the problem]
    void *scratch;    // own
};

// ---- layout of scratch: logits, rows, packed x, losses, each part's own ----
static size_t part_bytes(const struct arithmetic *by, int64_t rows, int64_t width)
{
    size_t most = by->scratch_bytes(rows, TILE, width);
    most = larger(most, by->scratch_bytes(rows, width, TILE));
    return line_up(larger(most, by->scratch_bytes(TILE, width, rows)));
}

// With scratch NULL only bytes are counted.
static size_t lay_out(struct chunk *c, char *scratch)
{
    const struct output_loss *o = c->o;
    int64_t rows = smaller(o->rows, MOST_ROWS);
    size_t logits = line_up((size_t)(rows * TILE) * sizeof(float));
    size_t row = line_up((size_t)rows * sizeof(struct row));
    size_t x = line_up(c->by->packed_bytes(o->width, rows));
    size_t losses = line_up((size_t)o->rows * sizeof(float));
    size_t each = part_bytes(c->by, rows, o->width);
    if (scratch) {
        c->logits = (float *)scratch;
        c->row = (struct row *)(scratch + logits);
        c->x_packed = scratch + logits + row;
        c->losses = o->losses ? o->losses : (float *)(scratch + logits + row + x);
        c->scratch = scratch + logits + row + x + losses + (size_t)c->part->index * each;
    }
    return logits + row + x + losses + (size_t)c->part->count * each;
}

// ---- products ----
// Logits of this part's rows and `count` entries.
static void make_logits(const struct chunk *c, int64_t entry, int64_t count)
{
    const struct output_loss *o = c->o;
    struct product p = {.rows = c->own.last - c->own.first,
                        .cols = count,
                        .depth = o->width,
                        .a = o->x + (c->start + c->own.first) * o->width,
                        .a_row = o->width,
                        .a_depth = 1,
                        .b = o->w ? o->w + entry * o->width : NULL,
                        .b_depth = 1,
                        .b_col = o->width,
                        .c = c->logits + c->own.first * TILE,
                        .c_row = TILE};
    if (o->packed_across)
        p.packed = (const char *)o->packed_across + c->by->packed_bytes(entry, o->width);
    c->by->product(&p, c->scratch);
}

// What `count` entries add to dx of this part's rows.
static void add_dx(const struct chunk *c, int64_t entry, int64_t count)
{
    const struct output_loss *o = c->o;
    struct product p = {.rows = c->own.last - c->own.first,
                        .cols = o->width,
                        .depth = count,
                        .a = c->logits + c->own.first * TILE,
                        .a_row = TILE,
                        .a_depth = 1,
                        .b = o->w ? o->w + entry * o->width : NULL,
                        .b_depth = o->width,
                        .b_col = 1,
                        .c = o->dx + (c->start + c->own.first) * o->width,
                        .c_row = o->width,
                        .accumulate = entry > 0};
    if (o->packed) {
        p.packed = o->packed;
        p.packed_depth = o->vocabulary;
        p.packed_first = entry;
    }
    c->by->product(&p, c->scratch);
}

static struct product product_dw(const struct chunk *c, int64_t entry, int64_t count)
{
    const struct output_loss *o = c->o;
    return (struct product){.rows = count,
                            .cols = o->width,
                            .depth = c->rows,
                            .a = c->logits,
                            .a_row = 1,
                            .a_depth = TILE,
                            .b = o->x + c->start * o->width,
                            .b_depth = o->width,
                            .b_col = 1,
                            .packed = c->x_packed,
                            .c = o->dw + entry * o->width,
                            .c_row = o->width,
                            .accumulate = c->start > 0};
}

// This part of dw of `count` entries: what all the chunk's rows add to it.
static void add_dw(const struct chunk *c, int64_t entry, int64_t count)
{
    struct product p = product_dw(c, entry, count);
    product_take_part(&p, c->part, c->by->packed_bytes);
    c->by->product(&p, c->scratch);
}

static void pack_x(const struct chunk *c)
{
    struct product p = product_dw(c, 0, 0);
    struct range columns = part_range(c->part, p.cols, PRODUCT_PANEL);
    c->by->pack(c->x_packed, &p, columns.first, columns.last - columns.first);
}

// ---- rows ----
static float largest(const float *x, int64_t n, float most)
{
    lanes all = lanes_set(most);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) all = lanes_max(all, lanes_load(x + i));
    if (i < n)
        all = lanes_select(lanes_first(n - i), lanes_max(all, lanes_load_some(x + i, n - i)), all);
    return lanes_max_all(all);
}

// Adds the logits x of the next n entries to what is known of a row.
LANES_INLINE void row_add(struct row *row, const float *x, int64_t n, const bool smooth)
{
    float most = largest(x, n, row->most);
    lanes sum = lanes_load(row->sum), all = lanes_load(row->all), shift = lanes_set(most);
    // Where it is as before, the factor is e^0 = 1.
    sum = lanes_mul(sum, lanes_exp(lanes_sub(lanes_set(row->most), shift)));
    for (int64_t i = 0; i < n; i += LANES) {
        lanes value = lanes_load_some(x + i, lanes_left(i, n));
        lanes e = lanes_exp(lanes_sub(value, shift));
        sum = lanes_keep(lanes_add(sum, e), sum, lanes_left(i, n));
        if (smooth) all = lanes_keep(lanes_add(all, value), all, lanes_left(i, n));
    }
    lanes_store(row->sum, sum);
    lanes_store(row->all, all);
    row->most = most;
}

// The loss of a row whose entries have all been added.
static float row_finish(const struct output_loss *o, struct row *row, int32_t target)
{
    float logarithm[LANES], sum = lanes_sum(lanes_load(row->sum));
    row->factor = 1 / sum;
    if (target < 0) return 0;
    if (target >= o->vocabulary)
        return __builtin_nanf(""); // the trainer stops at a loss that is not finite
    lanes_store(logarithm, lanes_log(lanes_set(sum)));
    float total = row->most + logarithm[0];
    float loss = (1 - o->smoothing) * (total - row->chosen);
    if (o->smoothing > 0)
        loss += o->smoothing * (total - lanes_sum(lanes_load(row->all)) / (float)o->vocabulary);
    return loss;
}

// Logits x of the n entries from `entry` on become their gradient.
static void row_gradient(const struct output_loss *o, const struct row *row, int32_t target,
                         int64_t entry, float *x, int64_t n)
{
    if (target < 0) {
        memset(x, 0, (size_t)n * sizeof *x);
        return;
    }
    lanes most = lanes_set(row->most), factor = lanes_set(row->factor);
    lanes less = lanes_set(-(o->smoothing / (float)o->vocabulary));
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes e = lanes_exp(lanes_sub(lanes_load_some(x + i, some), most));
        lanes_store_some(x + i, lanes_fma(e, factor, less), some);
    }
    if (target >= entry && target < entry + n) x[target - entry] -= 1 - o->smoothing;
}

// ---- a chunk ----
static void sum_rows(const struct chunk *c)
{
    const struct output_loss *o = c->o;
    for (int64_t r = c->own.first; r < c->own.last; r++)
        c->row[r] = (struct row){.most = -__FLT_MAX__};
    for (int64_t entry = 0; entry < o->vocabulary; entry += TILE) {
        int64_t count = smaller(TILE, o->vocabulary - entry);
        make_logits(c, entry, count);
        for (int64_t r = c->own.first; r < c->own.last; r++) {
            const float *logits = c->logits + r * TILE;
            int64_t target = o->targets[c->start + r] - entry;
            if (target >= 0 && target < count) c->row[r].chosen = logits[target];
            if (o->smoothing > 0)
                row_add(&c->row[r], logits, count, true);
            else
                row_add(&c->row[r], logits, count, false);
        }
    }
    for (int64_t r = c->own.first; r < c->own.last; r++)
        c->losses[c->start + r] = row_finish(o, &c->row[r], o->targets[c->start + r]);
}

static void add_gradients(const struct chunk *c)
{
    const struct output_loss *o = c->o;
    pack_x(c);
    for (int64_t entry = 0; entry < o->vocabulary; entry += TILE) {
        int64_t count = smaller(TILE, o->vocabulary - entry);
        make_logits(c, entry, count);
        for (int64_t r = c->own.first; r < c->own.last; r++)
            row_gradient(o, &c->row[r], o->targets[c->start + r], entry, c->logits + r * TILE,
                         count);
        add_dx(c, entry, count);
        part_meet(c->part);
        add_dw(c, entry, count);
        part_meet(c->part); // the next tile comes where this one lies
    }
}

// Parts make sums and dx by rows, and dw by its rows or columns.
static void compute(const struct arithmetic *by, const struct output_loss *o, void *scratch,
                    const struct part *part)
{
    struct chunk c = {.o = o, .by = by, .part = part};
    lay_out(&c, scratch);
    for (; c.start < o->rows; c.start += c.rows) {
        c.rows = smaller(o->rows - c.start, MOST_ROWS);
        c.own = part_range(part, c.rows, ROW_UNIT);
        sum_rows(&c);
        if (o->dx) add_gradients(&c);
    }
    part_meet(part);
    if (part->index > 0) return;
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < o->rows; i += LANES) {
        int64_t some = lanes_left(i, o->rows);
        sum = lanes_keep(lanes_add(sum, lanes_load_some(c.losses + i, some)), sum, some);
    }
    *o->loss = lanes_sum(sum);
}

static size_t bytes_of(const struct arithmetic *by, int64_t rows, int64_t width, int64_t vocabulary,
                       int parts)
{
    const struct output_loss o = {.rows = rows, .width = width, .vocabulary = vocabulary};
    const struct part part = {.count = parts};
    return lay_out(&(struct chunk){.o = &o, .by = by, .part = &part}, NULL);
}

#define OUTPUT_LOSS(name, isa, by)                                                                 \
    void LANES_PASTE(name, isa)(const struct output_loss *o, void *scratch,                        \
                                const struct part *part)                                           \
    {                                                                                              \
        compute(by, o, scratch, part);                                                             \
    }                                                                                              \
    size_t LANES_PASTE(name##_scratch_bytes, isa)(int64_t rows, int64_t width, int64_t vocabulary, \
                                                  int parts)                                       \
    {                                                                                              \
        return bytes_of(by, rows, width, vocabulary, parts);                                       \
    }
OUTPUT_LOSS(output_loss_bf16, LANES_ISA, &bf16)
OUTPUT_LOSS(output_loss_bf16x3, LANES_ISA, &bf16x3)
// AMX computes the products alone.
#if defined(LANES_avx512) && defined(HAVE_AMX)
static const struct arithmetic bf16_tiles = ARITHMETIC(product_bf16, amx);
static const struct arithmetic bf16x3_tiles = ARITHMETIC(product_bf16x3, amx);
OUTPUT_LOSS(output_loss_bf16, amx, &bf16_tiles)
OUTPUT_LOSS(output_loss_bf16x3, amx, &bf16x3_tiles)
#endif
