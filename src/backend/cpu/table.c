// SPDX-License-Identifier: Apache-2.0
// Operation -> kernels, best first. LANES_ROWS(operation, kernel, tolerance) stands for one row per
// instruction set that kernels over 16 lanes are compiled for, launched by launch_<operation>.
// SCRATCH_ROWS(operation, kernel, sizes, tolerance) adds scratch_<operation> and
// <sizes>_scratch_bytes. PRODUCT_ROWS, PRECISE_PRODUCT_ROWS and PRECISION_ROWS (AMX too) add packing_<operation>,
// <product>_pack and <product>_packed_bytes.
#include "backend/cpu/table.h"

#include "backend/cpu/launch.h"

// Of each, one row: SET is an enum isa, isa_name what kernels' names end with.
#define LANES_ROW(SET, isa_name, name, kernel_name, bound)                                         \
    {.op = &name##_op,                                                                             \
     .isa = (SET),                                                                                 \
     .launch = launch_##name,                                                                      \
     .kernel = (kernel_function)kernel_name##_##isa_name,                                          \
     .tolerance = (bound)},
#define SCRATCH_ROW(SET, isa_name, name, kernel_name, sizes_name, products, bound)                 \
    {.op = &name##_op,                                                                             \
     .isa = (SET),                                                                                 \
     .launch = launch_##name,                                                                      \
     .kernel = (kernel_function)kernel_name##_##isa_name,                                          \
     .scratch = scratch_##name,                                                                    \
     .sizes = (kernel_function)sizes_name##_scratch_bytes_##isa_name,                              \
     .tolerance = (bound),                                                                         \
     .precision = (products)},
#define PRODUCT_ROW(SET, isa_name, name, product, products, bound)                                 \
    PACKED_ROW(SET, isa_name, name, product, product, products, bound, NULL)
