// SPDX-License-Identifier: Apache-2.0
// Cross-entropy fused with the output layer, in chunks of rows. A chunk's logits lie across, [vocabulary, rows], so
// that everything about a row is done for 16 rows at once, and w is the left operand of the logits and the right one of
// dx as it lies: with AVX-512 nothing is packed but the rows themselves. The products are product.c's, over blocks of entries;
// while one runs, the next block's part of w is fetched.
//
// Per row: m = the largest logit; e = e^(logit - m); sum = lane reduction of e (16 partial sums, by vocabulary
// entry mod 16); log of the sum of exponentials L = m + log(sum). loss = (1 - s) (L - logit[target]) + s (L - mean of
// the logits), its gradient e / sum - s / vocabulary - (1 - s) [target]. dx adds vocabulary entries upwards, dw rows
// upwards through all chunks, so the size of a chunk changes no bit. An ignored row has loss and gradient 0.
//
// A chunk goes over all of w twice (logits, dx) and over dw once; between these its logits wait for the sums of
// their rows: 80 rows of 50,257 entries are 15 MiB. To keep less, a fourth product would have to make the logits
// again.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

#include <math.h>

enum {
    CHUNK_BYTES = 16 << 20, // of logits
    LEAST_ROWS = 48,
    MOST_ROWS = 96,
    // Vocabulary entries at a time. Rows of w for logits and the next ones: 0.7 MB at a width of 768, of a second-level cache of
    // 1 MB. A block is one product for dx, which is read and written again for each: 112 cost a fifth of dx there, and more
    // than product.c's block of depth (384, 256) is two products.
    LOGIT_BLOCK = 112,
#if defined(LANES_avx512)
    BLOCK = 336,
#else
    BLOCK = 224,
#endif
    COLUMNS = 2 * LANES, // of dx, that parts are cut by
};

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// As few chunks as fit, of the same number of whole lanes but for the last: filled-up columns are computed, too.
static int64_t equal_chunks(int64_t rows, int64_t fit)
{
    int64_t chunks = (rows + fit - 1) / fit;
    return chunks > 1 ? round_up((rows + chunks - 1) / chunks, LANES) : rows;
}

// The most rows of a chunk that scratch is counted for.
static int64_t chunk_rows(const struct output_loss *o)
{
    int64_t fit = CHUNK_BYTES / (int64_t)sizeof(float) / o->vocabulary / LANES * LANES;
    if (fit < LEAST_ROWS) fit = LEAST_ROWS;
    if (fit > MOST_ROWS) fit = MOST_ROWS;
    return equal_chunks(o->room ? o->room : o->rows, fit);
}

// ---- what a chunk works on ----
struct chunk {
    const struct output_loss *o;
    int64_t start, rows;
    int64_t columns;   // rows, filled up to whole lanes
    int64_t block;     // vocabulary entries whose gradients are worked on at a time
    float *logits;     // [vocabulary, columns], then e^(logit - most)
    float *x_across;   // packed as the logits' operand [width, columns]
    float *x_packed;   // packed as dw's operand [rows, width]
    float *maxima;     // [parts, columns]
    float *most;       // [columns] the largest logit
    float *factor;     // [columns] 1 / sum
    float *alive;      // [columns] 1, or 0 for ignored rows
    float *sums, *all; // [16, columns] lanes of the sums of e, and of logits
    float *losses;     // [rows of the problem]
    float *gradient;   // own: [BLOCK, columns]
    float *scratch;    // own: of products
};

// Scratch from its beginning on; without memory only its size is counted.
struct layout {
    float *memory; // or NULL
    int64_t used;
};
static float *take(struct layout *layout, int64_t count)
{
    float *taken = layout->memory ? layout->memory + layout->used : NULL;
    layout->used += round_up(count, LANES);
    return taken;
}

static int64_t packed_count(int64_t cols, int64_t depth)
{
    return (int64_t)(KERNEL_NAME(product_packed_bytes)(cols, depth) / sizeof(float));
}

