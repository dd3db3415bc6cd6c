// SPDX-License-Identifier: Apache-2.0
// Rows of a table, and the scatter of gradients onto them.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

void KERNEL_NAME(embedding)(float *y, const float *table, const int32_t *ids, int64_t rows,
                            int64_t width)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(y + i * width, table + ids[i] * width, (size_t)width * sizeof *y);
}

size_t KERNEL_NAME(embedding_grad_scratch_bytes)(int64_t rows, int64_t vocabulary)
{
    return (size_t)(rows + vocabulary) * sizeof(int32_t);
}

// Sums of rows stay in registers: a token that occurs often costs its row once.
LANES_INLINE void add_rows(const struct embedding_grad *e, int32_t row, const int32_t *next,
                           int64_t first, int64_t last)
{
    for (int64_t j = first; j < last; j += LANES) {
        int64_t some = lanes_left(j, last);
        float *to = e->dtable + e->ids[row] * e->width + j;
        lanes sum = lanes_zero();
        for (int32_t i = row; i >= 0; i = next[i])
            sum = lanes_add(sum, lanes_load_some(e->dy + i * e->width + j, some));
        if (e->sum) sum = lanes_add(lanes_load_some(to, some), sum);
        lanes_store_some(to, sum, some);
    }
}

void KERNEL_NAME(embedding_grad)(const struct embedding_grad *e, int64_t first, int64_t last,
                                 void *scratch)
{
    if (first >= last) return;
    size_t bytes = (size_t)(last - first) * sizeof *e->dtable;
    if (!e->sum && last - first == e->width)
        memset(e->dtable, 0, bytes * (size_t)e->vocabulary);
    else if (!e->sum)
        for (int64_t id = 0; id < e->vocabulary; id++)
            memset(e->dtable + id * e->width + first, 0, bytes);
    // Rows of one id are chained upwards, from the first.
    int32_t *row_of = scratch, *next = row_of + e->vocabulary;
    memset(row_of, 0xff, (size_t)e->vocabulary * sizeof *row_of);
    for (int64_t i = e->rows - 1; i >= 0; i--) {
        next[i] = row_of[e->ids[i]];
        row_of[e->ids[i]] = (int32_t)i;
    }
    for (int64_t i = 0; i < e->rows; i++)
        if (row_of[e->ids[i]] == i) add_rows(e, (int32_t)i, next, first, last);
}
