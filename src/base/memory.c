// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t allocations;
static _Atomic size_t block_bytes;

size_t checked_multiply(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

uint64_t memory_allocations(void) { return atomic_load(&allocations); }
size_t block_total_bytes(void) { return atomic_load(&block_bytes); }

// Counts an allocation; true when STENTOR_FAIL_ALLOC says that this one is to fail.
static bool must_fail(void)
{
    static _Atomic long fail_at = -1;
    long wanted = atomic_load(&fail_at);
    if (wanted == -1) {
        const char *text = getenv("STENTOR_FAIL_ALLOC");
        wanted = text ? strtol(text, NULL, 10) : 0;
        atomic_store(&fail_at, wanted);
    }
    uint64_t number = atomic_fetch_add(&allocations, 1) + 1;
    return wanted > 0 && number == (uint64_t)wanted;
}

enum status memory_allocate(size_t count, size_t size, const char *what, void *pointer_p)
{
    size_t bytes = checked_multiply(count, size);
    void *memory = bytes > PTRDIFF_MAX || must_fail() ? NULL : calloc(1, bytes ? bytes : 1);
    if (!memory)
        FAIL(STATUS_MEMORY, "not enough memory for %s (%zu x %zu bytes)", what, count, size);
    *(void **)pointer_p = memory;
    return STATUS_OK;
}

enum status memory_grow(void *pointer_p, size_t count, size_t size, const char *what)
{
    size_t bytes = checked_multiply(count, size);
    void *memory =
        bytes > PTRDIFF_MAX || must_fail() ? NULL : realloc(*(void **)pointer_p, bytes ? bytes : 1);
    if (!memory)
        FAIL(STATUS_MEMORY, "not enough memory for %s (%zu x %zu bytes)", what, count, size);
    *(void **)pointer_p = memory;
    return STATUS_OK;
}

enum status memory_copy_string(const char *text, char **copy_p)
{
    size_t bytes = strlen(text) + 1;
    TRY(memory_allocate(bytes, 1, "a string", copy_p));
    memcpy(*copy_p, text, bytes);
    return STATUS_OK;
}

// ---- blocks ----
static const size_t HUGE_PAGE = (size_t)2 << 20;

// STENTOR_HUGE_PAGES=off: for measuring what they bring, and for tests.
static bool huge_pages_wanted(void)
{
    const char *text = getenv("STENTOR_HUGE_PAGES");
    return !text || strcmp(text, "off") != 0;
}

// Zeroed pages from the system; MAP_FAILED when it has none.
static void *map_pages(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#if defined(MADV_HUGEPAGE)
// Of a larger mapping what begins at a huge page stays. Its end is left where it is: only whole huge pages inside can become such,
// so a block takes no more memory than it asked for.
static void *map_huge(size_t bytes)
{
    unsigned char *all = map_pages(bytes + HUGE_PAGE);
    if (all == MAP_FAILED) return map_pages(bytes);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (bytes + page - 1) / page * page;
    size_t before = (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(all, before);
    if (before < HUGE_PAGE) munmap(all + before + used, HUGE_PAGE - before);
    madvise(all + before, used, MADV_HUGEPAGE); // a system that has none goes on without
    return all + before;
}
#else
static void *map_huge(size_t bytes) { return map_pages(bytes); }
#endif

static enum status create_block(size_t bytes, bool huge, const char *what, struct block *block_p)
{
    if (bytes == 0) bytes = 64;
    void *data = MAP_FAILED;
    if (bytes < PTRDIFF_MAX / 2 && !must_fail()) data = huge ? map_huge(bytes) : map_pages(bytes);
    if (data == MAP_FAILED)
        FAIL(STATUS_MEMORY, "not enough memory for %s: %.1f MB asked", what, (double)bytes / 1e6);
    atomic_fetch_add(&block_bytes, bytes);
    block_p->data = data;
    block_p->bytes = bytes;
    return STATUS_OK;
}

enum status block_create(size_t bytes, const char *what, struct block *block_p)
{
    return create_block(bytes, bytes >= 2 * HUGE_PAGE && huge_pages_wanted(), what, block_p);
}

enum status block_create_sparse(size_t bytes, const char *what, struct block *block_p)
{
    TRY(create_block(bytes, false, what, block_p));
#if defined(MADV_NOHUGEPAGE)
    madvise(block_p->data, block_p->bytes,
            MADV_NOHUGEPAGE); // a system that has none needs no telling
#endif
    return STATUS_OK;
}

enum status block_create_warm(size_t bytes, const char *what, struct block *block_p)
{
    TRY(create_block(bytes, bytes >= HUGE_PAGE && huge_pages_wanted(), what, block_p));
    memset(block_p->data, 0, block_p->bytes);
    return STATUS_OK;
}

void block_destroy(struct block *block)
{
    if (!block->data) return;
    munmap(block->data, block->bytes);
    atomic_fetch_sub(&block_bytes, block->bytes);
    block->data = NULL;
    block->bytes = 0;
}

// ---- arenas ----
enum { CHUNK_BYTES = 1 << 16, ARENA_ALIGN = 16 };

struct chunk {
    struct chunk *next;
    size_t used, bytes;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

struct arena {
    struct chunk *chunks; // newest first
};

enum status arena_create(struct arena **arena_p)
{
    return memory_allocate(1, sizeof(struct arena), "an arena", arena_p);
}

void arena_destroy(struct arena *arena)
{
    if (!arena) return;
    for (struct chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}

void *arena_take(struct arena *arena, size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2) return NULL;
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct chunk *chunk = arena->chunks;
    if (!chunk || chunk->bytes - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = must_fail() ? NULL : calloc(1, sizeof *chunk + size);
        if (!chunk) return NULL;
        chunk->bytes = size;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += bytes;
    return memory;
}

char *arena_print(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : arena_take(arena, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
