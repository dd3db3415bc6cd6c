// SPDX-License-Identifier: Apache-2.0
// Memory: checked allocation, page blocks, and arenas for things that die together.
//
// Four lifetimes: process (create/destroy), model (one block each for weights, optimizer state,
// gradients),
// plan (an arena), step (nothing: a test counts allocations). STENTOR_FAIL_ALLOC=n fails the n-th
// allocation.
#ifndef STN_BASE_MEMORY_H
#define STN_BASE_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- heap ----
// Zeroed memory for `count` elements of `size` bytes; the caller owns it and frees it with free().
// `what` names it in the message. Fails: STATUS_MEMORY, also when count * size overflows.
enum status memory_allocate(size_t count, size_t size, const char *what,
                            void *pointer_p) CHECK_RESULT;
// Grows *pointer_p (may be NULL) to hold `count` elements; new bytes are not zeroed. On failure
// *pointer_p is unchanged.
enum status memory_grow(void *pointer_p, size_t count, size_t size, const char *what) CHECK_RESULT;
// A copy of `text`, owned by the caller.
enum status memory_copy_string(const char *text, char **copy_p) CHECK_RESULT;
// How many allocations this process has made through this header.
uint64_t memory_allocations(void);
// a * b, or SIZE_MAX when that overflows.
size_t checked_multiply(size_t a, size_t b);

// ---- blocks: zeroed pages straight from the system, aligned to 64 bytes and more, for large
// long-lived arrays. From 4 MiB on they begin at, and ask for, pages of 2 MiB (Linux; not with
// STENTOR_HUGE_PAGES=off). A page belongs to the node of the thread that touches it first. ----
struct block {
    void *data;
    size_t bytes;
};
enum status block_create(size_t bytes, const char *what, struct block *block_p) CHECK_RESULT;
// The same in small pages, each taken when it is touched: for arrays of which little is used.
enum status block_create_sparse(size_t bytes, const char *what, struct block *block_p) CHECK_RESULT;
// For memory that is read and written all the time: touched at once, and in huge pages from one of these (2 MB) on.
enum status block_create_warm(size_t bytes, const char *what, struct block *block_p) CHECK_RESULT;
void block_destroy(struct block *block);
// Bytes that all blocks of this process hold now.
size_t block_total_bytes(void);

// ---- arenas ----
struct arena;
enum status arena_create(struct arena **arena_p) CHECK_RESULT;
void arena_destroy(struct arena *arena);
// Zeroed memory that lives as long as the arena; NULL when the system has none (callers turn it
// into an error once).
void *arena_take(struct arena *arena, size_t bytes);
char *arena_print(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#endif
