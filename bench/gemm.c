// SPDX-License-Identifier: Apache-2.0
// Our float32 products beside OpenBLAS and oneDNN, in one process, for every product of three models' training.
//
// One line of JSON per measurement, one with the ratios per number of threads. One thread is measured in
// its processor time, two in time on the clock: those want a machine that is left alone. Rounds alternate
// between the libraries; the medians of the rounds are compared. The libraries are opened when the program runs
// (Debian: libopenblas0-pthread, libdnnl2); one that is missing is named, and left out.
// Usage: gemm [part of a model's or shape's name, default all] [rounds, 5] [threads, 1 and 2]
// On the terms of AVX2: STENTOR_ISA=avx2 OPENBLAS_CORETYPE=Haswell ONEDNN_MAX_CPU_ISA=AVX2.
#include "base/cpu.h"
#include "base/memory.h"
#include "kernel/cpu/kernels.h"
#include "peak.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- shapes ----
// What a product is part of: y = x w^T, dx = dy w, dw = dy^T x; w lies [out, in].
enum form { FORWARD, GRAD_INPUT, GRAD_WEIGHT, FORMS };
static const char *const form_names[] = {"x w^T", "dy w", "dy^T x"};

struct layer {
    const char *model, *name;
    int64_t in, out;
    int64_t rows[3]; // up to three batches, 0 ends them
};
static const struct layer layers[] = {
    {"gpt2-124m", "qkv", 768, 2304, {256, 1024, 4096}},
    {"gpt2-124m", "projection", 768, 768, {256, 1024, 4096}},
    {"gpt2-124m", "mlp up", 768, 3072, {256, 1024, 4096}},
    {"gpt2-124m", "mlp down", 3072, 768, {256, 1024, 4096}},
    {"gpt2-124m", "vocabulary", 768, 50257, {256, 1024, 4096}},
    {"character", "qkv", 128, 384, {192, 256, 768}},
    {"character", "projection", 128, 128, {192, 256, 768}},
    {"character", "mlp up", 128, 512, {192, 256, 768}},
    {"character", "mlp down", 512, 128, {192, 256, 768}},
    {"character", "vocabulary", 128, 65, {192, 256, 768}},
    {"lstm-650", "input gates", 650, 2600, {700}},
    {"lstm-650", "recurrent gates", 650, 2600, {20}},
    {"lstm-650", "vocabulary", 650, 10000, {700}},
};
struct shape {
    int64_t rows, cols, depth;
    int64_t a_row, a_depth, b_depth, b_col;
};

static struct shape shape_of(const struct layer *l, enum form form, int64_t batch)
{
    if (form == FORWARD) return (struct shape){batch, l->out, l->in, l->in, 1, 1, l->in};
    if (form == GRAD_INPUT) return (struct shape){batch, l->in, l->out, l->out, 1, l->in, 1};
    return (struct shape){l->out, l->in, batch, 1, l->out, l->in, 1};
}

// ---- two threads that compute halves ----
static atomic_int job, finished; // job counts upwards; the helper works on each number once
static atomic_bool leave;
static void (*job_function)(void *context, int part);
static void *job_context;

static void *help(void *unused)
{
    cpu_flush_to_zero();
    for (int seen = 0;;) {
        while (atomic_load_explicit(&job, memory_order_acquire) == seen)
            if (atomic_load_explicit(&leave, memory_order_relaxed)) return unused;
        seen++;
        job_function(job_context, 1);
        atomic_store_explicit(&finished, seen, memory_order_release);
    }
}

static void run_both(void (*function)(void *context, int part), void *context)
{
    job_function = function;
    job_context = context;
    int number = atomic_load(&job) + 1;
    atomic_store_explicit(&job, number, memory_order_release);
    function(context, 0);
    while (atomic_load_explicit(&finished, memory_order_acquire) != number) {
    }
}

// ---- whoever multiplies ----
enum library { STENTOR, STENTOR_PACKED, OPENBLAS, ONEDNN, LIBRARIES };
static const char *const library_names[] = {"stentor", "stentor, w packed", "openblas", "onednn"};

typedef void (*cblas_function)(int order, int trans_a, int trans_b, int m, int n, int k,
                               float alpha, const float *a, int lda, const float *b, int ldb,
                               float beta, float *c, int ldc);
typedef int (*dnnl_function)(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k,
                             float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                             float beta, float *c, int64_t ldc);
static struct {
    cblas_function sgemm;
    void (*set_threads)(int);
} openblas;
static struct {
    dnnl_function sgemm;
    void (*set_threads)(int);
} onednn;

