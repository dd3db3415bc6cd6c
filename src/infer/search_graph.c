// SPDX-License-Identifier: Apache-2.0
#include "infer/search_graph.h"

#include <stdlib.h>
#include <string.h>

// Tags: log probabilities; what is carried on from `carried`.
enum { PROBABILITIES, CARRIED };

struct search_graph {
    const struct loaded_model *model; // borrowed
    struct search_shape shape;
    int64_t rows, moves; // moves: of the memory, when it was used last
    struct graph *encoder_graph, *step_graph;
    struct program *encoder, *step;
    struct model_inputs inputs; // of the encoder
    struct value *lengths;      // of sources; the encoder's have their own
    struct model_step in;
    struct model_memory encoded; // what the encoder gives
    struct model_memory given;   // the same as states of the step
    struct model_memory next;    // of which `carried` is what a step gives
    struct value **values;       // where all of these lie
    struct value **cache;        // [layers] states
    size_t kept_bytes;
    char *kept;  // states one behind another, in the order of `given`, then `cache`
    char *carry; // and at last what a step carries on, until rows have found their parents
    int32_t *lengths_of, *origins, *old_origins; // [batch], [rows, steps] twice
};

// ---- memory ----
static size_t bytes_of(struct shape shape)
{
    size_t elements = checked_multiply((size_t)shape.size[0], 1);
    for (int i = 1; i < shape.rank; i++)
        elements = checked_multiply(elements, (size_t)shape.size[i]);
    size_t bytes = checked_multiply(elements, sizeof(float));
    return bytes > SIZE_MAX - 64 ? SIZE_MAX : (bytes + 63) / 64 * 64;
}

static void add_bytes(size_t *sum, size_t more)
{
    *sum = more > SIZE_MAX - *sum ? SIZE_MAX : *sum + more;
}

void search_memory_release(struct search_memory *memory)
{
    block_destroy(&memory->arena);
    block_destroy(&memory->kept);
    *memory = (struct search_memory){.moves = memory->moves + 1};
}

static size_t arena_bytes(const struct search_graph *graph)
{
    size_t encoder = program_arena_bytes(graph->encoder), step = program_arena_bytes(graph->step);
    return encoder > step ? encoder : step;
}

static bool fits(const struct search_graph *graph, const struct search_memory *memory)
{
    return memory->arena.data && memory->arena.bytes >= arena_bytes(graph) &&
           memory->kept.bytes >= graph->kept_bytes;
}

static enum status grow(struct search_memory *memory, const struct search_graph *graph)
{
    if (fits(graph, memory)) return STATUS_OK;
    search_memory_release(memory);
    TRY(block_create(arena_bytes(graph), "decoding", &memory->arena));
    // Of short translations little is touched.
    return block_create_sparse(graph->kept_bytes, "what decoding keeps", &memory->kept);
}

static int64_t caches(const struct search_graph *graph)
{
    return graph->model->type->step_keys ? graph->model->config.layers : 0;
}

// Gives every state its place, one behind another from `kept` on.
static size_t place_states(struct search_graph *graph, char *kept)
{
    const struct model_memory *given = &graph->given;
    size_t bytes = 0;
    int64_t count = given->sources + given->carries + caches(graph);
    for (int64_t i = 0; i < count; i++) {
        struct value *state = i < given->sources ? given->source[i]
                              : i < given->sources + given->carries
                                  ? given->carried[i - given->sources]
                                  : graph->cache[i - given->sources - given->carries];
        if (kept) program_bind(graph->step, state, kept + bytes);
        add_bytes(&bytes, bytes_of(state->shape));
    }
    graph->carry = kept ? kept + bytes : NULL;
    for (int i = 0; i < given->carries; i++) add_bytes(&bytes, bytes_of(given->carried[i]->shape));
    return bytes;
}

enum status search_graph_use(struct search_graph *graph, struct search_memory *memory)
{
    const void *weights = graph->model->weights.data;
    TRY(grow(memory, graph));
    if (graph->moves == memory->moves && graph->kept) return STATUS_OK;
    TRY(program_prepare(graph->encoder, weights, memory->arena.data));
    TRY(program_prepare(graph->step, weights, memory->arena.data));
    graph->kept = memory->kept.data;
    graph->moves = memory->moves;
    place_states(graph, graph->kept);
    return STATUS_OK;
}

