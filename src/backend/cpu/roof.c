// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/roof.h"

#include "base/memory.h"
#include "kernel/cpu/kernels.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct roof_kernels {
    double (*fma_chains)(float x[16], int64_t terms);
    void (*triad)(float *y, const float *a, const float *b, float s, int64_t n);
};
static const struct roof_kernels kernels[ISA_COUNT] = {
    [ISA_GENERIC] = {fma_chains_generic, triad_generic},
#if defined(__x86_64__)
    [ISA_AVX2] = {fma_chains_avx2, triad_avx2},
    [ISA_AVX512] = {fma_chains_avx512, triad_avx512},
#elif defined(__aarch64__)
    [ISA_NEON] = {fma_chains_neon, triad_neon},
#endif
};

// A run of chains takes about 0.1 ms on a fast core: far less than a time slice of the system.
enum { TERMS = 1 << 15, TILE_TERMS = 1 << 11 };
// The triad goes through its arrays in parts of so many elements: about a millisecond, so that some of the runs meet no
// neighbour, and none finds its part in a cache.
enum { PART = 1 << 19 };
// Arrays of the triad: so many times the last cache, at least and at most so many bytes.
enum { TIMES_CACHE = 3 };
#define LEAST_BYTES ((size_t)96 << 20)
#define MOST_BYTES  ((size_t)1 << 30)

// Threads that measure at once. They wait for `start` until it is known how many there are.
struct crew {
    const struct roof_kernels *kernel;
    double (*chains)(float x[16], int64_t terms); // of arithmetic
    int64_t terms;
    double seconds; // to take
    pthread_mutex_t start;
    int count;
    _Atomic int arrived, round; // of a meeting of all
    _Atomic bool go_on;
    double best; // bytes a second of the fastest run of all together
    struct runner *runner;
};
struct runner {
    struct crew *crew;
    float *y, *a, *b; // [n]
    int64_t n, part;
    double began, ended; // of the last run
    double rate;
    pthread_t thread;
};

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void wait_for_start(struct crew *crew)
{
    pthread_mutex_lock(&crew->start);
    pthread_mutex_unlock(&crew->start);
    cpu_flush_to_zero();
}

static void meet(struct crew *crew)
{
    int round = crew->round;
    if (atomic_fetch_add(&crew->arrived, 1) + 1 == crew->count) {
        crew->arrived = 0;
        crew->round++;
    }
    while (crew->round == round) sched_yield();
}

// Starts `count` threads, lets them all run, and waits for their end. False when there is no thread to be had.
static bool run_crew(struct crew *crew, int count, void *(*run)(void *))
{
    pthread_mutex_init(&crew->start, NULL);
    pthread_mutex_lock(&crew->start);
    while (crew->count < count && !pthread_create(&crew->runner[crew->count].thread, NULL, run,
                                                  &crew->runner[crew->count]))
        crew->count++;
    pthread_mutex_unlock(&crew->start);
    for (int i = 0; i < crew->count; i++) pthread_join(crew->runner[i].thread, NULL);
    pthread_mutex_destroy(&crew->start);
    return crew->count > 0;
}

static enum status create_crew(enum isa isa, int threads, double seconds, struct crew *crew)
{
    *crew = (struct crew){.kernel = &kernels[isa_lanes(isa)], .seconds = seconds};
    TRY(memory_allocate((size_t)threads, sizeof *crew->runner, "a measurement", &crew->runner));
    for (int i = 0; i < threads; i++) crew->runner[i].crew = crew;
    return STATUS_OK;
}

// ---- arithmetic ----

static void *run_chains(void *context)
{
    struct runner *runner = context;
    float x[16] = {0.5f};
    wait_for_start(runner->crew);
    double start = seconds_of(CLOCK_MONOTONIC);
    do {
        double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        double done = runner->crew->chains(x, runner->crew->terms);
        double rate = done / (seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin + 1e-9);
        if (rate > runner->rate) runner->rate = rate;
    } while (seconds_of(CLOCK_MONOTONIC) - start < runner->crew->seconds);
    return NULL;
}

static enum status measure_chains(int threads, double (*chains)(float x[16], int64_t terms),
                                  int64_t terms, double seconds, double *operations_p)
{
    struct crew crew;
    double sum = 0;
    TRY(create_crew(ISA_GENERIC, threads, seconds, &crew));
    crew.chains = chains;
    crew.terms = terms;
    bool ran = run_crew(&crew, threads, run_chains);
    for (int i = 0; i < crew.count; i++) sum += crew.runner[i].rate;
    free(crew.runner);
    if (!ran) FAIL(STATUS_MEMORY, "no thread could be started to measure this processor");
    *operations_p = sum;
    return STATUS_OK;
}

