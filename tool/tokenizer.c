// SPDX-License-Identifier: Apache-2.0
// stentor tokenizer train | encode | decode: makes a tokenizer from text, and runs one line by line.
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/reader.h"
#include "data/train_tokenizer.h"
#include "options.h"
#include "output.h"
#include "terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PACKED_LIMIT = 1 << 30 };

static const struct option_row rows[] = {
    {"out", "DIR", "train: where tokenizer.json goes"},
    {"type", "KIND", "train: bpe or word (bpe)"},
    {"vocabulary", "N", "train: entries (bpe: 8192; word: as many as there are)"},
    {"pattern", "NAME",
     "train: how text is cut; bpe: gpt2, llama3, qwen2 (gpt2); word: spaces, words"},
    {"minimum-count", "N", "train: how often a word, or a pair, must occur (1)"},
    {"lower", NULL, "train: words in small letters"},
    {"special", "TOKEN", "train: bpe: a token with an id of its own; may be repeated"},
    {"field", "NAME", "train: the text's name in .jsonl lines (text)"},
    {"threads", "N", "train: threads (one for each core); they change nothing"},
    {"whole", NULL, "encode, decode: the input is one text, or one list of ids, not lines"},
    {NULL, NULL, NULL},
};

// ---- train ----
static bool is_utf8(const uint8_t *text, size_t bytes)
{
    uint32_t code;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = (size_t)utf8_read(text + at, bytes - at, &code);
        if (length == 0) return false;
    }
    return true;
}

static enum status read_training(const struct options *options, struct tokenizer_training *training)
{
    const char *type = option_text(options, "type"), *pattern = option_text(options, "pattern");
    int64_t vocabulary = 0, least = 1;
    training->words = type && strcmp(type, "word") == 0;
    if (type && !training->words && strcmp(type, "bpe") != 0)
        FAIL(STATUS_USAGE, "tokenizer: --type %s: it must be bpe or word", type);
    training->pattern = training->words ? SPLIT_SPACES : SPLIT_GPT2;
    if (pattern && !split_find_name(pattern, &training->pattern))
        FAIL(STATUS_USAGE,
             "tokenizer: --pattern %s: it must be gpt2, llama3, qwen2, spaces or words", pattern);
    if (!training->words) vocabulary = 8192;
    TRY(option_integer(options, "vocabulary", 2, 1 << 22, &vocabulary));
    TRY(option_integer(options, "minimum-count", 1, INT32_MAX, &least));
    training->vocabulary = (int32_t)vocabulary;
    training->least_count = least;
    training->lower_case = option_given(options, "lower");
    for (int i = 0; i < options->count; i++) {
        if (strcmp(options->given[i].row->name, "special") != 0) continue;
        if (training->special_count == SPECIAL_MOST)
            FAIL(STATUS_USAGE, "tokenizer: more than %d times --special", SPECIAL_MOST);
        const char *special = options->given[i].value;
        if (!is_utf8((const uint8_t *)special, strlen(special)))
            FAIL(STATUS_USAGE, "tokenizer: --special: \"%s\" is not UTF-8", special);
        training->special[training->special_count++] = special;
    }
    return STATUS_OK;
}

static enum status train(const struct options *options)
{
    const char *out = option_text(options, "out"), *field = option_text(options, "field");
    struct tokenizer_training training = {0};
    struct corpus_source source = {.path = options->argument[1], .field = field};
    int64_t threads = cpu_cores();
    struct tokenizer *tokenizer;
    if (options->arguments < 2)
        FAIL(STATUS_USAGE, "tokenizer train: a text is missing: a file, or a folder of files");
    if (options->arguments > 2)
        FAIL(STATUS_USAGE, "tokenizer train: one text, not %d; several may lie in a folder",
             options->arguments - 1);
    if (!out) FAIL(STATUS_USAGE, "tokenizer train: --out DIR is missing");
    TRY(read_training(options, &training));
    TRY(option_integer(options, "threads", 1, 256, &threads));
    TRY(corpus_train_tokenizer(&source, 1, (int)threads, &training, &tokenizer));
    enum status status = tokenizer_save(tokenizer, out);
    if (!status)
        status = output_print("%s: %s tokenizer, %d entries\n", out, tokenizer_kind(tokenizer),
                              (int)tokenizer_size(tokenizer));
    tokenizer_destroy(tokenizer);
    return status;
}

