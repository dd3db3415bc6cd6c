// SPDX-License-Identifier: Apache-2.0
// How long does it take to plan a model's training? The graph with its backward pass, and the program (kernels chosen, memory
// planned), in milliseconds of this thread's processor time; medians. Goal: GPT-2 124M, both together, under 50 ms.
//
// Usage: bench_plan [threads of the program, default 1]
#include "backend/backend.h"
#include "base/cpu.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct size {
    const char *name;
    int64_t vocabulary, context, width, layers, heads, batch;
};
static const struct size sizes[] = {
    {"characters 0.8m", 65, 64, 128, 4, 4, 3},
    {"gpt2-124m", 50304, 256, 768, 12, 12, 4},
    {"gpt2-1558m", 50304, 1024, 1600, 48, 25, 1},
};
enum { RUNS = 15 };

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum status build(const struct model_type *type, const struct model_config *config,
                         const struct size *size, struct graph **graph_p)
{
    struct parameters parameters;
    struct graph *g = NULL;
    parameters_init(&parameters);
    TRY(graph_create(&g));
    struct builder builder = {.g = g, .parameters = &parameters};
    struct shape shape = shape_of(2, size->batch, size->context);
    struct model_inputs inputs = {.tokens = graph_input(g, "tokens", I32, shape),
                                  .positions = graph_input(g, "positions", I32, shape),
                                  .targets = graph_input(g, "targets", I32, shape)};
    struct value *loss = type->loss(&builder, config, inputs, 0);
    backward(g, loss, parameters.count);
    graph_yield(g, loss, parameters.count);
    *graph_p = g;
    enum status status = graph_status(g);
    parameters_release(&parameters);
    return status;
}

static enum status measure(const struct size *size, int threads)
{
    const struct program_options options = {.threads = threads};
    const struct model_type *type;
    const struct backend *backend;
    double graphs[RUNS], programs[RUNS], both[RUNS];
    int steps = 0, values = 0;
    struct model_config config = {.type = "gpt2",
                                  .vocabulary = size->vocabulary,
                                  .context = size->context,
                                  .width = size->width,
                                  .layers = size->layers,
                                  .heads = size->heads,
                                  .bias = true};
    TRY(model_find("gpt2", &type));
    TRY(backend_find("cpu", &backend));
    TRY(type->validate(&config));
    for (int i = 0; i < RUNS; i++) {
        struct graph *g = NULL;
        struct program *program;
        double start = milliseconds();
        TRY(build(type, &config, size, &g));
        double built = milliseconds();
        TRY(program_create(backend, g, &options, &program));
        programs[i] = milliseconds() - built;
        graphs[i] = built - start;
        both[i] = programs[i] + graphs[i];
        steps = program_steps(program);
        values = g->count;
        program_destroy(program);
        graph_destroy(g);
    }
    qsort(graphs, RUNS, sizeof *graphs, compare);
    qsort(programs, RUNS, sizeof *programs, compare);
    qsort(both, RUNS, sizeof *both, compare);
    printf("{\"bench\": \"plan\", \"processor\": \"%s\", \"model\": \"%s\", \"threads\": %d, "
           "\"values\": %d, \"steps\": %d, \"graph_ms\": %.2f, \"program_ms\": %.2f, "
           "\"both_ms\": %.2f}\n",
           cpu_name(), size->name, threads, values, steps, graphs[RUNS / 2], programs[RUNS / 2],
           both[RUNS / 2]);
    return STATUS_OK;
}

int main(int count, char **argument)
{
    int threads = count > 1 ? (int)strtol(argument[1], NULL, 10) : 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        enum status status = measure(&sizes[i], threads < 1 ? 1 : threads);
        if (status) {
            fprintf(stderr, "bench_plan: %s\n", error_message());
            return status_exit_code(status);
        }
    }
    return 0;
}
