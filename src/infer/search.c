// SPDX-License-Identifier: Apache-2.0
#include "infer/search.h"

#include "base/cpu.h"
#include "infer/beams.h"
#include "infer/sampling.h"
#include "infer/search_graph.h"
#include "text/specials.h"

#include <fenv.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Lengths of sources are rounded up, finely where that saves much: a graph for each.
enum { FINE = 8, FINE_TO = 64, COARSE = 32 };
// Bytes above which it does not matter how many of them are touched.
static const size_t MOST_KEPT = (size_t)1 << 40;

struct search {
    const struct loaded_model *model; // borrowed
    const struct backend *backend;
    struct search_options options;
    int64_t width, steps;
    struct search_memory memory;
    struct search_graph **graphs; // that were met
    int graph_count;
    struct beams *beams;       // [batch]
    int32_t *tokens, *parents; // [batch * width] of the step
    struct sampler sampler;    // draws
    float *logits;             // [end + 1] draws
    // Of the present batch.
    const struct search_source *sources;
    int64_t count;
    int64_t *slots;     // [batch] whose the places of the graph's batch are,
    int64_t slot_count; // those in use
    int64_t *chosen;    // [batch] of places, those that go on
    enum status status; // of choosing, inside a step
};

void search_defaults(struct search_options *options)
{
    *options = (struct search_options){.beams = 5, .n_best = 1, .length_penalty = 1, .batch = 32};
    generate_defaults(&options->sampling);
}

static enum status check_range(const char *name, int64_t value, int64_t least, int64_t most)
{
    if (value < least || value > most)
        FAIL(STATUS_USAGE, "%s: %lld is out of range; it must be %lld to %lld", name,
             (long long)value, (long long)least, (long long)most);
    return STATUS_OK;
}

enum status search_check(const struct search_options *o)
{
    TRY(check_range("beam", o->beams, 1, 1024));
    TRY(check_range("n-best", o->n_best, 1, o->draws ? 1024 : o->beams));
    TRY(check_range("max-tokens", o->max_tokens, 0, 1000000000));
    TRY(check_range("batch", o->batch, 1, 65536));
    if (!(o->length_penalty >= -10 && o->length_penalty <= 10))
        FAIL(STATUS_USAGE, "length-penalty: %g is out of range; it must be -10 to 10",
             o->length_penalty);
    if (!o->draws) return STATUS_OK;
    TRY(generate_check(&o->sampling));
    if (o->sampling.temperature == 0)
        FAIL(STATUS_USAGE, "temperature: 0 draws nothing; a search needs none");
    return STATUS_OK;
}

// ---- life cycle ----
static enum status take_parts(struct search *search)
{
    size_t rows = (size_t)(search->options.batch * search->width);
    TRY(backend_find("cpu", &search->backend));
    TRY(memory_allocate((size_t)search->options.batch, sizeof *search->beams, "beams",
                        &search->beams));
    TRY(memory_allocate((size_t)search->options.batch, sizeof(int64_t), "beams", &search->slots));
    TRY(memory_allocate((size_t)search->options.batch, sizeof(int64_t), "beams", &search->chosen));
    TRY(memory_allocate(rows, sizeof(int32_t), "beams", &search->tokens));
    TRY(memory_allocate(rows, sizeof(int32_t), "beams", &search->parents));
    for (int64_t i = 0; i < search->options.batch; i++)
        TRY(beams_create(search->width, search->steps, search->options.length_penalty,
                         search->options.draws, &search->beams[i]));
    if (!search->options.draws) return STATUS_OK;
    int64_t size = search_end(search) + 1;
    TRY(sampler_create(size, &search->sampler));
    return memory_allocate((size_t)size, sizeof *search->logits, "draws", &search->logits);
}

enum status search_create(const struct loaded_model *model, const struct search_options *options,
                          struct search **search_p)
{
    struct search *search;
    TRY(search_check(options));
    const struct model_config *config = &model->config;
    if (!model->type->encode)
        FAIL(STATUS_UNSUPPORTED, "a model of type %s does not translate or summarize",
             model->type->name);
    if (config->vocabulary <= SPECIALS ||
        (config->source_vocabulary && config->source_vocabulary <= SPECIALS))
        FAIL(STATUS_UNSUPPORTED, "a vocabulary of %lld has no room for an end",
             (long long)config->vocabulary);
    TRY(memory_allocate(1, sizeof *search, "a search", &search));
    search->model = model;
    search->options = *options;
    search->width = options->draws ? options->n_best : options->beams;
    search->steps = config->context;
    if (options->max_tokens && options->max_tokens < search->steps)
        search->steps = options->max_tokens + 1;
    enum status status = take_parts(search);
    if (status) {
        search_destroy(search);
        return status;
    }
    *search_p = search;
    return STATUS_OK;
}

