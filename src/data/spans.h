// SPDX-License-Identifier: Apache-2.0
// The text in a piece: of a plain file all of it, of .jsonl the named field of each line.
//
// Every document of a .jsonl file ends in a newline; where it lacks one, one is added. Blank lines are passed over.
#ifndef STN_DATA_SPANS_H
#define STN_DATA_SPANS_H

#include "data/cutter.h"

// Takes a run of text; source and offset are its place, for messages.
typedef enum status (*span_taker)(void *context, const uint8_t *text, size_t bytes,
                                  const char *source, uint64_t offset);

// Hands out a piece's text. Fails as `take` does; STATUS_INPUT naming file and line where a line is no JSON object, lacks the field
// or has another type there.
enum status piece_spans(const struct piece *piece, const char *field, span_taker take,
                        void *context) CHECK_RESULT;
#endif
