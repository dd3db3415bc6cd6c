// SPDX-License-Identifier: Apache-2.0
// Attention against a plain double definition, its gradient against differences of that, the cached
// form against the whole one.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const forward[ISA_COUNT])(const struct attention *, void *) = KERNEL_ROW(attention);
static void (*const backward[ISA_COUNT])(const struct attention *,
                                         void *) = KERNEL_ROW(attention_grad);
static void (*const cached[ISA_COUNT])(const struct attention_cached *,
                                       void *) = KERNEL_ROW(attention_cached);
static size_t (*const scratch_bytes[ISA_COUNT])(int64_t, int64_t,
                                                int64_t) = KERNEL_ROW(attention_scratch_bytes);

static const int64_t sizes[] = {1, 7, 16, 17, 32, 64, 65, 80};
static const int64_t lengths[] = {1, 7, 17, 33, 64, 65, 130};
enum {
    SIZES = sizeof sizes / sizeof sizes[0],
    LENGTHS = sizeof lengths / sizeof lengths[0],
    BATCH = 2,
    HEADS = 3
};
static const uint32_t numbers[4] = {11, 22, 33, 44};

// ---- the definition, in double ----
static double kept(const struct dropout *d, int64_t sequence, int64_t head, int64_t tokens,
                   int64_t query, int64_t key)
{
    if (!d) return 1;
    struct philox_address at = {.seed = (uint64_t)d->random[1] << 32 | d->random[0],
                                .stream = d->stream + (uint32_t)head,
                                .step = d->random[2],
                                .sequence = d->random[3] + (uint32_t)sequence};
    int64_t element = (query * ((tokens + 63) / 64) + key / 64) * 64 + key % 64;
    return philox_bits(at, (uint64_t)element) >= dropout_threshold(d->rate) ? 1 / (1 - d->rate) : 0;
}

// One head: y[tokens, size] (dense) and lse from qkv in double, laid out as the kernel's.
static void plain_head(const struct attention *a, const double *qkv, int64_t sequence, int64_t head,
                       double *y, double *lse)
{
    int64_t size = a->head_size, width = a->heads * size, row = 3 * width;
    const double *q = qkv + sequence * a->tokens * row + head * size, *k = q + width,
                 *v = k + width;
    double *p = malloc((size_t)a->tokens * sizeof *p), scale = 1 / sqrt((double)size);
    for (int64_t i = 0; i < a->tokens; i++) {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j <= i; j++) {
            p[j] = 0;
            for (int64_t d = 0; d < size; d++) p[j] += q[i * row + d] * k[j * row + d];
            p[j] *= scale;
            if (p[j] > most) most = p[j];
        }
        for (int64_t j = 0; j <= i; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t d = 0; d < size; d++) y[i * size + d] = 0;
        for (int64_t j = 0; j <= i; j++) {
            double share = p[j] / sum * kept(a->dropout, sequence, head, a->tokens, i, j);
            for (int64_t d = 0; d < size; d++) y[i * size + d] += share * v[j * row + d];
        }
        if (lse) lse[i] = most + log(sum);
    }
    free(p);
}

static struct attention problem(int64_t tokens, int64_t size, const struct dropout *dropout)
{
    int64_t n = BATCH * tokens * HEADS * size;
    return (struct attention){.batch = BATCH,
                              .tokens = tokens,
                              .heads = HEADS,
                              .head_size = size,
                              .qkv = random_floats(3 * n, 1, 1.5),
                              .dropout = dropout,
                              .dy = random_floats(n, 2, 1)};
}

