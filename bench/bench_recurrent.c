// SPDX-License-Identifier: Apache-2.0
// How fast are recurrent layers? Forward and backward of a stack of them, gradients of inputs and weights included: milliseconds of
// this thread's processor time a run, the median, and the share of the processor's peak. bench/recurrent.py runs PyTorch beside it.
//
// Usage: bench_recurrent [lstm|gru|tanh, all] [layers 2] [width 200] [tokens 35] [batch 20] [runs 30]
#include "backend/backend.h"
#include "nn/nn.h"
#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CELL_COUNT] = {"", "lstm", "gru", "tanh"};
struct size {
    enum cell kind;
    int64_t layers, width, tokens, batch;
    int runs;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void ignore(void *context, int tag, const void *data)
{
    (void)context, (void)tag, (void)data;
}

static struct value *layer(struct builder *b, struct value *x, const struct size *s)
{
    const struct recurrent_attributes attributes = {.kind = s->kind};
    int64_t gates = cell_gates(s->kind) * s->width;
    struct value *w = nn_parameter(b, "weight_hh", shape_of(2, gates, s->width), INIT_NORMAL, 0.05);
    struct value *bias = nn_parameter(b, "bias_hh", shape_of(1, gates), INIT_ZERO, 0);
    struct value *z = nn_linear(b, x, "ih", gates, true, ACTIVATION_NONE, LAYOUT_OUT_IN, 0.05);
    return op_recurrent(b->g, (struct value *[]){z, w, bias, NULL, NULL, NULL}, &attributes);
}

static enum status measure(const struct size *s, double peak)
{
    struct parameters parameters;
    struct graph *g = NULL;
    struct program *program;
    const struct backend *backend;
    parameters_init(&parameters);
    TRY(graph_create(&g));
    struct builder builder = {.g = g, .parameters = &parameters};
    struct shape shape = shape_of(3, s->batch, s->tokens, s->width);
    struct value *x = nn_parameter(&builder, "x", shape, INIT_NORMAL, 1);
    for (int64_t i = 0; i < s->layers; i++) {
        prefix_push(&builder, "%d", (int)i);
        x = layer(&builder, x, s);
        prefix_pop(&builder);
    }
    struct value *loss = op_dot(g, x, graph_input(g, "dy", F32, shape));
    backward(g, loss, parameters.count);
    TRY(backend_find("cpu", &backend));
    TRY(program_create(backend, g, NULL, &program));
    float *weights = aligned_alloc(64, (size_t)(parameters.elements + 16) / 16 * 64);
    double *times = calloc((size_t)s->runs, sizeof *times);
    parameters_initialise(&parameters, 1, weights);
    TRY(program_prepare(program, weights, NULL));
    for (int i = -3; i < s->runs; i++) {
        double start = thread_seconds();
        program_run(program, ignore, NULL);
        if (i >= 0) times[i] = thread_seconds() - start;
    }
    qsort(times, (size_t)s->runs, sizeof *times, compare);
    double seconds = times[s->runs / 2], flops = program_cost(program, 1).flops;
    printf("{\"bench\": \"recurrent\", \"processor\": \"%s\", \"cell\": \"%s\", \"layers\": %d, "
           "\"width\": %d, "
           "\"tokens\": %d, \"batch\": %d, \"ms\": %.3f, \"gflops\": %.1f, \"of_peak\": %.2f}\n",
           cpu_name(), names[s->kind], (int)s->layers, (int)s->width, (int)s->tokens, (int)s->batch,
           1e3 * seconds, 1e-9 * flops / seconds, 1e-9 * flops / seconds / peak);
    program_destroy(program);
    graph_destroy(g);
    parameters_release(&parameters);
    free(weights);
    free(times);
    return STATUS_OK;
}

int main(int count, char **argument)
{
    int64_t number[5] = {2, 200, 35, 20, 30};
    for (int i = 0; i < 5 && i + 2 < count; i++) number[i] = strtol(argument[i + 2], NULL, 10);
    enum isa isa;
    enum status found = isa_choose(&isa);
    double peak = found ? 0 : peak_of(isa_lanes(isa), 0.2);
    for (enum cell kind = CELL_LSTM; kind < CELL_COUNT; kind++) {
        if (count > 1 && strcmp(argument[1], "all") != 0 && strcmp(argument[1], names[kind]) != 0)
            continue;
        enum status status = measure(
            &(struct size){kind, number[0], number[1], number[2], number[3], (int)number[4]}, peak);
        if (status) {
            fprintf(stderr, "bench_recurrent: %s\n", error_message());
            return status_exit_code(status);
        }
    }
    return 0;
}
