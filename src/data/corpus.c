// SPDX-License-Identifier: Apache-2.0
#include "data/corpus.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/cache.h"
#include "data/pipeline.h"
#include "data/spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

enum { PATH_BYTES = 4096, STEM_BYTES = 64, PROGRESS_SECONDS = 10 };

static int limit_workers(int workers)
{
    return workers < 1 ? 1 : workers > WORKERS_MOST ? WORKERS_MOST : workers;
}

static const char *field_of(const struct corpus_source *source)
{
    return source->field ? source->field : "text";
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// ---- characters ----
struct collecting {
    struct collector {
        struct char_set *set;
        uint64_t bytes;         // of text seen
    } collectors[WORKERS_MOST]; // one for each worker
    const char *field;
};

static enum status collect_span(void *context, const uint8_t *text, size_t bytes,
                                const char *source, uint64_t offset)
{
    (void)source, (void)offset;
    struct collector *collector = context;
    char_set_add(collector->set, text, bytes);
    collector->bytes += bytes;
    return STATUS_OK;
}

static enum status collect_piece(void *context, int worker, struct work *work)
{
    struct collecting *collecting = context;
    TRY(piece_spans(&work->piece, collecting->field, collect_span,
                    &collecting->collectors[worker]));
    return STATUS_OK;
}

static enum status collect_source(struct collecting *collecting, const struct corpus_source *source,
                                  int workers)
{
    struct file_list list;
    struct cutter cutter;
    const struct pipeline_steps steps = {
        .context = collecting, .process = collect_piece, .stop = source->stop};
    uint64_t bytes = 0;
    collecting->field = field_of(source);
    for (int i = 0; i < workers; i++) collecting->collectors[i].bytes = 0;
    TRY(file_list_create(source->path, &list));
    cutter_init(&cutter, &list, NULL);
    enum status status = pipeline_run(&cutter, workers, &steps);
    for (int i = 0; i < workers; i++) bytes += collecting->collectors[i].bytes;
    if (!status && bytes == 0)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__, "%s is empty", source->path);
    cutter_destroy(&cutter);
    file_list_destroy(&list);
    return status;
}

enum status corpus_char_tokenizer(const struct corpus_source *source, int sources, int workers,
                                  struct tokenizer **tokenizer_p)
{
    struct collecting collecting = {0};
    enum status status = STATUS_OK;
    workers = limit_workers(workers);
    json_object_seed(0);
    for (int i = 0; i < workers && !status; i++)
        status = char_set_create(&collecting.collectors[i].set);
    for (int i = 0; i < sources && !status; i++)
        status = collect_source(&collecting, &source[i], workers);
    if (!status) {
        for (int i = 1; i < workers; i++)
            char_set_merge(collecting.collectors[0].set, collecting.collectors[i].set);
        status = tokenizer_char_create(collecting.collectors[0].set, tokenizer_p);
    }
    for (int i = 0; i < workers; i++) char_set_destroy(collecting.collectors[i].set);
    return status;
}

// ---- tokenizing ----
struct tokenizing {
    const struct tokenizer *tokenizer;
    const struct corpus_source *source;
    struct cache_writer *writer;
    const struct cutter *cutter;
    double started, said; // when
    uint64_t tokens;
};

struct span_target {
    const struct tokenizer *tokenizer;
    struct work *work;
};

static enum status encode_span(void *context, const uint8_t *text, size_t bytes, const char *source,
                               uint64_t offset)
{
    struct span_target *target = context;
    struct work *work = target->work;
    size_t count;
    if (bytes == 0) return STATUS_OK; // a piece of empty documents has no room for ids
    TRY(tokenizer_encode(target->tokenizer, text, bytes, source, offset, work->ids + work->count,
                         &count));
    work->count += count;
    return STATUS_OK;
}

// A document is never longer than its line, even with a newline added: quotes and braces are longer than that.
static enum status encode_piece(void *context, int worker, struct work *work)
{
    (void)worker;
    const struct tokenizing *tokenizing = context;
    size_t room = tokenizer_room(tokenizing->tokenizer, work->piece.bytes);
    if (work->room < room) {
        TRY(memory_grow(&work->ids, room, sizeof *work->ids, "ids of a piece of text"));
        work->room = room;
    }
    struct span_target target = {tokenizing->tokenizer, work};
    TRY(piece_spans(&work->piece, field_of(tokenizing->source), encode_span, &target));
    return STATUS_OK;
}

static enum status store_piece(void *context, struct work *work)
{
    struct tokenizing *tokenizing = context;
    TRY(cache_add(tokenizing->writer, work->ids, work->count));
    tokenizing->tokens += work->count;
    double now = seconds_now();
    if (now - tokenizing->said < PROGRESS_SECONDS) return STATUS_OK;
    log_info("tokenizing %s: %.1f GB read, %.0f MB/s", tokenizing->source->path,
             (double)tokenizing->cutter->bytes * 1e-9,
             (double)tokenizing->cutter->bytes * 1e-6 / (now - tokenizing->started));
    tokenizing->said = now;
    return STATUS_OK;
}

