// SPDX-License-Identifier: Apache-2.0
#include "infer/translate.h"

#include "base/cpu.h"
#include "infer/batches.h"

#include <stdlib.h>
#include <string.h>

struct translator {
    const struct loaded_model *model; // borrowed
    const struct tokenizer *source;   // of the model
    struct search_options options;
    int workers;
    struct search **searches; // [workers]
    struct team *team;
    atomic_bool stop;
    int32_t *ids; // of a text
    size_t room;
    // Of the present call.
    struct search_source *sources;
    struct translation *translations;
};

// ---- life cycle ----
static enum status check_tokenizers(const struct translator *translator)
{
    const struct tokenizer *target = translator->model->tokenizer;
    if (!target || !translator->source)
        FAIL(STATUS_UNSUPPORTED,
             "the model has no tokenizer that is known here, so it cannot read or write text");
    const struct search *search = translator->searches[0];
    if (translator->model->config.source_vocabulary && !translator->model->source_tokenizer)
        FAIL(STATUS_INPUT, "the model has a tokenizer of its own for sources, and its folder no "
                           "source_tokenizer.json that is known here");
    if (tokenizer_size(target) != search_end(search) ||
        tokenizer_size(translator->source) != search_source_end(search))
        FAIL(STATUS_UNSUPPORTED,
             "tokenizers of %d and %d ids do not belong to a model of %d and %d",
             tokenizer_size(translator->source), tokenizer_size(target), search_source_end(search),
             search_end(search));
    return STATUS_OK;
}

static enum status create_parts(struct translator *translator)
{
    const struct team_options team = {.threads = translator->workers,
                                      .crowded = translator->workers > cpu_cores()};
    TRY(memory_allocate((size_t)translator->workers, sizeof(void *), "workers",
                        &translator->searches));
    for (int i = 0; i < translator->workers; i++)
        TRY(search_create(translator->model, &translator->options, &translator->searches[i]));
    TRY(check_tokenizers(translator));
    return translator->workers > 1 ? team_create(&team, &translator->team) : STATUS_OK;
}

enum status translator_create(const struct loaded_model *model,
                              const struct search_options *options, int workers,
                              struct translator **translator_p)
{
    struct translator *translator;
    INVARIANT(workers >= 1, "%d workers", workers);
    TRY(memory_allocate(1, sizeof *translator, "a translator", &translator));
    translator->model = model;
    translator->source = model->source_tokenizer ? model->source_tokenizer : model->tokenizer;
    translator->options = *options;
    translator->workers = workers;
    enum status status = create_parts(translator);
    if (status) {
        translator_destroy(translator);
        return status;
    }
    *translator_p = translator;
    return STATUS_OK;
}

void translator_destroy(struct translator *translator)
{
    if (!translator) return;
    team_destroy(translator->team);
    for (int i = 0; translator->searches && i < translator->workers; i++)
        search_destroy(translator->searches[i]);
    free(translator->searches);
    free(translator->ids);
    free(translator);
}