// ---- graphs ----
static enum status build_encoder(struct search_graph *graph, const struct backend *backend)
{
    const struct model_config *config = &graph->model->config;
    TRY(graph_create(&graph->encoder_graph));
    struct graph *g = graph->encoder_graph;
    struct shape source = shape_of(2, graph->shape.batch, graph->shape.source);
    graph->inputs.source = graph_input(g, "source", I32, source);
    graph->inputs.source_positions = graph_input(g, "source_positions", I32, source);
    graph->inputs.source_lengths =
        graph_input(g, "source_lengths", I32, shape_of(1, graph->shape.batch));
    struct parameters parameters = graph->model->parameters;
    struct builder builder = {.g = g, .parameters = &parameters};
    graph->model->type->encode(&builder, config, graph->inputs, &graph->encoded);
    for (int i = 0; i < graph->encoded.sources; i++) graph_yield(g, graph->encoded.source[i], i);
    for (int i = 0; i < graph->encoded.carries; i++)
        graph_yield(g, graph->encoded.carried[i], graph->encoded.sources + i);
    return program_create(backend, g, NULL, &graph->encoder);
}

static void make_states(struct search_graph *graph, struct graph *g)
{
    const struct model_config *config = &graph->model->config;
    graph->given.sources = graph->encoded.sources;
    graph->given.carries = graph->next.carries = graph->encoded.carries;
    for (int i = 0; i < graph->given.sources; i++)
        graph->given.source[i] = graph_state(g, "source", F32, graph->encoded.source[i]->shape);
    for (int i = 0; i < graph->given.carries; i++) {
        struct shape shape = graph->encoded.carried[i]->shape;
        shape.size[0] = graph->rows;
        graph->given.carried[i] = graph_state(g, "carried", F32, shape);
        graph->next.carried[i] = graph->given.carried[i];
    }
    for (int64_t i = 0; i < caches(graph); i++)
        graph->cache[i] =
            graph_state(g, "cache", F32,
                        shape_of(4, graph->rows, INT64_C(2), graph->shape.steps, config->width));
}

static enum status build_step(struct search_graph *graph, const struct backend *backend)
{
    TRY(graph_create(&graph->step_graph));
    struct graph *g = graph->step_graph;
    struct shape row = shape_of(2, graph->shape.batch, graph->shape.beams);
    make_states(graph, g);
    graph->next.source = graph->given.source, graph->next.sources = graph->given.sources;
    graph->in = (struct model_step){
        .tokens = graph_input(g, "tokens", I32, row),
        .positions = graph_input(g, "positions", I32, row),
        .source_lengths = graph_input(g, "source_lengths", I32, shape_of(1, graph->shape.batch)),
        .cache = graph->cache,
        .memory = &graph->next};
    if (caches(graph)) {
        graph->in.position = graph_input(g, "position", I32, shape_of(1, INT64_C(1)));
        graph->in.origins =
            graph_input(g, "origins", I32, shape_of(2, graph->rows, graph->shape.steps));
    }
    struct parameters parameters = graph->model->parameters;
    struct builder builder = {.g = g, .parameters = &parameters};
    struct value *logits = graph->model->type->step(&builder, &graph->model->config, &graph->in);
    graph_yield(g, op_log_softmax(g, logits), PROBABILITIES);
    for (int i = 0; i < graph->next.carries; i++)
        graph_yield(g, graph->next.carried[i], CARRIED + i);
    return program_create(backend, g, NULL, &graph->step);
}

