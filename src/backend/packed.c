// SPDX-License-Identifier: Apache-2.0
#include "backend/packed.h"

#include <stdlib.h>

struct copy {
    struct packing packing;
    size_t offset; // in the block
};

struct packed {
    struct copy *copies;
    int count;
    size_t bytes;
    const real *weights;
    struct block block;
};

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

static bool packing_equal(const struct packing *a, const struct packing *b)
{
    return a->pack == b->pack && a->weight->offset == b->weight->offset && a->cols == b->cols &&
           a->depth == b->depth && a->b_depth == b->b_depth && a->b_col == b->b_col;
}

static const struct copy *find(const struct packed *packed, const struct packing *packing)
{
    for (int i = 0; packing->fill && i < packed->count; i++)
        if (packing_equal(&packed->copies[i].packing, packing)) return &packed->copies[i];
    return NULL;
}

// Copies that save no more than time are left out when there are too many of them.
static void drop_spare(struct packed *packed)
{
    size_t spare = 0;
    for (int i = 0; i < packed->count; i++)
        if (packed->copies[i].packing.spare) spare += packed->copies[i].packing.bytes;
    int kept = 0;
    for (int i = 0; i < packed->count; i++)
        if (!packed->copies[i].packing.spare || spare <= (size_t)PACKED_SPARE_BYTES)
            packed->copies[kept++] = packed->copies[i];
    packed->count = kept;
}

// In the order of their weights in the block.
static int compare_weights(const void *a, const void *b)
{
    int64_t x = ((const struct copy *)a)->packing.weight->offset;
    int64_t y = ((const struct copy *)b)->packing.weight->offset;
    return (x > y) - (x < y);
}

static enum status build(struct packed *packed, struct program *const *programs, int count)
{
    size_t most = 1;
    for (int i = 0; i < count; i++) most += (size_t)program_steps(programs[i]) * MAX_PACKINGS;
    TRY(memory_allocate(most, sizeof *packed->copies, "the table of packed weights",
                        &packed->copies));
    for (int i = 0; i < count; i++)
        for (int j = 0; j < program_steps(programs[i]) * MAX_PACKINGS; j++) {
            const struct step *step = program_step(programs[i], j / MAX_PACKINGS);
            const struct packing *packing = &step->packing[j % MAX_PACKINGS];
            if (packing->fill && !find(packed, packing))
                packed->copies[packed->count++].packing = *packing;
        }
    drop_spare(packed);
    qsort(packed->copies, (size_t)packed->count, sizeof *packed->copies, compare_weights);
    for (int i = 0; i < packed->count; i++) {
        packed->copies[i].offset = packed->bytes;
        packed->bytes += line_up(packed->copies[i].packing.bytes);
    }
    return STATUS_OK;
}

enum status packed_create(struct program *const *programs, int count, struct packed **packed_p)
{
    struct packed *packed = NULL;
    TRY(memory_allocate(1, sizeof *packed, "packed weights", &packed));
    enum status status = build(packed, programs, count);
    if (status) {
        packed_destroy(packed);
        return error_trace(status, __FILE__, __LINE__);
    }
    *packed_p = packed;
    return STATUS_OK;
}

void packed_destroy(struct packed *packed)
{
    if (!packed) return;
    block_destroy(&packed->block);
    free(packed->copies);
    free(packed);
}

size_t packed_bytes(const struct packed *packed) { return packed->bytes; }

enum status packed_prepare(struct packed *packed, const real *weights)
{
    packed->weights = weights;
    if (packed->bytes == 0) return STATUS_OK;
    return block_create(packed->bytes, "packed weights", &packed->block);
}

void packed_use(const struct packed *packed, struct program *program)
{
    for (int i = 0; i < program_steps(program); i++) {
        struct step *step = program_step(program, i);
        for (int j = 0; j < MAX_PACKINGS; j++) {
            const struct copy *copy = find(packed, &step->packing[j]);
            step->packed[j] = copy ? (const char *)packed->block.data + copy->offset : NULL;
        }
    }
}

void packed_fill(const struct packed *packed, int part, int parts)
{
    int64_t elements = 0, element = 0;
    for (int i = 0; i < packed->count; i++)
        elements += packed->copies[i].packing.cols * packed->copies[i].packing.depth;
    for (int i = 0; i < packed->count; i++) {
        const struct copy *copy = &packed->copies[i];
        const struct packing *packing = &copy->packing;
        void *to = (char *)packed->block.data + copy->offset;
        for (int64_t col = 0; col < packing->cols; col += packing->unit) {
            int64_t cols =
                packing->cols - col < packing->unit ? packing->cols - col : packing->unit;
            // A unit belongs to the share in which it begins.
            if (element * parts / elements == part)
                packing->fill(packing, packed->weights + packing->weight->offset, to, col, cols);
            element += cols * packing->depth;
        }
    }
}

bool packed_follows(const struct packed *packed)
{
    for (int i = 0; i < packed->count; i++)
        if (!packed->copies[i].packing.write) return false;
    return packed->count > 0;
}

static int64_t weight_end(const struct copy *copy)
{
    return copy->packing.weight->offset + copy->packing.cols * copy->packing.depth;
}

// The first copy of a weight that ends behind `element`.
static int first_behind(const struct packed *packed, int64_t element)
{
    int low = 0, high = packed->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (weight_end(&packed->copies[middle]) > element)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// How far the copy of a weight is written once the weight's own elements [first, to) are: whole bands, but all that `last` ends.
static int64_t complete(int64_t to, int64_t first, int64_t last, int64_t band)
{
    int64_t whole = to / band * band;
    if (to >= last) return last;
    return whole > first ? whole : first;
}

static int64_t limited(int64_t x, int64_t least, int64_t most)
{
    return x < least ? least : x > most ? most : x;
}

void packed_follow(const struct packed *packed, const struct packed_piece *piece)
{
    for (int i = first_behind(packed, piece->from); i < packed->count; i++) {
        const struct copy *copy = &packed->copies[i];
        const struct packing *packing = &copy->packing;
        int64_t start = packing->weight->offset, size = packing->cols * packing->depth;
        if (start >= piece->to) break;
        int64_t first = limited(piece->first - start, 0, size);
        int64_t last = limited(piece->last - start, 0, size);
        int64_t from =
            complete(limited(piece->from - start, first, last), first, last, packing->band);
        int64_t to = complete(limited(piece->to - start, first, last), first, last, packing->band);
        if (from < to)
            packing->write(packing, packed->weights + start,
                           (char *)packed->block.data + copy->offset, from, to);
    }
}