// Floats that the three products of a chunk need.
static int64_t product_count(int64_t rows, int64_t columns, int64_t width)
{
    size_t logits = KERNEL_NAME(product_scratch_bytes)(LOGIT_BLOCK, columns, width);
    size_t dx = KERNEL_NAME(product_scratch_bytes)(rows, width, BLOCK);
    size_t dw = KERNEL_NAME(product_scratch_bytes)(BLOCK, width, rows), most = logits;
    if (dx > most) most = dx;
    if (dw > most) most = dw;
    return round_up((int64_t)(most / sizeof(float)) + 1, LANES);
}

// Lays out the scratch of `parts`; returns its bytes.
static size_t chunk_lay_out(struct chunk *c, const struct output_loss *o, void *scratch, int part,
                            int parts)
{
    struct layout layout = {scratch, 0};
    int64_t rows = chunk_rows(o), columns = round_up(rows, LANES);
    int64_t share = (o->vocabulary + parts - 1) / parts;
    *c = (struct chunk){.o = o, .block = smaller(BLOCK, round_up(share, LANES))};
    c->logits = take(&layout, o->vocabulary * columns);
    c->x_across = take(&layout, packed_count(columns, o->width));
    c->x_packed = take(&layout, packed_count(o->width, rows));
    c->maxima = take(&layout, parts * columns);
    c->most = take(&layout, columns);
    c->factor = take(&layout, columns);
    c->alive = take(&layout, columns);
    c->sums = take(&layout, LANES * columns);
    c->all = take(&layout, LANES * columns);
    c->losses = take(&layout, o->rows);
    if (o->losses) c->losses = o->losses;
    int64_t products = product_count(rows, columns, o->width);
    float *own = take(&layout, parts * (c->block * columns + products));
    if (own) {
        c->gradient = own + part * (c->block * columns + products);
        c->scratch = c->gradient + c->block * columns;
    }
    return (size_t)layout.used * sizeof(float);
}

// ---- products ----
static void pack_x(const struct chunk *c)
{
    int64_t width = c->o->width;
    const float *x = c->o->x + c->start * width;
    const struct product across = {
        .cols = c->rows, .depth = width, .b = x, .b_depth = 1, .b_col = width};
    KERNEL_NAME(product_pack)(c->x_across, &across, 0, c->rows);
    if (!c->o->dx) return;
    const struct product plain = {
        .cols = width, .depth = c->rows, .b = x, .b_depth = width, .b_col = 1};
    KERNEL_NAME(product_pack)(c->x_packed, &plain, 0, width);
}

// The product reads `columns` of the rows of w before `entry`; `count` rows from there on come next.
static void fetch_w(const struct chunk *c, struct product *p, int64_t entry, int64_t count,
                    struct range columns)
{
    p->ahead_rows = smaller(count, c->o->vocabulary - entry);
    p->ahead_cols = columns.last - columns.first;
    p->ahead_row = c->o->width;
    if (p->ahead_rows > 0) p->ahead = c->o->w + entry * c->o->width + columns.first;
}

// Logits of the vocabulary entries [first, last), and the largest of them in each row.
static void make_logits(const struct chunk *c, struct range entries, float *maxima)
{
    int64_t width = c->o->width, columns = c->columns;
    for (int64_t g = 0; g < columns; g += LANES) lanes_store(maxima + g, lanes_set(-INFINITY));
    for (int64_t v = entries.first; v < entries.last; v += LOGIT_BLOCK) {
        int64_t count = smaller(LOGIT_BLOCK, entries.last - v);
        float *logits = c->logits + v * columns;
        struct product p = {.rows = count,
                            .cols = columns,
                            .depth = width,
                            .a = c->o->w + v * width,
                            .a_row = width,
                            .a_depth = 1,
                            .packed = c->x_across,
                            .c = logits,
                            .c_row = columns};
        fetch_w(c, &p, v + count, LOGIT_BLOCK, (struct range){0, width});
        KERNEL_NAME(product)(&p, c->scratch);
        for (int64_t g = 0; g < columns; g += LANES) {
            lanes most = lanes_load(maxima + g);
            for (int64_t r = 0; r < count; r++)
                most = lanes_max(most, lanes_load(logits + r * columns + g));
            lanes_store(maxima + g, most);
        }
    }
}