static double *doubled(const float *x, int64_t n)
{
    double *y = malloc((size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

static void check_forward(const struct attention *a)
{
    int64_t size = a->head_size, n = a->batch * a->tokens * a->heads * size;
    double *qkv = doubled(a->qkv, 3 * n), *y = malloc((size_t)(a->tokens * size) * sizeof *y);
    double *lse = malloc((size_t)a->tokens * sizeof *lse);
    for (int64_t s = 0; s < a->batch; s++)
        for (int64_t h = 0; h < a->heads; h++) {
            plain_head(a, qkv, s, h, y, lse);
            for (int64_t i = 0; i < a->tokens; i++) {
                assert_near((double)a->lse[(s * a->heads + h) * a->tokens + i], lse[i], 2e-6, "lse",
                            i);
                for (int64_t d = 0; d < size; d++)
                    assert_near((double)a->y[((s * a->tokens + i) * a->heads + h) * size + d],
                                y[i * size + d], 4e-6, "y", i * size + d);
            }
        }
    free(qkv), free(y), free(lse);
}

// Sum of dy * y over one head.
static double plain_loss(const struct attention *a, const double *qkv, int64_t sequence,
                         int64_t head, double *y)
{
    double sum = 0;
    plain_head(a, qkv, sequence, head, y, NULL);
    for (int64_t i = 0; i < a->tokens; i++)
        for (int64_t d = 0; d < a->head_size; d++)
            sum += y[i * a->head_size + d] *
                   (double)a->dy[((sequence * a->tokens + i) * a->heads + head) * a->head_size + d];
    return sum;
}

// Some elements of q, k and v of every head, first and last among them.
static void check_backward(const struct attention *a)
{
    int64_t size = a->head_size, width = a->heads * size, n = a->batch * a->tokens * width;
    double *qkv = doubled(a->qkv, 3 * n), *y = malloc((size_t)(a->tokens * size) * sizeof *y);
    struct philox_address at = {.seed = 5, .stream = philox_stream(PHILOX_TEST, 3)};
    for (int64_t s = 0, draw = 0; s < a->batch; s++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t part = 0; part < 3; part++)
                for (int probe = 0; probe < 6; probe++, draw++) {
                    int64_t token =
                        (int64_t)(philox_bits(at, (uint64_t)(2 * draw)) % (uint64_t)a->tokens);
                    int64_t d =
                        (int64_t)(philox_bits(at, (uint64_t)(2 * draw + 1)) % (uint64_t)size);
                    if (probe == 0) token = 0, d = 0;
                    if (probe == 1) token = a->tokens - 1, d = size - 1;
                    int64_t i = ((s * a->tokens + token) * 3 + part) * width + h * size + d;
                    double x = qkv[i], step = 1e-5;
                    qkv[i] = x + step;
                    double above = plain_loss(a, qkv, s, h, y);
                    qkv[i] = x - step;
                    double below = plain_loss(a, qkv, s, h, y);
                    qkv[i] = x;
                    assert_near((double)a->dqkv[i], (above - below) / (2 * step), 2e-5, "dqkv", i);
                }
    free(qkv), free(y);
}

// Runs one problem on every instruction set: the generic results against the definition, the
// others' against their bits.
static void run(int64_t tokens, int64_t size, const struct dropout *dropout)
{
    struct attention a = problem(tokens, size, dropout);
    int64_t n = BATCH * tokens * HEADS * size, rows = BATCH * HEADS * tokens;
    float *first[3] = {NULL};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !forward[isa]) continue;
        float *y = floats(n), *lse = floats(rows), *dqkv = floats(3 * n);
        void *scratch = scratch_of(scratch_bytes[isa](tokens, HEADS, size));
        struct attention call = a;
        call.y = y, call.lse = lse;
        forward[isa](&call, scratch);
        memset(scratch, 0xFF, scratch_bytes[isa](tokens, HEADS, size));
        call.dqkv = dqkv;
        backward[isa](&call, scratch);
        if (isa == ISA_GENERIC) {
            check_forward(&call);
            check_backward(&call);
            first[0] = y, first[1] = lse, first[2] = dqkv;
        }
        assert_same_bits(first[0], y, (size_t)n * 4, "y", isa);
        assert_same_bits(first[1], lse, (size_t)rows * 4, "lse", isa);
        assert_same_bits(first[2], dqkv, (size_t)n * 12, "dqkv", isa);
    }
    buffers_check_and_free();
}

static void agrees_with_its_definition(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTHS; i++)
        for (int j = 0; j < SIZES; j++) run(lengths[i], sizes[j], NULL);
}

static void agrees_with_dropout(void **state)
{
    (void)state;
    const struct dropout d = {
        .rate = 0.2, .stream = philox_stream(PHILOX_DROPOUT, 9), .random = numbers};
    for (int i = 0; i < LENGTHS; i++) run(lengths[i], i % 2 ? 17 : 64, &d);
}

