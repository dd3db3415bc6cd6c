// SPDX-License-Identifier: Apache-2.0
#include "text/train_tokenizer.h"

#include "base/memory.h"
#include "text/bpe.h"
#include "text/bpe_train.h"
#include "text/word.h"

#include <stdlib.h>
#include <string.h>

// ---- counting ----
static enum status count_piece(void *context, const uint8_t *piece, size_t bytes)
{
    struct piece_table *counts = context;
    int32_t number;
    TRY(piece_table_add(counts, piece, bytes, &number));
    counts->value[number]++;
    return STATUS_OK;
}

enum status tokenizer_count(const struct tokenizer *blank, const uint8_t *text, size_t bytes,
                            struct piece_table *counts)
{
    if (blank->kind == &tokenizer_kind_bpe) {
        const struct bpe *bpe = blank->table;
        return splitter_run(bpe->splitter, text, bytes, count_piece, counts);
    }
    INVARIANT(blank->kind == &tokenizer_kind_word, "a %s tokenizer", blank->kind->name);
    const struct word *word = blank->table;
    if (!word->lower_case) return splitter_run(word->splitter, text, bytes, count_piece, counts);
    struct buffer lower = {0};
    enum status status = buffer_add_lower_alone(&lower, (struct text){(const char *)text, bytes});
    if (!status)
        status = splitter_run(word->splitter, (const uint8_t *)lower.at, lower.bytes, count_piece,
                              counts);
    buffer_release(&lower);
    return status;
}

// ---- options ----
static enum status check(const struct tokenizer_training *training)
{
    bool of_words = training->pattern >= SPLIT_SPACES;
    if (of_words != training->words)
        FAIL(STATUS_USAGE, "the pattern %s is not for %s; write %s", split_name(training->pattern),
             training->words ? "words" : "BPE",
             training->words ? "spaces or words" : "gpt2, llama3 or qwen2");
    if (training->lower_case && !training->words)
        FAIL(STATUS_USAGE, "small letters are for words; BPE keeps every byte");
    if (training->special_count && training->words)
        FAIL(STATUS_USAGE, "special tokens are for BPE; words have <unk> and the newline");
    int least = training->words ? 2 : 256 + training->special_count;
    if ((training->vocabulary || !training->words) && training->vocabulary < least)
        FAIL(STATUS_USAGE, "a vocabulary of %d is too small; %s at least %d",
             (int)training->vocabulary, training->words ? "words need" : "BPE needs", least);
    if (training->vocabulary > BPE_ENTRIES && !training->words)
        FAIL(STATUS_USAGE, "a vocabulary of %d is too large; BPE has at most %d",
             (int)training->vocabulary, BPE_ENTRIES);
    return STATUS_OK;
}

enum status tokenizer_train_start(const struct tokenizer_training *training,
                                  struct tokenizer **blank_p)
{
    struct piece_table none = {0};
    TRY(check(training));
    struct tokenizer_training blank = *training;
    if (!training->words) blank.vocabulary = 256 + training->special_count;
    return tokenizer_train(&blank, &none, blank_p);
}

// ---- words ----
static enum status add_words(const struct tokenizer_training *training,
                             const struct piece_table *counts, struct piece_table *words)
{
    int32_t number, *order;
    int64_t least = training->least_count > 1 ? training->least_count : 1;
    TRY(piece_table_add(words, WORD_UNKNOWN, strlen(WORD_UNKNOWN), &number));
    TRY(piece_table_add(words, "\n", 1, &number));
    TRY(piece_table_sort(counts, &order));
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < counts->count && !status; i++) {
        struct text word = piece_table_get(counts, order[i]);
        if (counts->value[order[i]] < least) break;
        if (training->vocabulary && words->count >= training->vocabulary) break;
        status = piece_table_add(words, word.at, word.bytes, &number);
    }
    free(order);
    return status;
}

static bool is_text(struct text text)
{
    uint32_t code;
    for (size_t i = 0; i < text.bytes;) {
        int length = utf8_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        if (length == 0 || code == 0) return false;
        i += (size_t)length;
    }
    return true;
}

// tokenizer.json can hold text only: words that are none are unknown.
static enum status leave_out_bytes(const struct piece_table *counts, struct piece_table *texts)
{
    for (int32_t i = 0; i < counts->count; i++) {
        struct text word = piece_table_get(counts, i);
        int32_t number;
        if (!is_text(word)) continue;
        TRY(piece_table_add(texts, word.at, word.bytes, &number));
        texts->value[number] = counts->value[i];
    }
    return STATUS_OK;
}

