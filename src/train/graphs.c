// SPDX-License-Identifier: Apache-2.0
// The graphs of a run, two for each shape of micro-batches: training (forward and backward of one micro-batch) and evaluation.
#include "model/parts.h"
#include "train/internal.h"

#include <string.h>

struct program_options program_options_of(const struct run_config *config)
{
    return (struct program_options){.precision = run_precision(config),
                                    .threads = (int)config->parallel.threads};
}

// Whether no worker ever has the sum of other micro-batches to add to.
static bool nothing_waits(const struct run_config *config, int computing)
{
    return strcmp(config->parallel.balance, "none") == 0 && config->leaves <= computing &&
           config->leaves == config->batch / config->micro_batch;
}

static int gradients_of(const struct graph *g, const struct parameters *parameters)
{
    int count = 0;
    for (int id = 0; id < g->count; id++)
        count += g->values[id]->yield >= 0 && g->values[id]->yield < parameters->count;
    return count;
}

struct program_options training_options_of(const struct run_config *config, const struct graph *g,
                                           const struct parameters *parameters, int computing)
{
    struct program_options options = program_options_of(config);
    // A parameter without a gradient would have a place that nobody writes.
    if (nothing_waits(config, computing) && gradients_of(g, parameters) == parameters->count)
        options.block = checked_multiply((size_t)parameters->elements, sizeof(float));
    return options;
}

static bool has_dropout(const struct model_config *model)
{
    return model->embedding_dropout > 0 || model->attention_dropout > 0 ||
           model->residual_dropout > 0 || model->weight_drop > 0;
}

// With data.carry: the input of the states that a micro-batch begins with, and in *next_p, once the loss is built, what it ends with.
static void carry_on(const struct run_config *config, struct model_sizes sizes,
                     struct model_graph *graph, struct value **next_p)
{
    int64_t width = carry_width(config);
    if (width == 0) return;
    graph->inputs.state = graph_input(graph->g, "state", F32, shape_of(2, sizes.batch, width));
    graph->inputs.next = next_p;
}

enum status training_graph(const struct run_config *config, struct model_sizes sizes,
                           struct parameters *parameters, struct model_graph *graph_p)
{
    const struct model_type *type = NULL;
    struct model_graph graph = {0};
    struct value *next = NULL;
    TRY(model_find(config->model.type, &type));
    TRY(tuning_freeze(config, parameters));
    TRY(graph_create(&graph.g));
    graph.inputs = model_inputs_create(graph.g, &config->model, run_task(config), sizes);
    carry_on(config, sizes, &graph, &next);
    if (has_dropout(&config->model))
        graph.random = graph_input(graph.g, "random", U32, shape_of(1, INT64_C(4)));
    struct builder builder = {
        .g = graph.g, .parameters = parameters, .random = graph.random, .training = true};
    struct value *loss =
        type->loss(&builder, &config->model, graph.inputs, config->label_smoothing);
    parameters->closed = true;
    graph_yield(graph.g, loss, parameters->count);
    if (next) graph_yield(graph.g, next, parameters->count + 1);
    graph.inputs.next = NULL;
    backward(graph.g, loss, parameters->count);
    enum status status = graph_status(graph.g);
    if (status) {
        graph_destroy(graph.g);
        return status;
    }
    *graph_p = graph;
    return STATUS_OK;
}

enum status evaluation_graph(const struct run_config *config, struct model_sizes sizes,
                             struct parameters *parameters, struct model_graph *graph_p)
{
    const struct model_type *type = NULL;
    struct model_graph graph = {0};
    struct value *next = NULL;
    TRY(model_find(config->model.type, &type));
    TRY(graph_create(&graph.g));
    graph.inputs = model_inputs_create(graph.g, &config->model, run_task(config), sizes);
    carry_on(config, sizes, &graph, &next);
    struct builder builder = {.g = graph.g, .parameters = parameters};
    // The plain loss, whatever the smoothing: it is what perplexities are made of. That of one score an example is made of the same
    // scores that the measures read.
    struct value *scores = NULL;
    if (run_has_scores(config)) scores = type->scores(&builder, &config->model, graph.inputs);
    if (scores) graph_yield(graph.g, scores, 1);
    struct value *loss = scores && run_task(config) != TASK_ANSWER
                             ? parts_loss(&builder, &config->model, scores, graph.inputs, 0)
                             : type->loss(&builder, &config->model, graph.inputs, 0);
    graph_yield(graph.g, loss, 0);
    if (next) graph_yield(graph.g, next, 2);
    graph.inputs.next = NULL;
    enum status status = graph_status(graph.g);
    if (status) {
        graph_destroy(graph.g);
        return status;
    }
    *graph_p = graph;
    return STATUS_OK;
}
