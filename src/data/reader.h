// SPDX-License-Identifier: Apache-2.0
// A text file as a stream of bytes, unpacked on the way: memory stays the same whatever the file holds.
#ifndef STN_DATA_READER_H
#define STN_DATA_READER_H

#include "data/file_list.h"

#include <stddef.h>

struct reader;

// `file` is borrowed until reader_close. Fails: STATUS_INPUT, also for .gz and .zst in a build without zlib or zstd.
enum status reader_open(const struct text_file *file, struct reader **reader_p) CHECK_RESULT;
// The next bytes, `room` of them; fewer only at the text's end. Fails: STATUS_INPUT naming file and offset where packed data are
// damaged, end early, or unpack to more than a thousand times their size, and when the file changed since the list was made.
enum status reader_read(struct reader *reader, uint8_t *out, size_t room,
                        size_t *got_p) CHECK_RESULT;
void reader_close(struct reader *reader);
// All of one file of at most `limit` bytes of text, without a byte order mark and with a NUL behind it; the caller frees *text_p.
// Fails: STATUS_INPUT as above, and for a folder.
enum status reader_read_whole(const char *path, size_t limit, char **text_p,
                              size_t *bytes_p) CHECK_RESULT;
#endif