struct ours {
    enum isa isa;
    void (*product)(const struct product *p, void *scratch);
    size_t (*scratch_bytes)(int64_t rows, int64_t cols, int64_t depth);
    size_t (*packed_bytes)(int64_t cols, int64_t depth);
    void (*pack)(void *packed, const struct product *p, int64_t first_col, int64_t cols);
};
#define OURS(ISA, name)                                                                            \
    {                                                                                              \
        ISA, product_##name, product_scratch_bytes_##name, product_packed_bytes_##name,            \
            product_pack_##name                                                                    \
    }
static const struct ours variants[] = {
#if defined(__x86_64__)
    OURS(ISA_AVX512, avx512),
    OURS(ISA_AVX2, avx2),
#elif defined(__aarch64__)
    OURS(ISA_NEON, neon),
#endif
    OURS(ISA_GENERIC, generic),
};
static const struct ours *ours;

static void *find_library(const char *name, const char *package)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "left out: %s (Debian: apt-get install %s)\n", name, package);
    return library;
}

static void find_libraries(void)
{
    void *library = find_library("libopenblas.so.0", "libopenblas0-pthread");
    if (library) {
        const char *(*core)(void) = dlsym(library, "openblas_get_corename");
        const char *(*version)(void) = dlsym(library, "openblas_get_config");
        openblas.sgemm = dlsym(library, "cblas_sgemm");
        openblas.set_threads = dlsym(library, "openblas_set_num_threads");
        printf("{\"bench\": \"gemm\", \"library\": \"openblas\", \"version\": \"%s\", "
               "\"core\": \"%s\"}\n",
               version ? version() : "", core ? core() : "");
    }
    library = find_library("libdnnl.so.2", "libdnnl2");
    if (library) {
        void *openmp = dlopen("libgomp.so.1", RTLD_NOW);
        const struct {
            int major, minor, patch;
        } * (*version)(void) = dlsym(library, "dnnl_version");
        onednn.sgemm = dlsym(library, "dnnl_sgemm");
        onednn.set_threads = openmp ? dlsym(openmp, "omp_set_num_threads") : NULL;
        if (version)
            printf("{\"bench\": \"gemm\", \"library\": \"onednn\", \"version\": \"%d.%d.%d\"}\n",
                   version()->major, version()->minor, version()->patch);
    }
}

// One product as everyone is to compute it.
struct work {
    struct shape s;
    int threads;
    float *a, *b, *c;
    void *packed;
    struct block memory[4]; // of a, b, c and packed, in huge pages as a step's
    struct block scratch[2];
    bool by_rows, use_packed;
};

// Half of our product, as a thread computes it: of the rows, or of the columns, whichever are more.
static void our_part(void *context, int part)
{
    const struct work *w = context;
    const struct shape *s = &w->s;
    struct product p = {.rows = s->rows,
                        .cols = s->cols,
                        .depth = s->depth,
                        .a = w->a,
                        .a_row = s->a_row,
                        .a_depth = s->a_depth,
                        .b = w->b,
                        .b_depth = s->b_depth,
                        .b_col = s->b_col,
                        .packed = w->use_packed ? w->packed : NULL,
                        .c = w->c,
                        .c_row = s->cols};
    if (w->threads == 2 && w->by_rows) {
        int64_t half = (s->rows + 1) / 2, first = part * half;
        p.a += first * s->a_row;
        p.c += first * s->cols;
        p.rows = part ? s->rows - half : half;
    } else if (w->threads == 2) {
        int64_t half = (s->cols + PRODUCT_PANEL) / 2 / PRODUCT_PANEL * PRODUCT_PANEL;
        int64_t first = part * half;
        p.b += first * s->b_col;
        if (p.packed) p.packed = (char *)w->packed + ours->packed_bytes(first, s->depth);
        p.c += first;
        p.cols = part ? s->cols - half : half;
    }
    ours->product(&p, w->scratch[part].data);
}

static void multiply(enum library library, struct work *w)
{
    const struct shape *s = &w->s;
    bool turn_a = s->a_row == 1, turn_b = s->b_depth == 1;
    int64_t lda = turn_a ? s->a_depth : s->a_row, ldb = turn_b ? s->b_col : s->b_depth;
    if (library == OPENBLAS) {
        enum { ROW_MAJOR = 101, PLAIN = 111, TURNED = 112 };
        openblas.sgemm(ROW_MAJOR, turn_a ? TURNED : PLAIN, turn_b ? TURNED : PLAIN, (int)s->rows,
                       (int)s->cols, (int)s->depth, 1, w->a, (int)lda, w->b, (int)ldb, 0, w->c,
                       (int)s->cols);
    } else if (library == ONEDNN) {
        onednn.sgemm(turn_a ? 'T' : 'N', turn_b ? 'T' : 'N', s->rows, s->cols, s->depth, 1, w->a,
                     lda, w->b, ldb, 0, w->c, s->cols);
    } else {
        w->use_packed = library == STENTOR_PACKED;
        if (w->threads == 2)
            run_both(our_part, w);
        else
            our_part(w, 0);
    }
}

