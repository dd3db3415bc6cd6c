// SPDX-License-Identifier: Apache-2.0
// Merging a piece. Short ones look through their pairs; long ones keep them in a heap, so that a line of a megabyte takes
// n log n, not n squared.
#include "base/memory.h"
#include "text/bpe.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static uint64_t pair_key(int32_t left, int32_t right)
{
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

static size_t pair_slot(uint64_t key, size_t room)
{
    return (key * 0x9E3779B97F4A7C15u >> 20) & (room - 1);
}

const struct merge_slot *bpe_find_merge(const struct bpe *bpe, int32_t left, int32_t right)
{
    uint64_t key = pair_key(left, right);
    size_t slot = pair_slot(key, bpe->slot_room);
    while (bpe->slots[slot].pair && bpe->slots[slot].pair != key)
        slot = (slot + 1) & (bpe->slot_room - 1);
    return bpe->slots[slot].pair ? &bpe->slots[slot] : NULL;
}

// ---- short ----
static int64_t merge_short(const struct bpe *bpe, int32_t *ids, int64_t count)
{
    int32_t rank[BPE_SHORT], merged[BPE_SHORT]; // of the pair that begins there
    for (int64_t i = 0; i + 1 < count; i++) {
        const struct merge_slot *merge = bpe_find_merge(bpe, ids[i], ids[i + 1]);
        rank[i] = merge ? merge->rank : INT_MAX;
        merged[i] = merge ? merge->id : 0;
    }
    while (count > 1) {
        int64_t best = 0;
        for (int64_t i = 1; i + 1 < count; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == INT_MAX) break;
        ids[best] = merged[best];
        size_t behind = (size_t)(count - best - 2);
        memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
        memmove(rank + best + 1, rank + best + 2, behind * sizeof *rank);
        memmove(merged + best + 1, merged + best + 2, behind * sizeof *merged);
        count--;
        for (int64_t i = best - (best > 0); i <= best && i + 1 < count; i++) {
            const struct merge_slot *merge = bpe_find_merge(bpe, ids[i], ids[i + 1]);
            rank[i] = merge ? merge->rank : INT_MAX;
            merged[i] = merge ? merge->id : 0;
        }
    }
    return count;
}

// ---- long: entries are rank << 32 | place of the left one. One whose pair has changed since is passed over. ----
static void heap_down(uint64_t *heap, int64_t size, int64_t at)
{
    uint64_t entry = heap[at];
    for (int64_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && heap[child + 1] < heap[child]) child++;
        if (entry <= heap[child]) break;
        heap[at] = heap[child];
    }
    heap[at] = entry;
}

static void heap_push(uint64_t *heap, int64_t *size, uint64_t entry)
{
    int64_t at = (*size)++;
    for (; at > 0 && entry < heap[(at - 1) / 2]; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

static enum status heap_reserve(struct merge_heap *heap, int64_t count)
{
    if (heap->room >= count) return STATUS_OK;
    // Each merge takes one entry and puts in two at most: 3 x count are never exceeded.
    TRY(memory_grow(&heap->entries, 3 * (size_t)count, sizeof *heap->entries, "pairs of a piece"));
    TRY(memory_grow(&heap->links, 2 * (size_t)count, sizeof *heap->links, "a piece"));
    heap->room = count;
    return STATUS_OK;
}

void merge_heap_release(struct merge_heap *heap)
{
    free(heap->entries);
    free(heap->links);
    *heap = (struct merge_heap){0};
}

static void push_pair(const struct bpe *bpe, struct merge_heap *heap, int64_t *size,
                      const int32_t *ids, int64_t left, int64_t right)
{
    const struct merge_slot *merge = bpe_find_merge(bpe, ids[left], ids[right]);
    if (merge) heap_push(heap->entries, size, (uint64_t)merge->rank << 32 | (uint64_t)left);
}

static int64_t merge_long(const struct bpe *bpe, struct merge_heap *heap, int32_t *ids,
                          int64_t count)
{
    int32_t *next = heap->links, *before = heap->links + heap->room;
    int64_t size = 0;
    for (int64_t i = 0; i < count; i++) {
        next[i] = (int32_t)(i + 1);
        before[i] = (int32_t)(i - 1);
        if (i + 1 < count) push_pair(bpe, heap, &size, ids, i, i + 1);
    }
    while (size > 0) {
        uint64_t entry = heap->entries[0];
        int64_t left = (int64_t)(entry & UINT32_MAX);
        heap->entries[0] = heap->entries[--size];
        if (size > 0) heap_down(heap->entries, size, 0);
        if (ids[left] < 0 || next[left] >= count) continue;
        int64_t right = next[left];
        const struct merge_slot *merge = bpe_find_merge(bpe, ids[left], ids[right]);
        if (!merge || (uint64_t)merge->rank != entry >> 32) continue;
        ids[left] = merge->id;
        ids[right] = -1;
        next[left] = next[right];
        if (next[right] < count) before[next[right]] = (int32_t)left;
        if (before[left] >= 0) push_pair(bpe, heap, &size, ids, before[left], left);
        if (next[left] < count) push_pair(bpe, heap, &size, ids, left, next[left]);
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] >= 0) ids[kept++] = ids[i];
    return kept;
}

enum status bpe_merge(const struct bpe *bpe, struct merge_heap *heap, int32_t *ids, int64_t count,
                      int64_t *left_p)
{
    if (count <= BPE_SHORT) {
        *left_p = merge_short(bpe, ids, count);
        return STATUS_OK;
    }
    if (count > INT_MAX) FAIL(STATUS_UNSUPPORTED, "a piece of %lld bytes", (long long)count);
    TRY(heap_reserve(heap, count));
    *left_p = merge_long(bpe, heap, ids, count);
    return STATUS_OK;
}
