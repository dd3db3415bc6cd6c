// SPDX-License-Identifier: Apache-2.0
#include "data/lines.h"

#include "base/file.h"
#include "base/memory.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { START_ROOM = 1 << 16 };

struct lines {
    struct file_list list; // of one file
    struct reader *reader;
    char *text; // read, and not yet dropped
    size_t room, start, end;
    size_t next;             // where the line after the present one begins
    uint64_t number, follow; // of the present line, and of the one after it
    bool ended;              // nothing is left to read
    bool replace;
    uint64_t replaced;
};

enum status lines_open(const char *path, bool replace, struct lines **lines_p)
{
    struct lines *lines = NULL;
    TRY(memory_allocate(1, sizeof *lines, "a reader of lines", &lines));
    lines->follow = 1;
    lines->replace = replace;
    // A folder of text is a list, too.
    enum status status =
        directory_exists(path)
            ? error_at(STATUS_INPUT, __FILE__, __LINE__, "%s is a folder; one file is wanted", path)
            : file_list_create(path, &lines->list);
    if (!status) status = reader_open(&lines->list.files[0], &lines->reader);
    if (!status) status = memory_allocate(START_ROOM, 1, "a line of text", &lines->text);
    if (status) {
        lines_close(lines);
        return status;
    }
    lines->room = START_ROOM;
    *lines_p = lines;
    return STATUS_OK;
}

void lines_close(struct lines *lines)
{
    if (!lines) return;
    reader_close(lines->reader);
    file_list_destroy(&lines->list);
    free(lines->text);
    free(lines);
}

uint64_t lines_replaced(const struct lines *lines) { return lines->replaced; }
bool line_is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
    return true;
}

const char *lines_path(const struct lines *lines) { return lines->list.files[0].path; }

// Reads on behind `end`, in front of which stands only what the present line still needs.
static enum status fill(struct lines *lines)
{
    if (lines->start > 0) {
        memmove(lines->text, lines->text + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->next -= lines->start;
        lines->start = 0;
    }
    if (lines->end > LINES_LIMIT)
        FAIL(STATUS_INPUT, "%s line %llu is longer than %d MiB", lines_path(lines),
             (unsigned long long)lines->number, LINES_LIMIT >> 20);
    if (lines->end == lines->room) {
        TRY(memory_grow(&lines->text, lines->room * 2, 1, "a line of text"));
        lines->room *= 2;
    }
    size_t wanted = lines->room - lines->end, got = 0;
    TRY(reader_read(lines->reader, (uint8_t *)lines->text + lines->end, wanted, &got));
    lines->ended = got < wanted;
    lines->end += got;
    return STATUS_OK;
}

const char *lines_advice(const char *text, size_t bytes, bool first)
{
    static const struct {
        const char *mark, *advice;
    } known[] = {
        {"\xFF\xFE", "this is UTF-16; iconv -f UTF-16 -t UTF-8 makes it UTF-8"},
        {"\xFE\xFF", "this is UTF-16; iconv -f UTF-16 -t UTF-8 makes it UTF-8"},
        {"\x1F\x8B", "this is gzip's; a file whose name ends in .gz is unpacked"},
        {"\x28\xB5\x2F\xFD", "this is zstd's; a file whose name ends in .zst is unpacked"},
    };
    for (size_t i = 0; first && i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].mark);
        if (bytes >= n && memcmp(text, known[i].mark, n) == 0) return known[i].advice;
    }
    return "iconv -t UTF-8 -f and its own encoding (GB18030, LATIN1) makes it so";
}

static enum status refuse_byte(const struct lines *lines, const char *text, size_t bytes, size_t at)
{
    const char *path = lines_path(lines);
    unsigned long long number = lines->follow;
    if (!text[at])
        FAIL(STATUS_INPUT, "%s line %llu: byte %zu is 0; this is no text", path, number, at + 1);
    FAIL(STATUS_INPUT, "%s line %llu: byte %zu (0x%02X) is not UTF-8; %s", path, number, at + 1,
         (unsigned char)text[at], lines_advice(text, bytes, number == 1));
}

static enum status check_text(struct lines *lines, size_t first, size_t last)
{
    char *text = lines->text + first;
    size_t bytes = last - first;
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        int length = (unsigned char)text[i] - 1u < 0x7Fu ? 1
                     : text[i] ? utf8_read((const uint8_t *)text + i, bytes - i, &code)
                               : 0;
        if (length == 0 && (!text[i] || !lines->replace)) return refuse_byte(lines, text, bytes, i);
        if (length == 0) {
            text[i] = '?';
            lines->replaced++;
            length = 1;
        }
        i += (size_t)length;
    }
    return STATUS_OK;
}

// Finds the line that begins at lines->next. *found_p false: there is none.
static enum status find(struct lines *lines, size_t *last_p, bool *found_p)
{
    size_t looked = lines->next;
    char *newline = NULL;
    for (;;) {
        newline = memchr(lines->text + looked, '\n', lines->end - looked);
        if (newline || lines->ended) break;
        looked = lines->end - lines->start; // where it lies after `fill`
        TRY(fill(lines));
    }
    *found_p = lines->next < lines->end;
    if (!*found_p) return STATUS_OK;
    *last_p = newline ? (size_t)(newline - lines->text) : lines->end;
    return STATUS_OK;
}

// The present line ends where the newline at `last` (or the file) does.
static struct line take(struct lines *lines, size_t last)
{
    size_t end = last;
    lines->next = last < lines->end ? last + 1 : last;
    lines->follow++;
    if (end > lines->start && lines->text[end - 1] == '\r') end--;
    return (struct line){lines->text + lines->start, end - lines->start, lines->number};
}

enum status lines_next(struct lines *lines, struct line *line_p, bool *more_p)
{
    size_t last = 0;
    lines->start = lines->next;
    lines->number = lines->follow;
    TRY(find(lines, &last, more_p));
    if (!*more_p) return STATUS_OK;
    if (lines->number == 1 && last - lines->start >= 3 &&
        memcmp(lines->text + lines->start, "\xEF\xBB\xBF", 3) == 0)
        lines->start += 3;
    TRY(check_text(lines, lines->start, last));
    *line_p = take(lines, last);
    return STATUS_OK;
}

enum status lines_join(struct lines *lines, struct line *line_p, bool *more_p)
{
    size_t last = 0;
    TRY(find(lines, &last, more_p));
    if (!*more_p) return STATUS_OK;
    TRY(check_text(lines, lines->next, last));
    *line_p = take(lines, last);
    return STATUS_OK;
}
