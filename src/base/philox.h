// SPDX-License-Identifier: Apache-2.0
// Random numbers by counting: Philox 4x32-10 keyed by what a number is for, never by who draws it.
//
// A number's address is (seed, stream, step, sequence, element). `stream` names the purpose in its
// top byte
// (enum philox_purpose) and the operation in the rest. Elements are laid out in blocks of 64 so
// that 16 lanes
// make 4 x 16 neighbours at once: element e lies in block e / 64, word (e % 64) / 16, lane e % 16;
// the counter is
// (16 * block + lane, stream, sequence, step). Source: Salmon et al. 2011, "Parallel random
// numbers: as easy as 1, 2, 3".
#ifndef STN_BASE_PHILOX_H
#define STN_BASE_PHILOX_H

#include <stdint.h>

enum philox_purpose {
    PHILOX_INIT = 1,
    PHILOX_SHUFFLE = 2,
    PHILOX_DROPOUT = 3,
    PHILOX_SAMPLE = 4,
    PHILOX_TEST = 5,
    PHILOX_BALANCE = 6,
    PHILOX_DATA = 7 // what is done to examples while they are learned from
};

// Elements whose bits one call over 16 lanes makes: element e is in block e / 64.
enum { PHILOX_BLOCK = 64 };

struct philox_address {
    uint64_t seed;
    uint32_t stream, step, sequence;
};

static inline uint32_t philox_stream(enum philox_purpose purpose, uint32_t operation)
{
    return (uint32_t)purpose << 24 | (operation & 0xffffffu);
}

// Replaces the counter by four random words.
static inline void philox4x32(uint32_t counter[4], uint64_t seed)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * counter[0];
        uint64_t product1 = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ counter[1] ^ key0;
        uint32_t next2 = (uint32_t)(product0 >> 32) ^ counter[3] ^ key1;
        counter[0] = next0;
        counter[1] = (uint32_t)product1;
        counter[2] = next2;
        counter[3] = (uint32_t)product0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

// 32 random bits for element `element` (below 2^34) of the address.
static inline uint32_t philox_bits(struct philox_address at, uint64_t element)
{
    uint32_t counter[4] = {(uint32_t)(element / 64 * 16 + element % 16), at.stream, at.sequence,
                           at.step};
    philox4x32(counter, at.seed);
    return counter[element % 64 / 16];
}

// Uniform in (0, 1): 53 bits, never 0 or 1. Uses elements 2e and 2e+1.
static inline double philox_uniform(struct philox_address at, uint64_t element)
{
    uint64_t high = philox_bits(at, 2 * element), low = philox_bits(at, 2 * element + 1);
    return ((double)((high << 32 | low) >> 12) + 0.5) * 0x1p-52;
}

// The bits of a dropped element are below this. rate in [0, 1).
static inline uint32_t dropout_threshold(double rate) { return (uint32_t)(rate * 4294967296.0); }
#endif