static bool has_library(enum library library, enum form form)
{
    if (library == STENTOR_PACKED) return form != GRAD_WEIGHT;
    if (library == OPENBLAS) return openblas.sgemm;
    return library == ONEDNN ? onednn.sgemm != NULL : true;
}

// ---- measuring ----
enum { MOST_ROUNDS = 101, MOST_SHAPES = 128 };
static const double ROUND_SECONDS = 0.004; // short products are repeated for so long

static double wall_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static double seconds_of(enum library library, struct work *w, int calls)
{
    double (*now)(void) = w->threads == 1 ? thread_seconds : wall_seconds;
    pthread_t helper;
    if (w->threads == 2 && library <= STENTOR_PACKED) {
        atomic_store(&job, 0);
        atomic_store(&leave, false);
        if (pthread_create(&helper, NULL, help, NULL)) exit(1);
    }
    // Wakes threads, fills caches; the system needs some milliseconds to give two threads two cores.
    double warm_until = wall_seconds() + (w->threads == 2 ? 0.02 : 0);
    do multiply(library, w);
    while (wall_seconds() < warm_until);
    double start = now();
    for (int i = 0; i < calls; i++) multiply(library, w);
    double seconds = (now() - start) / calls;
    if (w->threads == 2 && library <= STENTOR_PACKED) {
        atomic_store(&leave, true);
        pthread_join(helper, NULL);
    } else if (w->threads == 2) {
        // Their threads look for more work a while before they sleep.
        nanosleep(&(struct timespec){0, 60000000}, NULL);
    }
    return seconds;
}

static double *peak_p;
static void peak_part(void *context, int part)
{
    (void)context;
    peak_p[part] = peak_of(ours->isa, 0.02);
}

static double peak_now(int threads)
{
    double peak[2] = {0, 0};
    pthread_t helper;
    peak_p = peak;
    if (threads == 1) {
        peak_part(NULL, 0);
        return peak[0];
    }
    atomic_store(&job, 0);
    atomic_store(&leave, false);
    if (pthread_create(&helper, NULL, help, NULL)) exit(1);
    run_both(peak_part, NULL);
    atomic_store(&leave, true);
    pthread_join(helper, NULL);
    return peak[0] + peak[1];
}

struct result {
    char name[96];
    double ratio, packed_ratio, of_peak; // packed_ratio 0: that form packs no weight
};
static struct result results[MOST_SHAPES];
static int result_count;

static void fill(float *x, int64_t n, int period)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i % period) / (float)period - 0.5f;
}

static enum status take_memory(struct work *w)
{
    const struct shape *s = &w->s;
    size_t bytes[4] = {
        (size_t)(s->rows * s->depth) * sizeof *w->a, (size_t)(s->cols * s->depth) * sizeof *w->b,
        (size_t)(s->rows * s->cols) * sizeof *w->c, ours->packed_bytes(s->cols, s->depth)};
    for (int i = 0; i < 4; i++) TRY(block_create_warm(bytes[i], "a matrix", &w->memory[i]));
    w->a = w->memory[0].data;
    w->b = w->memory[1].data;
    w->c = w->memory[2].data;
    w->packed = w->memory[3].data;
    for (int i = 0; i < 2; i++)
        TRY(block_create(ours->scratch_bytes(s->rows, s->cols, s->depth), "scratch",
                         &w->scratch[i]));
    return STATUS_OK;
}

static void give_memory(struct work *w)
{
    for (int i = 0; i < 2; i++) block_destroy(&w->scratch[i]);
    for (int i = 0; i < 4; i++) block_destroy(&w->memory[i]);
}

static void print_one(const struct layer *l, enum form form, const struct work *w,
                      enum library library, double rate, double peak)
{
    printf("{\"bench\": \"gemm\", \"model\": \"%s\", \"shape\": \"%s\", \"form\": \"%s\", "
           "\"rows\": %lld, \"cols\": %lld, \"depth\": %lld, \"threads\": %d, \"library\": \"%s\", "
           "\"isa\": \"%s\", \"gflops\": %.1f, \"of_peak\": %.3f}\n",
           l->model, l->name, form_names[form], (long long)w->s.rows, (long long)w->s.cols,
           (long long)w->s.depth, w->threads, library_names[library],
           library <= STENTOR_PACKED ? isa_name(ours->isa) : "its own", rate,
           peak > 0 ? rate / peak : 0);
    fflush(stdout);
}