// What tokenizer.json cannot hold is refused before a model is trained with it.
static enum status check_size(const struct piece_table *words)
{
    enum { LINE = 20 }; // bytes of an entry's line round the word, at most
    size_t bytes = words->bytes.bytes + LINE * (size_t)words->count;
    for (size_t i = 0; i < words->bytes.bytes; i++) {
        uint8_t byte = (uint8_t)words->bytes.at[i];
        if (byte < ' ' || byte == 0x7F)
            bytes += 5;
        else if (byte == '"' || byte == '\\')
            bytes++;
    }
    if (bytes > TOKENIZER_BYTES)
        FAIL(STATUS_INPUT,
             "%d words make a tokenizer.json of %zu bytes; at most %d are read: a higher minimum "
             "count, or a smaller vocabulary, leaves out rare words",
             (int)words->count, bytes, TOKENIZER_BYTES);
    return STATUS_OK;
}

static enum status train_words(const struct tokenizer_training *training,
                               const struct piece_table *counts, struct tokenizer **tokenizer_p)
{
    struct word word = {.pattern = training->pattern, .lower_case = training->lower_case};
    struct piece_table texts = {0};
    enum status status = leave_out_bytes(counts, &texts);
    if (!status) status = add_words(training, &texts, &word.words);
    piece_table_release(&texts);
    if (!status) status = check_size(&word.words);
    if (!status) return word_finish(&word, tokenizer_p);
    word_release(&word);
    return status;
}

// ---- BPE ----
static enum status add_bytes(const struct tokenizer_training *training, struct bpe *bpe)
{
    int32_t number;
    TRY(memory_allocate((size_t)training->special_count, sizeof *bpe->added, "special tokens",
                        &bpe->added));
    for (int i = 0; i < training->special_count; i++) {
        const char *name = training->special[i];
        if (strlen(name) < 2) FAIL(STATUS_USAGE, "the special token \"%s\" is too short", name);
        TRY(piece_table_add(&bpe->pieces, name, strlen(name), &number));
        if (number != i) FAIL(STATUS_USAGE, "the special token %s is given twice", name);
        bpe->added[bpe->added_count++] = (struct added_token){number, true};
    }
    // In the order of the characters that stand for them, which is GPT-2's.
    for (uint32_t code = 0; code < 0x144; code++)
        for (int byte = 0; byte < 256; byte++) {
            uint8_t one = (uint8_t)byte;
            if (byte_level_code(one) == code) TRY(piece_table_add(&bpe->pieces, &one, 1, &number));
        }
    return STATUS_OK;
}

// A name in tokenizer.json is one entry's: a special token has its own text for a name, others the characters of their bytes.
static enum status check_specials(const struct tokenizer_training *training, const struct bpe *bpe)
{
    struct buffer bytes = {0};
    enum status status = STATUS_OK;
    for (int i = 0; i < training->special_count && !status; i++) {
        bool known;
        buffer_clear(&bytes);
        status = bpe_name_bytes(training->special[i], &bytes, &known);
        if (status || !known) continue;
        if (piece_table_find(&bpe->pieces, bytes.at, bytes.bytes) < training->special_count)
            continue;
        status = error_at(STATUS_USAGE, __FILE__, __LINE__,
                          "the special token %s is how tokenizer.json names other bytes of the "
                          "vocabulary; another text is needed, <|end|> say",
                          training->special[i]);
    }
    buffer_release(&bytes);
    return status;
}

static enum status train_bpe(const struct tokenizer_training *training,
                             const struct piece_table *counts, struct tokenizer **tokenizer_p)
{
    struct bpe bpe = {.pattern = training->pattern};
    enum status status = add_bytes(training, &bpe);
    if (!status)
        status = bpe_learn(&bpe, counts, training->vocabulary,
                           training->least_count > 1 ? training->least_count : 1, training->stop);
    if (!status) status = check_specials(training, &bpe);
    if (status) goto release;
    bpe.vocabulary = bpe.pieces.count;
    return bpe_finish(&bpe, "the text", tokenizer_p);
release:
    bpe_release(&bpe);
    return status;
}

enum status tokenizer_train(const struct tokenizer_training *training,
                            const struct piece_table *counts, struct tokenizer **tokenizer_p)
{
    TRY(check(training));
    return training->words ? train_words(training, counts, tokenizer_p)
                           : train_bpe(training, counts, tokenizer_p);
}
