// SPDX-License-Identifier: Apache-2.0
// The byte tokenizer: an id is a byte. As tokenizer.json: a byte-level BPE without merges, whose alphabet is GPT-2's.
#include "text/internal.h"

#include <string.h>

enum { BYTES = 256 };

static enum status byte_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                               const char *source, uint64_t base, int32_t *ids, size_t *count_p)
{
    (void)tokenizer, (void)source, (void)base;
    for (size_t i = 0; i < bytes; i++) ids[i] = text[i];
    *count_p = bytes;
    return STATUS_OK;
}

static size_t byte_cut(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    (void)tokenizer, (void)text;
    return bytes;
}

enum status tokenizer_byte_create(struct tokenizer **tokenizer_p)
{
    struct tokenizer *tokenizer;
    TRY(tokenizer_create(&tokenizer_kind_byte, BYTES, &tokenizer));
    for (int byte = 0; byte < BYTES; byte++)
        tokenizer->pieces[byte] = (struct token_piece){.bytes = {(uint8_t)byte}, .length = 1};
    enum status status = tokenizer_seal(tokenizer, "the byte tokenizer");
    if (status) goto destroy_tokenizer;
    *tokenizer_p = tokenizer;
    return STATUS_OK;
destroy_tokenizer:
    tokenizer_destroy(tokenizer);
    return status;
}

// The visible character that stands for a byte in a byte-level vocabulary: one that prints as Latin-1 stands for itself,
// the 68 others for U+0100 upwards, in order. Source: Radford et al. 2019, GPT-2's encoder.py, bytes_to_unicode.
static bool prints(int byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

uint32_t byte_level_code(uint8_t byte)
{
    uint32_t code = 0x100;
    if (prints(byte)) return byte;
    for (int before = 0; before < byte; before++) code += !prints(before);
    return code;
}

static void byte_name(struct token_piece piece, char name[TOKEN_NAME])
{
    name[utf8_write(byte_level_code(piece.bytes[0]), (uint8_t *)name)] = 0;
}

static bool byte_read(const char *name, struct token_piece *piece_p)
{
    for (int byte = 0; byte < BYTES; byte++) {
        struct token_piece piece = {.bytes = {(uint8_t)byte}, .length = 1};
        char expected[TOKEN_NAME];
        byte_name(piece, expected);
        if (strcmp(name, expected) != 0) continue;
        *piece_p = piece;
        return true;
    }
    return false;
}

static enum status byte_index(struct tokenizer *tokenizer, const char *source)
{
    for (int id = 0; id < BYTES; id++)
        if (tokenizer->pieces[id].bytes[0] != id)
            FAIL(STATUS_UNSUPPORTED,
                 "%s: id %d stands for byte 0x%02X; this is not supported: a byte tokenizer's ids "
                 "are the bytes",
                 source, id, tokenizer->pieces[id].bytes[0]);
    return STATUS_OK;
}

// What Hugging Face's own writer puts there, so that a file which it has saved again still reads.
static const char skeleton[] = "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_"
                               "tokens\":[],\"normalizer\":null,"
                               "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
                               "false,\"trim_offsets\":true,\"use_regex\":false},"
                               "\"post_processor\":null,"
                               "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                               "\"trim_offsets\":true,\"use_regex\":true},"
                               "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                               "\"continuing_subword_prefix\":null,"
                               "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":"
                               "false,\"ignore_merges\":false,"
                               "\"vocab\":{},\"merges\":[]}}";

const struct tokenizer_kind tokenizer_kind_byte = {.name = "byte",
                                                   .skeleton = skeleton,
                                                   .least = BYTES,
                                                   .most = BYTES,
                                                   .encode = byte_encode,
                                                   .cut = byte_cut,
                                                   .name_piece = byte_name,
                                                   .read_piece = byte_read,
                                                   .index = byte_index};
