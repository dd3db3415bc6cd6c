// SPDX-License-Identifier: Apache-2.0
#include "infer/decoder.h"

#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

// A chunk of 64 positions reads the weights once instead of 64 times; below 8 positions single steps are faster.
enum { CHUNK = 64, LEAST_CHUNK = 8 };

// ---- graphs ----

// What decoding keeps of a layer.
static struct shape layer_shape(const struct decoder *decoder, int64_t layer)
{
    const struct model_config *config = &decoder->model->config;
    if (decoder->model->type->state) return decoder->model->type->state(config, layer);
    return shape_of(3, INT64_C(2), config->context, config->width);
}

static enum status build_graph(struct decoder *decoder, const struct backend *backend,
                               int64_t tokens, struct decode_graph *out)
{
    const struct model_config *config = &decoder->model->config;
    out->tokens = tokens;
    TRY(memory_allocate((size_t)config->layers, sizeof(void *), "the cache's values", &out->cache));
    TRY(graph_create(&out->graph));
    struct graph *g = out->graph;
    struct shape row = shape_of(2, INT64_C(1), tokens), number = shape_of(1, INT64_C(1));
    out->inputs[0] = graph_input(g, "tokens", I32, row);
    out->inputs[1] = graph_input(g, "positions", I32, row);
    out->inputs[2] = graph_input(g, "position", I32, number);
    for (int64_t i = 0; i < config->layers; i++)
        out->cache[i] = graph_state(g, "cache", F32, layer_shape(decoder, i));
    if (decoder->model->type->state) out->lengths = graph_input(g, "lengths", I32, number);
    // The registry is closed, so the build only finds parameters in it.
    struct parameters parameters = decoder->model->parameters;
    struct builder builder = {.g = g, .parameters = &parameters};
    struct model_inputs inputs = {
        .tokens = out->inputs[0], .positions = out->inputs[1], .lengths = out->lengths};
    struct value *logits =
        decoder->model->type->decode(&builder, config, inputs, out->cache, out->inputs[2]);
    graph_yield(g, logits, 0);
    const struct program_options options = {.threads = team_threads(decoder->team)};
    return program_create(backend, g, &options, &out->program);
}

static void release_graph(struct decode_graph *graph)
{
    program_destroy(graph->program);
    graph_destroy(graph->graph);
    free(graph->cache);
}

// Elements before what is kept of a layer; each starts at a cache line.
static int64_t cache_elements(const struct decoder *decoder, int64_t layers)
{
    int64_t elements = 0;
    for (int64_t i = 0; i < layers; i++)
        elements += (shape_count(layer_shape(decoder, i)) + 15) / 16 * 16;
    return elements;
}

static enum status prepare_graph(struct decoder *decoder, struct decode_graph *graph)
{
    const struct model_config *config = &decoder->model->config;
    program_set_team(graph->program, decoder->team);
    TRY(program_prepare(graph->program, decoder->model->weights.data, decoder->arena.data));
    for (int64_t i = 0; i < config->layers; i++)
        program_bind(graph->program, graph->cache[i],
                     (float *)decoder->cache.data + cache_elements(decoder, i));
    return STATUS_OK;
}

// ---- life cycle ----

static enum status take_memory(struct decoder *decoder)
{
    const struct model_config *config = &decoder->model->config;
    size_t step_bytes = program_arena_bytes(decoder->step.program);
    size_t chunk_bytes = program_arena_bytes(decoder->chunk.program);
    TRY(block_create(step_bytes > chunk_bytes ? step_bytes : chunk_bytes, "decoding",
                     &decoder->arena));
    size_t elements = (size_t)cache_elements(decoder, config->layers);
    TRY(block_create(checked_multiply(elements, sizeof(float)), "the cache of decoding",
                     &decoder->cache));
    TRY(memory_allocate((size_t)config->context, sizeof *decoder->history, "ids",
                        &decoder->history));
    return memory_allocate((size_t)config->vocabulary, sizeof *decoder->logits, "logits",
                           &decoder->logits);
}

static enum status create_parts(struct decoder *decoder, const struct backend *backend, int threads)
{
    const struct team_options team = {.threads = threads, .crowded = threads > cpu_cores()};
    int64_t context = decoder->model->config.context;
    if (!decoder->model->type->decode || decoder->model->config.classes)
        FAIL(STATUS_UNSUPPORTED, "a model of type %s%s does not continue a text",
             decoder->model->type->name,
             decoder->model->type->decode ? " with a head over classes" : "");
    INVARIANT(decoder->model->parameters.closed,
              "decoding needs a model whose parameters are declared");
    if (threads > 1) TRY(team_create(&team, &decoder->team));
    TRY(build_graph(decoder, backend, 1, &decoder->step));
    TRY(build_graph(decoder, backend, context < CHUNK ? context : CHUNK, &decoder->chunk));
    TRY(take_memory(decoder));
    TRY(prepare_graph(decoder, &decoder->step));
    return prepare_graph(decoder, &decoder->chunk);
}

