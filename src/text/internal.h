// SPDX-License-Identifier: Apache-2.0
// What the files of this room share: a tokenizer's inside and the table row that each kind fills.
#ifndef STN_TEXT_INTERNAL_H
#define STN_TEXT_INTERNAL_H

#include "base/json.h"
#include "text/tokenizer.h"

enum { TOKEN_NAME = 16 }; // bytes that a name in tokenizer.json may take
// Bytes of a tokenizer.json, written or read: nine million words of ten bytes. What a stranger's file takes in memory is bounded by it.
enum { TOKENIZER_BYTES = 256 << 20 };

// The bytes that an id stands for.
struct token_piece {
    uint8_t bytes[4];
    uint8_t length;
};

// One of these for each kind; tokenizer_json.c finds the one of a file.
struct tokenizer_kind {
    const char *name;
    // tokenizer.json without its vocabulary: what is written, and what a file that is read must say.
    const char *skeleton;
    int32_t least, most; // entries that a vocabulary may have
    enum status (*encode)(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                          const char *source, uint64_t base, int32_t *ids, size_t *count_p);
    size_t (*cut)(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes);
    // How many ids a byte may give at most. (optional: 1)
    size_t (*growth)(const struct tokenizer *tokenizer);
    int32_t (*unknown)(const struct tokenizer *tokenizer); // (optional) the id of what is not in it
    // Whether the pieces of a text's ids are its bytes. (optional: they are)
    bool (*keeps_bytes)(const struct tokenizer *tokenizer);
    // Those below, or all of these three (then `pieces` is NULL, and skeleton, least and most are not used): an id's bytes, what
    // to release, and tokenizer.json.
    const uint8_t *(*piece)(const struct tokenizer *tokenizer, int32_t id, size_t *bytes_p);
    void (*release)(struct tokenizer *tokenizer);
    enum status (*save)(const struct tokenizer *tokenizer, json_t **root_p);
    // A piece's name in tokenizer.json, and back; false when `name` is no name of this kind.
    void (*name_piece)(struct token_piece piece, char name[TOKEN_NAME]);
    bool (*read_piece)(const char *name, struct token_piece *piece_p);
    // Makes tokenizer->table when all pieces are filled; may refuse them. (optional)
    enum status (*index)(struct tokenizer *tokenizer, const char *source);
};
extern const struct tokenizer_kind tokenizer_kind_char, tokenizer_kind_byte, tokenizer_kind_bpe,
    tokenizer_kind_word;

struct tokenizer {
    const struct tokenizer_kind *kind;
    int32_t size;
    uint64_t hash;
    struct token_piece *pieces; // [size], owned
    void *table;                // text -> ids, private to the kind; one allocation, owned
};

// A tokenizer of `size` empty pieces; when these are filled, tokenizer_seal makes the table and the hash.
enum status tokenizer_create(const struct tokenizer_kind *kind, int32_t size,
                             struct tokenizer **tokenizer_p) CHECK_RESULT;
enum status tokenizer_seal(struct tokenizer *tokenizer, const char *source) CHECK_RESULT;

// Whether the character that the text begins with (a byte that begins none is one) has ids; *length_p: its bytes. Fails: STATUS_MEMORY.
enum status tokenizer_has(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                          size_t *length_p, bool *has_p) CHECK_RESULT;

// The character that stands for a byte in a byte-level vocabulary.
uint32_t byte_level_code(uint8_t byte);

// ---- messages about a stranger's file ----
enum { SHOWN = 96 };
// A value as JSON in ASCII, cut to what a message can bear: nothing in it can play tricks with a terminal. Returns shown.
const char *json_show(const json_t *value, char shown[SHOWN + 4]);
const char *json_show_name(const char *name, char shown[SHOWN + 4]);
// Read the model of a tokenizer.json whose kind is known by now.
enum status bpe_read(json_t *root, const char *path, struct tokenizer **tokenizer_p) CHECK_RESULT;
enum status word_read(json_t *root, const char *path, struct tokenizer **tokenizer_p) CHECK_RESULT;
#endif