// ---- encode, decode ----
struct line_work {
    bool whole; // the input is one text
    bool bare;  // a byte order mark is left out
    const struct tokenizer *tokenizer;
    const char *source;
    uint64_t offset, line; // of the line
    int32_t *ids;
    size_t room;
    char *out;
    size_t out_room;
};

// The text's ids, between spaces, and a newline.
static enum status encode_line(struct line_work *work, char *text, size_t bytes)
{
    size_t count = 0, used = 0, room = tokenizer_room(work->tokenizer, bytes);
    if (room > work->room || !work->ids) {
        TRY(memory_grow(&work->ids, room, sizeof *work->ids, "ids of a line"));
        TRY(memory_grow(&work->out, room, 12, "ids of a line"));
        work->room = room;
    }
    if (bytes)
        TRY(tokenizer_encode(work->tokenizer, (const uint8_t *)text, bytes, work->source,
                             work->offset, work->ids, &count));
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(work->out + used, 12, "%d ", (int)work->ids[i]);
    return output_line(work->out, count ? used - 1 : 0);
}

static enum status decode_line(struct line_work *work, char *text, size_t bytes)
{
    if (memchr(text, 0, bytes))
        FAIL(STATUS_INPUT, "%s line %llu has the character 0 in it; ids are digits", work->source,
             (unsigned long long)work->line);
    for (char *at = text; at[strspn(at, " \t\r\n")];) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        size_t piece_bytes = 0;
        const uint8_t *piece = errno == 0 && id >= 0 && id <= INT32_MAX && end != at
                                   ? tokenizer_piece(work->tokenizer, (int32_t)id, &piece_bytes)
                                   : NULL;
        if (!piece || !strchr(" \t\r\n", *end))
            FAIL(STATUS_INPUT, "%s line %llu: \"%.*s\" is no id; ids are 0 to %d", work->source,
                 (unsigned long long)work->line, (int)strcspn(at + strspn(at, " \t"), " \t\r\n"),
                 at + strspn(at, " \t"), (int)tokenizer_size(work->tokenizer) - 1);
        if (piece_bytes) TRY(output_part(piece, piece_bytes));
        at = end;
    }
    // A whole text has its newlines among its ids.
    return work->whole ? output_finish() : output_line("", 0);
}

typedef enum status (*line_function)(struct line_work *work, char *text, size_t bytes);

// Of the input's start.
static size_t mark_of(const struct line_work *work, const char *text, size_t bytes)
{
    bool marked = bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;
    return work->bare && marked ? 3 : 0;
}

static enum status read_failed(const struct line_work *work)
{
    FAIL(STATUS_INPUT, "%s cannot be read: %s", work->source, strerror(errno));
}

// Without their newlines.
static enum status run_lines(struct line_work *work, FILE *file, line_function function)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t bytes;
    enum status status = STATUS_OK;
    for (work->line = 1; !status && (bytes = getline(&line, &room, file)) >= 0; work->line++) {
        size_t length = (size_t)bytes, mark = work->line == 1 ? mark_of(work, line, length) : 0;
        if (length && line[length - 1] == '\n') line[--length] = 0;
        work->offset += mark;
        status = function(work, line + mark, length - mark);
        work->offset += (uint64_t)bytes - mark;
    }
    if (!status && ferror(file)) status = read_failed(work);
    free(line);
    return status;
}

