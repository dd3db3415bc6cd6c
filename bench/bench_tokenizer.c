// SPDX-License-Identifier: Apache-2.0
// How many megabytes of text a second does one thread turn into ids: as one text, and line by line?
//
// One line of JSON each; processor time of the thread, median of so many rounds. bench/tokenizer_peer.py puts Hugging Face's
// tokenizers beside it. Usage: bench_tokenizer [TOKENIZER TEXT [rounds, default 5]]; without: a tokenizer learned from README.md
#include "base/file.h"
#include "base/memory.h"
#include "data/train_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ROUNDS = 99 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *one, const void *two)
{
    double a = *(const double *)one, b = *(const double *)two;
    return (a > b) - (a < b);
}

static enum status encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                          bool lines, int32_t *ids, size_t *tokens_p)
{
    size_t count;
    *tokens_p = 0;
    for (size_t i = 0; i < bytes;) {
        const uint8_t *end = lines ? memchr(text + i, '\n', bytes - i) : NULL;
        size_t length = end ? (size_t)(end - (text + i)) : bytes - i;
        TRY(tokenizer_encode(tokenizer, text + i, length, "the text", i, ids, &count));
        *tokens_p += count;
        i += length + 1;
    }
    return STATUS_OK;
}

static enum status measure(const struct tokenizer *tokenizer, const char *name, const uint8_t *text,
                           size_t bytes, bool lines, int rounds)
{
    double seconds[MOST_ROUNDS];
    size_t tokens = 0;
    int32_t *ids;
    TRY(memory_allocate(tokenizer_room(tokenizer, bytes), sizeof *ids, "ids", &ids));
    for (int round = 0; round < rounds; round++) {
        double start = now();
        enum status status = encode(tokenizer, text, bytes, lines, ids, &tokens);
        seconds[round] = now() - start;
        if (status) return status;
    }
    free(ids);
    qsort(seconds, (size_t)rounds, sizeof *seconds, by_value);
    printf("{\"bench\": \"tokenizer\", \"tokenizer\": \"%s\", \"how\": \"%s\", \"bytes\": %zu, "
           "\"tokens\": %zu, \"megabytes_per_second\": %.2f}\n",
           name, lines ? "lines" : "whole", bytes, tokens,
           1e-6 * (double)bytes / seconds[rounds / 2]);
    return STATUS_OK;
}

static enum status run(const char *name, const char *path, int rounds)
{
    static const struct tokenizer_training training = {.vocabulary = 1000};
    struct corpus_source source = {.path = path};
    struct tokenizer *tokenizer;
    char *text;
    size_t bytes;
    if (name)
        TRY(tokenizer_load(name, &tokenizer));
    else
        TRY(corpus_train_tokenizer(&source, 1, 1, &training, &tokenizer));
    TRY(file_read(path, (size_t)1 << 30, &text, &bytes));
    for (int lines = 0; lines < 2; lines++)
        TRY(measure(tokenizer, name ? name : "learned", (const uint8_t *)text, bytes, lines,
                    rounds));
    free(text);
    tokenizer_destroy(tokenizer);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 5;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 5;
    enum status status = run(argc > 2 ? argv[1] : NULL, argc > 2 ? argv[2] : "README.md", rounds);
    if (status) fprintf(stderr, "%s\n", error_message());
    return status_exit_code(status);
}
