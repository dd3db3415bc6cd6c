// SPDX-License-Identifier: Apache-2.0
// Cross-entropy fused with the output layer, in chunks of rows, with products of bf16 and bf16x3: the logits of a
// chunk become their own gradient where they lie. output_loss.c says what is computed.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"
#include "kernel/cpu/product_part.h"

// Every chunk reads and packs all of w twice, and reads and writes all of dw: few large ones. Tiles
// compute so fast that this traffic decides: for 96 rows of 50,257 entries of width 768, w takes 8 ms to read
// at 20 GB/s, the product 3 ms at 2.5 TFLOP/s. (Reckoned, not measured: no machine with tiles was at hand.)
enum { LANES_BYTES = 17 << 20, TILES_BYTES = 64 << 20, MOST_ROWS = 1008 }; // of logits

// How products are computed, and chunks of how many rows suit them: of about chunk_bytes, multiples of row_unit, at least
// least_rows.
struct arithmetic {
    void (*product)(const struct product *p, void *scratch);
    size_t (*scratch_bytes)(int64_t rows, int64_t cols, int64_t depth);
    size_t (*packed_bytes)(int64_t cols, int64_t depth);
    int64_t chunk_bytes, row_unit, least_rows;
};
#define ARITHMETIC(name, isa, chunk_bytes, row_unit, least_rows)                                   \
    {                                                                                              \
        LANES_PASTE(name, isa), LANES_PASTE(name##_scratch_bytes, isa),                            \
            LANES_PASTE(name##_packed_bytes, isa), chunk_bytes, row_unit, least_rows               \
    }
// Whole blocks of 32 terms of dw: so chunks change no bit.
static const struct arithmetic bf16 = ARITHMETIC(product_bf16, LANES_ISA, LANES_BYTES, 96, 32);
static const struct arithmetic bf16x3 = ARITHMETIC(product_bf16x3, LANES_ISA, LANES_BYTES, 96, 32);

static int64_t chunk_rows(const struct arithmetic *by, int64_t rows, int64_t vocabulary)
{
    int64_t fit = by->chunk_bytes / (int64_t)sizeof(float) / vocabulary;
    if (fit > MOST_ROWS) fit = MOST_ROWS;
    fit = fit / by->row_unit * by->row_unit;
    if (fit < by->least_rows) fit = by->least_rows;
    return fit < rows ? fit : rows;
}

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

static float largest(const float *x, int64_t n)
{
    lanes most = lanes_set(-__builtin_inff());
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) most = lanes_max(most, lanes_load(x + i));
    if (i < n)
        most =
            lanes_select(lanes_first(n - i), lanes_max(most, lanes_load_some(x + i, n - i)), most);
    return lanes_max_all(most);
}

static float sum_of(const float *x, int64_t n)
{
    lanes sum = lanes_zero();
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum = lanes_add(sum, lanes_load(x + i));
    if (i < n)
        sum = lanes_select(lanes_first(n - i), lanes_add(sum, lanes_load_some(x + i, n - i)), sum);
    return lanes_sum(sum);
}

// Replaces x by e^(x - most) when `keep`; returns the sum.
LANES_INLINE float exponentials(float *x, int64_t n, float most, bool keep)
{
    lanes sum = lanes_zero(), shift = lanes_set(most);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes e = lanes_exp(lanes_sub(lanes_load(x + i), shift));
        if (keep) lanes_store(x + i, e);
        sum = lanes_add(sum, e);
    }
    if (i < n) {
        lanes e = lanes_exp(lanes_sub(lanes_load_some(x + i, n - i), shift));
        if (keep) lanes_store_some(x + i, e, n - i);
        sum = lanes_select(lanes_first(n - i), lanes_add(sum, e), sum);
    }
    return lanes_sum(sum);
}

// x factor - less
static void scale_and_lower(float *x, int64_t n, float factor, float less)
{
    lanes f = lanes_set(factor), l = lanes_set(-less);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) lanes_store(x + i, lanes_fma(lanes_load(x + i), f, l));
    if (i < n) lanes_store_some(x + i, lanes_fma(lanes_load_some(x + i, n - i), f, l), n - i);
}

// Loss of one row of logits, which become their gradient when `gradient`.
static float row_loss(float *logits, int64_t vocabulary, int32_t target, float smoothing,
                      bool gradient)
{
    if (target < 0) {
        if (gradient) memset(logits, 0, (size_t)vocabulary * sizeof *logits);
        return 0;
    }
    if (target >= vocabulary)
        return __builtin_nanf(""); // the trainer stops at a loss that is not finite
    float most = largest(logits, vocabulary), chosen = logits[target];
    float mean = smoothing > 0 ? sum_of(logits, vocabulary) / (float)vocabulary : 0;
    float sum = gradient ? exponentials(logits, vocabulary, most, true)
                         : exponentials(logits, vocabulary, most, false);
    float log_sum[LANES];
    lanes_store(log_sum, lanes_log(lanes_set(sum)));
    float total = most + log_sum[0], on_target = 1 - smoothing, loss = on_target * (total - chosen);
    if (smoothing > 0) loss += smoothing * (total - mean);
    if (gradient) {
        scale_and_lower(logits, vocabulary, 1 / sum, smoothing / (float)vocabulary);
        logits[target] -= on_target;
    }
    return loss;
}

