// SPDX-License-Identifier: Apache-2.0
// Training tokenizers: pieces of text are counted (in parallel, counts merge to the same sums), then a vocabulary is made of them.
//
//   word  entries by falling count, ties by bytes, behind <unk> (0) and the newline (1)
//   bpe   special tokens, the 256 bytes, then merges: the most frequent pair, ties by the smaller ids, as Hugging Face's trainer
// The order of calls: tokenizer_train_start; tokenizer_count for texts cut by tokenizer_cut, on any number of threads with counts
// of their own; piece_table_merge; tokenizer_train.
#ifndef STN_TEXT_TRAIN_TOKENIZER_H
#define STN_TEXT_TRAIN_TOKENIZER_H

#include "base/stop.h"
#include "text/piece_table.h"
#include "text/splitter.h"
#include "text/tokenizer.h"

enum { SPECIAL_MOST = 64 };
struct tokenizer_training {
    bool words; // else BPE
    enum split_pattern pattern;
    bool lower_case;                   // words
    int32_t vocabulary;                // most entries; 0: no limit (words)
    int64_t least_count;               // of a word, or of a pair; 0: 1
    const char *special[SPECIAL_MOST]; // BPE; borrowed
    int special_count;
    const struct stop *stop; // (optional) once it is asked for, merges end: STATUS_INTERRUPTED
};
// A tokenizer without words or merges, that tells where texts may be cut and how pieces are counted.
// Fails: STATUS_USAGE for options that do not fit together, or a special token that tokenizer.json cannot tell from a byte.
enum status tokenizer_train_start(const struct tokenizer_training *training,
                                  struct tokenizer **blank_p) CHECK_RESULT;
// Adds the text's pieces to the counts (their values).
enum status tokenizer_count(const struct tokenizer *blank, const uint8_t *text, size_t bytes,
                            struct piece_table *counts) CHECK_RESULT;
// Fails: STATUS_USAGE for a special token that tokenizer.json cannot tell from a piece that was learned, STATUS_INPUT where words
// are more than it may hold.
enum status tokenizer_train(const struct tokenizer_training *training,
                            const struct piece_table *counts,
                            struct tokenizer **tokenizer_p) CHECK_RESULT;
#endif
