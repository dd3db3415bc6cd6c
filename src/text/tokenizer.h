// SPDX-License-Identifier: Apache-2.0
// Tokenizers: text <-> ids. One file each (char.c, byte.c, word.c, bpe.c); tokenizer_json.c finds which one a file holds.
//
// Exact, but for words and where a file asks for Unicode's form C: decode(encode(text)) is text, byte for byte, also where text
// is not valid UTF-8 (overlong forms, surrogates and what lies above U+10FFFF are not valid).
//   byte   256 ids, one for each byte.
//   char   one id for each character (code point) of the training text, in code-point order, then one for each byte that
//          stands outside valid UTF-8 there. A character that the vocabulary lacks is an error that names it.
//   word   one id for each word between spaces (or: word, mark, Chinese character) and for the newline; <unk> for others.
//   bpe    byte-level BPE with GPT-2's, Llama 3's or Qwen 2's pattern. train_tokenizer.h makes both.
#ifndef STN_TEXT_TOKENIZER_H
#define STN_TEXT_TOKENIZER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

// ---- life cycle ----
enum status tokenizer_byte_create(struct tokenizer **tokenizer_p) CHECK_RESULT;
// A set of the characters and stray bytes seen; char_set_add may be called from several threads on sets of their own,
// then merged. A text in parts must be cut by utf8_cut.
struct char_set;
enum status char_set_create(struct char_set **set_p) CHECK_RESULT;
void char_set_destroy(struct char_set *set);
void char_set_add(struct char_set *set, const uint8_t *text, size_t bytes);
void char_set_merge(struct char_set *into, const struct char_set *from);
enum status tokenizer_char_create(const struct char_set *set,
                                  struct tokenizer **tokenizer_p) CHECK_RESULT;
// Reads a Hugging Face tokenizer.json (or the one in a folder) of the kinds that tokenizer_save writes. What a post-processor
// adds to a text (a start token, say) is not added.
// Fails: STATUS_INPUT naming file and place; STATUS_UNSUPPORTED for a sound file of a kind that is not ours (WordPiece, …).
enum status tokenizer_load(const char *path, struct tokenizer **tokenizer_p) CHECK_RESULT;
// Writes tokenizer.json and tokenizer_config.json into `directory` (made if need be); transformers loads both to the same
// ids. One exception: a char tokenizer with U+0000 decodes it there, but cannot encode it (no JSON key of ours holds it).
enum status tokenizer_save(const struct tokenizer *tokenizer, const char *directory) CHECK_RESULT;
void tokenizer_destroy(struct tokenizer *tokenizer);

// ---- reading ----
const char *tokenizer_kind(const struct tokenizer *tokenizer); // "char", "byte", "word", "bpe"
int32_t tokenizer_size(const struct tokenizer *tokenizer);     // number of ids
int32_t tokenizer_unknown(const struct tokenizer *tokenizer);  // id of unknown words, -1: none
// Changes when any id changes its meaning.
uint64_t tokenizer_hash(const struct tokenizer *tokenizer);

// ---- using ----
// How many ids a text of so many bytes gives at most: as many, or three times as many where the tokenizer asks for form C.
size_t tokenizer_room(const struct tokenizer *tokenizer, size_t bytes);
// Ids of text into ids (room for at least tokenizer_room of them). *count_p: how many.
// Fails: STATUS_INPUT naming the character, its byte offset (plus `base`) and `source` (a file's name, "the prompt").
enum status tokenizer_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                             const char *source, uint64_t base, int32_t *ids,
                             size_t *count_p) CHECK_RESULT;
// The same without what the tokenizer lacks: *unknown_p is how many characters were left out. Fails: STATUS_MEMORY.
enum status tokenizer_encode_known(const struct tokenizer *tokenizer, const uint8_t *text,
                                   size_t bytes, int32_t *ids, size_t *count_p,
                                   int64_t *unknown_p) CHECK_RESULT;
// Whether the pieces of a text's ids are its bytes: not of words, nor where a file asks for form C.
bool tokenizer_keeps_bytes(const struct tokenizer *tokenizer);
// Bytes of one id: borrowed, *bytes_p of them. NULL when id is out of range.
const uint8_t *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *bytes_p);
// Where a text may be cut so that encoding the parts gives the whole's ids: the largest such place <= bytes.
size_t tokenizer_cut(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes);

// ---- UTF-8 ----
// utf8_read: length (1..4) of the valid character that starts at text, its code point in *code_p; 0 when the byte starts none.
int utf8_read(const uint8_t *text, size_t bytes, uint32_t *code_p);
int utf8_write(uint32_t code, uint8_t out[4]);
// Where UTF-8 may be cut: `bytes`, or less by the 1..3 bytes of a character that is valid so far but goes on behind the end.
size_t utf8_cut(const uint8_t *text, size_t bytes);
#endif