static enum status take_lists(struct search_graph *graph)
{
    size_t most = MODEL_MEMORY(&graph->model->config), layers = (size_t)graph->model->config.layers;
    size_t origins = checked_multiply((size_t)graph->rows, (size_t)graph->shape.steps);
    TRY(memory_allocate(5 * most, sizeof(void *), "decoding", &graph->values));
    graph->encoded.source = graph->values;
    graph->encoded.carried = graph->values + most;
    graph->given.source = graph->values + 2 * most;
    graph->given.carried = graph->values + 3 * most;
    graph->next.carried = graph->values + 4 * most;
    TRY(memory_allocate(layers, sizeof(void *), "decoding", &graph->cache));
    TRY(memory_allocate((size_t)graph->shape.batch, sizeof(int32_t), "decoding",
                        &graph->lengths_of));
    if (!caches(graph)) return STATUS_OK;
    TRY(memory_allocate(origins, sizeof(int32_t), "places of beams", &graph->origins));
    return memory_allocate(origins, sizeof(int32_t), "places of beams", &graph->old_origins);
}

enum status search_graph_create(const struct loaded_model *model, const struct backend *backend,
                                struct search_shape shape, struct search_graph **graph_p)
{
    struct search_graph *graph;
    if (!model->type->encode)
        FAIL(STATUS_UNSUPPORTED, "a model of type %s does not translate or summarize",
             model->type->name);
    INVARIANT(model->parameters.closed, "decoding needs a model whose parameters are declared");
    TRY(memory_allocate(1, sizeof *graph, "decoding", &graph));
    graph->model = model;
    graph->shape = shape;
    graph->rows = shape.batch * shape.beams;
    enum status status = take_lists(graph);
    if (!status) status = build_encoder(graph, backend);
    if (!status) status = build_step(graph, backend);
    if (status) {
        search_graph_destroy(graph);
        return status;
    }
    graph->kept_bytes = place_states(graph, NULL);
    *graph_p = graph;
    return STATUS_OK;
}

void search_graph_destroy(struct search_graph *graph)
{
    if (!graph) return;
    program_destroy(graph->encoder);
    program_destroy(graph->step);
    graph_destroy(graph->encoder_graph);
    graph_destroy(graph->step_graph);
    free(graph->values);
    free(graph->cache);
    free(graph->lengths_of);
    free(graph->origins);
    free(graph->old_origins);
    free(graph);
}

const struct search_shape *search_graph_shape(const struct search_graph *graph)
{
    return &graph->shape;
}

static size_t graph_bytes(const struct graph *graph)
{
    size_t each = sizeof(struct value) + sizeof(struct value *) + 32 + sizeof(struct step) +
                  2 * sizeof(int64_t) + sizeof(bool);
    return (size_t)graph->count * each;
}

size_t search_graph_arena(const struct search_graph *graph) { return arena_bytes(graph); }

size_t search_graph_kept(const struct search_graph *graph) { return graph->kept_bytes; }

static void touch(unsigned char *page, size_t page_bytes, size_t from, size_t bytes)
{
    for (size_t i = from / page_bytes; i * page_bytes < from + bytes; i++) page[i] = 1;
}

void search_graph_touch(const struct search_graph *graph, int64_t steps, unsigned char *page,
                        size_t page_bytes)
{
    const struct model_memory *given = &graph->given;
    size_t at = 0, carried = 0, row = (size_t)graph->model->config.width * sizeof(float);
    size_t piece = (size_t)graph->shape.steps * row, filled = (size_t)steps * row;
    for (int i = 0; i < given->sources; i++) at += bytes_of(given->source[i]->shape);
    for (int i = 0; i < given->carries; i++) carried += bytes_of(given->carried[i]->shape);
    touch(page, page_bytes, 0, at + carried);
    at += carried;
    // Keys and values of each row, of which later steps are not touched.
    for (int64_t i = 0; i < caches(graph); i++) {
        for (int64_t k = 0; k < 2 * graph->rows; k++)
            touch(page, page_bytes, at + (size_t)k * piece, filled);
        at += bytes_of(graph->cache[i]->shape);
    }
    touch(page, page_bytes, at, carried);
}

size_t search_graph_bytes(const struct search_graph *graph)
{
    return graph_bytes(graph->encoder_graph) + graph_bytes(graph->step_graph);
}

size_t search_graph_lists(const struct search_graph *graph)
{
    size_t origins = (size_t)graph->rows * (size_t)graph->shape.steps * sizeof(int32_t);
    return caches(graph) ? 2 * origins : 0;
}