enum status decoder_create(const struct loaded_model *model, const struct backend *backend,
                           int threads, struct decoder *decoder_p)
{
    struct decoder decoder = {.model = model};
    enum status status = create_parts(&decoder, backend, threads);
    if (status) {
        decoder_release(&decoder);
        return status;
    }
    *decoder_p = decoder;
    return STATUS_OK;
}

void decoder_release(struct decoder *decoder)
{
    release_graph(&decoder->step);
    release_graph(&decoder->chunk);
    team_destroy(decoder->team);
    block_destroy(&decoder->arena);
    block_destroy(&decoder->cache);
    free(decoder->history);
    free(decoder->logits);
    *decoder = (struct decoder){0};
}

void decoder_start(struct decoder *decoder) { decoder->filled = 0; }

// ---- running ----

struct logits_taker {
    struct decoder *decoder;
    int64_t count; // positions that are not padding
    float *out;    // [count, vocabulary] or NULL
};

static void take_logits(void *context, int tag, const void *data)
{
    (void)tag;
    const struct logits_taker *taker = context;
    int64_t vocabulary = taker->decoder->model->config.vocabulary;
    const float *logits = data;
    size_t row_bytes = (size_t)vocabulary * sizeof *logits;
    memcpy(taker->decoder->logits, logits + (taker->count - 1) * vocabulary, row_bytes);
    if (taker->out) memcpy(taker->out, logits, (size_t)taker->count * row_bytes);
}

// Takes the first of `count` ids, as many as one run of the better program takes; the context has room.
// Returns how many.
static int64_t run_some(struct decoder *decoder, const int32_t *ids, int64_t count, float *logits)
{
    bool in_chunk = count >= LEAST_CHUNK &&
                    (decoder->model->type->state ||
                     decoder->filled + decoder->chunk.tokens <= decoder->model->config.context);
    struct decode_graph *graph = in_chunk ? &decoder->chunk : &decoder->step;
    int64_t taken = count < graph->tokens ? count : graph->tokens;

    int32_t *tokens = program_input(graph->program, graph->inputs[0]);
    int32_t *positions = program_input(graph->program, graph->inputs[1]);
    int32_t *position = program_input(graph->program, graph->inputs[2]);
    for (int64_t i = 0; i < graph->tokens; i++) {
        tokens[i] = i < taken ? ids[i] : 0;
        positions[i] = (int32_t)(decoder->filled + i);
    }
    *position = (int32_t)decoder->filled;
    if (graph->lengths) *(int32_t *)program_input(graph->program, graph->lengths) = (int32_t)taken;
    struct logits_taker taker = {.decoder = decoder, .count = taken};
    taker.out = logits;
    program_run(graph->program, take_logits, &taker);
    // The ids may be those of the history itself. A model that carries a state has no use for it.
    if (!graph->lengths)
        memmove(decoder->history + decoder->filled, ids, (size_t)taken * sizeof *ids);
    decoder->filled += taken;
    if (graph->lengths && decoder->filled > INT32_MAX / 2) decoder->filled = INT32_MAX / 2;
    return taken;
}

// Positions are learned, so what stays gets new ones and is computed again.
static void keep_last_half(struct decoder *decoder)
{
    int64_t keep = decoder->model->config.context / 2, done = 0;
    memmove(decoder->history, decoder->history + decoder->filled - keep,
            (size_t)keep * sizeof(int32_t));
    decoder->filled = 0;
    while (done < keep) done += run_some(decoder, decoder->history + done, keep - done, NULL);
}

void decoder_append(struct decoder *decoder, const int32_t *ids, int64_t count, float *logits)
{
    const struct model_config *config = &decoder->model->config;
    bool endless = decoder->model->type->state;
    for (int64_t done = 0; done < count;) {
        if (!endless && decoder->filled == config->context) keep_last_half(decoder);
        int64_t room = endless ? INT64_MAX : config->context - decoder->filled;
        int64_t some = count - done < room ? count - done : room;
        done +=
            run_some(decoder, ids + done, some, logits ? logits + done * config->vocabulary : NULL);
    }
}
