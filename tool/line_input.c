// SPDX-License-Identifier: Apache-2.0
#include "line_input.h"

#include "base/memory.h"
#include "data/rows.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 16, PATIENCE = 50 }; // milliseconds

struct line_input {
    struct lines *lines; // of a file; else:
    char *text;
    size_t room, start, end; // what was read and not yet given out
    size_t looked;           // from start: without a newline
    uint64_t number;
    bool ended;
};

enum status line_input_check(const char *path)
{
    const char *format = rows_format_of(path);
    if (strcmp(format, "jsonl") == 0 || strcmp(format, "squad") == 0)
        FAIL(STATUS_USAGE,
             "%s holds JSON by its name, and lines of plain text are read here; take the texts out "
             "of it first, as with jq -r .text (standard input is read whatever it holds)",
             path);
    return STATUS_OK;
}

enum status line_input_check_text(const char *path)
{
    const char *format = rows_format_of(path);
    TRY(line_input_check(path));
    if (strcmp(format, "lines") != 0)
        FAIL(STATUS_USAGE,
             "%s is %s by its name, and lines of plain text are read here; take the column out of "
             "it first, as cut -f 1 does of .tsv (standard input is read whatever it holds)",
             path, format);
    return STATUS_OK;
}

enum status line_input_open(const char *path, struct line_input **input_p)
{
    struct line_input *input;
    bool file = path && strcmp(path, "-") != 0;
    if (file) TRY(line_input_check(path));
    TRY(memory_allocate(1, sizeof *input, "the input", &input));
    if (file) {
        enum status status = lines_open(path, false, &input->lines);
        if (status) {
            free(input);
            return status;
        }
    }
    *input_p = input;
    return STATUS_OK;
}

void line_input_close(struct line_input *input)
{
    if (!input) return;
    lines_close(input->lines);
    free(input->text);
    free(input);
}

const char *line_input_name(const struct line_input *input)
{
    return input->lines ? lines_path(input->lines) : "standard input";
}

static enum status check(const struct line_input *input, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        int length = text[i] ? utf8_read((const uint8_t *)text + i, bytes - i, &code) : 0;
        if (length == 0 && !text[i])
            FAIL(STATUS_INPUT, "standard input line %llu: byte %zu is 0; this is no text",
                 (unsigned long long)input->number, i + 1);
        if (length == 0)
            FAIL(STATUS_INPUT, "standard input line %llu: byte %zu (0x%02X) is not UTF-8; %s",
                 (unsigned long long)input->number, i + 1, (unsigned char)text[i],
                 lines_advice(text, bytes, input->number == 1));
        i += (size_t)length;
    }
    return STATUS_OK;
}

// Reads some more. *came_p: something did, or the end.
static enum status read_more(struct line_input *input, bool patient, bool *came_p)
{
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    *came_p = false;
    if (input->end - input->start > LINES_LIMIT)
        FAIL(STATUS_INPUT, "standard input line %llu is longer than %d MiB",
             (unsigned long long)input->number + 1, LINES_LIMIT >> 20);
    // A signal ends the waiting, also where it does not end a read.
    if (poll(&ready, 1, patient ? -1 : PATIENCE) <= 0) return STATUS_OK;
    if (input->room - input->end < PIECE) {
        if (input->text)
            memmove(input->text, input->text + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
        if (input->room - input->end < PIECE) {
            size_t room = 2 * (input->room + PIECE);
            TRY(memory_grow(&input->text, room, 1, "a line of text"));
            input->room = room;
        }
    }
    ssize_t got = read(STDIN_FILENO, input->text + input->end, input->room - input->end);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return STATUS_OK;
    if (got < 0) FAIL(STATUS_INPUT, "standard input cannot be read: %s", strerror(errno));
    input->end += (size_t)got;
    input->ended = got == 0;
    *came_p = true;
    return STATUS_OK;
}

// Takes the line that goes on to `last`, where its newline or the end is.
static enum status take(struct line_input *input, size_t last, struct line *line_p)
{
    static const char mark[] = "\xEF\xBB\xBF";
    INVARIANT(input->text, "a line that was never read");
    const char *text = input->text + input->start;
    size_t bytes = last - input->start;
    input->start = last < input->end ? last + 1 : last;
    input->looked = 0;
    input->number++;
    if (input->number == 1 && bytes >= 3 && memcmp(text, mark, 3) == 0) text += 3, bytes -= 3;
    if (bytes > 0 && text[bytes - 1] == '\r') bytes--;
    TRY(check(input, text, bytes));
    *line_p = (struct line){text, bytes, input->number};
    return STATUS_OK;
}

static enum status next_of_stream(struct line_input *input, bool patient, struct line *line_p,
                                  enum line_state *state_p)
{
    for (bool came = true;;) {
        size_t from = input->start + input->looked;
        const char *newline =
            input->text ? memchr(input->text + from, '\n', input->end - from) : NULL;
        if (newline || (input->ended && input->start < input->end)) {
            *state_p = LINE_HERE;
            return take(input, newline ? (size_t)(newline - input->text) : input->end, line_p);
        }
        *state_p = input->ended ? LINE_END : LINE_LATE;
        if (input->ended || !came) return STATUS_OK;
        input->looked = input->end - input->start;
        TRY(read_more(input, patient, &came));
    }
}

enum status line_input_next(struct line_input *input, bool patient, struct line *line_p,
                            enum line_state *state_p)
{
    bool more;
    if (!input->lines) return next_of_stream(input, patient, line_p, state_p);
    TRY(lines_next(input->lines, line_p, &more));
    *state_p = more ? LINE_HERE : LINE_END;
    return STATUS_OK;
}
