// SPDX-License-Identifier: Apache-2.0
// Runs every kernel on fixed pseudo-random input, once per instruction set that this machine has, and prints
// "<kernel> <instruction set> <hash of all output>". Equal hashes on all lines of a kernel, whatever the
// processor, are the promise of kernels.h; test_hashes.sh compares them between x86-64 and aarch64. A new
// kernel adds a function and a row.
#include "base/cpu.h"
#include "base/philox.h"
#include "kernel/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#    define ROW(name)                                                                              \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic, [ISA_AVX2] = name##_avx2, [ISA_AVX512] = name##_avx512 \
        }
#elif defined(__aarch64__)
#    define ROW(name)                                                                              \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic, [ISA_NEON] = name##_neon                               \
        }
#else
#    define ROW(name)                                                                              \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic                                                         \
        }
#endif
// Declares `name_of`, the kernel `name` by instruction set.
#define KERNEL_OF(name) static __typeof__(name##_generic) *const name##_of[ISA_COUNT] = ROW(name)

// ---- memory, input, hashes ----
static void *take(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    memset(memory, 0, bytes);
    return memory;
}

static float *blank(int64_t n) { return take((size_t)n * sizeof(float)); }

// n numbers in (-size, size); `seed` names them.
static float *numbers(int64_t n, uint32_t seed, double size)
{
    struct philox_address at = {.seed = seed, .stream = philox_stream(PHILOX_TEST, 9)};
    float *x = blank(n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(size * (2 * philox_uniform(at, (uint64_t)i) - 1));
    return x;
}

// Indices in [0, limit).
static int32_t *indices(int64_t n, uint32_t seed, int32_t limit)
{
    struct philox_address at = {.seed = seed, .stream = philox_stream(PHILOX_TEST, 10)};
    int32_t *x = take((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (int32_t)(philox_bits(at, (uint64_t)i) % (uint32_t)limit);
    return x;
}

// FNV-1a over 32-bit words; every NaN counts as the same one.
static uint64_t hash_words(uint64_t hash, const void *data, int64_t n)
{
    const unsigned char *bytes = data;
    for (int64_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, bytes + 4 * i, sizeof word);
        if ((word & 0x7fffffff) > 0x7f800000) word = 0x7fc00000;
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
    }
    return hash;
}
static const uint64_t start = UINT64_C(0xcbf29ce484222325);

// ---- product ----
KERNEL_OF(product);
KERNEL_OF(product_scratch_bytes);

KERNEL_OF(product_bf16);
KERNEL_OF(product_bf16_scratch_bytes);
KERNEL_OF(product_bf16x3);
KERNEL_OF(product_bf16x3_scratch_bytes);

// Operands in (-1, 1).
static uint64_t hash_of_product(const struct product *p,
                                void (*run)(const struct product *, void *),
                                size_t (*scratch_bytes)(int64_t, int64_t, int64_t))
{
    struct product q = *p;
    int64_t count = q.rows * q.cols;
    float *a = numbers(q.rows * q.depth, 1, 1), *b = numbers(q.depth * q.cols, 2, 1),
          *bias = numbers(q.cols, 3, 1);
    float *c = numbers(count, 4, 1), *before = blank(count);
    q.a = a, q.b = b, q.c = c, q.before = before, q.bias = bias, q.c_row = q.cols;
    void *scratch = take(scratch_bytes(q.rows, q.cols, q.depth));
    run(&q, scratch);
    uint64_t hash = hash_words(hash_words(start, c, count), before, count);
    free(scratch), free(a), free(b), free(c), free(before), free(bias);
    return hash;
}

static uint64_t product_hash(enum isa isa, const struct product *p)
{
    return hash_of_product(p, product_of[isa], product_scratch_bytes_of[isa]);
}

static uint64_t products_bf16(enum isa isa)
{
    const struct product p = {.rows = 37,
                              .cols = 83,
                              .depth = 401,
                              .a_row = 1,
                              .a_depth = 37,
                              .b_depth = 83,
                              .b_col = 1,
                              .accumulate = true,
                              .activation = ACTIVATION_GELU_TANH};
    return hash_of_product(&p, product_bf16_of[isa], product_bf16_scratch_bytes_of[isa]) * 3 +
           hash_of_product(&p, product_bf16x3_of[isa], product_bf16x3_scratch_bytes_of[isa]);
}

static uint64_t product_forward(enum isa isa)
{
    struct product p = {.rows = 37,
                        .cols = 83,
                        .depth = 401,
                        .a_row = 401,
                        .a_depth = 1,
                        .b_depth = 1,
                        .b_col = 401,
                        .activation = ACTIVATION_GELU_TANH};
    return product_hash(isa, &p);
}
static uint64_t product_backward(enum isa isa)
{
    struct product p = {.rows = 33,
                        .cols = 65,
                        .depth = 130,
                        .a_row = 1,
                        .a_depth = 33,
                        .b_depth = 65,
                        .b_col = 1,
                        .accumulate = true,
                        .activation = ACTIVATION_NONE};
    return product_hash(isa, &p);
}
static uint64_t product_one_row(enum isa isa)
{
    struct product p = {.rows = 1,
                        .cols = 77,
                        .depth = 300,
                        .a_row = 300,
                        .a_depth = 1,
                        .b_depth = 77,
                        .b_col = 1,
                        .activation = ACTIVATION_SILU};
    uint64_t dense = product_hash(isa, &p);
    p.b_depth = 1, p.b_col = 300;
    return dense ^ product_hash(isa, &p) << 1;
}

// ---- elementwise ----
KERNEL_OF(add);
KERNEL_OF(scale);
KERNEL_OF(dot);
KERNEL_OF(activation);
KERNEL_OF(activation_grad);
KERNEL_OF(swiglu);
KERNEL_OF(swiglu_grad);
KERNEL_OF(column_sum);
KERNEL_OF(function_values);
enum { ELEMENTS = 4099 };

static uint64_t add_and_scale(enum isa isa)
{
    float *x = numbers(ELEMENTS, 5, 1e-30), *y = numbers(ELEMENTS, 6, 1);
    scale_of[isa](x, x, 1e-7f, ELEMENTS); // half of these are too small for a normal number
    uint64_t hash = hash_words(start, x, ELEMENTS);
    add_of[isa](y, y, x, ELEMENTS);
    hash = hash_words(hash, y, ELEMENTS);
    free(x), free(y);
    return hash;
}

static uint64_t dot_product(enum isa isa)
{
    float *x = numbers(ELEMENTS, 7, 1), *y = numbers(ELEMENTS, 8, 1);
    float sums[2] = {dot_of[isa](x, y, ELEMENTS), dot_of[isa](x, y, 13)};
    free(x), free(y);
    return hash_words(start, sums, 2);
}

static uint64_t activations(enum isa isa)
{
    uint64_t hash = start;
    float *x = numbers(ELEMENTS, 9, 12), *dy = numbers(ELEMENTS, 10, 1), *y = blank(ELEMENTS);
    for (enum activation f = ACTIVATION_NONE; f < ACTIVATION_COUNT; f++) {
        activation_of[isa](y, x, ELEMENTS, f);
        hash = hash_words(hash, y, ELEMENTS);
        activation_grad_of[isa](y, x, dy, ELEMENTS, f);
        hash = hash_words(hash, y, ELEMENTS);
    }
    free(x), free(dy), free(y);
    return hash;
}

static uint64_t gates(enum isa isa)
{
    float *a = numbers(ELEMENTS, 9, 12), *b = numbers(ELEMENTS, 10, 1),
          *dy = numbers(ELEMENTS, 8, 1);
    float *y = blank(ELEMENTS), *db = blank(ELEMENTS);
    swiglu_of[isa](y, a, b, ELEMENTS);
    uint64_t hash = hash_words(start, y, ELEMENTS);
    swiglu_grad_of[isa](y, db, a, b, dy, ELEMENTS);
    hash = hash_words(hash_words(hash, y, ELEMENTS), db, ELEMENTS);
    free(a), free(b), free(dy), free(y), free(db);
    return hash;
}

static uint64_t column_sums(enum isa isa)
{
    float *x = numbers(37 * 53, 11, 1), *y = blank(53);
    column_sum_of[isa](y, x, 53, 37, 53);
    uint64_t hash = hash_words(start, y, 53);
    free(x), free(y);
    return hash;
}

// Every 262,147th float: all exponents, both signs, denormals, infinities and NaNs.
static uint64_t functions(enum isa isa)
{
    uint64_t hash = start;
    enum { COUNT = 16384 };
    float *x = blank(COUNT), *y = blank(COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t word = i * 262147u;
        memcpy(&x[i], &word, sizeof word);
    }
    for (enum lanes_function f = FUNCTION_EXP; f <= FUNCTION_SIGMOID; f++) {
        function_values_of[isa](y, x, COUNT, f);
        hash = hash_words(hash, y, COUNT);
    }
    free(x), free(y);
    return hash;
}

// ---- embedding, norms ----
KERNEL_OF(embedding);
KERNEL_OF(embedding_grad);
KERNEL_OF(layer_norm);
KERNEL_OF(layer_norm_grad);
KERNEL_OF(rms_norm);
KERNEL_OF(rms_norm_grad);

static uint64_t embeddings(enum isa isa)
{
    enum { VOCABULARY = 31, WIDTH = 37, COUNT = 100 };
    int32_t *ids = indices(COUNT, 12, VOCABULARY);
    float *table = numbers(VOCABULARY * WIDTH, 13, 1), *y = blank(COUNT * WIDTH);
    embedding_of[isa](y, table, ids, COUNT, WIDTH);
    int32_t scratch[COUNT + VOCABULARY];
    const struct embedding_grad grad = {table, NULL, ids, y, COUNT, WIDTH, VOCABULARY};
    embedding_grad_of[isa](&grad, 0, WIDTH, scratch);
    uint64_t hash = hash_words(hash_words(start, y, COUNT * WIDTH), table, VOCABULARY * WIDTH);
    free(ids), free(table), free(y);
    return hash;
}

static uint64_t norms(enum isa isa)
{
    enum { COUNT = 7, WIDTH = 101 };
    float *x = numbers(COUNT * WIDTH, 14, 3), *dy = numbers(COUNT * WIDTH, 15, 1),
          *y = blank(COUNT * WIDTH);
    float *gain = numbers(WIDTH, 16, 1), *bias = numbers(WIDTH, 17, 1), *dgain = blank(WIDTH),
          *dbias = blank(WIDTH);
    layer_norm_of[isa](y, x, gain, bias, COUNT, WIDTH, 1e-5f);
    uint64_t hash = hash_words(start, y, COUNT * WIDTH);
    struct norm_grad n = {y, dgain, dbias, x, gain, dy, COUNT, WIDTH, 1e-5f};
    layer_norm_grad_of[isa](&n, NULL, &part_whole);
    hash = hash_words(hash_words(hash_words(hash, y, COUNT * WIDTH), dgain, WIDTH), dbias, WIDTH);
    rms_norm_of[isa](y, x, gain, COUNT, WIDTH, 1e-6f);
    hash = hash_words(hash, y, COUNT * WIDTH);
    n.dbias = NULL;
    n.epsilon = 1e-6f;
    rms_norm_grad_of[isa](&n, NULL, &part_whole);
    hash = hash_words(hash_words(hash, y, COUNT * WIDTH), dgain, WIDTH);
    free(x), free(dy), free(y), free(gain), free(bias), free(dgain), free(dbias);
    return hash;
}

// ---- dropout, attention, loss ----
KERNEL_OF(dropout);
KERNEL_OF(attention);
KERNEL_OF(attention_grad);
KERNEL_OF(attention_cached);
KERNEL_OF(attention_scratch_bytes);
KERNEL_OF(output_loss);
KERNEL_OF(output_loss_scratch_bytes);
static const uint32_t place[4] = {1234567, 89, 10, 11}; // seed, step, first sequence

static uint64_t dropouts(enum isa isa)
{
    struct dropout d = {.rate = 0.1, .stream = philox_stream(PHILOX_DROPOUT, 3), .random = place};
    float *x = numbers(3 * 777, 18, 1);
    dropout_of[isa](x, x, &d, 777, 0, 3 * ((777 + 63) / 64));
    uint64_t hash = hash_words(start, x, 3 * 777);
    free(x);
    return hash;
}

static uint64_t attentions(enum isa isa)
{
    enum { BATCH = 2, TOKENS = 150, HEADS = 2, SIZE = 37, COUNT = BATCH * TOKENS * HEADS * SIZE };
    struct dropout d = {.rate = 0.1, .stream = philox_stream(PHILOX_DROPOUT, 3), .random = place};
    float *qkv = numbers(3 * COUNT, 19, 2), *dy = numbers(COUNT, 20, 1), *y = blank(COUNT),
          *dqkv = blank(3 * COUNT);
    float *lse = blank(BATCH * HEADS * TOKENS);
    void *scratch = take(attention_scratch_bytes_of[isa](TOKENS, TOKENS, 1, SIZE));
    struct attention a = {.batch = BATCH,
                          .tokens = TOKENS,
                          .heads = HEADS,
                          .kv_heads = HEADS,
                          .head_size = SIZE,
                          .qkv = qkv,
                          .y = y,
                          .lse = lse};
    uint64_t hash = start;
    for (int drops = 0; drops < 2; drops++) {
        a.dropout = drops ? &d : NULL, a.dy = NULL, a.dqkv = NULL;
        attention_of[isa](&a, 0, BATCH * HEADS, scratch);
        a.dy = dy, a.dqkv = dqkv;
        attention_grad_of[isa](&a, 0, BATCH * HEADS, scratch);
        hash = hash_words(hash_words(hash, y, COUNT), lse, BATCH * HEADS * TOKENS);
        hash = hash_words(hash, dqkv, 3 * COUNT);
    }
    free(scratch), free(qkv), free(dy), free(y), free(dqkv), free(lse);
    return hash;
}

// Grouped heads, padding, causal and not.
static uint64_t grouped_attentions(enum isa isa)
{
    enum { BATCH = 3, TOKENS = 150, HEADS = 4, KV = 2, SIZE = 20, N = BATCH * TOKENS * SIZE };
    struct dropout d = {.rate = 0.1, .stream = philox_stream(PHILOX_DROPOUT, 3), .random = place};
    const int32_t lengths[BATCH] = {150, 77, 0};
    float *qkv = numbers((HEADS + 2 * KV) * N, 19, 2), *dy = numbers(HEADS * N, 20, 1);
    float *y = blank(HEADS * N), *dqkv = blank((HEADS + 2 * KV) * N),
          *lse = blank(HEADS * N / SIZE);
    void *scratch = take(attention_scratch_bytes_of[isa](TOKENS, TOKENS, HEADS / KV, SIZE));
    struct attention a = {.batch = BATCH,
                          .tokens = TOKENS,
                          .heads = HEADS,
                          .kv_heads = KV,
                          .head_size = SIZE,
                          .lengths = lengths,
                          .qkv = qkv,
                          .y = y,
                          .lse = lse,
                          .dropout = &d};
    uint64_t hash = start;
    for (int order = 0; order < 2; order++) {
        a.bidirectional = order, a.dy = NULL, a.dqkv = NULL;
        attention_of[isa](&a, 0, BATCH * HEADS, scratch);
        a.dy = dy, a.dqkv = dqkv;
        attention_grad_of[isa](&a, 0, BATCH * KV, scratch);
        hash = hash_words(hash_words(hash, y, HEADS * N), lse, HEADS * N / SIZE);
        hash = hash_words(hash, dqkv, (HEADS + 2 * KV) * N);
    }
    free(scratch), free(qkv), free(dy), free(y), free(dqkv), free(lse);
    return hash;
}

static uint64_t cached_attention(enum isa isa)
{
    enum { TOKENS = 100, HEADS = 3, SIZE = 24, WIDTH = HEADS * SIZE };
    float *qkv = numbers(TOKENS * 3 * WIDTH, 21, 2), *cache = blank(2 * TOKENS * WIDTH),
          *y = blank(TOKENS * WIDTH);
    void *scratch = take(attention_scratch_bytes_of[isa](TOKENS, TOKENS, 1, SIZE));
    struct attention_cached a = {
        .context = TOKENS, .heads = HEADS, .kv_heads = HEADS, .head_size = SIZE, .cache = cache};
    for (int64_t more = 1; a.position < TOKENS; a.position += a.tokens, more += 3) {
        a.tokens = TOKENS - a.position < more ? TOKENS - a.position : more;
        a.qkv = qkv + a.position * 3 * WIDTH, a.y = y + a.position * WIDTH;
        attention_cached_of[isa](&a, 0, HEADS, scratch);
    }
    uint64_t hash = hash_words(start, y, TOKENS * WIDTH);
    free(scratch), free(qkv), free(cache), free(y);
    return hash;
}

static uint64_t output_losses(enum isa isa)
{
    enum { COUNT = 61, WIDTH = 47, VOCABULARY = 301 };
    int32_t *targets = indices(COUNT, 22, VOCABULARY);
    targets[7] = targets[60] = -1;
    float *x = numbers(COUNT * WIDTH, 23, 1), *w = numbers(VOCABULARY * WIDTH, 24, 1),
          *losses = blank(COUNT);
    float *dx = blank(COUNT * WIDTH), *dw = blank(VOCABULARY * WIDTH), loss;
    void *scratch = take(output_loss_scratch_bytes_of[isa](COUNT, WIDTH, VOCABULARY, 1));
    struct output_loss o = {.rows = COUNT,
                            .width = WIDTH,
                            .vocabulary = VOCABULARY,
                            .x = x,
                            .w = w,
                            .targets = targets,
                            .smoothing = 0.1f,
                            .loss = &loss,
                            .losses = losses,
                            .dx = dx,
                            .dw = dw};
    output_loss_of[isa](&o, scratch, &part_whole);
    uint64_t hash = hash_words(hash_words(start, &loss, 1), losses, COUNT);
    hash = hash_words(hash_words(hash, dx, COUNT * WIDTH), dw, VOCABULARY * WIDTH);
    free(scratch), free(targets), free(x), free(w), free(losses), free(dx), free(dw);
    return hash;
}

// ---- updates ----
KERNEL_OF(tree_sum);
KERNEL_OF(square_sums);
KERNEL_OF(max_magnitude);
KERNEL_OF(update_sgd);
KERNEL_OF(update_rmsprop);
KERNEL_OF(update_adam);

static uint64_t sums_and_norms(enum isa isa)
{
    const float *x[4];
    const int16_t program[] = {0, 1, -1, 2, -1, 3, -1};
    for (uint32_t i = 0; i < 4; i++) x[i] = numbers(ELEMENTS, 25 + i, i % 2 ? 1 : 100);
    float *y = blank(ELEMENTS);
    double partial[5];
    tree_sum_of[isa](y, x, program, 7, ELEMENTS);
    square_sums_of[isa](partial, y, NULL, 0.01, ELEMENTS);
    float largest = max_magnitude_of[isa](y, ELEMENTS);
    uint64_t hash =
        hash_words(hash_words(hash_words(start, y, ELEMENTS), partial, 10), &largest, 1);
    square_sums_of[isa](partial, x[0], x[1], 0.01, ELEMENTS);
    hash = hash_words(hash, partial, 10);
    for (int i = 0; i < 4; i++) free((void *)x[i]);
    free(y);
    return hash;
}

static uint64_t updates(enum isa isa)
{
    const struct update u = {.gradient_scale = 0.3f,
                             .clip_value = 0.2f,
                             .learning_rate = 0.01f,
                             .l1 = 0.001f,
                             .l2 = 0.002f,
                             .decay = 0.1f,
                             .momentum = 0.9f,
                             .nesterov = true,
                             .beta1 = 0.9f,
                             .beta2 = 0.99f,
                             .epsilon = 1e-8f,
                             .rest1 = 0.1f,
                             .rest2 = 0.01f,
                             .correction1 = 0.19f,
                             .correction2 = 0.0199f};
    float *g = numbers(ELEMENTS, 30, 1), *w = numbers(ELEMENTS, 31, 1), *a = blank(ELEMENTS),
          *b = blank(ELEMENTS), *more = numbers(ELEMENTS, 32, 1);
    for (int i = 0; i < 3; i++) update_adam_of[isa](w, a, b, g, &u, ELEMENTS);
    uint64_t hash =
        hash_words(hash_words(hash_words(start, w, ELEMENTS), a, ELEMENTS), b, ELEMENTS);
    update_rmsprop_of[isa](w, b, a, g, &u, ELEMENTS);
    update_rmsprop_of[isa](w, b, NULL, g, &u, ELEMENTS);
    update_sgd_of[isa](w, a, g, &u, ELEMENTS);
    update_sgd_of[isa](w, NULL, g, &u, ELEMENTS);
    struct update two = u;
    two.more = more;
    update_adam_of[isa](w, a, b, g, &two, ELEMENTS);
    update_rmsprop_of[isa](w, b, a, g, &two, ELEMENTS);
    update_sgd_of[isa](w, a, g, &two, ELEMENTS);
    hash = hash_words(hash_words(hash_words(hash, w, ELEMENTS), a, ELEMENTS), b, ELEMENTS);
    free(g), free(w), free(a), free(b), free(more);
    return hash;
}

KERNEL_OF(normal);

static uint64_t normals(enum isa isa)
{
    float *w = blank(ELEMENTS);
    normal_of[isa](w, 77, 3, 5, ELEMENTS, 0.02);
    uint64_t hash = hash_words(start, w, ELEMENTS);
    free(w);
    return hash;
}

// ---- all ----
static const struct {
    const char *name;
    uint64_t (*hash)(enum isa isa);
} battery[] = {
    {"product forward", product_forward},
    {"product backward", product_backward},
    {"product one row", product_one_row},
    {"product bf16, bf16x3", products_bf16},
    {"add and scale", add_and_scale},
    {"dot", dot_product},
    {"activation", activations},
    {"swiglu", gates},
    {"column_sum", column_sums},
    {"functions", functions},
    {"embedding", embeddings},
    {"norm", norms},
    {"dropout", dropouts},
    {"attention", attentions},
    {"attention, grouped", grouped_attentions},
    {"attention_cached", cached_attention},
    {"output_loss", output_losses},
    {"sums and norms of a slice", sums_and_norms},
    {"updates", updates},
    {"normal", normals},
};

int main(void)
{
    cpu_flush_to_zero();
    for (size_t i = 0; i < sizeof battery / sizeof *battery; i++)
        for (enum isa isa = 0; isa < ISA_COUNT; isa++)
            if (isa_available(isa) && add_of[isa])
                printf("%s: %s %016llx\n", battery[i].name, isa_name(isa),
                       (unsigned long long)battery[i].hash(isa));
    return 0;
}
