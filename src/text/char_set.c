// SPDX-License-Identifier: Apache-2.0
// The set of characters and stray bytes of a text: one bit for each code point, so that sets merge in any order to the same set.
#include "text/char_set.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum status char_set_create(struct char_set **set_p)
{
    return memory_allocate(1, sizeof(struct char_set), "a set of characters", set_p);
}

void char_set_destroy(struct char_set *set) { free(set); }

void char_set_add(struct char_set *set, const uint8_t *text, size_t bytes)
{
    uint8_t ascii[128] = {0};
    for (size_t i = 0; i < bytes;) {
        uint64_t word;
        while (i + sizeof word <= bytes) {
            memcpy(&word, text + i, sizeof word);
            if (word & 0x8080808080808080u) break;
            for (size_t j = 0; j < sizeof word; j++) ascii[text[i + j]] = 1;
            i += sizeof word;
        }
        uint32_t code;
        int length = utf8_read(text + i, bytes - i, &code);
        if (length)
            set->characters[code / 64] |= 1ull << code % 64;
        else if (i < bytes)
            set->stray[text[i]] = true;
        i += length ? (size_t)length : 1;
    }
    for (int code = 0; code < 128; code++)
        set->characters[code / 64] |= (uint64_t)ascii[code] << code % 64;
}

void char_set_merge(struct char_set *into, const struct char_set *from)
{
    for (size_t i = 0; i < sizeof into->characters / sizeof *into->characters; i++)
        into->characters[i] |= from->characters[i];
    for (int byte = 0; byte < 256; byte++) into->stray[byte] |= from->stray[byte];
}