static enum status measure(const struct layer *l, enum form form, int64_t batch, int threads,
                           int rounds)
{
    struct work w = {.s = shape_of(l, form, batch), .threads = threads};
    const struct shape *s = &w.s;
    w.by_rows = s->rows >= s->cols;
    enum status status = take_memory(&w);
    if (status) {
        give_memory(&w);
        return status;
    }
    fill(w.a, s->rows * s->depth, 97);
    fill(w.b, s->cols * s->depth, 89);
    struct product p = {
        .cols = s->cols, .depth = s->depth, .b = w.b, .b_depth = s->b_depth, .b_col = s->b_col};
    ours->pack(w.packed, &p, 0, s->cols);
    if (openblas.sgemm) openblas.set_threads(threads);
    if (onednn.sgemm && onednn.set_threads) onednn.set_threads(threads);

    double flops = 2e-9 * (double)s->rows * (double)s->cols * (double)s->depth;
    int calls = (int)(ROUND_SECONDS * 100 * threads / flops) + 1;
    static double seconds[LIBRARIES][MOST_ROUNDS];
    double peaks[MOST_ROUNDS], rate[LIBRARIES] = {0};
    for (int r = 0; r < rounds; r++) {
        peaks[r] = peak_now(threads);
        for (enum library i = 0; i < LIBRARIES; i++)
            if (has_library(i, form)) seconds[i][r] = seconds_of(i, &w, calls);
    }
    double peak = median(peaks, rounds);
    for (enum library i = 0; i < LIBRARIES; i++) {
        if (!has_library(i, form)) continue;
        rate[i] = flops / median(seconds[i], rounds);
        print_one(l, form, &w, i, rate[i], peak);
    }
    double best = rate[OPENBLAS] > rate[ONEDNN] ? rate[OPENBLAS] : rate[ONEDNN];
    struct result *result = &results[result_count++];
    *result = (struct result){.ratio = best > 0 ? rate[STENTOR] / best : 0,
                              .packed_ratio = best > 0 ? rate[STENTOR_PACKED] / best : 0,
                              .of_peak = peak > 0 ? rate[STENTOR] / peak : 0};
    snprintf(result->name, sizeof result->name, "%s %s %s, %lld", l->model, l->name,
             form_names[form], (long long)batch);
    give_memory(&w);
    return STATUS_OK;
}

static void summarize(int threads)
{
    double ratio[MOST_SHAPES], packed[MOST_SHAPES], of_peak[MOST_SHAPES];
    int least = 0, packs = 0;
    for (int i = 0; i < result_count; i++) {
        if (results[i].ratio < results[least].ratio) least = i;
        ratio[i] = results[i].ratio;
        of_peak[i] = results[i].of_peak;
        // What a step does where weights are packed: gradients of weights stay as they are.
        packed[i] = results[i].packed_ratio > 0 ? results[i].packed_ratio : results[i].ratio;
        packs += results[i].packed_ratio > 0;
    }
    if (!result_count) return;
    printf("{\"bench\": \"gemm\", \"summary\": \"%s\", \"threads\": %d, \"shapes\": %d, "
           "\"median_ratio_to_best\": %.3f, \"least_ratio\": %.3f, \"least_at\": \"%s\", "
           "\"median_ratio_weights_packed\": %.3f, \"median_of_peak\": %.3f}\n",
           isa_name(ours->isa), threads, result_count, median(ratio, result_count),
           results[least].ratio, results[least].name, packs ? median(packed, result_count) : 0,
           median(of_peak, result_count));
    fflush(stdout);
}

static bool wanted(const struct layer *l, const char *part)
{
    return strstr(l->model, part) || strstr(l->name, part);
}

static enum status run_all(const char *part, int rounds, int threads)
{
    result_count = 0;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (!wanted(&layers[i], part)) continue;
        for (int b = 0; b < 3 && layers[i].rows[b]; b++)
            for (enum form form = 0; form < FORMS; form++)
                TRY(measure(&layers[i], form, layers[i].rows[b], threads, rounds));
    }
    summarize(threads);
    return STATUS_OK;
}

int main(int count, char **words)
{
    const char *part = count > 1 ? words[1] : "";
    int rounds = count > 2 ? atoi(words[2]) : 5, only = count > 3 ? atoi(words[3]) : 0;
    enum isa isa;
    if (rounds < 1 || rounds > MOST_ROUNDS || only < 0 || only > 2 || isa_choose(&isa)) {
        fprintf(stderr, "usage: gemm [part of a name] [rounds, 1 to %d] [threads, 1 or 2]\n",
                MOST_ROUNDS);
        return 2;
    }
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (variants[i].isa == isa) ours = &variants[i];
    cpu_flush_to_zero();
    printf("{\"bench\": \"gemm\", \"processor\": \"%s\", \"isa\": \"%s\"}\n", cpu_name(),
           isa_name(isa));
    find_libraries();
    for (int threads = 1; threads <= 2; threads++) {
        if ((only && threads != only) || threads > cpu_cores()) continue;
        if (!run_all(part, rounds, threads)) continue;
        fprintf(stderr, "%s\n", error_message());
        return 1;
    }
    return 0;
}
