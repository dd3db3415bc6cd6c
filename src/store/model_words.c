// SPDX-License-Identifier: Apache-2.0
// The tokenizers and classes of a model directory.
#include "store/model_words.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/family.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

static const char SOURCE[] = "source_tokenizer.json", LABELS[] = "labels.txt";

// ---- saving ----

static enum status save_labels(const char *directory, const struct model_words *words)
{
    char path[STORE_PATH], *text, *at;
    size_t bytes = 1;
    TRY(path_join(path, sizeof path, directory, LABELS));
    for (int32_t i = 0; i < words->labels; i++) bytes += strlen(words->label[i]) + 1;
    TRY(memory_allocate(bytes, 1, "the names of the classes", &text));
    at = text;
    for (int32_t i = 0; i < words->labels; i++) {
        size_t length = strlen(words->label[i]);
        memcpy(at, words->label[i], length);
        at[length] = '\n';
        at += length + 1;
    }
    enum status status = file_replace(path, text, (size_t)(at - text));
    free(text);
    return status;
}

// A tokenizer is written as a folder's tokenizer.json; the source's gets a folder for a moment.
static enum status save_source(const char *directory, const struct tokenizer *tokenizer)
{
    char folder[STORE_PATH], from[STORE_PATH], to[STORE_PATH];
    TRY(path_join(folder, sizeof folder, directory, "source.tmp"));
    TRY(path_join(from, sizeof from, folder, "tokenizer.json"));
    TRY(path_join(to, sizeof to, directory, SOURCE));
    TRY(directory_create(folder));
    enum status status = tokenizer_save(tokenizer, folder);
    if (!status) status = file_rename(from, to);
    if (directory_remove(folder) && !status) error_clear(); // what stays behind harms nobody
    return status;
}

enum status model_words_save(const char *directory, const struct model_words *words)
{
    TRY(directory_create(directory));
    if (words->tokenizer) TRY(tokenizer_save(words->tokenizer, directory));
    if (words->source_tokenizer) TRY(save_source(directory, words->source_tokenizer));
    return words->labels ? save_labels(directory, words) : STATUS_OK;
}

// ---- loading ----

static enum status check_size(const char *path, const struct tokenizer *tokenizer, int64_t rows)
{
    int64_t size = tokenizer_size(tokenizer);
    if (size > rows)
        FAIL(STATUS_INPUT, "%s has %lld ids; the model's vocabulary has %lld", path,
             (long long)size, (long long)rows);
    return STATUS_OK;
}

// A tokenizer of a kind that we do not know is no error: whoever needs text says so.
static enum status load_tokenizer(const char *directory, const char *name, int64_t rows,
                                  struct tokenizer **tokenizer_p)
{
    char path[STORE_PATH];
    struct tokenizer *tokenizer = NULL;
    TRY(path_join(path, sizeof path, directory, name));
    if (!file_exists(path)) return STATUS_OK;
    enum status status = tokenizer_load(path, &tokenizer);
    if (status == STATUS_UNSUPPORTED) {
        error_clear();
        return STATUS_OK;
    }
    if (status) return status;
    *tokenizer_p = tokenizer;
    return check_size(path, tokenizer, rows);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// A name that stood there twice would be two classes under one name.
static enum status check_names(const struct loaded_model *model, const char *path)
{
    char **sorted;
    size_t count = (size_t)model->labels;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++)
        if (!model->label[i][0])
            FAIL(STATUS_INPUT, "%s line %zu is empty; it should name a class", path, i + 1);
    TRY(memory_allocate(count, sizeof *sorted, "the classes", &sorted));
    memcpy(sorted, model->label, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 1; !status && i < count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = error_at(STATUS_INPUT, __FILE__, __LINE__, "%s names the class \"%.*s\" twice",
                              path, CUT(sorted[i], 60));
    free(sorted);
    return status;
}

// One name a line, as many as the model has classes (two where it has one score for them). An editor may have added a byte order mark
// and carriage returns, which no name has.
static enum status split_labels(struct loaded_model *model, const char *path, char *text,
                                size_t bytes)
{
    int64_t classes = model->config.classes, lines = 0;
    uint32_t code;
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3, bytes -= 3;
    for (size_t i = 0; i < bytes;) {
        int length = utf8_read((const uint8_t *)text + i, bytes - i, &code);
        if (!text[i] || length == 0)
            FAIL(STATUS_INPUT, "%s line %lld: byte 0x%02X is not UTF-8 text", path,
                 (long long)lines + 1, (unsigned char)text[i]);
        lines += text[i] == '\n';
        i += (size_t)length;
    }
    if (bytes && text[bytes - 1] != '\n')
        FAIL(STATUS_INPUT, "%s does not end in a newline: its last name may be cut", path);
    if (classes == 1 && lines != 2)
        FAIL(STATUS_INPUT,
             "%s has %lld line%s; a model of one score has two classes, a line each, or "
             "says numbers and has no such file",
             path, (long long)lines, lines == 1 ? "" : "s");
    if (classes > 1 && lines != classes)
        FAIL(STATUS_INPUT, "%s has %lld line%s; the model tells %lld classes apart, a line each",
             path, (long long)lines, lines == 1 ? "" : "s", (long long)classes);
    TRY(memory_allocate((size_t)lines, sizeof *model->label, "the classes", &model->label));
    for (char *end; (end = memchr(text, '\n', bytes)); text = end + 1) {
        bytes -= (size_t)(end - text) + 1;
        end[end > text && end[-1] == '\r' ? -1 : 0] = 0;
        char *name = strdup(text);
        if (!name) FAIL(STATUS_MEMORY, "not enough memory for the classes of %s", path);
        model->label[model->labels++] = name;
    }
    return check_names(model, path);
}

static enum status load_labels(const char *directory, struct loaded_model *model)
{
    char path[STORE_PATH], *text;
    size_t bytes;
    TRY(path_join(path, sizeof path, directory, LABELS));
    if (!model->config.classes || !file_exists(path)) return STATUS_OK;
    // As long as data/labels.c takes them.
    enum { NAME_BYTES = 1001 };
    TRY(file_read(path, (size_t)(model->config.classes + 1) * NAME_BYTES, &text, &bytes));
    enum status status = split_labels(model, path, text, bytes);
    free(text);
    return status;
}

enum status model_words_differ(const char *directory, const struct model_words *words,
                               bool *differ_p)
{
    const struct model_family *family = NULL;
    struct loaded_model there = {.labels = 0};
    bool zero_bias = false;
    TRY(model_config_read(directory, &there.config, &family, &zero_bias));
    enum status status = load_labels(directory, &there);
    bool differ = there.labels > 0 && there.labels != words->labels;
    for (int32_t i = 0; i < there.labels && !differ; i++)
        differ = strcmp(there.label[i], words->label[i]) != 0;
    model_words_release(&there);
    if (!status) *differ_p = differ;
    return status;
}

enum status model_words_load(const char *directory, struct loaded_model *model)
{
    const struct model_config *config = &model->config;
    int64_t source = config->source_vocabulary;
    TRY(load_tokenizer(directory, "tokenizer.json", config->vocabulary, &model->tokenizer));
    if (source) TRY(load_tokenizer(directory, SOURCE, source, &model->source_tokenizer));
    return load_labels(directory, model);
}

void model_words_release(struct loaded_model *model)
{
    tokenizer_destroy(model->tokenizer);
    tokenizer_destroy(model->source_tokenizer);
    for (int32_t i = 0; i < model->labels; i++) free(model->label[i]);
    free(model->label);
}