// ---- running ----
int32_t *search_graph_source(struct search_graph *graph, int64_t row, int64_t length)
{
    int64_t most = graph->shape.source;
    int32_t *ids = program_input(graph->encoder, graph->inputs.source);
    int32_t *positions = program_input(graph->encoder, graph->inputs.source_positions);
    int32_t *lengths = program_input(graph->encoder, graph->inputs.source_lengths);
    INVARIANT(row >= 0 && row < graph->shape.batch && length >= 0 && length <= most,
              "%lld tokens for row %lld", (long long)length, (long long)row);
    for (int64_t i = 0; i < most; i++) positions[row * most + i] = (int32_t)i;
    memset(ids + row * most, 0, (size_t)most * sizeof *ids);
    lengths[row] = graph->lengths_of[row] = (int32_t)length;
    return ids + row * most;
}

// Copies what the encoder gives to its state, for every beam what beams carry.
static void keep_encoded(void *context, int tag, const void *data)
{
    struct search_graph *graph = context;
    char *to = graph->kept;
    for (int i = 0; i < tag; i++)
        to += bytes_of(i < graph->given.sources
                           ? graph->given.source[i]->shape
                           : graph->given.carried[i - graph->given.sources]->shape);
    if (tag < graph->given.sources) {
        memcpy(to, data, (size_t)shape_count(graph->given.source[tag]->shape) * sizeof(float));
        return;
    }
    size_t row =
        (size_t)shape_last(graph->given.carried[tag - graph->given.sources]->shape) * sizeof(float);
    for (int64_t i = 0; i < graph->rows; i++)
        memcpy(to + (size_t)i * row, (const char *)data + (size_t)(i / graph->shape.beams) * row,
               row);
}

// Both programs, and all graphs, lie in one arena: from here on it is the step's.
static void take_arena(struct search_graph *graph)
{
    memcpy(program_input(graph->step, graph->in.source_lengths), graph->lengths_of,
           (size_t)graph->shape.batch * sizeof *graph->lengths_of);
}

void search_graph_encode(struct search_graph *graph)
{
    program_run(graph->encoder, keep_encoded, graph);
    take_arena(graph);
}

struct taker {
    struct search_graph *graph;
    search_take take;
    void *context;
};

static size_t carried_offset(const struct search_graph *graph, int i)
{
    size_t bytes = 0;
    for (int before = 0; before < i; before++)
        bytes += bytes_of(graph->given.carried[before]->shape);
    return bytes;
}

static void take_step(void *context, int tag, const void *data)
{
    const struct taker *taker = context;
    struct search_graph *graph = taker->graph;
    if (tag == PROBABILITIES) {
        // Nothing else reads it: the arena is this thread's.
        taker->take(taker->context, (float *)data);
        return;
    }
    int i = tag - CARRIED;
    memcpy(graph->carry + carried_offset(graph, i), data,
           (size_t)shape_count(graph->given.carried[i]->shape) * sizeof(float));
}

void search_graph_step(struct search_graph *graph, int64_t step, const int32_t *tokens,
                       search_take take, void *context)
{
    INVARIANT(step >= 0 && step < graph->shape.steps, "step %lld of %lld", (long long)step,
              (long long)graph->shape.steps);
    struct taker taker = {graph, take, context};
    int32_t *positions = program_input(graph->step, graph->in.positions);
    memcpy(program_input(graph->step, graph->in.tokens), tokens,
           (size_t)graph->rows * sizeof *tokens);
    for (int64_t i = 0; i < graph->rows; i++) positions[i] = (int32_t)step;
    if (graph->origins) {
        *(int32_t *)program_input(graph->step, graph->in.position) = (int32_t)step;
        memcpy(program_input(graph->step, graph->in.origins), graph->origins,
               (size_t)(graph->rows * graph->shape.steps) * sizeof *graph->origins);
    }
    program_run(graph->step, take_step, &taker);
}