#define PRECISE_ROW(SET, isa_name, name, kernel_name, product, products, bound)                    \
    PACKED_ROW(SET, isa_name, name, kernel_name, product, products, bound,                         \
               (kernel_function)product##_pack_range_##isa_name)
#define PACKED_ROW(SET, isa_name, name, kernel_name, product, products, bound, range)              \
    {.op = &name##_op,                                                                             \
     .isa = (SET),                                                                                 \
     .launch = launch_##name,                                                                      \
     .kernel = (kernel_function)kernel_name##_##isa_name,                                          \
     .scratch = scratch_##name,                                                                    \
     .sizes = (kernel_function)kernel_name##_scratch_bytes_##isa_name,                             \
     .packing = packing_##name,                                                                    \
     .pack = (kernel_function)product##_pack_##isa_name,                                           \
     .pack_range = (range),                                                                        \
     .packed_bytes = (kernel_function)product##_packed_bytes_##isa_name,                           \
     .tolerance = (bound),                                                                         \
     .precision = (products)},

#if defined(__x86_64__)
#    define EACH_SET(ROW, ...)                                                                     \
        ROW(ISA_AVX512, avx512, __VA_ARGS__)                                                       \
        ROW(ISA_AVX2, avx2, __VA_ARGS__) ROW(ISA_GENERIC, generic, __VA_ARGS__)
#elif defined(__aarch64__)
#    define EACH_SET(ROW, ...)                                                                     \
        ROW(ISA_NEON, neon, __VA_ARGS__) ROW(ISA_GENERIC, generic, __VA_ARGS__)
#else
#    define EACH_SET(ROW, ...) ROW(ISA_GENERIC, generic, __VA_ARGS__)
#endif
#if defined(HAVE_AMX)
#    define EACH_TILE_SET(ROW, ...) ROW(ISA_AMX, amx, __VA_ARGS__) EACH_SET(ROW, __VA_ARGS__)
#else
#    define EACH_TILE_SET EACH_SET
#endif
#define LANES_ROWS(name, kernel, bound) EACH_SET(LANES_ROW, name, kernel, bound)
#define SCRATCH_ROWS(name, kernel, sizes, bound)                                                   \
    EACH_SET(SCRATCH_ROW, name, kernel, sizes, PRECISION_FLOAT32, bound)
#define TILE_SCRATCH_ROWS(name, kernel, sizes, precision, bound)                                   \
    EACH_TILE_SET(SCRATCH_ROW, name, kernel, sizes, precision, bound)
#define PRODUCT_ROWS(name, bound) EACH_SET(PRODUCT_ROW, name, product, PRECISION_FLOAT32, bound)
#define PRECISE_PRODUCT_ROWS(name, product, precision, bound)                                      \
    EACH_TILE_SET(PRECISE_ROW, name, product, product, precision, bound)
#define PRECISION_ROWS(name, kernel, product, precision, bound)                                    \
    EACH_TILE_SET(PRECISE_ROW, name, kernel, product, precision, bound)

// So little work that plain C in the launch serves all instruction sets.
#define PLAIN_ROW(name, bound)                                                                     \
    {.op = &name##_op, .isa = ISA_GENERIC, .launch = launch_##name, .tolerance = (bound)},

// One line each.
// clang-format off
const struct cpu_row cpu_table[] = {
    LANES_ROWS(add, add, 0)
    LANES_ROWS(scale, scale, 0)
    LANES_ROWS(multiply, scale, 0)
    LANES_ROWS(dot, dot, 1e-6)
    {.op = &ones_op, .isa = ISA_GENERIC, .launch = launch_ones},
    LANES_ROWS(embedding, embedding, 0)
    SCRATCH_ROWS(embedding_grad, embedding_grad, embedding_grad, 0)
    PRODUCT_ROWS(linear, 1e-6)
    PRODUCT_ROWS(linear_grad_input, 1e-6)
    PRODUCT_ROWS(linear_grad_weight, 1e-6)
    PRECISE_PRODUCT_ROWS(linear, product_bf16, PRECISION_BF16, 2e-2)
    PRECISE_PRODUCT_ROWS(linear, product_bf16x3, PRECISION_BF16X3, 5e-5)
    PRECISE_PRODUCT_ROWS(linear_grad_input, product_bf16, PRECISION_BF16, 2e-2)
    PRECISE_PRODUCT_ROWS(linear_grad_input, product_bf16x3, PRECISION_BF16X3, 5e-5)
    PRECISE_PRODUCT_ROWS(linear_grad_weight, product_bf16, PRECISION_BF16, 2e-2)
    PRECISE_PRODUCT_ROWS(linear_grad_weight, product_bf16x3, PRECISION_BF16X3, 5e-5)
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
    TILE_SCRATCH_ROWS(attention, attention_bf16, attention_bf16, PRECISION_BF16, 2e-2)
    TILE_SCRATCH_ROWS(attention_grad, attention_grad_bf16, attention_bf16, PRECISION_BF16, 2e-2)
    SCRATCH_ROWS(attention_cached, attention_cached, attention, 3e-6)
    SCRATCH_ROWS(attention_beams, attention_beams, attention, 3e-6)
    LANES_ROWS(log_softmax, log_softmax, 2e-6)
    SCRATCH_ROWS(recurrent, recurrent, recurrent, 4e-6)
    SCRATCH_ROWS(recurrent_grad, recurrent_grad, recurrent, 2e-6)
    SCRATCH_ROWS(recurrent_cached, recurrent, recurrent, 4e-6)
    SCRATCH_ROWS(cross_attention, cross_attention, cross_attention, 1e-6)
    SCRATCH_ROWS(cross_attention_grad, cross_attention_grad, cross_attention, 2e-6)
    LANES_ROWS(additive_scores, additive_scores, 2e-6)
    LANES_ROWS(additive_scores_grad, additive_scores_grad, 2e-6)
    SCRATCH_ROWS(mix, mix, cross_attention, 1e-6)
    SCRATCH_ROWS(mix_grad, mix_grad, cross_attention, 2e-6)
    LANES_ROWS(score_loss, score_loss, 2e-6)
    LANES_ROWS(class_loss, score_loss, 2e-6)
    PLAIN_ROW(pool, 1e-6)
    PLAIN_ROW(pool_grad, 0)
    PLAIN_ROW(window, 0)
    PLAIN_ROW(window_grad, 1e-6)
    PLAIN_ROW(batch_norm, 3e-6)
    PLAIN_ROW(batch_norm_grad, 1e-5)
    PLAIN_ROW(batch_norm_running, 2e-6)
    PLAIN_ROW(sinusoid, 1e-6)
    PLAIN_ROW(drift, 0)
    PLAIN_ROW(recurrent_previous, 0)
    PLAIN_ROW(add_row, 0)
    PLAIN_ROW(concat, 0)
    PLAIN_ROW(slice, 0)
    PLAIN_ROW(place, 0)
    PLAIN_ROW(reshape, 0)
    SCRATCH_ROWS(output_loss, output_loss, output_loss, 2e-6)
    PRECISION_ROWS(output_loss, output_loss_bf16, product_bf16, PRECISION_BF16, 2e-2)
    PRECISION_ROWS(output_loss, output_loss_bf16x3, product_bf16x3, PRECISION_BF16X3, 5e-5)
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
    if (row->packing) row->packing(v, row, step->packing);
}
