// SPDX-License-Identifier: Apache-2.0
// Operation -> kernels, best first. LANES_ROWS(operation, kernel, tolerance) stands for one row per
// instruction set that kernels over 16 lanes are compiled for, launched by launch_<operation>.
// SCRATCH_ROWS(operation, kernel, sizes, tolerance) adds scratch_<operation> and
// <sizes>_scratch_bytes.
#include "backend/cpu/table.h"

#include "backend/cpu/launch.h"

#define LANES_ROW(name, set, function, bound)                                                      \
    {&name##_op, set,  launch_##name, (kernel_function)(function),                                 \
     NULL,       NULL, bound,         PRECISION_FLOAT32},
#define PRECISE_ROW(name, set, function, sizes_of, bound, precision)                               \
    {&name##_op,     set,                                                                          \
     launch_##name,  (kernel_function)(function),                                                  \
     scratch_##name, (kernel_function)(sizes_of),                                                  \
     bound,          precision},
#define SCRATCH_ROW(name, set, function, sizes_of, bound)                                          \
    PRECISE_ROW(name, set, function, sizes_of, bound, PRECISION_FLOAT32)
// PRECISION_ROWS(operation, kernel, precision, tolerance): the same, with AMX's.
#define PRECISION_ROW(name, set, suffix, kernel, precision, bound)                                 \
    PRECISE_ROW(name, set, kernel##_##suffix, kernel##_scratch_bytes_##suffix, bound, precision)
#if defined(HAVE_AMX)
#    define AMX_ROW(name, kernel, precision, bound)                                                \
        PRECISION_ROW(name, ISA_AMX, amx, kernel, precision, bound)
#else
#    define AMX_ROW(name, kernel, precision, bound)
#endif

#define LANES_GENERIC(name, kernel, bound) LANES_ROW(name, ISA_GENERIC, kernel##_generic, bound)
#define SCRATCH_GENERIC(name, kernel, sizes, bound)                                                \
    SCRATCH_ROW(name, ISA_GENERIC, kernel##_generic, sizes##_scratch_bytes_generic, bound)
#define PRECISION_GENERIC(name, kernel, precision, bound)                                          \
    PRECISION_ROW(name, ISA_GENERIC, generic, kernel, precision, bound)
#if defined(__x86_64__)
#    define LANES_ROWS(name, kernel, bound)                                                        \
        LANES_ROW(name, ISA_AVX512, kernel##_avx512, bound)                                        \
        LANES_ROW(name, ISA_AVX2, kernel##_avx2, bound)                                            \
        LANES_GENERIC(name, kernel, bound)
#    define SCRATCH_ROWS(name, kernel, sizes, bound)                                               \
        SCRATCH_ROW(name, ISA_AVX512, kernel##_avx512, sizes##_scratch_bytes_avx512, bound)        \
        SCRATCH_ROW(name, ISA_AVX2, kernel##_avx2, sizes##_scratch_bytes_avx2, bound)              \
        SCRATCH_GENERIC(name, kernel, sizes, bound)
#    define PRECISION_ROWS(name, kernel, precision, bound)                                         \
        AMX_ROW(name, kernel, precision, bound)                                                    \
        PRECISION_ROW(name, ISA_AVX512, avx512, kernel, precision, bound)                          \
        PRECISION_ROW(name, ISA_AVX2, avx2, kernel, precision, bound)                              \
        PRECISION_GENERIC(name, kernel, precision, bound)
#elif defined(__aarch64__)
#    define LANES_ROWS(name, kernel, bound)                                                        \
        LANES_ROW(name, ISA_NEON, kernel##_neon, bound)                                            \
        LANES_GENERIC(name, kernel, bound)
#    define SCRATCH_ROWS(name, kernel, sizes, bound)                                               \
        SCRATCH_ROW(name, ISA_NEON, kernel##_neon, sizes##_scratch_bytes_neon, bound)              \
        SCRATCH_GENERIC(name, kernel, sizes, bound)
#    define PRECISION_ROWS(name, kernel, precision, bound)                                         \
        PRECISION_ROW(name, ISA_NEON, neon, kernel, precision, bound)                              \
        PRECISION_GENERIC(name, kernel, precision, bound)
#else
#    define LANES_ROWS     LANES_GENERIC
#    define SCRATCH_ROWS   SCRATCH_GENERIC
#    define PRECISION_ROWS PRECISION_GENERIC
#endif

// One line each.
// clang-format off
const struct cpu_row cpu_table[] = {
    LANES_ROWS(add, add, 0)
    LANES_ROWS(scale, scale, 0)
    LANES_ROWS(dot, dot, 1e-6)
    LANES_ROW(ones, ISA_GENERIC, NULL, 0)
    LANES_ROWS(embedding, embedding, 0)
    LANES_ROWS(embedding_grad, embedding_grad, 0)
    SCRATCH_ROWS(linear, product, product, 1e-6)
    SCRATCH_ROWS(linear_grad_input, product, product, 1e-6)
    SCRATCH_ROWS(linear_grad_weight, product, product, 1e-6)
    PRECISION_ROWS(linear, product_bf16, PRECISION_BF16, 2e-2)
    PRECISION_ROWS(linear, product_bf16x3, PRECISION_BF16X3, 5e-5)
    PRECISION_ROWS(linear_grad_input, product_bf16, PRECISION_BF16, 2e-2)
    PRECISION_ROWS(linear_grad_input, product_bf16x3, PRECISION_BF16X3, 5e-5)
    PRECISION_ROWS(linear_grad_weight, product_bf16, PRECISION_BF16, 2e-2)
    PRECISION_ROWS(linear_grad_weight, product_bf16x3, PRECISION_BF16X3, 5e-5)
    LANES_ROWS(column_sum, column_sum, 0)
    LANES_ROWS(activation, activation, 1e-6)
    LANES_ROWS(activation_grad, activation_grad, 1e-6)
    LANES_ROWS(swiglu, swiglu, 1e-6)
    LANES_ROWS(swiglu_grad, swiglu_grad, 1e-6)
    LANES_ROWS(layer_norm, layer_norm, 1e-6)
    SCRATCH_ROWS(layer_norm_grad, layer_norm_grad, norm_grad, 1e-6)
    LANES_ROWS(rms_norm, rms_norm, 1e-6)
    SCRATCH_ROWS(rms_norm_grad, rms_norm_grad, norm_grad, 2e-6)
    LANES_ROWS(dropout, dropout, 0)
    SCRATCH_ROWS(attention, attention, attention, 1e-6)
    SCRATCH_ROWS(attention_grad, attention_grad, attention, 1e-6)
    SCRATCH_ROWS(attention_cached, attention_cached, attention, 3e-6)
    SCRATCH_ROWS(output_loss, output_loss, output_loss, 2e-6)
    PRECISION_ROWS(output_loss, output_loss_bf16, PRECISION_BF16, 2e-2)
    PRECISION_ROWS(output_loss, output_loss_bf16x3, PRECISION_BF16X3, 5e-5)
};
// clang-format on
const int cpu_table_rows = sizeof cpu_table / sizeof *cpu_table;

// Every instruction set runs generic code, and AMX's machines AVX-512's; otherwise rows are for one
// exactly, so that STENTOR_ISA means what it says.
static bool runs(enum isa isa, const struct cpu_row *row)
{
    return row->isa == isa || row->isa == isa_lanes(isa) || row->isa == ISA_GENERIC;
}

const struct cpu_row *cpu_row_find(const struct op *op, enum isa isa, enum precision precision)
{
    const struct cpu_row *float32 = NULL;
    for (int i = 0; i < cpu_table_rows; i++) {
        const struct cpu_row *row = &cpu_table[i];
        if (row->op != op || !runs(isa, row)) continue;
        if (row->precision == precision) return row;
        if (row->precision == PRECISION_FLOAT32 && !float32) float32 = row;
    }
    return float32;
}

void cpu_row_use(const struct cpu_row *row, const struct value *v, int threads, struct step *step)
{
    step->launch = row->launch;
    step->kernel = row->kernel;
    step->scratch = row->scratch ? row->scratch(v, row->sizes, threads) : (struct scratch){0, 0};
}
