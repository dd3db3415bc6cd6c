// SPDX-License-Identifier: Apache-2.0
// The CPU backend: the best row of the table for the instruction set that isa_choose() names. An
// operation that has no row yet runs by its definition, with a warning: that is slow, and the C
// library's functions in it may give other bits elsewhere.
#include "backend/cpu/table.h"
#include "backend/registry.h"
#include "base/log.h"

#include <stdatomic.h>

static enum status choose(const struct backend *backend, const struct value *v,
                          const struct program_options *options, struct step *step)
{
    (void)backend;
    enum isa isa;
    TRY(isa_choose(&isa));
    const struct cpu_row *row = cpu_row_find(v->op, isa, options->precision);
    if (!row) {
        static atomic_flag warned = ATOMIC_FLAG_INIT;
        if (!atomic_flag_test_and_set(&warned))
            log_warning("operation %s has no CPU kernel: its definition is used, which is slow and "
                        "not exact between machines",
                        v->op->name);
        step->launch = launch_reference;
        return STATUS_OK;
    }
    cpu_row_use(row, v, options->threads, step);
    return STATUS_OK;
}

const struct backend cpu_backend = {.name = "cpu", .choose = choose};
