// SPDX-License-Identifier: Apache-2.0
#include "infer/text_output.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 256, LONGEST_CHARACTER = 4 };

enum status text_output_create(const char *const *stop, emit_function emit, void *context,
                               struct text_output *output_p)
{
    size_t longest = 0;
    for (int i = 0; stop && stop[i]; i++)
        if (strlen(stop[i]) > longest) longest = strlen(stop[i]);
    struct text_output output = {.stop = stop, .emit = emit, .context = context};
    output.capacity = longest + LONGEST_CHARACTER + ROOM;
    TRY(memory_allocate(output.capacity, 1, "generated text", &output.waiting));
    *output_p = output;
    return STATUS_OK;
}

void text_output_release(struct text_output *output)
{
    free(output->waiting);
    *output = (struct text_output){0};
}

// The length of the longest stop string that ends the waiting bytes, or 0.
static size_t stop_at_end(const struct text_output *output)
{
    size_t longest = 0;
    for (int i = 0; output->stop && output->stop[i]; i++) {
        size_t length = strlen(output->stop[i]);
        if (length > longest && length <= output->bytes &&
            memcmp(output->waiting + output->bytes - length, output->stop[i], length) == 0)
            longest = length;
    }
    return longest;
}

// How many of the last waiting bytes may be the beginning of a stop string.
static size_t stop_begun(const struct text_output *output)
{
    size_t longest = 0;
    for (int i = 0; output->stop && output->stop[i]; i++) {
        size_t length = strlen(output->stop[i]);
        for (size_t n = longest + 1; n < length && n <= output->bytes; n++)
            if (memcmp(output->waiting + output->bytes - n, output->stop[i], n) == 0) longest = n;
    }
    return longest;
}

// How many of the last of n bytes are the first bytes of a character whose others are missing.
static size_t character_begun(const uint8_t *text, size_t n)
{
    // A character that was begun is whole with some continuation bytes behind it: of all possible ones the
    // smallest and the largest second byte decide (0xE0 wants 0xA0 and above, 0xED 0x9F and below; see
    // Unicode 15, table 3-7).
    static const uint8_t tail[2][3] = {{0x80, 0x80, 0x80}, {0xBF, 0xBF, 0xBF}};
    for (size_t back = n < 3 ? n : 3; back >= 1; back--) {
        for (size_t missing = 1; back + missing <= LONGEST_CHARACTER; missing++)
            for (int end = 0; end < 2; end++) {
                uint8_t whole[LONGEST_CHARACTER];
                uint32_t code;
                memcpy(whole, text + n - back, back);
                memcpy(whole + back, tail[end], missing);
                if (utf8_read(whole, back + missing, &code) == (int)(back + missing)) return back;
            }
    }
    return 0;
}

static void emit_first(struct text_output *output, size_t bytes)
{
    if (bytes == 0 || output->refused) return;
    if (!output->emit(output->context, output->waiting, bytes)) output->refused = true;
    memmove(output->waiting, output->waiting + bytes, output->bytes - bytes);
    output->bytes -= bytes;
}

static void emit_ready(struct text_output *output)
{
    size_t ready = output->bytes - stop_begun(output);
    emit_first(output, ready - character_begun(output->waiting, ready));
}

bool text_output_add(struct text_output *output, const uint8_t *text, size_t bytes)
{
    for (size_t i = 0; i < bytes && !output->stopped && !output->refused; i++) {
        if (output->bytes == output->capacity) emit_ready(output);
        output->waiting[output->bytes++] = text[i];
        size_t stop = stop_at_end(output);
        if (stop == 0) continue;
        output->bytes -= stop;
        output->stopped = true;
    }
    if (!output->stopped) emit_ready(output);
    return !output->stopped && !output->refused;
}

void text_output_finish(struct text_output *output)
{
    emit_first(output, output->bytes - character_begun(output->waiting, output->bytes));
    output->bytes = 0;
}
