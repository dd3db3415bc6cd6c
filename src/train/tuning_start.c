// SPDX-License-Identifier: Apache-2.0
// Fine-tuning: where the weights come from.
//
// What is new is known by names, shapes and tokens of model.from alone, so a resumed run, whose weights are the checkpoint's, finds the
// same.
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "op/op.h"
#include "store/model_directory.h"
#include "store/take_over.h"
#include "text/match_tokens.h"
#include "text/specials.h"
#include "train/internal.h"
#include "train/run_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what the log says ----

struct line {
    char text[1400];
    size_t used;
    int named, count; // names that stand there, and all
};
enum { NAMED = 8 };

static void line_add(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void line_add(struct line *line, const char *format, ...)
{
    char item[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(item, sizeof item, format, arguments);
    va_end(arguments);
    if (line->count++ >= NAMED) return;
    int length = snprintf(line->text + line->used, sizeof line->text - line->used, "%s%s",
                          line->named ? ", " : "", item);
    if (length > 0 && (size_t)length < sizeof line->text - line->used) line->used += (size_t)length;
    line->named++;
}

static void line_log(const struct line *line, const char *from, const char *what)
{
    char more[48] = "";
    if (line->count > line->named)
        snprintf(more, sizeof more, " and %d more", line->count - line->named);
    log_info("model.from %s: %d parameter%s %s%s%s%s", from, line->count,
             line->count == 1 ? "" : "s", what, line->count ? ": " : "", line->text, more);
}

static const char *print_takeover(const struct takeover *takeover, char text[64])
{
    struct shape shape = {.rank = takeover->rank < MAX_RANK ? takeover->rank : MAX_RANK};
    for (int i = 0; i < shape.rank; i++) shape.size[i] = takeover->size[i];
    return shape_print(shape, text);
}

static void log_takeover(const struct trainer *trainer, const struct takeover *takeover)
{
    struct line taken = {0}, fresh = {0};
    char there[64];
    for (int i = 0; i < trainer->parameters.count; i++) {
        const struct parameter *p = &trainer->parameters.list[i];
        const char *of = takeover[i].name ? " of " : "";
        const char *name = takeover[i].name ? takeover[i].name : "";
        if (takeover[i].taken == TAKEN_ALL && !takeover[i].name)
            line_add(&taken, "%.*s", CUT(p->name, 128));
        else if (takeover[i].taken)
            line_add(&taken, "%.*s (%lld of %lld rows%s%s)", CUT(p->name, 128),
                     (long long)takeover[i].rows, (long long)p->shape.size[0], of, name);
        else if (takeover[i].rank < 0)
            line_add(&fresh, "%.*s", CUT(p->name, 128));
        else
            line_add(&fresh, "%.*s (%s there)", CUT(p->name, 128),
                     print_takeover(&takeover[i], there));
    }
    line_log(&taken, trainer->config.from, "copied");
    line_log(&fresh, trainer->config.from, "new");
}

// Fails when nothing fits, with what stands in the way.
static enum status check_takeover(const struct trainer *trainer, const enum table *kind,
                                  const struct takeover *takeover)
{
    const struct run_config *config = &trainer->config;
    const struct parameters *parameters = &trainer->parameters;
    char place[RUN_PATH + 32], here[64], there[64];
    int other = -1;
    bool unknown = false, classes = false;
    run_key_place(config, "model.from", place);
    for (int i = 0; i < parameters->count; i++) {
        if (takeover[i].taken) return STATUS_OK;
        if (takeover[i].rank >= 0 && other < 0) other = i;
        if (takeover[i].unknown) unknown = true;
        if (kind[i] == TABLE_ANEW) classes = true;
    }
    if (unknown)
        FAIL(STATUS_INPUT,
             "%smodel.from: %.*s knows no token of this run's tokenizer (data.tokenizer: %s), and "
             "nothing else of it fits; data.tokenizer: %.*s has its tokens",
             place, CUT(config->from, 300), config->data.tokenizer, CUT(config->from, 300));
    if (other < 0 && classes)
        FAIL(STATUS_INPUT,
             "%smodel.from: the classes of %.*s (its labels.txt) are others than those of %s, and "
             "nothing else of it fits",
             place, CUT(config->from, 300), config->data.train);
    if (other < 0)
        FAIL(STATUS_INPUT,
             "%smodel.from: nothing in %.*s has the name of a parameter of %s (such as %s); "
             "model.type has to be the one in its config.json, or both have to know tokens by "
             "vectors",
             place, CUT(config->from, 300), config->model.type, parameters->list[0].name);
    FAIL(STATUS_INPUT,
         "%smodel.from: nothing in %.*s has name and shape of a parameter of this model: %s is %s "
         "there and %s here; set the sizes of its config.json",
         place, CUT(config->from, 300), parameters->list[other].name,
         print_takeover(&takeover[other], there), shape_print(parameters->list[other].shape, here));
}

// ---- tables ----

static enum table kind_of(const struct model_graph *graph, const struct value *ids)
{
    if (ids == graph->inputs.tokens) return TABLE_TOKENS;
    return ids == graph->inputs.source ? TABLE_SOURCES : TABLE_PLACES;
}

// How tables of the training graph are looked up; one that sources share is of tokens.
static void find_kinds(const struct model_graph *graph, enum table *kind)
{
    for (int i = 0; i < graph->g->count; i++) {
        const struct value *v = graph->g->values[i];
        bool looks = v->op == &embedding_op, scores = v->op == &output_loss_op;
        if (!looks && !scores) continue;
        int table = v->input[scores ? 1 : 0]->parameter;
        if (table < 0 || kind[table] == TABLE_TOKENS) continue;
        kind[table] = scores ? TABLE_TOKENS : kind_of(graph, v->input[1]);
    }
}

// Where the directory has the rows of `mine`, to be freed; nothing where its tokenizer is the same, or where it has none.
static enum status match_rows(const struct tokenizer *mine, const char *path, struct row_map *map)
{
    struct tokenizer *other = NULL;
    int64_t count = (int64_t)tokenizer_size(mine) + SPECIALS;
    if (!file_exists(path)) {
        log_warning("model.from: there is no %s: rows of tokens are taken by number", path);
        return STATUS_OK;
    }
    enum status status = tokenizer_load(path, &other);
    if (status == STATUS_MEMORY) return status;
    if (status) {
        log_warning("model.from: %s; rows of tokens start anew", error_message());
        error_clear();
    } else if (tokenizer_hash(other) == tokenizer_hash(mine)) {
        tokenizer_destroy(other);
        return STATUS_OK;
    }
    status = memory_allocate((size_t)count, sizeof *map->there, "rows of tokens", &map->there);
    map->count = count;
    for (int64_t i = 0; i < count && !status; i++) map->there[i] = -1;
    if (!status && other) status = match_tokens(mine, other, map->there);
    tokenizer_destroy(other);
    return status;
}

// Rows stand for tokens, which may have other numbers there.
static enum status match_all_rows(const struct trainer *trainer, struct row_map map[TABLES])
{
    char path[RUN_PATH + 32], source_path[RUN_PATH + 32];
    const char *from = trainer->config.from;
    struct model_words words = {.tokenizer = trainer->tokenizer};
    if (trainer->feed.kind->words) trainer->feed.kind->words(trainer, &words);
    TRY(path_join(path, sizeof path, from, "tokenizer.json"));
    TRY(path_join(source_path, sizeof source_path, from, "source_tokenizer.json"));
    if (words.tokenizer) TRY(match_rows(words.tokenizer, path, &map[TABLE_TOKENS]));
    if (!words.source_tokenizer) return STATUS_OK;
    return match_rows(words.source_tokenizer, file_exists(source_path) ? source_path : path,
                      &map[TABLE_SOURCES]);
}

// Classes of other names have other weights: the head starts anew.
static enum status find_head(const struct trainer *trainer, enum table *kind)
{
    struct model_words words = {.labels = 0};
    const struct parameters *parameters = &trainer->parameters;
    const struct model_type *type;
    char path[RUN_PATH + 16];
    bool differ = false;
    TRY(path_join(path, sizeof path, trainer->config.from, "config.json"));
    if (!file_exists(path)) return STATUS_OK; // take_over() says what is missing
    if (trainer->feed.kind->words) trainer->feed.kind->words(trainer, &words);
    TRY(model_find(trainer->config.model.type, &type));
    if (!type->head) return STATUS_OK;
    TRY(model_words_differ(trainer->config.from, &words, &differ));
    size_t length = strlen(type->head);
    for (int i = 0; i < parameters->count && differ; i++) {
        const char *name = parameters->list[i].name;
        if (strncmp(name, type->head, length) == 0 && name[length] == '.') kind[i] = TABLE_ANEW;
    }
    return STATUS_OK;
}

// ---- taking ----

// Replica 0: fresh[parameter] = whether it is new; with `weights` copies what there is.
static enum status take_weights(struct trainer *trainer, float *weights, bool *fresh)
{
    const struct parameters *parameters = &trainer->parameters;
    const struct run_config *config = &trainer->config;
    size_t count = (size_t)parameters->count;
    struct takeover *takeover = NULL;
    enum table *kind = NULL;
    struct takeover_tables tables = {0};
    TRY(memory_allocate(count, sizeof *kind, "tables", &kind));
    enum status status = memory_allocate(count, sizeof *takeover, "parameters", &takeover);
    find_kinds(&trainer->training_graph[0], kind);
    if (!status) status = match_all_rows(trainer, tables.map);
    if (!status) status = find_head(trainer, kind);
    tables.kind = kind;
    if (!status)
        status =
            take_over(config->from, config->model.type, parameters, &tables, weights, takeover);
    if (!status) status = check_takeover(trainer, kind, takeover);
    for (size_t i = 0; i < count && !status; i++) fresh[i] = takeover[i].taken == TAKEN_NOT;
    if (!status && weights) log_takeover(trainer, takeover);
    for (int t = 0; t < TABLES; t++) free(tables.map[t].there);
    free(takeover);
    free(kind);
    return status;
}

enum status tuning_start(struct trainer *trainer, bool resumed)
{
    const struct run_config *config = &trainer->config;
    size_t count = (size_t)trainer->parameters.count;
    if (!config->from[0] || (resumed && config->head_learning_rate == 1)) return STATUS_OK;
    bool *fresh;
    TRY(memory_allocate(count, sizeof *fresh, "new parameters", &fresh));
    enum status status = STATUS_OK;
    if (crew_speaks(trainer) && !resumed) status = run_compare_sizes(&trainer->config);
    if (crew_speaks(trainer) && !status)
        status = take_weights(trainer, resumed ? NULL : trainer->weights.data, fresh);
    status = crew_agree(trainer, status);
    if (!status && !resumed)
        status = crew_tell(trainer, trainer->weights.data, trainer->weights.bytes);
    if (!status) status = crew_tell(trainer, fresh, count * sizeof *fresh);
    for (size_t i = 0; i < count && !status; i++)
        if (fresh[i]) trainer->segment[i].rate *= config->head_learning_rate;
    free(fresh);
    return status;
}