// ---- sums and losses of rows, by columns of the logits ----
// Lane l of a row's sum lies at sums[l * columns]: the tree over them.
static lanes add_up(const float *sums, int64_t columns)
{
    lanes s[LANES];
    for (int l = 0; l < LANES; l++) s[l] = lanes_load(sums + l * columns);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) s[l] = lanes_add(s[l], s[l + half]);
    return s[0];
}

// Losses of the 16 rows from g, and what their gradients need. chosen: logits of the targets.
static void finish_rows(const struct chunk *c, int64_t g, const float *chosen)
{
    const struct output_loss *o = c->o;
    float sum[LANES], total[LANES], all[LANES];
    lanes most = lanes_load(c->most + g), sums = add_up(c->sums + g, c->columns);
    lanes_store(sum, sums);
    lanes_store(total, lanes_add(most, lanes_log(sums)));
    if (o->smoothing > 0) lanes_store(all, add_up(c->all + g, c->columns));
    for (int64_t i = 0; i < LANES; i++) {
        bool there = g + i < c->rows;
        int32_t target = there ? o->targets[c->start + g + i] : -1;
        c->factor[g + i] = 1 / sum[i];
        c->alive[g + i] = target < 0 ? 0 : 1;
        if (!there) continue;
        float loss = (1 - o->smoothing) * (total[i] - chosen[i]);
        if (o->smoothing > 0) loss += o->smoothing * (total[i] - all[i] / (float)o->vocabulary);
        // The trainer stops at a loss that is not finite.
        if (target >= o->vocabulary) loss = __builtin_nanf("");
        c->losses[c->start + g + i] = target < 0 ? 0 : loss;
    }
}

// Logits of the rows [first, last) become e^(logit - most), added up.
static void add_exponentials(const struct chunk *c, int64_t first, int64_t last)
{
    bool keeps = c->o->dx, smooth = c->o->smoothing > 0;
    int64_t columns = c->columns;
    for (int64_t l = 0; l < LANES; l++)
        for (int64_t g = first; g < last; g += LANES) {
            lanes_store(c->sums + l * columns + g, lanes_zero());
            lanes_store(c->all + l * columns + g, lanes_zero());
        }
    for (int64_t v = 0; v < c->o->vocabulary; v++) {
        float *logits = c->logits + v * columns, *sums = c->sums + v % LANES * columns;
        float *all = c->all + v % LANES * columns;
        for (int64_t g = first; g < last; g += LANES) {
            lanes x = lanes_load(logits + g);
            lanes e = lanes_exp(lanes_sub(x, lanes_load(c->most + g)));
            if (keeps) lanes_store(logits + g, e);
            lanes_store(sums + g, lanes_add(lanes_load(sums + g), e));
            if (smooth) lanes_store(all + g, lanes_add(lanes_load(all + g), x));
        }
    }
}

static void sum_rows(const struct chunk *c, int64_t first, int64_t last, int parts)
{
    float chosen[MOST_ROWS] = {0};
    for (int64_t g = first; g < last; g += LANES) {
        lanes most = lanes_load(c->maxima + g);
        for (int p = 1; p < parts; p++)
            most = lanes_max(most, lanes_load(c->maxima + p * c->columns + g));
        lanes_store(c->most + g, most);
    }
    for (int64_t r = first; r < smaller(last, c->rows); r++) {
        int32_t target = c->o->targets[c->start + r];
        if (target >= 0 && target < c->o->vocabulary)
            chosen[r] = c->logits[target * c->columns + r];
    }
    add_exponentials(c, first, last);
    for (int64_t g = first; g < last; g += LANES) finish_rows(c, g, chosen + g);
}