void search_destroy(struct search *search)
{
    if (!search) return;
    for (int i = 0; i < search->graph_count; i++) search_graph_destroy(search->graphs[i]);
    for (int64_t i = 0; search->beams && i < search->options.batch; i++)
        beams_release(&search->beams[i]);
    search_memory_release(&search->memory);
    sampler_release(&search->sampler);
    free(search->graphs);
    free(search->beams);
    free(search->slots);
    free(search->chosen);
    free(search->tokens);
    free(search->parents);
    free(search->logits);
    free(search);
}

int64_t search_most_tokens(const struct search *search) { return search->model->config.context; }

int32_t search_end(const struct search *search)
{
    return special_id((int32_t)search->model->config.vocabulary - SPECIALS, SPECIAL_END);
}

static int64_t source_vocabulary(const struct search *search)
{
    const struct model_config *config = &search->model->config;
    return config->source_vocabulary ? config->source_vocabulary : config->vocabulary;
}

int32_t search_source_end(const struct search *search)
{
    return special_id((int32_t)source_vocabulary(search) - SPECIALS, SPECIAL_END);
}

void search_result_release(struct search_result *result)
{
    for (int64_t i = 0; i < result->count; i++) free(result->best[i].ids);
    free(result->best);
    *result = (struct search_result){0};
}

// ---- shapes ----
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Most tokens of the target of a source of `count` ids, its end among them.
static int64_t most_of(const struct search *search, int64_t count)
{
    int64_t most = search->options.max_tokens ? search->options.max_tokens : 2 * (count - 1) + 10;
    return smaller(most, search->steps - 1);
}

static int64_t batch_for(const struct search *search, int64_t sources)
{
    int64_t batch = 1;
    while (batch < sources) batch *= 2;
    return smaller(batch, search->options.batch);
}

static struct search_shape shape_of_sources(const struct search *search, int64_t count,
                                            int64_t longest)
{
    int64_t unit = longest <= FINE_TO ? FINE : COARSE;
    int64_t source = smaller((longest + unit - 1) / unit * unit, search->model->config.context);
    return (struct search_shape){.batch = batch_for(search, count),
                                 .beams = search->width,
                                 .source = source,
                                 .steps = most_of(search, source) + 1};
}

static struct search_shape shape_for(const struct search *search)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < search->count; i++)
        if (search->sources[i].count > longest) longest = search->sources[i].count;
    return shape_of_sources(search, search->count, longest);
}

// Marks what a batch touches until all its sources, of falling `length`, have as many tokens as they may: it shrinks to half when half
// of them are done, and then begins at the same place in smaller states.
static enum status touch_batch(const struct search *search, struct search_shape shape,
                               const int64_t *length, int64_t sources, unsigned char *page,
                               size_t page_bytes)
{
    for (;;) {
        struct search_graph *graph;
        int64_t half = shape.batch / 2, open = 0;
        int64_t last = half < sources && half > 0 ? half : 0, steps = most_of(search, length[last]);
        while (open < sources && most_of(search, length[open]) > steps) open++;
        TRY(search_graph_create(search->model, search->backend, shape, &graph));
        search_graph_touch(graph, open ? steps : steps + 1, page, page_bytes);
        search_graph_destroy(graph);
        if (!open) return STATUS_OK;
        sources = open;
        shape.batch = batch_for(search, open);
    }
}

// What a batch of sources of such lengths, which fall, takes of a searcher's memory; and the graphs for it, its half, its quarter, …,
// whose lists are less than twice as long as its own.
static enum status batch_bytes(const struct search *search, const int64_t *length, int64_t sources,
                               size_t *memory_p, size_t *graphs_p)
{
    struct search_shape shape = shape_of_sources(search, sources, length[0]);
    struct search_graph *graph;
    unsigned char *page = NULL;
    size_t sizes = 1, page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    TRY(search_graph_create(search->model, search->backend, shape, &graph));
    for (int64_t rows = 1; rows < shape.batch; rows *= 2) sizes++;
    size_t memory = search_graph_arena(graph), kept = search_graph_kept(graph);
    *graphs_p = sizes * search_graph_bytes(graph) + 2 * search_graph_lists(graph);
    search_graph_destroy(graph);
    *memory_p = kept > SIZE_MAX - memory ? SIZE_MAX : memory + kept;
    if (kept > MOST_KEPT) return STATUS_OK;
    size_t pages = kept / page_bytes + 1;
    TRY(memory_allocate(pages, 1, "pages of what decoding keeps", &page));
    enum status status = touch_batch(search, shape, length, sources, page, page_bytes);
    for (size_t i = 0; i < pages; i++) memory += page[i] * page_bytes;
    free(page);
    *memory_p = memory;
    return status;
}

