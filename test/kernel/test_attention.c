// SPDX-License-Identifier: Apache-2.0
// Attention against a plain double definition, its gradient against differences of that, the cached
// form against the whole one; with grouped heads, with padding, causal and not.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const forward[ISA_COUNT])(const struct attention *, int64_t, int64_t,
                                        void *) = KERNEL_ROW(attention);
static void (*const backward[ISA_COUNT])(const struct attention *, int64_t, int64_t,
                                         void *) = KERNEL_ROW(attention_grad);
static void (*const cached[ISA_COUNT])(const struct attention_cached *, int64_t, int64_t,
                                       void *) = KERNEL_ROW(attention_cached);
static size_t (*const scratch_bytes[ISA_COUNT])(int64_t, int64_t, int64_t,
                                                int64_t) = KERNEL_ROW(attention_scratch_bytes);

static const int64_t sizes[] = {1, 7, 16, 17, 32, 64, 65, 80};
static const int64_t lengths[] = {1, 7, 17, 33, 64, 65, 130};
enum {
    SIZES = sizeof sizes / sizeof sizes[0],
    LENGTHS = sizeof lengths / sizeof lengths[0],
    BATCH = 2,
    HEADS = 3
};
// What a problem has besides its sizes; NULL and 0 for what it does without.
struct kind {
    int64_t kv_heads; // 0: HEADS
    bool bidirectional;
    const struct dropout *dropout;
    bool padded; // the first sequence at 3/4 of its tokens, the second whole
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

static int64_t row_of(const struct attention *a)
{
    return (a->heads + 2 * a->kv_heads) * a->head_size;
}

static int64_t length_of(const struct attention *a, int64_t sequence)
{
    return a->lengths ? a->lengths[sequence] : a->tokens;
}

// One head: y[tokens, size] (dense) and lse from qkv in double, laid out as the kernel's.
static void plain_head(const struct attention *a, const double *qkv, int64_t sequence, int64_t head,
                       double *y, double *lse)
{
    int64_t size = a->head_size, row = row_of(a), group = a->heads / a->kv_heads;
    const double *token = qkv + sequence * a->tokens * row, *q = token + head * size;
    const double *k = token + (a->heads + head / group) * size, *v = k + a->kv_heads * size;
    double *p = malloc((size_t)a->tokens * sizeof *p), scale = 1 / sqrt((double)size);
    int64_t length = length_of(a, sequence);
    for (int64_t i = length; i < a->tokens; i++) {
        for (int64_t d = 0; d < size; d++) y[i * size + d] = 0;
        if (lse) lse[i] = 0;
    }
    for (int64_t i = 0; i < length; i++) {
        double most = -INFINITY, sum = 0;
        int64_t seen = a->bidirectional ? length : i + 1;
        for (int64_t j = 0; j < seen; j++) {
            p[j] = 0;
            for (int64_t d = 0; d < size; d++) p[j] += q[i * row + d] * k[j * row + d];
            p[j] *= scale;
            if (p[j] > most) most = p[j];
        }
        for (int64_t j = 0; j < seen; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t d = 0; d < size; d++) y[i * size + d] = 0;
        for (int64_t j = 0; j < seen; j++) {
            double share = p[j] / sum * kept(a->dropout, sequence, head, a->tokens, i, j);
            for (int64_t d = 0; d < size; d++) y[i * size + d] += share * v[j * row + d];
        }
        if (lse) lse[i] = most + log(sum);
    }
    free(p);
}

static struct attention problem(int64_t tokens, int64_t size, const struct kind *kind)
{
    static int32_t present[BATCH];
    present[0] = (int32_t)(tokens * 3 / 4), present[1] = (int32_t)tokens;
    struct attention a = {.batch = BATCH,
                          .tokens = tokens,
                          .heads = HEADS,
                          .kv_heads = kind->kv_heads ? kind->kv_heads : HEADS,
                          .head_size = size,
                          .bidirectional = kind->bidirectional,
                          .lengths = kind->padded ? present : NULL,
                          .dropout = kind->dropout,
                          .dy = random_floats(BATCH * tokens * HEADS * size, 2, 1)};
    a.qkv = random_floats(BATCH * tokens * row_of(&a), 1, 1.5);
    return a;
}

static double *doubled(const float *x, int64_t n)
{
    double *y = malloc((size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

static void check_forward(const struct attention *a)
{
    int64_t size = a->head_size;
    double *qkv = doubled(a->qkv, a->batch * a->tokens * row_of(a));
    double *y = malloc((size_t)(a->tokens * size) * sizeof *y);
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

// Sum of dy * y over the heads that a head of keys and values serves.
static double plain_loss(const struct attention *a, const double *qkv, int64_t sequence,
                         int64_t kv_head, double *y)
{
    double sum = 0;
    int64_t group = a->heads / a->kv_heads;
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        plain_head(a, qkv, sequence, head, y, NULL);
        const float *dy = a->dy + (sequence * a->tokens * a->heads + head) * a->head_size;
        for (int64_t i = 0; i < a->tokens; i++)
            for (int64_t d = 0; d < a->head_size; d++)
                sum += y[i * a->head_size + d] * (double)dy[i * a->heads * a->head_size + d];
    }
    return sum;
}

// Some elements of q, k and v of every head of keys, first and last among them (the first head of
// queries that it serves), and what padding has to leave at 0.
static void check_backward(const struct attention *a)
{
    int64_t size = a->head_size, row = row_of(a), group = a->heads / a->kv_heads;
    double *qkv = doubled(a->qkv, a->batch * a->tokens * row);
    double *y = malloc((size_t)(a->tokens * size) * sizeof *y);
    for (int64_t s = 0; s < a->batch; s++)
        for (int64_t i = length_of(a, s) * row; i < a->tokens * row; i++)
            assert_true(a->dqkv[s * a->tokens * row + i] == 0);
    struct philox_address at = {.seed = 5, .stream = philox_stream(PHILOX_TEST, 3)};
    for (int64_t s = 0, draw = 0; s < a->batch; s++)
        for (int64_t h = 0; h < a->kv_heads; h++)
            for (int64_t part = 0; part < 3; part++)
                for (int probe = 0; probe < 6; probe++, draw++) {
                    int64_t token =
                        (int64_t)(philox_bits(at, (uint64_t)(2 * draw)) % (uint64_t)a->tokens);
                    int64_t d =
                        (int64_t)(philox_bits(at, (uint64_t)(2 * draw + 1)) % (uint64_t)size);
                    if (probe == 0) token = 0, d = 0;
                    if (probe == 1) token = a->tokens - 1, d = size - 1;
                    int64_t column =
                        part == 0 ? h * group : a->heads + (part - 1) * a->kv_heads + h;
                    int64_t i = (s * a->tokens + token) * row + column * size + d;
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
static void run(int64_t tokens, int64_t size, const struct kind *kind)
{
    struct attention a = problem(tokens, size, kind);
    int64_t n = BATCH * tokens * HEADS * size, rows = BATCH * HEADS * tokens;
    int64_t all = BATCH * tokens * row_of(&a);
    float *first[3] = {NULL};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !forward[isa]) continue;
        float *y = floats(n), *lse = floats(rows), *dqkv = floats(all);
        size_t bytes = scratch_bytes[isa](tokens, tokens, HEADS / a.kv_heads, size);
        void *scratch = scratch_of(bytes);
        struct attention call = a;
        call.y = y, call.lse = lse;
        // In two parts, the second first: no head depends on another.
        forward[isa](&call, 2, BATCH * HEADS, scratch);
        forward[isa](&call, 0, 2, scratch);
        memset(scratch, 0xFF, bytes);
        call.dqkv = dqkv;
        backward[isa](&call, 1, BATCH * a.kv_heads, scratch);
        backward[isa](&call, 0, 1, scratch);
        if (isa == ISA_GENERIC) {
            check_forward(&call);
            check_backward(&call);
            first[0] = y, first[1] = lse, first[2] = dqkv;
        }
        assert_same_bits(first[0], y, (size_t)n * 4, "y", isa);
        assert_same_bits(first[1], lse, (size_t)rows * 4, "lse", isa);
        assert_same_bits(first[2], dqkv, (size_t)all * 4, "dqkv", isa);
    }
    buffers_check_and_free();
}

static void agrees_with_its_definition(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTHS; i++)
        for (int j = 0; j < SIZES; j++) run(lengths[i], sizes[j], &(struct kind){0});
}

static void agrees_with_dropout(void **state)
{
    (void)state;
    const struct dropout d = {
        .rate = 0.2, .stream = philox_stream(PHILOX_DROPOUT, 9), .random = numbers};
    for (int i = 0; i < LENGTHS; i++)
        run(lengths[i], i % 2 ? 17 : 64, &(struct kind){.dropout = &d});
}

static void agrees_with_groups_padding_and_no_order(void **state)
{
    (void)state;
    const struct dropout d = {
        .rate = 0.2, .stream = philox_stream(PHILOX_DROPOUT, 9), .random = numbers};
    for (int i = 0; i < LENGTHS; i++)
        for (int j = 0; j < 8; j++)
            run(lengths[i], i % 2 ? 31 : 33,
                &(struct kind){.kv_heads = j & 1 ? 1 : 0,
                               .bidirectional = j & 2,
                               .padded = j & 4,
                               .dropout = (i + j) % 3 ? NULL : &d});
}

// A padded sequence gives the bits of the one that ends where the padding begins, whatever the
// padding holds.
static void padding_is_as_if_the_sequence_ended(void **state)
{
    (void)state;
    enum { TOKENS = 100, LENGTH = 70, SIZE = 20, N = HEADS * SIZE };
    for (int bidirectional = 0; bidirectional < 2; bidirectional++) {
        int32_t length = LENGTH;
        struct attention a =
            problem(TOKENS, SIZE, &(struct kind){.bidirectional = bidirectional != 0});
        float *qkv = random_floats(TOKENS * 3 * N, 1, 1.5);
        for (int i = LENGTH * 3 * N; i < TOKENS * 3 * N; i++) qkv[i] = NAN;
        a.batch = 1, a.qkv = qkv, a.lengths = &length;
        struct attention end = a;
        end.tokens = LENGTH, end.lengths = NULL;
        void *scratch = scratch_of(scratch_bytes[ISA_GENERIC](TOKENS, TOKENS, 1, SIZE));
        a.y = floats(TOKENS * N), a.lse = floats(HEADS * TOKENS);
        end.y = floats(LENGTH * N), end.lse = floats(HEADS * LENGTH);
        attention_generic(&a, 0, HEADS, scratch);
        attention_generic(&end, 0, HEADS, scratch);
        a.dqkv = floats(TOKENS * 3 * N), end.dqkv = floats(LENGTH * 3 * N);
        attention_grad_generic(&a, 0, HEADS, scratch);
        attention_grad_generic(&end, 0, HEADS, scratch);
        assert_memory_equal(a.y, end.y, LENGTH * N * 4);
        assert_memory_equal(a.dqkv, end.dqkv, LENGTH * 3 * N * 4);
        for (int i = LENGTH * N; i < TOKENS * N; i++) assert_true(a.y[i] == 0);
        for (int i = LENGTH * 3 * N; i < TOKENS * 3 * N; i++) assert_true(a.dqkv[i] == 0);
        buffers_check_and_free();
    }
}

// ---- products of bf16 ----
static const struct bf16_form {
    enum isa isa;
    void (*forward)(const struct attention *, int64_t, int64_t, void *);
    void (*backward)(const struct attention *, int64_t, int64_t, void *);
    size_t (*scratch_bytes)(int64_t, int64_t, int64_t, int64_t);
} bf16_forms[] = {
#define BF16_FORM(set, isa)                                                                        \
    {                                                                                              \
        set, attention_bf16_##isa, attention_grad_bf16_##isa, attention_bf16_scratch_bytes_##isa   \
    }
    BF16_FORM(ISA_GENERIC, generic),
#if defined(__x86_64__)
    BF16_FORM(ISA_AVX2, avx2),
    BF16_FORM(ISA_AVX512, avx512),
#elif defined(__aarch64__)
    BF16_FORM(ISA_NEON, neon),
#endif
#if defined(HAVE_AMX)
    BF16_FORM(ISA_AMX, amx),
#endif
};
enum { BF16_FORMS = sizeof bf16_forms / sizeof *bf16_forms };

static void check_close(const float *got, const float *want, int64_t n, const char *what)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        assert_near((double)got[i], (double)want[i], 0.1, what, i);
        error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    if (sqrt(error) > 1e-2 * sqrt(size))
        fail_msg("%s: a relative error of %g", what, sqrt(error / size));
}

// Near the float32 kernels, and the same bits on every instruction set, in parts or not.
static void run_bf16(int64_t tokens, int64_t size, const struct kind *kind)
{
    struct attention a = problem(tokens, size, kind);
    int64_t n = BATCH * tokens * HEADS * size, rows = BATCH * HEADS * tokens;
    int64_t all = BATCH * tokens * row_of(&a), group = HEADS / a.kv_heads;
    struct attention wanted = a, first = a;
    void *scratch = scratch_of(scratch_bytes[ISA_GENERIC](tokens, tokens, group, size));
    wanted.y = floats(n), wanted.lse = floats(rows);
    attention_generic(&wanted, 0, BATCH * HEADS, scratch);
    float *gradient = floats(all);
    wanted.dqkv = gradient;
    attention_grad_generic(&wanted, 0, BATCH * a.kv_heads, scratch);
    for (int f = 0; f < BF16_FORMS; f++) {
        if (!isa_available(bf16_forms[f].isa)) continue;
        size_t bytes = bf16_forms[f].scratch_bytes(tokens, tokens, group, size);
        void *own = scratch_of(bytes);
        struct attention call = a;
        call.y = floats(n), call.lse = floats(rows);
        bf16_forms[f].forward(&call, 2, BATCH * HEADS, own);
        bf16_forms[f].forward(&call, 0, 2, own);
        memset(own, 0xFF, bytes);
        call.dqkv = floats(all);
        bf16_forms[f].backward(&call, 1, BATCH * a.kv_heads, own);
        bf16_forms[f].backward(&call, 0, 1, own);
        if (f == 0) {
            first = call;
            check_close(call.y, wanted.y, n, "y");
            check_close(call.lse, wanted.lse, rows, "lse");
            check_close(call.dqkv, wanted.dqkv, all, "dqkv");
        }
        assert_same_bits(first.y, call.y, (size_t)n * 4, "y", bf16_forms[f].isa);
        assert_same_bits(first.lse, call.lse, (size_t)rows * 4, "lse", bf16_forms[f].isa);
        assert_same_bits(first.dqkv, call.dqkv, (size_t)all * 4, "dqkv", bf16_forms[f].isa);
    }
    buffers_check_and_free();
}

// 600 and 1,030 tokens are several chunks of keys.
static void bf16_is_near_and_the_same_everywhere(void **state)
{
    (void)state;
    const struct dropout d = {
        .rate = 0.2, .stream = philox_stream(PHILOX_DROPOUT, 9), .random = numbers};
    static const int64_t several[] = {1, 7, 33, 64, 65, 130, 600, 1030};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < (several[i] > 130 ? 2 : 8); j++)
            run_bf16(several[i],
                     several[i] > 130 ? 20
                     : i % 2          ? 31
                                      : 64,
                     &(struct kind){.kv_heads = j & 1 ? 1 : 0,
                                    .bidirectional = (i + j) & 2,
                                    .padded = j & 4,
                                    .dropout = (i + j) % 3 ? NULL : &d});
}

// Whatever the padding holds, a padded sequence gives the bits of the one that ends there.
static void bf16_padding_is_as_if_the_sequence_ended(void **state)
{
    (void)state;
    enum { TOKENS = 100, LENGTH = 70, SIZE = 20, N = HEADS * SIZE };
    for (int bidirectional = 0; bidirectional < 2; bidirectional++) {
        int32_t length = LENGTH;
        struct attention a =
            problem(TOKENS, SIZE, &(struct kind){.bidirectional = bidirectional != 0});
        float *qkv = random_floats(TOKENS * 3 * N, 1, 1.5);
        for (int i = LENGTH * 3 * N; i < TOKENS * 3 * N; i++) qkv[i] = NAN;
        a.batch = 1, a.qkv = qkv, a.lengths = &length;
        struct attention end = a;
        end.tokens = LENGTH, end.lengths = NULL;
        void *scratch = scratch_of(attention_bf16_scratch_bytes_generic(TOKENS, TOKENS, 1, SIZE));
        a.y = floats(TOKENS * N), a.lse = floats(HEADS * TOKENS);
        end.y = floats(LENGTH * N), end.lse = floats(HEADS * LENGTH);
        attention_bf16_generic(&a, 0, HEADS, scratch);
        attention_bf16_generic(&end, 0, HEADS, scratch);
        a.dqkv = floats(TOKENS * 3 * N), end.dqkv = floats(LENGTH * 3 * N);
        attention_grad_bf16_generic(&a, 0, HEADS, scratch);
        attention_grad_bf16_generic(&end, 0, HEADS, scratch);
        assert_memory_equal(a.y, end.y, LENGTH * N * 4);
        assert_memory_equal(a.dqkv, end.dqkv, LENGTH * 3 * N * 4);
        for (int i = LENGTH * N; i < TOKENS * N; i++) assert_true(a.y[i] == 0);
        for (int i = LENGTH * 3 * N; i < TOKENS * 3 * N; i++) assert_true(a.dqkv[i] == 0);
        buffers_check_and_free();
    }
}

// New tokens one by one, by four, by thirteen, …: the bits of the whole. With values near the
// smallest float, products that vanish leave zeros of either sign, and how many masked keys follow
// differs between the two.
static void check_cached(double value_size, int64_t kv_heads)
{
    enum { TOKENS = 150, CONTEXT = 160 };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !cached[isa]) continue;
        for (int64_t size = 16; size <= 20; size += 4)
            for (int64_t chunk = 1; chunk < TOKENS; chunk = chunk * 3 + 1) {
                int64_t width = HEADS * size, kv_width = kv_heads * size;
                int64_t row = width + 2 * kv_width;
                float *qkv = random_floats(TOKENS * row, 3, 1.5), *y = floats(TOKENS * width);
                float *whole = floats(TOKENS * width), *cache = floats(2 * CONTEXT * kv_width);
                for (int64_t t = 0; t < TOKENS; t++)
                    for (int64_t i = width + kv_width; i < row; i++)
                        qkv[t * row + i] *= (float)value_size;
                void *scratch =
                    scratch_of(scratch_bytes[isa](TOKENS, CONTEXT, HEADS / kv_heads, size));
                struct attention a = {.batch = 1,
                                      .tokens = TOKENS,
                                      .heads = HEADS,
                                      .kv_heads = kv_heads,
                                      .head_size = size,
                                      .qkv = qkv,
                                      .y = whole};
                forward[isa](&a, 0, HEADS, scratch);
                for (int64_t position = 0; position < TOKENS; position += chunk) {
                    struct attention_cached c = {
                        .tokens = TOKENS - position < chunk ? TOKENS - position : chunk,
                        .context = CONTEXT,
                        .heads = HEADS,
                        .kv_heads = kv_heads,
                        .head_size = size,
                        .qkv = qkv + position * row,
                        .cache = cache,
                        .position = position,
                        .y = y + position * width};
                    cached[isa](&c, 1, kv_heads, scratch);
                    cached[isa](&c, 0, 1, scratch);
                }
                assert_same_bits(whole, y, (size_t)(TOKENS * width) * 4, "cached y", isa);
                for (int64_t t = 0; t < TOKENS; t++) {
                    const float *k = qkv + t * row + width;
                    assert_memory_equal(cache + t * kv_width, k, (size_t)kv_width * 4);
                    assert_memory_equal(cache + (CONTEXT + t) * kv_width, k + kv_width,
                                        (size_t)kv_width * 4);
                }
                buffers_check_and_free();
            }
    }
}

