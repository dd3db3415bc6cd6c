// SPDX-License-Identifier: Apache-2.0
// The CPU backend: the best row of the table for the instruction set that isa_choose() names.
#include "backend/cpu/table.h"
#include "backend/registry.h"

static enum status choose(const struct backend *backend, const struct value *v, struct step *step,
                          size_t *scratch_bytes_p)
{
    enum isa isa;
    TRY(isa_choose(&isa));
    const struct cpu_row *row = cpu_row_find(v->op, isa);
    char shape[64];
    if (!row)
        FAIL(STATUS_UNSUPPORTED, "backend %s has no kernel for %s %s", backend->name, v->op->name,
             shape_print(v->shape, shape));
    *scratch_bytes_p = cpu_row_use(row, v, step);
    return STATUS_OK;
}

const struct backend cpu_backend = {.name = "cpu", .choose = choose};
