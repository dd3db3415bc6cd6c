// SPDX-License-Identifier: Apache-2.0
// How fast is every operation of a GPT besides its products, on one thread, and what share of its roof is that?
//
// One line of JSON per operation and size. The roof is the longest of three times: its arithmetic at the multiply-add peak; its bytes,
// each input read once and each output written once, at the rate of a triad a = b + s c over as many bytes; and, for what is a
// polynomial in each element, the vector operations of the kernel at one each cycle, which is half the peak's FLOP/s. Peak and triad
// are measured beside the operation, in turns; medians of processor time of this thread, so that neighbours count through memory alone.
// Usage: bench_operations [seconds per operation, default 0.3] [part of an operation's name] [part of a size's name]
#include "backend/cpu/table.h"
#include "base/memory.h"
#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct size {
    const char *name;
    int64_t batch, tokens, heads, head_size, vocabulary;
};
static const struct size sizes[] = {
    {"characters 3 x 64", 3, 64, 4, 32, 65},
    {"characters 12 x 64", 12, 64, 4, 32, 65},
    {"gpt2-124m 4 x 256", 4, 256, 12, 64, 50257},
    {"gpt2-124m 8 x 512", 8, 512, 12, 64, 50257},
};

// ---- operations ----
struct leaves {
    struct graph *g;
    const struct size *size;
    struct value *x, *hidden, *gain, *random; // [batch, tokens, width], [.., 4 width], [width], [4]
};

static struct value *leaf(const struct leaves *l, enum dtype dtype, struct shape shape)
{
    return graph_input(l->g, "leaf", dtype, shape);
}
static struct value *like(const struct leaves *l, const struct value *x)
{
    return leaf(l, F32, x->shape);
}
static struct value *with_aux(struct graph *g, struct value *y, int count)
{
    for (int i = 0; i < count; i++) graph_aux(g, y, i);
    return y;
}

static struct value *attend(const struct leaves *l, int64_t kv_heads, bool bidirectional,
                            double rate, bool gradient)
{
    const struct size *s = l->size;
    struct attention_attributes a = {(int)s->heads, (int)kv_heads, bidirectional, rate, 0};
    int64_t row = (s->heads + 2 * kv_heads) * s->head_size;
    struct value *qkv = leaf(l, F32, shape_of(3, s->batch, s->tokens, row));
    struct value *random = rate > 0 ? l->random : NULL;
    if (!gradient) return with_aux(l->g, op_attention(l->g, qkv, random, NULL, &a), 1);
    struct value *lse = leaf(l, F32, shape_of(3, s->batch, s->heads, s->tokens));
    return op_attention_grad(
        l->g, (struct value *[6]){qkv, random, NULL, like(l, l->x), lse, like(l, l->x)}, &a);
}

