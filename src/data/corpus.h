// SPDX-License-Identifier: Apache-2.0
// A corpus: text of files, folders, .jsonl fields, .gz and .zst, as one memory-mapped array of token ids.
//
// Opening tokenizes in parallel, once: the ids go to a cache file beside the run (or data.cache) whose header holds a
// hash of the sources (names, sizes, times, field, tokenizer); later openings verify and map it. Larger than memory is
// fine. A damaged or foreign cache is made anew, with a warning. The ids do not depend on the number of workers.
//
// Which files a folder gives: file_list.h. Every file but the last, and every document of a .jsonl, ends in a newline:
// where it lacks one, one is added. A file's byte order mark is left out, but for the byte tokenizer.
#ifndef STN_DATA_CORPUS_H
#define STN_DATA_CORPUS_H

#include "base/stop.h"
#include "text/tokenizer.h"

struct corpus_source {
    const char *path;        // file or folder (its files in name order, hidden ones left out)
    const char *field;       // .jsonl: name of the text field; NULL: "text"
    const struct stop *stop; // (optional) once it is asked for, reading ends: STATUS_INTERRUPTED
};

struct corpus {
    const uint16_t *ids16; // one of the two, by the vocabulary's size; memory-mapped
    const uint32_t *ids32;
    int64_t count;
    uint64_t hash; // XXH3 of the ids: the same text gives the same hash everywhere
    void *map;     // private
    size_t map_bytes;
};
// Reads the text and makes a char tokenizer of its characters; `sources` of them (train, and valid where it is a file).
// Fails: STATUS_INPUT naming the file: missing, empty, unreadable, binary, a folder without text, .gz or .zst damaged or
// without its library, bad JSON with line number, changed while it was read; STATUS_INTERRUPTED.
enum status corpus_char_tokenizer(const struct corpus_source *source, int sources, int workers,
                                  struct tokenizer **tokenizer_p) CHECK_RESULT;
// Opens the cache of this source, tokenizer and field in `cache_directory` (made if need be), or makes it. NULL: the ids
// lie in an unnamed file in TMPDIR as long as the corpus is open. workers: threads; below 1 counts as 1.
// Fails: as above, STATUS_INPUT also for a character that the tokenizer lacks; STATUS_DISK. Then no half-made file stays.
enum status corpus_open(const struct corpus_source *source, const struct tokenizer *tokenizer,
                        const char *cache_directory, int workers,
                        struct corpus **corpus_p) CHECK_RESULT;
void corpus_close(struct corpus *corpus);
static inline int32_t corpus_id(const struct corpus *corpus, int64_t i)
{
    return corpus->ids16 ? corpus->ids16[i] : (int32_t)corpus->ids32[i];
}
#endif
