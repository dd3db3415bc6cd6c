// SPDX-License-Identifier: Apache-2.0
// Cross-entropy fused with the output layer, in chunks of rows. A chunk's logits lie across, [vocabulary, rows], so
// that everything about a row is done for 16 rows at once, and no product needs w packed: its rows are read where
// they lie for the logits, and by narrow panels for dx.
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
#include "kernel/cpu/lanes/fetch.h"
#include "kernel/cpu/lanes/functions.h"
#include "kernel/cpu/lanes/tile.h"

#include <math.h>

enum {
    CHUNK_BYTES = 16 << 20, // of logits
    LEAST_ROWS = 48,
    MOST_ROWS = 96,
#if defined(LANES_avx512)
    TILE_ROWS = 8,
    TILE_VECTORS = 3,
#elif defined(LANES_generic)
    TILE_ROWS = 4,
    TILE_VECTORS = 1,
#else
    TILE_ROWS = 6,
    TILE_VECTORS = 1,
#endif
    PANEL = TILE_VECTORS * LANES,
    BLOCK = 128, // vocabulary entries whose gradients are worked on at a time
};

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t chunk_rows(int64_t rows, int64_t vocabulary)
{
    int64_t fit = CHUNK_BYTES / (int64_t)sizeof(float) / vocabulary / LANES * LANES;
    if (fit < LEAST_ROWS) fit = LEAST_ROWS;
    return smaller(smaller(fit, MOST_ROWS), rows);
}

