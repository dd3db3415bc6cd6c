// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), for the digests that we publish.
#ifndef STN_BASE_SHA256_H
#define STN_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t pending[64];
};
void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t bytes);
void sha256_finish(struct sha256 *hash, char hex[65]); // 64 digits and a NUL
#endif