// New tokens one by one, by four, by thirteen, …: the bits of the whole. With values near the
// smallest float, products that vanish leave zeros of either sign, and how many masked keys follow
// differs between the two.
static void check_cached(double value_size)
{
    enum { TOKENS = 150, CONTEXT = 160 };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !cached[isa]) continue;
        for (int64_t size = 16; size <= 20; size += 4)
            for (int64_t chunk = 1; chunk < TOKENS; chunk = chunk * 3 + 1) {
                int64_t width = HEADS * size;
                float *qkv = random_floats(TOKENS * 3 * width, 3, 1.5), *y = floats(TOKENS * width);
                float *whole = floats(TOKENS * width), *cache = floats(2 * CONTEXT * width);
                for (int64_t t = 0; t < TOKENS; t++)
                    for (int64_t i = 0; i < width; i++)
                        qkv[(3 * t + 2) * width + i] *= (float)value_size;
                void *scratch = scratch_of(scratch_bytes[isa](TOKENS, HEADS, size));
                struct attention a = {.batch = 1,
                                      .tokens = TOKENS,
                                      .heads = HEADS,
                                      .head_size = size,
                                      .qkv = qkv,
                                      .y = whole};
                forward[isa](&a, scratch);
                for (int64_t position = 0; position < TOKENS; position += chunk) {
                    struct attention_cached c = {
                        .tokens = TOKENS - position < chunk ? TOKENS - position : chunk,
                        .context = CONTEXT,
                        .heads = HEADS,
                        .head_size = size,
                        .qkv = qkv + position * 3 * width,
                        .cache = cache,
                        .position = position,
                        .y = y + position * width};
                    cached[isa](&c, scratch);
                }
                assert_same_bits(whole, y, (size_t)(TOKENS * width) * 4, "cached y", isa);
                for (int64_t t = 0; t < TOKENS; t++) {
                    assert_memory_equal(cache + t * width, qkv + (3 * t + 1) * width,
                                        (size_t)width * 4);
                    assert_memory_equal(cache + (CONTEXT + t) * width, qkv + (3 * t + 2) * width,
                                        (size_t)width * 4);
                }
                buffers_check_and_free();
            }
    }
}

static void cached_gives_the_bits_of_the_whole(void **state)
{
    (void)state;
    check_cached(1);
    check_cached(2e-38);
}

// A sequence's result does not depend on which others are in the batch.
static void sequences_are_alone(void **state)
{
    (void)state;
    enum { TOKENS = 70, SIZE = 20, N = TOKENS * HEADS * SIZE };
    const struct dropout d = {
        .rate = 0.1, .stream = philox_stream(PHILOX_DROPOUT, 1), .random = numbers};
    const uint32_t shifted[4] = {numbers[0], numbers[1], numbers[2], numbers[3] + 1};
    const struct dropout second = {.rate = 0.1, .stream = d.stream, .random = shifted};
    struct attention both = problem(TOKENS, SIZE, &d), one = both;
    void *scratch = scratch_of(scratch_bytes[ISA_GENERIC](TOKENS, HEADS, SIZE));
    both.y = floats(2 * N), both.lse = floats(2 * HEADS * TOKENS);
    one.batch = 1, one.qkv += 3 * N, one.dy += N, one.dropout = &second;
    one.y = floats(N), one.lse = floats(HEADS * TOKENS);
    attention_generic(&both, scratch);
    attention_generic(&one, scratch);
    both.dqkv = floats(6 * N), one.dqkv = floats(3 * N);
    attention_grad_generic(&both, scratch);
    attention_grad_generic(&one, scratch);
    assert_memory_equal(one.y, both.y + N, N * 4);
    assert_memory_equal(one.lse, both.lse + HEADS * TOKENS, HEADS * TOKENS * 4);
    assert_memory_equal(one.dqkv, both.dqkv + 3 * N, 3 * N * 4);
    buffers_check_and_free();
}

static void large_scores_stay_finite_and_a_nan_shows(void **state)
{
    (void)state;
    enum { TOKENS = 70, SIZE = 16, WIDTH = HEADS * SIZE };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !forward[isa]) continue;
        struct attention a = problem(TOKENS, SIZE, NULL);
        float *qkv = random_floats(3 * BATCH * TOKENS * WIDTH, 4, 300);
        void *scratch = scratch_of(scratch_bytes[isa](TOKENS, HEADS, SIZE));
        a.qkv = qkv;
        a.y = floats(BATCH * TOKENS * WIDTH), a.lse = floats(BATCH * HEADS * TOKENS);
        forward[isa](&a, scratch);
        for (int64_t i = 0; i < BATCH * TOKENS * WIDTH; i++) assert_true(isfinite(a.y[i]));
        qkv[(3 * 10 + 1) * WIDTH] = NAN; // key 10 of head 0
        forward[isa](&a, scratch);
        assert_true(isfinite(a.y[9 * WIDTH]) && isnan(a.y[10 * WIDTH]) && isnan(a.y[69 * WIDTH]));
        assert_true(isfinite(a.y[69 * WIDTH + SIZE])); // head 1
        buffers_check_and_free();
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_its_definition),
        cmocka_unit_test(agrees_with_dropout),
        cmocka_unit_test(cached_gives_the_bits_of_the_whole),
        cmocka_unit_test(sequences_are_alone),
        cmocka_unit_test(large_scores_stay_finite_and_a_nan_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