// This part of a product.
static void multiply(const struct arithmetic *by, struct product p, void *scratch,
                     const struct part *part)
{
    product_take_part(&p, part, by->packed_bytes);
    by->product(&p, scratch);
}

// dx of a chunk, and its rows' share of dw.
static void chunk_gradients(const struct arithmetic *by, const struct output_loss *o,
                            const float *logits, int64_t start, int64_t rows, void *scratch,
                            const struct part *part)
{
    struct product dx = {.rows = rows,
                         .cols = o->width,
                         .depth = o->vocabulary,
                         .a = logits,
                         .a_row = o->vocabulary,
                         .a_depth = 1,
                         .b = o->w,
                         .b_depth = o->width,
                         .b_col = 1,
                         .c = o->dx + start * o->width,
                         .c_row = o->width};
    multiply(by, dx, scratch, part);
    struct product dw = {.rows = o->vocabulary,
                         .cols = o->width,
                         .depth = rows,
                         .a = logits,
                         .a_row = 1,
                         .a_depth = o->vocabulary,
                         .b = o->x + start * o->width,
                         .b_depth = o->width,
                         .b_col = 1,
                         .c = o->dw,
                         .c_row = o->width,
                         .accumulate = start > 0};
    multiply(by, dw, scratch, part);
}

// Scratch of one part, for any of the products.
static size_t part_bytes(const struct arithmetic *by, int64_t chunk, int64_t width,
                         int64_t vocabulary)
{
    size_t most = by->scratch_bytes(chunk, vocabulary, width);
    size_t dx = by->scratch_bytes(chunk, width, vocabulary);
    size_t dw = by->scratch_bytes(vocabulary, width, chunk);
    if (dx > most) most = dx;
    if (dw > most) most = dw;
    return line_up(most);
}

// A chunk's logits are made by columns, turned into gradients by rows, and read by all.
static void compute(const struct arithmetic *by, const struct output_loss *o, void *scratch,
                    const struct part *part)
{
    int64_t chunk = chunk_rows(by, o->rows, o->vocabulary);
    float *logits = scratch;
    char *behind = (char *)scratch + line_up((size_t)(chunk * o->vocabulary) * sizeof *logits);
    float *losses = o->losses ? o->losses : (float *)behind;
    behind += line_up((size_t)o->rows * sizeof *losses);
    void *own = behind + (size_t)part->index * part_bytes(by, chunk, o->width, o->vocabulary);
    for (int64_t start = 0; start < o->rows; start += chunk) {
        int64_t rows = o->rows - start < chunk ? o->rows - start : chunk;
        struct product p = {.rows = rows,
                            .cols = o->vocabulary,
                            .depth = o->width,
                            .a = o->x + start * o->width,
                            .a_row = o->width,
                            .a_depth = 1,
                            .b = o->w,
                            .b_depth = 1,
                            .b_col = o->width,
                            .c = logits,
                            .c_row = o->vocabulary};
        multiply(by, p, own, part);
        part_meet(part);
        struct range mine = part_range(part, rows, 1);
        for (int64_t r = mine.first; r < mine.last; r++)
            losses[start + r] = row_loss(logits + r * o->vocabulary, o->vocabulary,
                                         o->targets[start + r], o->smoothing, o->dx != NULL);
        part_meet(part);
        if (!o->dx) continue;
        chunk_gradients(by, o, logits, start, rows, own, part);
        part_meet(part); // the next chunk's logits come where these lie
    }
    if (part->index == 0) *o->loss = sum_of(losses, o->rows);
}

static size_t bytes_of(const struct arithmetic *by, int64_t rows, int64_t width, int64_t vocabulary,
                       int parts)
{
    int64_t chunk = chunk_rows(by, rows, vocabulary);
    return line_up((size_t)(chunk * vocabulary) * sizeof(float)) +
           line_up((size_t)rows * sizeof(float)) +
           (size_t)parts * part_bytes(by, chunk, width, vocabulary);
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
static const struct arithmetic bf16_tiles = ARITHMETIC(product_bf16, amx, TILES_BYTES, 96, 32);
static const struct arithmetic bf16x3_tiles = ARITHMETIC(product_bf16x3, amx, TILES_BYTES, 96, 32);
OUTPUT_LOSS(output_loss_bf16, amx, &bf16_tiles)
OUTPUT_LOSS(output_loss_bf16x3, amx, &bf16x3_tiles)
#endif