// All that there is, as one.
static enum status run_whole(struct line_work *work, FILE *file, line_function function)
{
    char *text = NULL;
    size_t bytes = 0, room = 0;
    enum status status = STATUS_OK;
    do {
        if (bytes + 1 >= room) {
            room = room ? 2 * room : 1 << 16;
            status = memory_grow(&text, room, 1, "a text");
        }
        if (!status) bytes += fread(text + bytes, 1, room - bytes - 1, file);
    } while (!status && !feof(file) && !ferror(file));
    if (!status && ferror(file)) status = read_failed(work);
    work->line = 1;
    if (!status) {
        text[bytes] = 0;
        work->offset = mark_of(work, text, bytes);
        status = function(work, text + work->offset, bytes - work->offset);
    }
    free(text);
    return status;
}

static bool is_packed(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcasecmp(dot, ".gz") == 0 || strcasecmp(dot, ".zst") == 0);
}

// *text_p: what the file reads from, the caller's to free; NULL: the file itself.
static enum status open_input(const char *path, char **text_p, FILE **file_p)
{
    size_t bytes = 0;
    *text_p = NULL;
    if (is_packed(path)) TRY(reader_read_whole(path, PACKED_LIMIT, text_p, &bytes));
    // Not every fmemopen takes a text without a byte.
    *file_p = bytes ? fmemopen(*text_p, bytes, "rb") : fopen(*text_p ? "/dev/null" : path, "rb");
    if (*file_p) return STATUS_OK;
    free(*text_p);
    FAIL(STATUS_INPUT, "cannot open %s: %s", path, strerror(errno));
}

static enum status run_file(const struct options *options, line_function function)
{
    const char *path = options->arguments > 2 ? options->argument[2] : NULL;
    struct tokenizer *tokenizer;
    FILE *file = stdin;
    char *text = NULL;
    if (options->arguments < 2)
        FAIL(STATUS_USAGE, "tokenizer %s: a tokenizer is missing: a folder or tokenizer.json",
             options->argument[0]);
    TRY(tokenizer_load(options->argument[1], &tokenizer));
    struct line_work work = {.whole = option_given(options, "whole"),
                             .bare = strcmp(tokenizer_kind(tokenizer), "byte") != 0,
                             .tokenizer = tokenizer,
                             .source = path ? path : "standard input"};
    enum status status = path ? open_input(path, &text, &file) : STATUS_OK;
    if (!status) {
        status = work.whole ? run_whole(&work, file, function) : run_lines(&work, file, function);
        if (path) fclose(file);
        free(text);
    }
    free(work.ids);
    free(work.out);
    tokenizer_destroy(tokenizer);
    return status;
}

// ---- which one ----
static enum status run(const struct options *options)
{
    const char *what = options->argument[0];
    bool trains = strcmp(what, "train") == 0;
    for (int i = 0; i < options->count; i++) {
        const struct option_row *row = options->given[i].row;
        if (trains == (strncmp(row->help, "train", 5) == 0)) continue;
        FAIL(STATUS_USAGE, "tokenizer %s: --%s is for %s", what, row->name,
             trains ? "encode and decode" : "train");
    }
    if (trains) return train(options);
    if (strcmp(what, "encode") == 0) return run_file(options, encode_line);
    if (strcmp(what, "decode") == 0) return run_file(options, decode_line);
    FAIL(STATUS_USAGE, "tokenizer %s: it must be train, encode or decode", what);
}

static void help(void)
{
    printf("\n  stentor tokenizer train TEXT --out DIR    learns a tokenizer from text\n"
           "  stentor tokenizer encode DIR [FILE]       writes a line of ids for each line\n"
           "  stentor tokenizer decode DIR [FILE]       and back\n");
}

const struct command tokenizer_command = {
    "tokenizer",
    "train|encode|decode ...",
    "learns a tokenizer; text to ids and back",
    1,
    3,
    rows,
    help,
    run,
};