static struct value *attention(const struct leaves *l)
{
    return attend(l, l->size->heads, false, 0, false);
}
static struct value *attention_dropout(const struct leaves *l)
{
    return attend(l, l->size->heads, false, 0.1, false);
}
static struct value *attention_grouped(const struct leaves *l)
{
    return attend(l, l->size->heads / 4, false, 0, false);
}
static struct value *attention_whole(const struct leaves *l)
{
    return attend(l, l->size->heads, true, 0, false);
}
static struct value *attention_grad(const struct leaves *l)
{
    return attend(l, l->size->heads, false, 0, true);
}
static struct value *attention_grad_dropout(const struct leaves *l)
{
    return attend(l, l->size->heads, false, 0.1, true);
}
static struct value *attention_grad_grouped(const struct leaves *l)
{
    return attend(l, l->size->heads / 4, false, 0, true);
}
static struct value *attention_grad_whole(const struct leaves *l)
{
    return attend(l, l->size->heads, true, 0, true);
}
static struct value *output_loss(const struct leaves *l, int aux)
{
    struct value *w = leaf(l, F32, shape_of(2, l->size->vocabulary, shape_last(l->x->shape)));
    struct value *targets = leaf(l, I32, shape_of(2, l->size->batch, l->size->tokens));
    return with_aux(l->g, op_output_loss(l->g, l->x, w, targets, 0), aux);
}
static struct value *output_loss_alone(const struct leaves *l) { return output_loss(l, 0); }
static struct value *output_loss_both(const struct leaves *l) { return output_loss(l, 2); }
static struct value *layer_norm(const struct leaves *l)
{
    return op_layer_norm(l->g, l->x, l->gain, like(l, l->gain), 1e-5);
}
static struct value *layer_norm_grad(const struct leaves *l)
{
    return with_aux(l->g, op_layer_norm_grad(l->g, l->x, l->gain, like(l, l->x), 1e-5), 2);
}
static struct value *rms_norm(const struct leaves *l)
{
    return op_rms_norm(l->g, l->x, l->gain, 1e-5);
}
static struct value *rms_norm_grad(const struct leaves *l)
{
    return with_aux(l->g, op_rms_norm_grad(l->g, l->x, l->gain, like(l, l->x), 1e-5), 1);
}
static struct value *gelu_tanh(const struct leaves *l)
{
    return op_activation(l->g, l->hidden, ACTIVATION_GELU_TANH);
}
static struct value *gelu_tanh_grad(const struct leaves *l)
{
    return op_activation_grad(l->g, l->hidden, like(l, l->hidden), ACTIVATION_GELU_TANH);
}
static struct value *gelu(const struct leaves *l)
{
    return op_activation(l->g, l->hidden, ACTIVATION_GELU);
}
static struct value *gelu_grad(const struct leaves *l)
{
    return op_activation_grad(l->g, l->hidden, like(l, l->hidden), ACTIVATION_GELU);
}
static struct value *swiglu(const struct leaves *l)
{
    return op_swiglu(l->g, l->hidden, like(l, l->hidden));
}
static struct value *swiglu_grad(const struct leaves *l)
{
    return with_aux(l->g, op_swiglu_grad(l->g, l->hidden, like(l, l->hidden), like(l, l->hidden)),
                    1);
}
static struct value *dropout(const struct leaves *l)
{
    return op_dropout(l->g, l->x, l->random, 0.1, 0);
}
static struct value *add(const struct leaves *l) { return op_add(l->g, l->x, like(l, l->x)); }
static struct value *column_sum(const struct leaves *l) { return op_column_sum(l->g, l->hidden); }
static struct value *ids(const struct leaves *l)
{
    return leaf(l, I32, shape_of(2, l->size->batch, l->size->tokens));
}
static struct value *embedding(const struct leaves *l)
{
    struct value *table = leaf(l, F32, shape_of(2, l->size->vocabulary, shape_last(l->x->shape)));
    return op_embedding(l->g, table, ids(l));
}
static struct value *embedding_grad(const struct leaves *l)
{
    return op_embedding_grad(l->g, ids(l), l->x, l->size->vocabulary);
}

// `vector_operations`: of the kernel for each group of elements of the output, counted in lanes/functions.h for AVX-512 without loads, stores and
// constants (a division counts as one); 0 where bytes or products decide.
static const struct {
    const char *name;
    struct value *(*make)(const struct leaves *l);
    double vector_operations;
    bool table_rows; // its bytes are the rows that are looked up, not the table
} operations[] = {
    {"attention", attention, 0, false},
    {"attention, dropout", attention_dropout, 0, false},
    {"attention, grouped by 4", attention_grouped, 0, false},
    {"attention, bidirectional", attention_whole, 0, false},
    {"attention_grad", attention_grad, 0, false},
    {"attention_grad, dropout", attention_grad_dropout, 0, false},
    {"attention_grad, grouped by 4", attention_grad_grouped, 0, false},
    {"attention_grad, bidirectional", attention_grad_whole, 0, false},
    {"output_loss", output_loss_alone, 0, false},
    {"output_loss with gradients", output_loss_both, 0, false},
    {"layer_norm", layer_norm, 0, false},
    {"layer_norm_grad", layer_norm_grad, 0, false},
    {"rms_norm", rms_norm, 0, false},
    {"rms_norm_grad", rms_norm_grad, 0, false},
    {"gelu_tanh", gelu_tanh, 20, false},
    {"gelu_tanh_grad", gelu_tanh_grad, 29, false},
    {"gelu", gelu, 43, false},
    {"gelu_grad", gelu_grad, 62, false},
    {"swiglu", swiglu, 18, false},
    {"swiglu_grad", swiglu_grad, 43, false},
    {"dropout", dropout, 0, false},
    {"add", add, 0, false},
    {"column_sum", column_sum, 0, false},
    {"embedding", embedding, 0, true},
    {"embedding_grad", embedding_grad, 0, false},
};

