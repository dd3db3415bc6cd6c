// SPDX-License-Identifier: Apache-2.0
#include "data/cutter.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { LOOKED_AT = 1 << 16, MARK_BYTES = 3 };

void cutter_init(struct cutter *cutter, const struct file_list *list,
                 const struct tokenizer *tokenizer)
{
    *cutter = (struct cutter){.list = list, .tokenizer = tokenizer};
    cutter->exact = tokenizer && strcmp(tokenizer_kind(tokenizer), "byte") == 0;
}

void cutter_destroy(struct cutter *cutter)
{
    reader_close(cutter->reader);
    free(cutter->rest);
}

void piece_destroy(struct piece *piece) { free(piece->text); }

// One byte more than `bytes`, for a newline that is added.
static enum status make_room(struct piece *piece, size_t bytes)
{
    if (piece->room > bytes) return STATUS_OK;
    TRY(memory_grow(&piece->text, bytes + 1, 1, "a piece of text"));
    piece->room = bytes + 1;
    return STATUS_OK;
}

// Moves what stands behind `cut` to the next piece.
static enum status cut_at(struct cutter *cutter, struct piece *piece, size_t cut)
{
    size_t rest = piece->bytes - cut;
    if (rest > cutter->rest_room) {
        TRY(memory_grow(&cutter->rest, rest, 1, "a piece of text"));
        cutter->rest_room = rest;
    }
    if (rest) memcpy(cutter->rest, piece->text + cut, rest);
    cutter->rest_bytes = rest;
    piece->bytes = cut;
    return STATUS_OK;
}

// Puts the rest of the piece before, then new text, into the piece until it holds `bytes` or more. *ended_p: it ends the file.
static enum status fill(struct cutter *cutter, struct piece *piece, size_t bytes, bool *ended_p)
{
    size_t got = 0, least = piece->bytes + cutter->rest_bytes + PIECE_BYTES / 2;
    if (bytes < least) bytes = least;
    TRY(make_room(piece, bytes));
    if (cutter->rest_bytes) memcpy(piece->text + piece->bytes, cutter->rest, cutter->rest_bytes);
    piece->bytes += cutter->rest_bytes;
    cutter->rest_bytes = 0;
    size_t wanted = bytes - piece->bytes;
    TRY(reader_read(cutter->reader, piece->text + piece->bytes, wanted, &got));
    piece->bytes += got;
    *ended_p = got < wanted;
    return STATUS_OK;
}

// ---- the start of a file ----
static enum status refuse_binary(const struct piece *piece)
{
    const uint8_t *text = piece->text;
    const char *path = piece->file->path;
    if (piece->bytes >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0))
        FAIL(STATUS_INPUT,
             "%s looks like UTF-16; text must be UTF-8 (iconv -f UTF-16 -t UTF-8 makes it so)",
             path);
    const uint8_t *zero = memchr(text, 0, piece->bytes < LOOKED_AT ? piece->bytes : LOOKED_AT);
    if (zero)
        FAIL(STATUS_INPUT,
             "%s looks binary: byte %zu is 0; the byte tokenizer takes any file, the char "
             "tokenizer takes text",
             path, (size_t)(zero - text));
    return STATUS_OK;
}

static enum status check_start(struct cutter *cutter, struct piece *piece)
{
    if (cutter->exact && !piece->file->lines) return STATUS_OK;
    if (!piece->file->lines) TRY(refuse_binary(piece));
    if (piece->bytes < MARK_BYTES || memcmp(piece->text, "\xEF\xBB\xBF", MARK_BYTES) != 0)
        return STATUS_OK;
    memmove(piece->text, piece->text + MARK_BYTES, piece->bytes - MARK_BYTES);
    piece->bytes -= MARK_BYTES;
    piece->offset = MARK_BYTES;
    return STATUS_OK;
}

// ---- pieces ----
static enum status cut_text(struct cutter *cutter, struct piece *piece, bool ended)
{
    size_t cut = piece->bytes;
    if (!ended)
        cut = cutter->tokenizer ? tokenizer_cut(cutter->tokenizer, piece->text, cut)
                                : utf8_cut(piece->text, cut);
    INVARIANT(cut > 0 || ended, "no place to cut %zu bytes of %s", piece->bytes, piece->file->path);
    return cut_at(cutter, piece, cut);
}

static enum status refuse_line(const struct piece *piece)
{
    FAIL(STATUS_INPUT, "%s line %llu is longer than %d MiB", piece->file->path,
         (unsigned long long)piece->line, LINE_LIMIT >> 20);
}

// Cuts behind the last newline, reading on where there is none.
static enum status cut_lines(struct cutter *cutter, struct piece *piece, bool *ended_p)
{
    const uint8_t *newline;
    while (!(newline = memrchr(piece->text, '\n', piece->bytes)) && !*ended_p) {
        if (piece->bytes > LINE_LIMIT) return refuse_line(piece);
        TRY(fill(cutter, piece, piece->bytes * 2, ended_p));
    }
    TRY(cut_at(cutter, piece, *ended_p ? piece->bytes : (size_t)(newline + 1 - piece->text)));
    for (size_t i = 0; i < piece->bytes; i++) cutter->line += piece->text[i] == '\n';
    return STATUS_OK;
}

static void end_file(struct cutter *cutter, struct piece *piece)
{
    bool more_files = cutter->next < cutter->list->count,
         open_line = cutter->last >= 0 && cutter->last != '\n';
    if (more_files && open_line && !piece->file->lines) piece->text[piece->bytes++] = '\n';
    reader_close(cutter->reader);
    cutter->reader = NULL;
}

enum status cutter_next(struct cutter *cutter, struct piece *piece, bool *more_p)
{
    bool ended = false;
    if (!cutter->reader) {
        *more_p = cutter->next < cutter->list->count;
        if (!*more_p) return STATUS_OK;
        TRY(reader_open(&cutter->list->files[cutter->next], &cutter->reader));
        cutter->next++;
        cutter->offset = 0;
        cutter->line = 1;
        cutter->last = -1;
    }
    piece->file = &cutter->list->files[cutter->next - 1];
    piece->offset = cutter->offset;
    piece->line = cutter->line;
    piece->bytes = 0;
    TRY(fill(cutter, piece, PIECE_BYTES, &ended));
    if (cutter->offset == 0) TRY(check_start(cutter, piece));
    if (piece->file->lines)
        TRY(cut_lines(cutter, piece, &ended));
    else
        TRY(cut_text(cutter, piece, ended));
    cutter->offset = piece->offset + piece->bytes;
    cutter->bytes += piece->bytes;
    if (piece->bytes) cutter->last = piece->text[piece->bytes - 1];
    if (ended) end_file(cutter, piece);
    *more_p = true;
    return STATUS_OK;
}