// ---- gradients ----
// Gradients of the logits of `count` vocabulary entries.
static void make_gradient(const struct chunk *c, int64_t entry, int64_t count)
{
    const struct output_loss *o = c->o;
    lanes less = lanes_set(-(o->smoothing / (float)o->vocabulary));
    for (int64_t g = 0; g < c->columns; g += LANES) {
        lanes factor = lanes_load(c->factor + g);
        lanes_mask alive = lanes_less(lanes_zero(), lanes_load(c->alive + g));
        for (int64_t v = 0; v < count; v++) {
            lanes e = lanes_load(c->logits + (entry + v) * c->columns + g);
            lanes_store(c->gradient + v * c->columns + g,
                        lanes_select(alive, lanes_fma(e, factor, less), lanes_zero()));
        }
    }
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t v = o->targets[c->start + r] - entry;
        if (v >= 0 && v < count) c->gradient[v * c->columns + r] -= 1 - o->smoothing;
    }
}

// What `count` entries add to dx, in the columns of x that are this part's.
static void add_dx(const struct chunk *c, int64_t entry, int64_t count, struct range columns)
{
    int64_t width = c->o->width;
    struct product p = {.rows = c->rows,
                        .cols = columns.last - columns.first,
                        .depth = count,
                        .a = c->gradient,
                        .a_row = 1,
                        .a_depth = c->columns,
                        .b = c->o->w + entry * width + columns.first,
                        .b_depth = width,
                        .b_col = 1,
                        .c = c->o->dx + c->start * width + columns.first,
                        .c_row = width,
                        .accumulate = entry > 0};
    fetch_w(c, &p, entry + count, c->block, columns);
    KERNEL_NAME(product)(&p, c->scratch);
}

// Their rows of dw.
static void add_dw(const struct chunk *c, int64_t entry, int64_t count)
{
    int64_t width = c->o->width;
    const struct product p = {.rows = count,
                              .cols = width,
                              .depth = c->rows,
                              .a = c->gradient,
                              .a_row = c->columns,
                              .a_depth = 1,
                              .packed = c->x_packed,
                              .c = c->o->dw + entry * width,
                              .c_row = width,
                              .accumulate = c->start > 0};
    KERNEL_NAME(product)(&p, c->scratch);
}

static float sum_of(const float *x, int64_t n)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        sum = lanes_keep(lanes_add(sum, lanes_load_some(x + i, some)), sum, some);
    }
    return lanes_sum(sum);
}

// Parts make logits and dw by vocabulary entries, sums by rows, dx by columns of x.
void KERNEL_NAME(output_loss)(const struct output_loss *o, void *scratch, const struct part *part)
{
    struct chunk c;
    chunk_lay_out(&c, o, scratch, part->index, part->count);
    struct range entries = part_range(part, o->vocabulary, c.block);
    struct range columns = part_range(part, o->width, COLUMNS);
    int64_t most = equal_chunks(o->rows, chunk_rows(o));
    for (; c.start < o->rows; c.start += c.rows) {
        c.rows = smaller(o->rows - c.start, most);
        c.columns = round_up(c.rows, LANES);
        if (part->index == 0) pack_x(&c);
        part_meet(part);
        make_logits(&c, entries, c.maxima + part->index * c.columns);
        part_meet(part);
        struct range rows = part_range(part, c.columns, LANES);
        sum_rows(&c, rows.first, rows.last, part->count);
        part_meet(part);
        for (int64_t v = 0; o->dx && v < o->vocabulary; v += c.block) {
            int64_t count = smaller(c.block, o->vocabulary - v);
            make_gradient(&c, v, count);
            add_dx(&c, v, count, columns);
            if (v >= entries.first && v < entries.last) add_dw(&c, v, count);
        }
        part_meet(part); // the next chunk's logits come where these lie
    }
    if (part->index == 0) *o->loss = sum_of(c.losses, o->rows);
}

size_t KERNEL_NAME(output_loss_scratch_bytes)(int64_t rows, int64_t width, int64_t vocabulary,
                                              int parts)
{
    struct chunk c;
    const struct output_loss o = {.rows = rows, .width = width, .vocabulary = vocabulary};
    return chunk_lay_out(&c, &o, NULL, 0, parts);
}
