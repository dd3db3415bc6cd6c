// SPDX-License-Identifier: Apache-2.0
// One thread's part of a product: some of the rows or of the columns of C, never of the sums.
#ifndef STN_KERNEL_CPU_PRODUCT_PART_H
#define STN_KERNEL_CPU_PRODUCT_PART_H

#include "base/team.h"
#include "kernel/cpu/kernels.h"

// Rows of a part are whole tiles of 4, 6 and 14 rows.
enum { PRODUCT_ROWS = 84 };

static inline void product_take_rows(struct product *p, struct range r)
{
    p->a += r.first * p->a_row;
    p->c += r.first * p->c_row;
    if (p->before) p->before += r.first * p->c_row;
    if (p->residual) p->residual += r.first * p->c_row;
    p->rows = r.last - r.first;
}

// packed_bytes: product_packed_bytes of the kernel's instruction set, for a product with packed B; else NULL.
static inline void product_take_columns(struct product *p, struct range r,
                                        size_t (*packed_bytes)(int64_t cols, int64_t depth))
{
    p->b += r.first * p->b_col;
    if (p->packed) p->packed = (const char *)p->packed + packed_bytes(r.first, p->depth);
    p->c += r.first;
    if (p->bias) p->bias += r.first;
    if (p->before) p->before += r.first;
    if (p->residual) p->residual += r.first;
    p->cols = r.last - r.first;
}

// Leaves of p what `part` computes; a part may be left without any. Every part reads all of the operand that is not cut: the longer
// side is cut, but for a packed B, which costs nothing to read twice.
static inline void product_take_part(struct product *p, const struct part *part,
                                     size_t (*packed_bytes)(int64_t cols, int64_t depth))
{
    if (part->count == 1) return;
    bool rows_do = p->rows >= (int64_t)part->count * PRODUCT_ROWS;
    if (rows_do && (p->packed || p->rows >= p->cols))
        product_take_rows(p, part_range(part, p->rows, PRODUCT_ROWS));
    else
        product_take_columns(p, part_range(part, p->cols, PRODUCT_PANEL), packed_bytes);
}
#endif