// ---- what a chunk works on ----
struct chunk {
    const struct output_loss *o;
    int64_t start, rows;
    int64_t columns;   // rows, filled up to whole lanes
    float *logits;     // [vocabulary, columns], then e^(logit - most)
    float *x_across;   // panels [width, PANEL] of rows
    float *x_panels;   // panels [rows, PANEL] of columns of x
    float *maxima;     // [parts, columns]
    float *most;       // [columns] the largest logit
    float *factor;     // [columns] 1 / sum
    float *alive;      // [columns] 1, or 0 for ignored rows
    float *sums, *all; // [16, columns] lanes of the sums of e, and of logits
    float *losses;     // [rows of the problem]
    float *gradient;   // own: [BLOCK, columns]
    float *w_panel;    // own: [BLOCK, PANEL]
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

// Lays out the scratch of `parts`; returns its bytes.
static size_t chunk_lay_out(struct chunk *c, const struct output_loss *o, void *scratch, int part,
                            int parts)
{
    struct layout layout = {scratch, 0};
    int64_t rows = chunk_rows(o->rows, o->vocabulary), columns = round_up(rows, LANES);
    *c = (struct chunk){.o = o};
    c->logits = take(&layout, o->vocabulary * columns);
    c->x_across = take(&layout, o->width * round_up(columns, PANEL));
    c->x_panels = take(&layout, rows * round_up(o->width, PANEL));
    c->maxima = take(&layout, parts * columns);
    c->most = take(&layout, columns);
    c->factor = take(&layout, columns);
    c->alive = take(&layout, columns);
    c->sums = take(&layout, LANES * columns);
    c->all = take(&layout, LANES * columns);
    c->losses = take(&layout, o->rows);
    if (o->losses) c->losses = o->losses;
    float *own = take(&layout, parts * BLOCK * (columns + PANEL));
    if (own) {
        c->gradient = own + part * BLOCK * (columns + PANEL);
        c->w_panel = c->gradient + BLOCK * columns;
    }
    return (size_t)layout.used * sizeof(float);
}

static void pack_x(const struct chunk *c)
{
    int64_t width = c->o->width;
    const float *x = c->o->x + c->start * width;
    for (int64_t col = 0; col < c->columns; col += PANEL)
        for (int64_t r = col; r < col + PANEL; r++)
            for (int64_t k = 0; k < width; k++)
                c->x_across[col * width + k * PANEL + r - col] = r < c->rows ? x[r * width + k] : 0;
    for (int64_t col = 0; col < width; col += PANEL) {
        float *panel = c->x_panels + col * c->rows;
        int64_t cols = smaller(PANEL, width - col);
        for (int64_t r = 0; r < c->rows; r++, panel += PANEL) {
            memcpy(panel, x + r * width + col, (size_t)cols * sizeof *panel);
            memset(panel + cols, 0, (size_t)(PANEL - cols) * sizeof *panel);
        }
    }
}

// ---- products ----
LANES_INLINE void multiply_tile(float *c, int64_t c_row, const struct panel *p, const float *a,
                                bool accumulate, const int rows, int64_t vectors)
{
#if defined(LANES_avx512)
    if (vectors == 3)
        tile_multiply(c, c_row, p, a, p->b, accumulate, rows, 3);
    else if (vectors == 2)
        tile_multiply(c, c_row, p, a, p->b, accumulate, rows, 2);
    else
        tile_multiply(c, c_row, p, a, p->b, accumulate, rows, 1);
#else
    (void)vectors;
    tile_multiply(c, c_row, p, a, p->b, accumulate, rows, 1);
#endif
}

// The same for any number of rows; of the last group of columns only those that C has. With each tile, the next
// one's rows of C are fetched, and a share of `next`.
static void multiply(float *c, int64_t c_row, const struct panel *p, int64_t rows, int64_t cols,
                     bool accumulate, struct fetch next)
{
    float beside[TILE_ROWS * PANEL];
    int64_t vectors = (cols + LANES - 1) / LANES;
    int64_t share = next.count * next.lines * TILE_ROWS / rows + 1;
    bool whole = cols == vectors * LANES;
    for (int64_t r = 0, height; r < rows; r += height) {
        height = rows - r < TILE_ROWS ? 1 : TILE_ROWS;
        float *corner = c + r * c_row, *to = whole ? corner : beside;
        int64_t to_row = whole ? c_row : PANEL;
        for (int64_t i = r + height; i < smaller(r + 2 * height, rows); i++)
            for (int64_t j = 0; j < cols; j += CACHE_LINE)
                __builtin_prefetch(c + i * c_row + j, 1, 2);
        fetch_some(&next, share);
        for (int64_t i = 0; !whole && accumulate && i < height; i++)
            memcpy(to + i * to_row, corner + i * c_row, (size_t)cols * sizeof *c);
        const float *a = p->a + r * p->a_row;
        if (height == 1)
            multiply_tile(to, to_row, p, a, accumulate, 1, vectors);
        else
            multiply_tile(to, to_row, p, a, accumulate, TILE_ROWS, vectors);
        for (int64_t i = 0; !whole && i < height; i++)
            memcpy(corner + i * c_row, to + i * to_row, (size_t)cols * sizeof *c);
    }
}

// Logits of the vocabulary entries [first, last), and the largest of them in each row.
static void make_logits(const struct chunk *c, struct range entries, float *maxima)
{
    int64_t width = c->o->width, columns = c->columns;
    for (int64_t g = 0; g < columns; g += LANES) lanes_store(maxima + g, lanes_set(-INFINITY));
    for (int64_t v = entries.first; v < entries.last; v += TILE_ROWS) {
        int64_t rows = smaller(TILE_ROWS, entries.last - v);
        float *logits = c->logits + v * columns;
        for (int64_t col = 0; col < columns; col += PANEL) {
            struct panel p = {c->o->w + v * width,       width, 1,
                              c->x_across + col * width, PANEL, width};
            multiply(logits + col, columns, &p, rows, smaller(PANEL, columns - col), false,
                     (struct fetch){0});
        }
        for (int64_t g = 0; g < columns; g += LANES) {
            lanes most = lanes_load(maxima + g);
            for (int64_t r = 0; r < rows; r++)
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

static void pack_w(const struct chunk *c, int64_t entry, int64_t count, int64_t col, int64_t cols)
{
    const float *w = c->o->w + entry * c->o->width + col;
    for (int64_t v = 0; v < count; v++, w += c->o->width)
        for (int64_t j = 0; j < PANEL; j += LANES) {
            int64_t left = cols - j;
            lanes_store(c->w_panel + v * PANEL + j,
                        left >= LANES ? lanes_load(w + j)
                                      : lanes_load_some(w + j, left > 0 ? left : 0));
        }
}

// The panel of w that comes after one that ends before `col`; after the last, the first of the next entries.
static struct fetch fetch_w(const struct chunk *c, int64_t entry, int64_t count, int64_t col,
                            struct range columns)
{
    int64_t width = c->o->width, rest = c->o->vocabulary - (entry + count);
    const float *w = c->o->w + entry * width;
    if (col < columns.last) return (struct fetch){w + col, width, count, PANEL / CACHE_LINE, 0};
    return (struct fetch){w + count * width + columns.first, width, smaller(BLOCK, rest),
                          PANEL / CACHE_LINE, 0};
}

// What `count` entries add to dx, in the columns of x that are this part's.
static void add_dx(const struct chunk *c, int64_t entry, int64_t count, struct range columns)
{
    int64_t width = c->o->width;
    for (int64_t col = columns.first; col < columns.last; col += PANEL) {
        int64_t cols = smaller(PANEL, width - col);
        pack_w(c, entry, count, col, cols);
        struct panel p = {c->gradient, 1, c->columns, c->w_panel, PANEL, count};
        struct fetch next = fetch_w(c, entry, count, col + PANEL, columns);
        multiply(c->o->dx + c->start * width + col, width, &p, c->rows, cols, entry > 0, next);
    }
}

// Their rows of dw.
static void add_dw(const struct chunk *c, int64_t entry, int64_t count)
{
    int64_t width = c->o->width;
    for (int64_t col = 0; col < width; col += PANEL) {
        struct panel p = {c->gradient, c->columns, 1, c->x_panels + col * c->rows, PANEL, c->rows};
        float *dw = c->o->dw + entry * width + col;
        struct fetch next = {0};
        if (col + PANEL < width) // the first rows of C of the next panel
            next =
                (struct fetch){dw + PANEL, width, smaller(TILE_ROWS, count), PANEL / CACHE_LINE, 0};
        multiply(dw, width, &p, count, smaller(PANEL, width - col), c->start > 0, next);
    }
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
    struct range entries = part_range(part, o->vocabulary, BLOCK);
    struct range columns = part_range(part, o->width, PANEL);
    int64_t most = chunk_rows(o->rows, o->vocabulary);
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
        for (int64_t v = 0; o->dx && v < o->vocabulary; v += BLOCK) {
            int64_t count = smaller(BLOCK, o->vocabulary - v);
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