// ---- memory ----
static enum status fill(const struct value *v, int64_t vocabulary, struct block *block)
{
    int64_t n = shape_count(v->shape);
    TRY(block_create((size_t)n * dtype_bytes(v->dtype), "a value", block));
    uint32_t *words = (uint32_t *)block->data, state = 12345;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float number = (float)(state >> 8) * 0x1p-23f - 1;
        if (v->dtype == F32)
            memcpy(&words[i], &number, sizeof number);
        else
            words[i] = v->dtype == I32 ? (state >> 8) % (uint32_t)vocabulary : state;
    }
    return STATUS_OK;
}

enum { MOST_BLOCKS = 16, MOST_TIMES = 4096 };
struct memory {
    struct block block[MOST_BLOCKS];
    int count;
};
static void memory_release(struct memory *m)
{
    while (m->count > 0) block_destroy(&m->block[--m->count]);
}

// Gives the step its inputs, outputs and scratch.
static enum status place(struct memory *m, const struct value *y, int64_t vocabulary,
                         size_t scratch_bytes, struct step *step)
{
    step->call.value = y;
    for (int i = 0; i < y->inputs; i++) {
        if (!y->input[i]) continue;
        TRY(fill(y->input[i], vocabulary, &m->block[m->count++]));
        step->call.input[i] = m->block[m->count - 1].data;
    }
    for (int i = 0; i <= MAX_AUX; i++) {
        const struct value *v = i ? y->aux[i - 1] : y;
        if (!v) continue;
        TRY(fill(v, vocabulary, &m->block[m->count++]));
        step->call.output[i] = m->block[m->count - 1].data;
    }
    if (scratch_bytes == 0) return STATUS_OK;
    TRY(block_create(scratch_bytes, "scratch", &m->block[m->count++]));
    step->call.scratch = m->block[m->count - 1].data;
    return STATUS_OK;
}

// ---- measuring ----
#if defined(__x86_64__)
__attribute__((target("avx2,fma"), optimize("O3")))
#endif
static void
triad(float *restrict a, const float *restrict b, const float *restrict c, int64_t n)
{
    for (int64_t i = 0; i < n; i++) a[i] = b[i] + 0.5f * c[i];
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare);
    return x[n / 2];
}

struct result {
    double seconds, peak, triad_bytes; // of one call; GFLOP/s; bytes a second
};

// Operation, triad and peak in turns.
static void measure(const struct step *step, enum isa isa, double seconds, double bytes,
                    struct block *arrays, struct result *r)
{
    static double times[MOST_TIMES], peaks[MOST_TIMES], triads[MOST_TIMES];
    int64_t third = (int64_t)(bytes / 12);
    int64_t most = (int64_t)(arrays->bytes / 12) / 16 * 16;
    if (third < 4096) third = 4096;
    if (third > most) third = most;
    float *a = (float *)arrays->data, *b = a + most, *c = b + most;
    step->launch(step, &part_whole);
    triad(a, b, c, third);
    int count = 0, repeats = 1;
    double start = thread_seconds();
    while (count < 3 || (thread_seconds() - start < seconds && count < MOST_TIMES)) {
        double begin = thread_seconds();
        for (int i = 0; i < repeats; i++) step->launch(step, &part_whole);
        double middle = thread_seconds();
        int again = 0;
        do triad(a, b, c, third);
        while (++again < 1000 && thread_seconds() - middle < 1e-4);
        double end = thread_seconds();
        times[count] = (middle - begin) / repeats;
        triads[count] = 12.0 * (double)third * again / (end - middle);
        if (count % 8 == 0) peaks[count / 8] = peak_of(isa, 0);
        if (count == 0 && times[0] < 5e-5) repeats = (int)(5e-5 / times[0]) + 1;
        count++;
    }
    *r = (struct result){median(times, count), median(peaks, (count + 7) / 8),
                         median(triads, count)};
}

