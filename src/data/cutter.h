// SPDX-License-Identifier: Apache-2.0
// The text of a list of files as pieces that can be tokenized one without the other.
//
// A piece of plain text ends where the tokenizer allows a cut (tokenizer_cut), or with its file; a piece of .jsonl holds whole
// lines. A plain file that lacks a newline at its end gets one where another file follows. No piece spans two files, so its place
// can be named. A byte order mark at a file's start is left out, unless the tokenizer takes bytes as they are.
#ifndef STN_DATA_CUTTER_H
#define STN_DATA_CUTTER_H

#include "data/reader.h"
#include "text/tokenizer.h"

enum { PIECE_BYTES = 1 << 18, LINE_LIMIT = 16 << 20 };

// The text of a piece. The buffer is owned by whoever has the piece, and used again for the next.
struct piece {
    uint8_t *text;
    size_t bytes, room;
    const struct text_file *file;
    uint64_t offset; // of the piece in its file's text
    uint64_t line;   // number of its first line, from 1 (.jsonl only)
};

struct cutter {
    const struct file_list *list;
    const struct tokenizer *tokenizer; // NULL: characters are being collected
    bool exact;                        // bytes are taken as they are
    int next;                          // file to open
    struct reader *reader;             // of file next - 1; NULL between files
    int last;                          // byte of this file so far, -1: none
    uint64_t offset, line;             // where the next piece begins
    uint8_t *rest;                     // text that was read but belongs to the next piece
    size_t rest_bytes, rest_room;
    uint64_t bytes; // of text cut so far
};

// Borrows list and tokenizer.
void cutter_init(struct cutter *cutter, const struct file_list *list,
                 const struct tokenizer *tokenizer);
void cutter_destroy(struct cutter *cutter);
// Fills the next piece; *more_p is false where there is none. Pieces may be empty.
enum status cutter_next(struct cutter *cutter, struct piece *piece, bool *more_p) CHECK_RESULT;
void piece_destroy(struct piece *piece);
#endif
