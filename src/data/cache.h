// SPDX-License-Identifier: Apache-2.0
// The token cache: a file of 64 bytes of header and then the ids, 2 or 4 bytes each, little-endian, mapped as it lies.
//
// It is written under a temporary name, synchronized, and renamed, so a cache under its own name is whole; several processes may
// make the same one at once, and the last wins. It is read in full when it is opened: the hash must be right, and every id in range.
#ifndef STN_DATA_CACHE_H
#define STN_DATA_CACHE_H

#include "data/corpus.h"

// What a cache must have been made of to be used.
struct cache_key {
    uint64_t fingerprint; // of names, sizes, times, field, tokenizer
    uint32_t vocabulary;  // ids are below it; up to 65536 they take 2 bytes, above 4
};

struct cache_writer;

// A cache that is mapped; *corpus_p NULL when there is none at `path`, or none that can be used (said as a warning where it is damaged).
// Fails: STATUS_MEMORY.
enum status cache_open(const char *path, const struct cache_key *key,
                       struct corpus **corpus_p) CHECK_RESULT;
// Begins a new one beside `path`. Fails: STATUS_DISK.
enum status cache_create(const char *path, const struct cache_key *key,
                         struct cache_writer **writer_p) CHECK_RESULT;
// Fails: STATUS_DISK.
enum status cache_add(struct cache_writer *writer, const int32_t *ids, size_t count) CHECK_RESULT;
// Puts the cache in its place and maps it. The writer is gone afterwards, also on failure. `keep` false: the file is removed again
// and lives as long as the mapping. Fails: STATUS_DISK.
enum status cache_finish(struct cache_writer *writer, bool keep,
                         struct corpus **corpus_p) CHECK_RESULT;
// Gives up: nothing of it stays on disk.
void cache_abandon(struct cache_writer *writer);
#endif