static void add(size_t *sum, size_t more)
{
    *sum = more > SIZE_MAX - *sum ? SIZE_MAX : *sum + more;
}

// Batches from .. to - 1 have graphs of their own: each is met by who begins with it, later ones by all.
static size_t who_meet(int searchers, int64_t from, int64_t to)
{
    return (size_t)(to > searchers ? searchers : to - from);
}

static enum status count_batches(const struct search *search, int searchers, const int64_t *lengths,
                                 int64_t count, size_t *bytes_p)
{
    int64_t rows = search->options.batch, batches = (count + rows - 1) / rows, since = 0;
    struct search_shape before = {0};
    size_t bytes = 0, memory = 0, graphs = 0, shared = 0;
    for (int64_t b = 0; b < batches; b++) {
        int64_t longest = lengths[b * rows], sources = smaller(rows, count - b * rows);
        struct search_shape shape = shape_of_sources(search, sources, longest);
        bool other = shape.source != before.source;
        if (other) {
            add(&bytes, graphs * who_meet(searchers, since, b));
            since = b;
        }
        if (other || shape.batch != before.batch || b < searchers)
            TRY(batch_bytes(search, lengths + b * rows, sources, &memory,
                            other ? &graphs : &shared));
        before = shape;
        if (b < searchers) add(&bytes, memory);
    }
    add(&bytes, graphs * who_meet(searchers, since, batches));
    *bytes_p = bytes;
    return STATUS_OK;
}

enum status search_bytes(const struct loaded_model *model, const struct search_options *options,
                         int searchers, const int64_t *lengths, int64_t count, size_t *bytes_p)
{
    struct search *search;
    size_t bytes = 0;
    TRY(search_create(model, options, &search));
    size_t own = (size_t)options->batch * beams_bytes(search->width, search->steps);
    enum status status = count_batches(search, searchers, lengths, count, &bytes);
    search_destroy(search);
    TRY(status);
    add(&bytes, checked_multiply(own, (size_t)searchers));
    *bytes_p = bytes;
    return STATUS_OK;
}

static enum status graph_of(struct search *search, struct search_shape shape,
                            struct search_graph **graph_p)
{
    for (int i = 0; i < search->graph_count; i++) {
        const struct search_shape *known = search_graph_shape(search->graphs[i]);
        if (known->batch != shape.batch || known->source != shape.source) continue;
        *graph_p = search->graphs[i];
        return STATUS_OK;
    }
    TRY(memory_grow(&search->graphs, (size_t)search->graph_count + 1, sizeof(void *),
                    "graphs of decoding"));
    TRY(search_graph_create(search->model, search->backend, shape, graph_p));
    search->graphs[search->graph_count++] = *graph_p;
    return STATUS_OK;
}

// ---- a batch ----
// One draw for each open beam of source i. row: the first beam's log probabilities.
static enum status draw(struct search *search, int64_t i, const float *row)
{
    struct beams *beams = &search->beams[i];
    int64_t vocabulary = search->model->config.vocabulary;
    int32_t end = search_end(search), id = end;
    for (int64_t k = 0; k < beams->width; k++) {
        const float *logs = row + k * vocabulary;
        uint64_t place = search->sources[i].number * (uint64_t)beams->width + (uint64_t)k;
        if (beams->ended[k]) continue;
        memcpy(search->logits, logs, (size_t)(end + 1) * sizeof *logs);
        // The draw of a token is addressed by where it stands and, above 2^32, by whose it is.
        int64_t token = (int64_t)((place & INT32_MAX) << 32 | (uint64_t)beams->step);
        if (beams->step < beams->most)
            TRY(sampler_choose(&search->sampler, &search->options.sampling, token, search->logits,
                               &id));
        beams_offer_one(beams, k, id, (double)logs[id]);
        id = end;
    }
    return STATUS_OK;
}

static void take(void *context, const float *log_probabilities)
{
    struct search *search = context;
    int64_t vocabulary = search->model->config.vocabulary;
    for (int64_t slot = 0; slot < search->slot_count; slot++) {
        struct beams *beams = &search->beams[search->slots[slot]];
        const float *row = log_probabilities + slot * search->width * vocabulary;
        if (beams->done || search->status) continue;
        if (search->options.draws) {
            search->status = draw(search, search->slots[slot], row);
            continue;
        }
        for (int64_t k = 0; k < beams->alive; k++)
            beams_offer(beams, k, row + k * vocabulary, search_end(search));
    }
}