static void reorder_origins(struct search_graph *graph, int64_t step, const int32_t *parents)
{
    int64_t steps = graph->shape.steps;
    int32_t *old = graph->origins;
    graph->origins = graph->old_origins;
    graph->old_origins = old;
    for (int64_t row = 0; row < graph->rows; row++) {
        int32_t *to = graph->origins + row * steps;
        memcpy(to, old + parents[row] * steps, (size_t)step * sizeof *to);
        to[step] = parents[row];
    }
}

void search_graph_reorder(struct search_graph *graph, int64_t step, const int32_t *parents)
{
    if (graph->origins) reorder_origins(graph, step, parents);
    char *to = graph->kept;
    for (int i = 0; i < graph->given.sources; i++) to += bytes_of(graph->given.source[i]->shape);
    for (int i = 0; i < graph->given.carries; i++) {
        struct shape shape = graph->given.carried[i]->shape;
        size_t row = (size_t)shape_last(shape) * sizeof(float);
        const char *from = graph->carry + carried_offset(graph, i);
        for (int64_t r = 0; r < graph->rows; r++)
            memcpy(to + (size_t)r * row, from + (size_t)parents[r] * row, row);
        to += bytes_of(shape);
    }
}

// ---- a smaller batch ----
// What is moved lies no further back than where it comes from, and is moved in the order in which it lies.
struct moving {
    const char *from;
    char *to;
    const int64_t *chosen;
    int64_t count;
};

// The next value, of which each source has an equal part: of every one of its `pieces` the first `bytes`.
static void move_value(struct moving *m, struct shape from, struct shape to, int64_t batch,
                       int64_t pieces, size_t bytes)
{
    size_t each = (size_t)(shape_count(from) / batch) * sizeof(float);
    size_t piece = each / (size_t)pieces;
    for (int64_t i = 0; i < m->count; i++)
        for (int64_t k = 0; k < pieces; k++)
            memmove(m->to + (size_t)i * each + (size_t)k * piece,
                    m->from + (size_t)m->chosen[i] * each + (size_t)k * piece,
                    bytes ? bytes : piece);
    m->from += bytes_of(from);
    m->to += bytes_of(to);
}

static void move_lists(struct search_graph *to, const struct search_graph *from,
                       const struct moving *m, int64_t steps)
{
    int64_t beams = to->shape.beams, room = to->shape.steps;
    memset(to->lengths_of, 0, (size_t)to->shape.batch * sizeof *to->lengths_of);
    for (int64_t i = 0; i < m->count; i++) {
        int32_t back = (int32_t)((m->chosen[i] - i) * beams);
        to->lengths_of[i] = from->lengths_of[m->chosen[i]];
        for (int64_t k = 0; to->origins && k < beams; k++) {
            int32_t *row = to->origins + (i * beams + k) * room;
            const int32_t *old = from->origins + (m->chosen[i] * beams + k) * room;
            for (int64_t t = 0; t < steps; t++) row[t] = old[t] - back;
        }
    }
}

bool search_graph_shrink(struct search_graph *to, const struct search_graph *from,
                         struct search_memory *memory, const int64_t *chosen, int64_t count,
                         int64_t steps)
{
    struct moving m = {from->kept, NULL, chosen, count};
    int64_t batch = from->shape.batch, beams = from->shape.beams;
    INVARIANT(to->shape.source == from->shape.source && to->shape.steps == from->shape.steps &&
                  to->shape.beams == beams && count <= to->shape.batch && to->shape.batch < batch,
              "%lld of %lld sources", (long long)count, (long long)batch);
    if (!fits(to, memory) || search_graph_use(to, memory)) return false;
    m.to = to->kept;
    for (int i = 0; i < to->given.sources; i++)
        move_value(&m, from->given.source[i]->shape, to->given.source[i]->shape, batch, 1, 0);
    for (int i = 0; i < to->given.carries; i++)
        move_value(&m, from->given.carried[i]->shape, to->given.carried[i]->shape, batch, 1, 0);
    size_t filled = (size_t)(steps * to->model->config.width) * sizeof(float);
    for (int64_t i = 0; i < caches(to); i++)
        move_value(&m, from->cache[i]->shape, to->cache[i]->shape, batch, 2 * beams, filled);
    move_lists(to, from, &m, steps);
    take_arena(to);
    return true;
}
