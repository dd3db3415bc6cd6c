// SPDX-License-Identifier: Apache-2.0
// Element types and shapes.
#include "graph/graph.h"

#include <stdio.h>

size_t dtype_bytes(enum dtype dtype) { return dtype == F32 ? sizeof(real) : 4; }

const char *dtype_name(enum dtype dtype)
{
    static const char *const name[] = {[F32] = "f32", [I32] = "i32", [U32] = "u32"};
    return name[dtype];
}

struct shape shape_make(int rank, const int64_t size[MAX_RANK])
{
    INVARIANT(rank >= 0 && rank <= MAX_RANK, "rank %d", rank);
    struct shape shape = {.rank = rank};
    for (int i = 0; i < rank; i++) shape.size[i] = size[i];
    return shape;
}

int64_t shape_count(struct shape shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) count *= shape.size[i];
    return count;
}

bool shape_equal(struct shape a, struct shape b)
{
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.size[i] != b.size[i]) return false;
    return true;
}

int64_t shape_last(struct shape shape) { return shape.rank ? shape.size[shape.rank - 1] : 1; }
int64_t shape_rows(struct shape shape) { return shape_count(shape) / shape_last(shape); }

const char *shape_print(struct shape shape, char text[64])
{
    int used = snprintf(text, 64, "[");
    for (int i = 0; i < shape.rank && used < 64; i++)
        used += snprintf(text + used, (size_t)(64 - used), i ? ", %lld" : "%lld",
                         (long long)shape.size[i]);
    if (used < 64) snprintf(text + used, (size_t)(64 - used), "]");
    return text;
}