// What the ids depend on besides the text itself, which names, sizes and times stand for.
static uint64_t make_fingerprint(const struct file_list *list, const char *field,
                                 const struct tokenizer *tokenizer)
{
    uint64_t hash = XXH3_64bits_withSeed(field, strlen(field), tokenizer_hash(tokenizer));
    for (int i = 0; i < list->count; i++) {
        const struct text_file *file = &list->files[i];
        const char *name = file->path + file->name;
        const uint64_t numbers[] = {file->stamp.bytes, (uint64_t)file->stamp.seconds,
                                    (uint64_t)file->stamp.nanoseconds};
        hash = XXH3_64bits_withSeed(name, strlen(name), hash);
        hash = XXH3_64bits_withSeed(numbers, sizeof numbers, hash);
    }
    return hash;
}

// FOLDER/NAME-HASH.tokens: the hash is of the source's full path, the field and the tokenizer, so that every run has its own,
// and a text that changes replaces its cache.
static enum status cache_path(const struct corpus_source *source, const struct tokenizer *tokenizer,
                              const char *directory, char path[PATH_BYTES])
{
    char *full = realpath(source->path, NULL);
    const char *known = full ? full : source->path, *slash = strrchr(known, '/');
    uint64_t hash = XXH3_64bits_withSeed(known, strlen(known), tokenizer_hash(tokenizer));
    hash = XXH3_64bits_withSeed(field_of(source), strlen(field_of(source)), hash);
    const char *own = slash ? slash + 1 : known;
    size_t length = strlen(own),
           shown = length < STEM_BYTES ? length : utf8_cut((const uint8_t *)own, STEM_BYTES);
    char name[STEM_BYTES + 32];
    snprintf(name, sizeof name, "%.*s-%016llx.tokens", (int)shown, own, (unsigned long long)hash);
    free(full);
    TRY(path_join(path, PATH_BYTES, directory, name));
    return STATUS_OK;
}

static enum status run_tokenizing(struct tokenizing *tokenizing, const struct file_list *list,
                                  int workers)
{
    struct cutter cutter;
    const struct pipeline_steps steps = {.context = tokenizing,
                                         .process = encode_piece,
                                         .finish = store_piece,
                                         .stop = tokenizing->source->stop};
    cutter_init(&cutter, list, tokenizing->tokenizer);
    tokenizing->cutter = &cutter;
    enum status status = pipeline_run(&cutter, workers, &steps);
    double seconds = seconds_now() - tokenizing->started;
    if (!status)
        log_info("tokenized %s: %llu tokens, %.2f s, %.0f MB/s", tokenizing->source->path,
                 (unsigned long long)tokenizing->tokens, seconds,
                 (double)cutter.bytes * 1e-6 / (seconds > 1e-6 ? seconds : 1e-6));
    cutter_destroy(&cutter);
    if (!status && tokenizing->tokens == 0)
        FAIL(STATUS_INPUT, "%s is empty", tokenizing->source->path);
    return status;
}

static enum status make_cache(const struct corpus_source *source, const struct file_list *list,
                              const struct tokenizer *tokenizer, const char *path,
                              const struct cache_key *key, bool keep, int workers,
                              struct corpus **corpus_p)
{
    struct tokenizing tokenizing = {.tokenizer = tokenizer, .source = source};
    tokenizing.started = tokenizing.said = seconds_now();
    TRY(cache_create(path, key, &tokenizing.writer));
    enum status status = run_tokenizing(&tokenizing, list, workers);
    if (status) goto abandon_cache;
    return cache_finish(tokenizing.writer, keep, corpus_p);
abandon_cache:
    cache_abandon(tokenizing.writer);
    return status;
}

static enum status open_list(const struct corpus_source *source, const struct file_list *list,
                             const struct tokenizer *tokenizer, const char *cache_directory,
                             int workers, struct corpus **corpus_p)
{
    char path[PATH_BYTES];
    const struct cache_key key = {.fingerprint =
                                      make_fingerprint(list, field_of(source), tokenizer),
                                  .vocabulary = (uint32_t)tokenizer_size(tokenizer)};
    const char *temporary = getenv("TMPDIR");
    if (!temporary || !temporary[0]) temporary = P_tmpdir;
    TRY(cache_path(source, tokenizer, cache_directory ? cache_directory : temporary, path));
    struct corpus *corpus = NULL;
    if (cache_directory) {
        TRY(directory_create(cache_directory));
        TRY(cache_open(path, &key, &corpus));
    }
    if (!corpus)
        TRY(make_cache(source, list, tokenizer, path, &key, cache_directory != NULL, workers,
                       &corpus));
    *corpus_p = corpus;
    return STATUS_OK;
}

enum status corpus_open(const struct corpus_source *source, const struct tokenizer *tokenizer,
                        const char *cache_directory, int workers, struct corpus **corpus_p)
{
    struct file_list list;
    json_object_seed(0);
    TRY(file_list_create(source->path, &list));
    enum status status =
        open_list(source, &list, tokenizer, cache_directory, limit_workers(workers), corpus_p);
    file_list_destroy(&list);
    return status;
}

void corpus_close(struct corpus *corpus)
{
    if (!corpus) return;
    file_unmap(corpus->map, corpus->map_bytes);
    free(corpus);
}