// Every source's choices; rows without a beam go on from themselves. Notes the places that go on.
static enum status advance(struct search *search, int64_t rows, int64_t *open_p)
{
    int64_t open = 0;
    for (int64_t r = 0; r < rows; r++) search->parents[r] = (int32_t)r;
    memset(search->tokens, 0, (size_t)rows * sizeof *search->tokens);
    for (int64_t slot = 0; slot < search->slot_count; slot++) {
        struct beams *beams = &search->beams[search->slots[slot]];
        int64_t first = slot * search->width;
        if (beams->done) continue;
        int32_t *parents = search->parents + first, *tokens = search->tokens + first;
        for (int64_t k = 0; k < search->width; k++) parents[k] = (int32_t)k;
        TRY(beams_advance(beams, search_end(search), parents, tokens));
        for (int64_t k = 0; k < search->width; k++) parents[k] += (int32_t)first;
        if (!beams->done) search->chosen[open++] = slot;
    }
    *open_p = open;
    return STATUS_OK;
}

// Goes on in a graph of half the batch or less, with the sources that are not done.
static enum status shrink(struct search *search, int64_t open, int64_t steps,
                          struct search_graph **graph_p)
{
    struct search_shape shape = *search_graph_shape(*graph_p);
    struct search_graph *smaller_one;
    size_t bytes = (size_t)search->width * sizeof *search->tokens;
    shape.batch = batch_for(search, open);
    TRY(graph_of(search, shape, &smaller_one));
    if (!search_graph_shrink(smaller_one, *graph_p, &search->memory, search->chosen, open, steps))
        return STATUS_OK;
    for (int64_t i = 0; i < open; i++) {
        int64_t slot = search->chosen[i];
        search->slots[i] = search->slots[slot];
        memmove(search->tokens + i * search->width, search->tokens + slot * search->width, bytes);
    }
    search->slot_count = open;
    *graph_p = smaller_one;
    return STATUS_OK;
}

static enum status run(struct search *search, struct search_graph *graph)
{
    const struct search_shape *shape = search_graph_shape(graph);
    for (int64_t i = 0; i < shape->batch; i++) {
        const struct search_source *source = i < search->count ? &search->sources[i] : NULL;
        int32_t *ids = search_graph_source(graph, i, source ? source->count : 0);
        if (!source) continue;
        memcpy(ids, source->ids, (size_t)source->count * sizeof *ids);
        beams_start(&search->beams[i], most_of(search, source->count));
        search->slots[i] = i;
    }
    search->slot_count = search->count;
    for (int64_t r = 0; r < shape->batch * shape->beams; r++)
        search->tokens[r] = search_end(search);
    search_graph_encode(graph);
    for (int64_t step = 0, open; search->slot_count > 0; step++) {
        TRY(stop_check(search->options.stop, "texts were decoded"));
        search_graph_step(graph, step, search->tokens, take, search);
        TRY(search->status);
        TRY(advance(search, shape->batch * shape->beams, &open));
        if (open == 0) break;
        search_graph_reorder(graph, step, search->parents);
        if (2 * open <= shape->batch) TRY(shrink(search, open, step + 1, &graph));
        shape = search_graph_shape(graph);
    }
    return STATUS_OK;
}

static enum status check_sources(const struct search *search)
{
    int64_t vocabulary = source_vocabulary(search), most = search_most_tokens(search);
    if (search->count < 1 || search->count > search->options.batch)
        FAIL(STATUS_USAGE, "%lld sources at a time; 1 to %lld fit", (long long)search->count,
             (long long)search->options.batch);
    for (int64_t i = 0; i < search->count; i++) {
        const struct search_source *source = &search->sources[i];
        if (source->count < 1 || source->count > most)
            FAIL(STATUS_USAGE, "a source of %lld ids; the model takes 1 to %lld",
                 (long long)source->count, (long long)most);
        for (int64_t t = 0; t < source->count; t++)
            if (source->ids[t] < 0 || source->ids[t] >= vocabulary)
                FAIL(STATUS_USAGE, "id %d at place %lld is not in the source vocabulary of %lld",
                     source->ids[t], (long long)t, (long long)vocabulary);
    }
    return STATUS_OK;
}

static enum status take_results(struct search *search, struct search_result *results)
{
    enum status status = STATUS_OK;
    int64_t taken = 0;
    while (!status && taken < search->count) {
        status = beams_take(&search->beams[taken], search->options.n_best, &results[taken]);
        taken += status == STATUS_OK;
    }
    while (status && taken > 0) search_result_release(&results[--taken]);
    return status;
}

enum status search_run(struct search *search, const struct search_source *sources, int64_t count,
                       struct search_result *results)
{
    struct search_graph *graph;
    fenv_t environment;
    search->sources = sources;
    search->count = count;
    search->status = STATUS_OK;
    TRY(check_sources(search));
    TRY(graph_of(search, shape_for(search), &graph));
    TRY(search_graph_use(graph, &search->memory));
    // The caller's floating-point mode is given back.
    fegetenv(&environment);
    cpu_flush_to_zero();
    enum status status = run(search, graph);
    fesetenv(&environment);
    TRY(status);
    return take_results(search, results);
}