static double least_bytes(const struct value *y, bool table_rows)
{
    double bytes = y->op->cost(y).bytes;
    if (!table_rows) return bytes;
    return 8.0 * (double)shape_count(y->shape); // one row read, one written
}

static void print(const struct value *y, const char *name, const struct size *size, enum isa isa,
                  double vector_operations, double bytes, const struct result *r)
{
    struct cost cost = y->op->cost(y);
    char shape[64];
    double peak = 1e9 * r->peak, each = (double)shape_count(y->shape);
    double of_arithmetic = peak > 0 ? cost.flops / peak : 0, of_memory = bytes / r->triad_bytes;
    double of_vectors = peak > 0 ? vector_operations * each / (peak / 2) : 0, roof = of_arithmetic;
    const char *bound = "multiply-adds";
    if (of_memory > roof) roof = of_memory, bound = "memory";
    if (of_vectors > roof) roof = of_vectors, bound = "vector operations";
    printf("{\"bench\": \"operations\", \"isa\": \"%s\", \"size\": \"%s\", \"operation\": \"%s\", "
           "\"shape\": \"%s\", "
           "\"microseconds\": %.1f, \"gflops\": %.1f, \"gb_per_s\": %.2f, \"peak_gflops\": %.1f, "
           "\"triad_gb_per_s\": %.1f, \"bound\": \"%s\", \"of_roof\": %.3f}\n",
           isa_name(isa), size->name, name, shape_print(y->shape, shape), 1e6 * r->seconds,
           1e-9 * cost.flops / r->seconds, 1e-9 * bytes / r->seconds, r->peak,
           1e-9 * r->triad_bytes, bound, roof / r->seconds);
    fflush(stdout);
}

static enum status run(int operation, const struct size *size, enum isa isa, double seconds,
                       struct block *arrays)
{
    struct leaves l = {.size = size};
    TRY(graph_create(&l.g));
    int64_t width = size->heads * size->head_size;
    l.x = leaf(&l, F32, shape_of(3, size->batch, size->tokens, width));
    l.hidden = leaf(&l, F32, shape_of(3, size->batch, size->tokens, 4 * width));
    l.gain = leaf(&l, F32, shape_of(1, width));
    l.random = leaf(&l, U32, shape_of(1, 4));
    struct value *y = operations[operation].make(&l);
    struct memory memory = {.count = 0};
    enum status status = graph_status(l.g);
    if (!status) {
        struct step step = {.call.value = y};
        cpu_row_use(cpu_row_find(y->op, isa, PRECISION_FLOAT32), y, 1, &step);
        size_t scratch = step_scratch_bytes(&step.scratch, 1);
        status = place(&memory, y, size->vocabulary, scratch, &step);
        struct result r;
        double bytes = least_bytes(y, operations[operation].table_rows);
        if (!status) measure(&step, isa, seconds, bytes, arrays, &r);
        if (!status)
            print(y, operations[operation].name, size, isa, operations[operation].vector_operations,
                  bytes, &r);
    }
    memory_release(&memory);
    graph_destroy(l.g);
    return status;
}

int main(int count, char **words)
{
    double seconds = count > 1 ? atof(words[1]) : 0.3;
    const char *operation = count > 2 ? words[2] : "", *size = count > 3 ? words[3] : "";
    struct block arrays;
    enum isa isa;
    cpu_flush_to_zero();
    printf("{\"bench\": \"operations\", \"processor\": \"%s\"}\n", cpu_name());
    if (isa_choose(&isa) || block_create(192 << 20, "arrays", &arrays)) {
        fprintf(stderr, "%s\n", error_message());
        return 1;
    }
    memset(arrays.data, 0, arrays.bytes);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
            if (!strstr(operations[i].name, operation) || !strstr(sizes[s].name, size)) continue;
            if (!run((int)i, &sizes[s], isa, seconds, &arrays)) continue;
            fprintf(stderr, "%s\n", error_message());
            return 1;
        }
    block_destroy(&arrays);
    return 0;
}
