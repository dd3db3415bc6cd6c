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

// Rows add in order, so a token that occurs twice sums the same way whoever computes it.
void KERNEL_NAME(embedding_grad)(float *dtable, const int32_t *ids, const float *dy, int64_t rows,
                                 int64_t width, int64_t vocabulary, int64_t first, int64_t last)
{
    if (first >= last) return;
    size_t bytes = (size_t)(last - first) * sizeof *dtable;
    if (last - first == width)
        memset(dtable, 0, bytes * (size_t)vocabulary);
    else
        for (int64_t id = 0; id < vocabulary; id++) memset(dtable + id * width + first, 0, bytes);
    for (int64_t i = 0; i < rows; i++) {
        const float *from = dy + i * width;
        float *to = dtable + ids[i] * width;
        for (int64_t j = first; j < last; j += LANES) {
            int64_t some = lanes_left(j, last);
            lanes sum = lanes_add(lanes_load_some(to + j, some), lanes_load_some(from + j, some));
            lanes_store_some(to + j, sum, some);
        }
    }
}
