// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE: the inside that bpe.c, bpe_merge.c, bpe_json.c and bpe_train.c share.
//
// A text is cut at added tokens, normalised (or not), split into pieces by a pattern; a piece starts as its bytes' ids, and the
// pair of neighbours whose merge ranks lowest becomes one, the leftmost first, until none can. Source: Sennrich et al. 2016;
// Radford et al. 2019.
#ifndef STN_TEXT_BPE_H
#define STN_TEXT_BPE_H

#include "text/internal.h"
#include "text/piece_table.h"
#include "text/splitter.h"

enum { BPE_ENTRIES = 1 << 22 }; // of a vocabulary at most

// Found in a text before all else, and standing for itself. Its bytes are the piece's.
struct added_token {
    int32_t id;
    bool special;
};
struct merge_slot {
    uint64_t pair; // left << 32 | right, + 1; 0: free
    int32_t rank, id;
};
struct bpe {
    enum split_pattern pattern;
    bool nfc; // texts are brought into Unicode's form C first
    bool
        ignore_merges; // a piece that is an entry of the vocabulary is that entry, whatever its merges
    struct splitter *splitter;
    struct piece_table
        pieces;         // by id: first the vocabulary's, then tokens that were added behind it
    int32_t vocabulary; // how many of them are the vocabulary's
    struct added_token *added;
    int32_t added_count;
    int32_t (*merges)[2]; // [merge_count]: left and right, by rank
    int32_t merge_count;
    // made by bpe_finish:
    int32_t byte_ids[256]; // -1: the vocabulary lacks the byte
    bool added_first[256]; // bytes that an added token begins with
    int32_t *added_order;  // [added_count]: added tokens by their bytes
    int32_t *
        added_shorter; // [added_count]: place in that order of the longest that this one begins with, -1: none
    uint8_t *whole; // [vocabulary]: merging the piece's bytes gives the piece
    struct merge_slot *slots;
    size_t slot_room;
};

// A tokenizer of what *bpe holds up to the merges; takes it over, also on failure. `source` is for messages.
enum status bpe_finish(struct bpe *bpe, const char *source,
                       struct tokenizer **tokenizer_p) CHECK_RESULT;
void bpe_release(struct bpe *bpe);
// bpe_json.c. Appends the bytes that a name of tokenizer.json stands for; *known_p false when a character of it stands for none.
// Fails: STATUS_MEMORY.
enum status bpe_name_bytes(const char *name, struct buffer *bytes, bool *known_p) CHECK_RESULT;
// bpe_added.c. Makes added_first, added_order and added_shorter. Fails: STATUS_MEMORY.
enum status bpe_index_added(struct bpe *bpe) CHECK_RESULT;
// The longest added token that the text begins with; NULL when there is none.
const struct added_token *bpe_find_added(const struct bpe *bpe, struct text text);
// Whether the text may be the first part of one that goes on behind it.
bool bpe_added_goes_on(const struct bpe *bpe, struct text text);
// The merge of two neighbours; NULL when there is none.
const struct merge_slot *bpe_find_merge(const struct bpe *bpe, int32_t left, int32_t right);
// Merges ids[count] in place as far as they go; returns how many are left. `heap`: room for 4 x count words, where count is
// above BPE_SHORT.
enum { BPE_SHORT = 48 };
struct merge_heap {
    uint64_t *entries;
    int32_t *links; // [2][room]: neighbours
    int64_t room;
};
enum status bpe_merge(const struct bpe *bpe, struct merge_heap *heap, int32_t *ids, int64_t count,
                      int64_t *left_p) CHECK_RESULT;
void merge_heap_release(struct merge_heap *heap);
#endif
