// SPDX-License-Identifier: Apache-2.0
// How long do the exchange and the optimizer take on GPT-2 124M's parameters, against a triad of the same bytes?
//
// AdamW with clipping by norm, each worker one node, as the trainer calls it. Bytes are what must move at least: every worker's
// gradient, the weights and both states read once, the last three written once. The triad a = b + s c runs on as many threads, in the
// same rounds, by plain stores (12 bytes an element are counted, though a line of `a` is read before it is written) and by
// streaming stores. Times are processor time, the mean of the threads, so that neighbours count through memory alone; medians.
// The same update is measured with the block packed as two bf16 operands B of width 768: packed by a pass after it, and in the same pass.
// Usage: bench_update [workers, default 2] [rounds, default 7] [millions of parameters, default 124.44]
#include "base/cpu.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "kernel/cpu/kernels.h"
#include "parallel/exchange.h"
#include "parallel/slices.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#    include <immintrin.h>
#endif

enum { MOST_WORKERS = 16, MOST_ROUNDS = 101 };
enum phase { TRIAD, TRIAD_STREAMING, REDUCE, UPDATE, UPDATE_AGAIN, PACK, FUSED, PHASES };
enum { WIDTH = 768 };

struct bench {
    int64_t elements;
    int workers, rounds;
    struct block weights, state[2], target; // target: what the triad writes
    struct gradients gradients[MOST_WORKERS];
    struct exchange *exchange, *fused; // fused: packs what it has updated
    struct block packed[2];            // of B by columns and by terms
    enum isa isa;
    struct comm *comm[MOST_WORKERS];
    double seconds[PHASES][MOST_ROUNDS][MOST_WORKERS];
};
struct worker {
    struct bench *bench;
    int rank;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void triad(float *restrict a, const float *restrict b, const float *restrict c, int64_t n)
{
    for (int64_t i = 0; i < n; i++) a[i] = b[i] + 0.5f * c[i];
}

static void triad_streaming(float *restrict a, const float *restrict b, const float *restrict c,
                            int64_t n)
{
#if defined(__x86_64__)
    __m128 half = _mm_set1_ps(0.5f);
    for (int64_t i = 0; i + 4 <= n; i += 4)
        _mm_stream_ps(a + i,
                      _mm_add_ps(_mm_loadu_ps(b + i), _mm_mul_ps(half, _mm_loadu_ps(c + i))));
    _mm_sfence();
#else
    triad(a, b, c, n);
#endif
}

// Operand `i` of the two.
static struct product operand(const struct bench *bench, int i)
{
    int64_t lines = bench->elements / WIDTH;
    return (struct product){.cols = i ? WIDTH : lines,
                            .depth = i ? lines : WIDTH,
                            .b = bench->weights.data,
                            .b_depth = i ? WIDTH : 1,
                            .b_col = i ? 1 : WIDTH};
}
static void pack(const struct bench *bench, int i, int64_t first, int64_t last)
{
    struct product p = operand(bench, i);
    void *to = bench->packed[i].data;
#if defined(__x86_64__)
    if (isa_lanes(bench->isa) == ISA_AVX512)
        product_bf16_pack_range_avx512(to, &p, first, last);
    else if (bench->isa == ISA_AVX2)
        product_bf16_pack_range_avx2(to, &p, first, last);
    else
#endif
        product_bf16_pack_range_generic(to, &p, first, last);
}
// Whole bands of what is written so far, as backend/packed.c does.
static void pack_written(void *context, const struct weights_written *w)
{
    const struct bench *bench = context;
    for (int i = 0; i < 2; i++) {
        struct product p = operand(bench, i);
        int64_t band = product_bf16_band(&p), from = w->from / band * band;
        int64_t to = w->to == w->last ? w->last : w->to / band * band;
        if (from < w->first) from = w->first;
        if (from < to) pack(bench, i, from, to);
    }
}

static void run_phase(struct bench *bench, int rank, enum phase phase, int round)
{
    const struct optimizer_step step = {
        .step = round + 2, .learning_rate = 1e-4, .gradient_scale = 1e-3};
    int64_t first, last;
    slice_of(bench->elements, bench->workers, rank, &first, &last);
    float *a = (float *)bench->target.data + first;
    const float *b = (float *)bench->weights.data + first;
    const float *c = (float *)bench->state[0].data + first;
    double start = now();
    if (phase == TRIAD) triad(a, b, c, last - first);
    if (phase == TRIAD_STREAMING) triad_streaming(a, b, c, last - first);
    if (phase == REDUCE) exchange_reduce(bench->exchange, rank, 1e-3);
    if (phase == UPDATE || phase == UPDATE_AGAIN) exchange_update(bench->exchange, rank, &step);
    for (int i = 0; phase == PACK && i < 2; i++) pack(bench, i, first, last);
    if (phase == FUSED) exchange_update(bench->fused, rank, &step);
    bench->seconds[phase][round][rank] = now() - start;
}

static void fill(struct bench *bench, int rank)
{
    int64_t first, last;
    slice_of(bench->elements, bench->workers, rank, &first, &last);
    float *w = bench->weights.data, *mean = bench->state[0].data, *square = bench->state[1].data;
    float *target = bench->target.data, *gradient = gradients_buffer(&bench->gradients[rank], 0);
    for (int64_t i = 0; i < bench->elements; i++) gradient[i] = 0.001f * (float)(i % 97 - 48);
    for (int64_t i = first; i < last; i++) {
        w[i] = 0.01f * (float)(i % 89 - 44);
        mean[i] = 1e-4f * (float)(i % 83 - 41);
        square[i] = 1e-6f;
        target[i] = 0;
    }
}

static void *work(void *context)
{
    const struct worker *worker = context;
    struct bench *bench = worker->bench;
    cpu_flush_to_zero();
    fill(bench, worker->rank);
    for (int round = 0; round < bench->rounds; round++)
        for (int phase = 0; phase < PHASES; phase++) {
            if (comm_barrier(bench->comm[worker->rank])) return "a barrier failed";
            run_phase(bench, worker->rank, phase, round);
        }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Median over rounds of the threads' mean.
static double median(const struct bench *bench, enum phase from, enum phase to)
{
    double times[MOST_ROUNDS] = {0};
    for (int round = 0; round < bench->rounds; round++)
        for (int phase = from; phase <= (int)to; phase++)
            for (int r = 0; r < bench->workers; r++)
                times[round] += bench->seconds[phase][round][r] / bench->workers;
    qsort(times, (size_t)bench->rounds, sizeof *times, compare);
    return times[bench->rounds / 2];
}

static void print(const struct bench *bench)
{
    double n = (double)bench->elements;
    double bytes = 4 * n * (6 + bench->workers), triad_bytes = 12 * n;
    double plain = median(bench, TRIAD, TRIAD),
           streaming = median(bench, TRIAD_STREAMING, TRIAD_STREAMING);
    double reduce = median(bench, REDUCE, REDUCE), update = median(bench, UPDATE, UPDATE);
    double both = median(bench, REDUCE, UPDATE);
    printf("{\"bench\": \"update\", \"processor\": \"%s\", \"optimizer\": \"adamw, clipped\", "
           "\"workers\": %d, "
           "\"elements\": %lld, \"reduce_ms\": %.1f, \"update_ms\": %.1f, \"both_ms\": %.1f, "
           "\"least_bytes\": %.0f, \"gb_per_s\": %.1f, \"triad_gb_per_s\": %.1f, "
           "\"triad_streaming_gb_per_s\": %.1f, \"of_triad_time\": %.2f, "
           "\"of_streaming_triad_time\": %.2f}\n",
           cpu_name(), bench->workers, (long long)bench->elements, 1e3 * reduce, 1e3 * update,
           1e3 * both, bytes, 1e-9 * bytes / both, 1e-9 * triad_bytes / plain,
           1e-9 * triad_bytes / streaming, both / (bytes / triad_bytes * plain),
           both / (bytes / triad_bytes * streaming));
    double apart = median(bench, UPDATE_AGAIN, PACK), fused = median(bench, FUSED, FUSED);
    printf("{\"bench\": \"update packed\", \"workers\": %d, \"elements\": %lld, \"pack_ms\": %.1f, "
           "\"update_then_pack_ms\": %.1f, \"update_and_pack_ms\": %.1f, \"ratio\": %.3f}\n",
           bench->workers, (long long)bench->elements, 1e3 * median(bench, PACK, PACK), 1e3 * apart,
           1e3 * fused, fused / apart);
}

static enum status prepare(struct bench *bench, enum isa isa)
{
    static struct segment segment;
    static const struct gradients *all[MOST_WORKERS];
    static int border[MOST_WORKERS + 1];
    size_t bytes = (size_t)bench->elements * sizeof(float);
    segment = (struct segment){0, bench->elements, true, 1, SEGMENT_LEARNS};
    TRY(block_create(bytes, "weights", &bench->weights));
    TRY(block_create(bytes, "the first state", &bench->state[0]));
    TRY(block_create(bytes, "the second state", &bench->state[1]));
    TRY(block_create(bytes, "the triad", &bench->target));
    for (int r = 0; r < bench->workers; r++) {
        TRY(gradients_create(&bench->gradients[r], bench->elements, 1, isa));
        all[r] = &bench->gradients[r];
        border[r + 1] = r + 1;
    }
    for (int i = 0; i < 2; i++) {
        struct product p = operand(bench, i);
        size_t packed = product_bf16_packed_bytes_generic(p.cols, p.depth);
        TRY(block_create(packed, "packed weights", &bench->packed[i]));
    }
    struct exchange_setup setup = {
        .elements = bench->elements,
        .workers = bench->workers,
        .leaves = bench->workers,
        .isa = isa,
        .optimizer = {.name = "adamw",
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .epsilon = 1e-8,
                      .weight_decay = 0.1,
                      .clip = 1},
        .weights = bench->weights.data,
        .state = {bench->state[0].data, bench->state[1].data},
        .segment = &segment,
        .segments = 1,
    };
    TRY(exchange_create(&setup, &bench->exchange));
    exchange_route(bench->exchange, border, all);
    setup.written = pack_written;
    setup.context = bench;
    TRY(exchange_create(&setup, &bench->fused));
    exchange_route(bench->fused, border, all);
    TRY(comm_create(NULL, bench->workers, bench->comm));
    return STATUS_OK;
}

int main(int count, char **words)
{
    static struct bench bench;
    static struct worker worker[MOST_WORKERS];
    pthread_t thread[MOST_WORKERS];
    enum isa isa;
    bench.workers = count > 1 ? atoi(words[1]) : 2;
    bench.rounds = count > 2 ? atoi(words[2]) : 7;
    bench.elements = (int64_t)(1e6 * (count > 3 ? atof(words[3]) : 124.44));
    if (bench.workers < 1 || bench.workers > MOST_WORKERS || bench.rounds < 1 ||
        bench.rounds > MOST_ROUNDS || bench.elements < 1) {
        fprintf(stderr, "usage: bench_update [workers] [rounds] [millions of parameters]\n");
        return 2;
    }
    bench.elements = (bench.elements + WIDTH - 1) / WIDTH * WIDTH;
    if (isa_choose(&isa) || prepare(&bench, bench.isa = isa)) {
        fprintf(stderr, "%s\n", error_message());
        return 1;
    }
    for (int r = 0; r < bench.workers; r++) {
        worker[r] = (struct worker){&bench, r};
        if (pthread_create(&thread[r], NULL, work, &worker[r])) return 1;
    }
    for (int r = 0; r < bench.workers; r++) pthread_join(thread[r], NULL);
    print(&bench);
    return 0;
}
