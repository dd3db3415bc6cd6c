// SPDX-License-Identifier: Apache-2.0
// What the tests of corpora share: opening one with a tokenizer of its own characters, its ids, a captured log, any text at will.
#ifndef STN_TEST_DATA_TEXT_FILES_H
#define STN_TEST_DATA_TEXT_FILES_H

#include "base/log.h"
#include "base/philox.h"
#include "data/corpus.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

// ---- log ----
static char logged[4096];

static inline void keep_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s%s\n", level == LOG_WARNING ? "warning: " : "",
             line);
}

static inline int clear(void **state)
{
    (void)state;
    error_clear();
    logged[0] = 0;
    log_set_sink(keep_line, NULL);
    return 0;
}

static inline int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

// ---- files ----
static inline const char *put_text(const char *name, const char *text)
{
    return put_file(scratch_path(name), text, strlen(text));
}

// `bytes` of text, or a little less: words, lines, Chinese, planes above, and with `stray` bytes that are no UTF-8. The caller frees.
static inline uint8_t *make_text(size_t room, uint32_t number, bool stray, size_t *bytes_p)
{
    uint8_t *text = malloc(room + 4);
    struct philox_address at = {
        .seed = 5, .stream = philox_stream(PHILOX_TEST, 9), .sequence = number};
    size_t bytes = 0;
    for (uint64_t i = 0; bytes + 4 < room; i++) {
        uint32_t bits = philox_bits(at, i), kind = bits >> 28;
        if (stray && kind == 0)
            text[bytes++] = (uint8_t)(0x80 | (bits & 0x7F));
        else if (kind < 4)
            bytes += (size_t)utf8_write(0x4E00 + bits % 500, text + bytes);
        else if (kind == 4)
            bytes += (size_t)utf8_write(0x1F600 + bits % 50, text + bytes);
        else if (kind == 5)
            text[bytes++] = '\n';
        else
            text[bytes++] = (uint8_t)(' ' + bits % 95);
    }
    *bytes_p = bytes;
    return text;
}

// ---- corpora ----
static inline struct corpus_source source_of(const char *path)
{
    return (struct corpus_source){.path = path};
}

static inline struct tokenizer *byte_tokenizer(void)
{
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_byte_create(&tokenizer), STATUS_OK);
    return tokenizer;
}

// Opens with the source's own characters; NULL on failure, the error being kept for error_says.
static inline struct corpus *open_char(const struct corpus_source *source, const char *cache,
                                       int workers, struct tokenizer **tokenizer_p)
{
    struct corpus *corpus = NULL;
    *tokenizer_p = NULL;
    if (corpus_char_tokenizer(source, 1, workers, tokenizer_p)) return NULL;
    if (corpus_open(source, *tokenizer_p, cache, workers, &corpus)) return NULL;
    return corpus;
}

// The text that a corpus stands for; the caller frees.
static inline char *corpus_text(const struct corpus *corpus, const struct tokenizer *tokenizer,
                                size_t *bytes_p)
{
    char *text = malloc((size_t)corpus->count * 4 + 1);
    size_t bytes = 0, length = 0;
    for (int64_t i = 0; i < corpus->count; i++) {
        const uint8_t *piece = tokenizer_piece(tokenizer, corpus_id(corpus, i), &length);
        assert_non_null(piece);
        memcpy(text + bytes, piece, length);
        bytes += length;
    }
    text[bytes] = 0;
    *bytes_p = bytes;
    return text;
}

// The char corpus of this source is this text, for 1, 2 and 5 workers alike.
static inline void assert_char_text(const struct corpus_source *source, const void *text,
                                    size_t bytes)
{
    static const int workers[] = {1, 2, 5};
    uint64_t hash = 0;
    for (int i = 0; i < 3; i++) {
        struct tokenizer *tokenizer;
        struct corpus *corpus = open_char(source, NULL, workers[i], &tokenizer);
        if (!corpus) fail_msg("%s", error_message());
        size_t got;
        char *back = corpus_text(corpus, tokenizer, &got);
        assert_int_equal(got, bytes);
        assert_memory_equal(back, text, bytes);
        if (i) assert_true(corpus->hash == hash);
        hash = corpus->hash;
        free(back);
        corpus_close(corpus);
        tokenizer_destroy(tokenizer);
    }
}

// Making the tokenizer or opening fails so, whatever the number of workers.
static inline void assert_char_refused(const struct corpus_source *source, const char *words)
{
    for (int workers = 1; workers <= 3; workers += 2) {
        struct tokenizer *tokenizer;
        struct corpus *corpus = open_char(source, NULL, workers, &tokenizer);
        assert_null(corpus);
        assert_true(error_says(words));
        tokenizer_destroy(tokenizer);
    }
}

static inline void assert_byte_status(const struct corpus_source *source, enum status wanted,
                                      const char *words)
{
    struct tokenizer *tokenizer = byte_tokenizer();
    struct corpus *corpus = NULL;
    assert_int_equal(corpus_open(source, tokenizer, NULL, 2, &corpus), wanted);
    if (wanted) assert_null(corpus);
    if (wanted) assert_true(error_says(words));
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
}
#endif
