// SPDX-License-Identifier: Apache-2.0
// Bytes of generated text on their way out: whole characters only, and never a byte of a stop string.
//
// Bytes that may yet turn out to begin a stop string, and the first bytes of a character, wait. A stop
// string counts as soon as its last byte has come, wherever tokens begin and end; of several that end at the
// same byte the longest counts.
#ifndef STN_INFER_TEXT_OUTPUT_H
#define STN_INFER_TEXT_OUTPUT_H

#include "infer/generate.h"

struct text_output {
    const char *const *stop; // borrowed; NULL or ending with NULL
    emit_function emit;
    void *context;
    uint8_t *waiting;
    size_t bytes, capacity;
    bool stopped; // a stop string came
    bool refused; // emit returned false
};
enum status text_output_create(const char *const *stop, emit_function emit, void *context,
                               struct text_output *output_p) CHECK_RESULT;
void text_output_release(struct text_output *output);
// Takes the bytes of one token and emits what need not wait. False when generation is over: stopped or refused.
bool text_output_add(struct text_output *output, const uint8_t *text, size_t bytes);
// Emits what waits, at the end. The first bytes of a character that never became whole are dropped.
void text_output_finish(struct text_output *output);
#endif
