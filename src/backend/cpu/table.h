// SPDX-License-Identifier: Apache-2.0
// The table of CPU kernels: one row says that `kernel` computes `op` with an instruction set,
// through `launch`.
//
// Rows of one operation stand best first; the first that the chosen instruction set can run is
// taken. A faster kernel is one more row. Tests compare every row with the operation's reference.
#ifndef STN_BACKEND_CPU_TABLE_H
#define STN_BACKEND_CPU_TABLE_H

#include "backend/backend.h"
#include "base/cpu.h"

struct cpu_row {
    const struct op *op;
    enum isa isa;
    enum precision precision; // of its products; what has none is FLOAT32
    void (*launch)(const struct step *step, const struct part *part);
    kernel_function kernel;
    // (optional) scratch for v by so many threads; `sizes` is the kernel that tells its bytes for the
    // same instruction set.
    struct scratch (*scratch)(const struct value *v, kernel_function sizes, int threads);
    kernel_function sizes;
    // (optional) the weight that v would read packed, by `pack`, in packed_bytes; in up to MAX_PACKINGS orders.
    void (*packing)(const struct value *v, const struct cpu_row *row, struct packing *packing);
    kernel_function pack, packed_bytes;
    kernel_function pack_range; // of bf16 and bf16x3
    // Largest difference from the reference over the largest magnitude of its output, or over 0.1
    // where that is less: the inputs of test cases are about 1, and what cancels between them
    // leaves errors of their size.
    double tolerance;
};
extern const struct cpu_row cpu_table[];
extern const int cpu_table_rows;

// The first row for an operation that `isa` can run, with products of `precision` where it has such rows; or NULL.
const struct cpu_row *cpu_row_find(const struct op *op, enum isa isa, enum precision precision);
// Fills launch, kernel, scratch and packing of `step` for a team of `threads`.
void cpu_row_use(const struct cpu_row *row, const struct value *v, int threads, struct step *step);
#endif