static void cached_gives_the_bits_of_the_whole(void **state)
{
    (void)state;
    check_cached(1, HEADS);
    check_cached(2e-38, HEADS);
    check_cached(1, 1);
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
    struct attention both = problem(TOKENS, SIZE, &(struct kind){.dropout = &d}), one = both;
    void *scratch = scratch_of(scratch_bytes[ISA_GENERIC](TOKENS, TOKENS, 1, SIZE));
    both.y = floats(2 * N), both.lse = floats(2 * HEADS * TOKENS);
    one.batch = 1, one.qkv += 3 * N, one.dy += N, one.dropout = &second;
    one.y = floats(N), one.lse = floats(HEADS * TOKENS);
    attention_generic(&both, 0, 2 * HEADS, scratch);
    attention_generic(&one, 0, HEADS, scratch);
    both.dqkv = floats(6 * N), one.dqkv = floats(3 * N);
    attention_grad_generic(&both, 0, 2 * HEADS, scratch);
    attention_grad_generic(&one, 0, HEADS, scratch);
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
        struct attention a = problem(TOKENS, SIZE, &(struct kind){0});
        float *qkv = random_floats(3 * BATCH * TOKENS * WIDTH, 4, 300);
        void *scratch = scratch_of(scratch_bytes[isa](TOKENS, TOKENS, 1, SIZE));
        a.qkv = qkv;
        a.y = floats(BATCH * TOKENS * WIDTH), a.lse = floats(BATCH * HEADS * TOKENS);
        forward[isa](&a, 0, BATCH * HEADS, scratch);
        for (int64_t i = 0; i < BATCH * TOKENS * WIDTH; i++) assert_true(isfinite(a.y[i]));
        qkv[(3 * 10 + 1) * WIDTH] = NAN; // key 10 of head 0
        forward[isa](&a, 0, BATCH * HEADS, scratch);
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
        cmocka_unit_test(agrees_with_groups_padding_and_no_order),
        cmocka_unit_test(padding_is_as_if_the_sequence_ended),
        cmocka_unit_test(bf16_is_near_and_the_same_everywhere),
        cmocka_unit_test(bf16_padding_is_as_if_the_sequence_ended),
        cmocka_unit_test(cached_gives_the_bits_of_the_whole),
        cmocka_unit_test(sequences_are_alone),
        cmocka_unit_test(large_scores_stay_finite_and_a_nan_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