static int falling(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

enum status translator_bytes(const struct loaded_model *model, const struct search_options *options,
                             int workers, int64_t *lengths, int64_t count, size_t *bytes_p)
{
    // Of each text in translator_run() and batches_run().
    const size_t each = sizeof(struct search_source) + 5 * sizeof(int64_t) + 16;
    size_t bytes, ids = 0;
    qsort(lengths, (size_t)count, sizeof *lengths, falling);
    for (int64_t i = 0; i < count; i++) ids += (size_t)lengths[i];
    TRY(search_bytes(model, options, workers, lengths, count, &bytes));
    ids = ids * sizeof(int32_t) + (size_t)count * each;
    *bytes_p = ids > SIZE_MAX - bytes ? SIZE_MAX : bytes + ids;
    return STATUS_OK;
}

void translator_stop(struct translator *translator) { atomic_store(&translator->stop, true); }

void translation_release(struct translation *translation)
{
    for (int64_t i = 0; i < translation->count; i++) buffer_release(&translation->best[i].text);
    free(translation->best);
    *translation = (struct translation){0};
}

// ---- text to ids ----
// Ids of a text with the end behind them, as many as the model takes; none of a text of spaces.
static enum status encode(struct translator *translator, struct text text,
                          struct search_source *source, struct translation *translation)
{
    const struct search *search = translator->searches[0];
    size_t room = tokenizer_room(translator->source, text.bytes) + 1, count = 0;
    size_t most = (size_t)search_most_tokens(search) - 1;
    int32_t *ids;
    if (text_strip(text).bytes == 0) return STATUS_OK;
    if (room > translator->room) {
        TRY(memory_grow(&translator->ids, room, sizeof *translator->ids, "a text's tokens"));
        translator->room = room;
    }
    TRY(tokenizer_encode_known(translator->source, (const uint8_t *)text.at, text.bytes,
                               translator->ids, &count, &translation->unknown));
    if (count > most) {
        translation->left = (int64_t)(count - most);
        count = most;
    }
    TRY(memory_allocate(count + 1, sizeof *ids, "a text's tokens", &ids));
    memcpy(ids, translator->ids, count * sizeof *ids);
    ids[count] = search_source_end(search);
    source->ids = ids;
    source->count = translation->tokens = (int64_t)count + 1;
    return STATUS_OK;
}

// ---- ids to text ----
static enum status decode(const struct translator *translator, const struct hypothesis *hypothesis,
                          struct candidate_text *out)
{
    for (int64_t t = 0; t < hypothesis->count; t++) {
        struct text piece = {0};
        piece.at = (const char *)tokenizer_piece(translator->model->tokenizer, hypothesis->ids[t],
                                                 &piece.bytes);
        if (piece.at) TRY(buffer_add(&out->text, piece));
    }
    struct text line = text_strip(buffer_text(&out->text));
    if (line.bytes) memmove(out->text.at, line.at, line.bytes);
    out->text.bytes = line.bytes;
    for (size_t i = 0; i < line.bytes; i++)
        if (out->text.at[i] == '\n' || out->text.at[i] == '\r' || !out->text.at[i])
            out->text.at[i] = ' ';
    out->tokens = hypothesis->count;
    out->score = hypothesis->score;
    out->log_probability = hypothesis->log_probability;
    out->cut = hypothesis->cut;
    return STATUS_OK;
}

static enum status decode_all(const struct translator *translator,
                              const struct search_result *result, struct translation *translation)
{
    TRY(memory_allocate((size_t)result->count, sizeof *translation->best, "translations",
                        &translation->best));
    translation->count = result->count;
    for (int64_t i = 0; i < result->count; i++)
        TRY(decode(translator, &result->best[i], &translation->best[i]));
    translation->done = true;
    return STATUS_OK;
}

// ---- batches ----
static enum status translate_batch(void *context, int worker, const int64_t *members, int64_t count)
{
    struct translator *translator = context;
    struct search_source *sources;
    struct search_result *results = NULL;
    TRY(memory_allocate((size_t)count, sizeof *sources, "a batch", &sources));
    enum status status = memory_allocate((size_t)count, sizeof *results, "a batch", &results);
    for (int64_t i = 0; !status && i < count; i++) sources[i] = translator->sources[members[i]];
    if (!status) status = search_run(translator->searches[worker], sources, count, results);
    bool found = status == STATUS_OK;
    for (int64_t i = 0; found && i < count; i++) {
        if (!status)
            status = decode_all(translator, &results[i], &translator->translations[members[i]]);
        search_result_release(&results[i]);
    }
    free(results);
    free(sources);
    return status;
}

static enum status run(struct translator *translator, const struct text *texts,
                       const uint64_t *numbers, int64_t count, int64_t *lengths)
{
    for (int64_t i = 0; i < count; i++) {
        struct search_source *source = &translator->sources[i];
        source->number = numbers[i];
        TRY(encode(translator, texts[i], source, &translator->translations[i]));
        lengths[i] = source->count ? source->count : -1;
        translator->translations[i].done = source->count == 0;
    }
    const struct batches batches = {lengths, count, translator->options.batch, &translator->stop};
    return batches_run(&batches, translator->team, translate_batch, translator);
}

enum status translator_run(struct translator *translator, const struct text *texts,
                           const uint64_t *numbers, int64_t count, struct translation *translations)
{
    size_t room = (size_t)(count ? count : 1);
    int64_t *lengths;
    memset(translations, 0, (size_t)count * sizeof *translations);
    TRY(memory_allocate(room, sizeof *lengths, "the texts", &lengths));
    enum status status =
        memory_allocate(room, sizeof *translator->sources, "the texts", &translator->sources);
    translator->translations = translations;
    if (!status) status = run(translator, texts, numbers, count, lengths);
    for (int64_t i = 0; translator->sources && i < count; i++)
        free((void *)translator->sources[i].ids);
    free(translator->sources);
    translator->sources = NULL;
    free(lengths);
    return status;
}