enum status roof_measure_fma(enum isa isa, int threads, double seconds, double *operations_p)
{
    return measure_chains(threads, kernels[isa_lanes(isa)].fma_chains, TERMS, seconds,
                          operations_p);
}

enum status roof_measure_tiles(int threads, double seconds, double *operations_p)
{
#if defined(HAVE_AMX)
    if (isa_available(ISA_AMX))
        return measure_chains(threads, tile_chains_amx, TILE_TERMS, seconds, operations_p);
#else
    (void)threads;
    (void)seconds;
#endif
    *operations_p = 0;
    return STATUS_OK;
}

// ---- memory ----

// Of the last run of all threads: from the first one's beginning to the last one's end.
static double span_of(const struct crew *crew)
{
    double began = crew->runner[0].began, ended = crew->runner[0].ended;
    for (int i = 1; i < crew->count; i++) {
        if (crew->runner[i].began < began) began = crew->runner[i].began;
        if (crew->runner[i].ended > ended) ended = crew->runner[i].ended;
    }
    return ended - began;
}

static void *run_triad(void *context)
{
    struct runner *runner = context;
    struct crew *crew = runner->crew;
    wait_for_start(crew);
    for (int64_t i = 0; i < runner->n; i++) // touched first by the thread that uses it
        runner->a[i] = runner->b[i] = 1, runner->y[i] = 0;
    double start = seconds_of(CLOCK_MONOTONIC);
    double bytes = 3.0 * sizeof(float) * (double)runner->part * crew->count;
    int64_t at = 0;
    do {
        meet(crew);
        double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        runner->began = seconds_of(CLOCK_MONOTONIC);
        crew->kernel->triad(runner->y + at, runner->a + at, runner->b + at, 0.5f, runner->part);
        runner->ended = seconds_of(CLOCK_MONOTONIC);
        double own = seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin + 1e-9;
        if (bytes / crew->count / own > runner->rate) runner->rate = bytes / crew->count / own;
        at = at + 2 * runner->part <= runner->n ? at + runner->part : 0;
        meet(crew);
        if (runner == crew->runner) {
            double rate = bytes / (span_of(crew) + 1e-9);
            if (rate > crew->best) crew->best = rate;
            crew->go_on = seconds_of(CLOCK_MONOTONIC) - start < crew->seconds;
        }
        meet(crew);
    } while (crew->go_on);
    return NULL;
}

static size_t array_bytes(void)
{
    long cache = -1;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    size_t bytes = cache > 0 ? (size_t)cache * TIMES_CACHE : 0;
    return bytes < LEAST_BYTES ? LEAST_BYTES : bytes > MOST_BYTES ? MOST_BYTES : bytes;
}

enum status roof_measure_triad(enum isa isa, int threads, size_t bytes, double seconds,
                               double *bytes_p)
{
    struct crew crew;
    struct block memory;
    if (!bytes) bytes = array_bytes();
    // Each array of each thread begins at a line of 64 bytes.
    int64_t n = (int64_t)(bytes / sizeof(float)) / (3 * (int64_t)threads) / 16 * 16;
    n = n < 16 ? 16 : n;
    size_t all = (size_t)n * 3 * (size_t)threads * sizeof(float);
    TRY(block_create(all, "a measurement", &memory));
    enum status status = create_crew(isa, threads, seconds, &crew);
    if (status) goto destroy_memory;
    for (int i = 0; i < threads; i++) {
        float *mine = (float *)memory.data + (int64_t)i * 3 * n;
        crew.runner[i].y = mine, crew.runner[i].a = mine + n, crew.runner[i].b = mine + 2 * n;
        crew.runner[i].n = n;
        crew.runner[i].part = n < PART ? n : PART;
    }
    bool ran = run_crew(&crew, threads, run_triad);
    // All together reach at least what one does. Where neighbours never let all run at once, that is all that is known.
    for (int i = 0; i < crew.count; i++)
        if (crew.runner[i].rate > crew.best) crew.best = crew.runner[i].rate;
    free(crew.runner);
    if (ran)
        *bytes_p = crew.best;
    else
        status = error_at(STATUS_MEMORY, __FILE__, __LINE__,
                          "no thread could be started to measure this machine");
destroy_memory:
    block_destroy(&memory);
    return status;
}
