// SPDX-License-Identifier: Apache-2.0
// Linear layers as products: both layouts of w, and both gradients, are one kernel with other
// strides.
#include "backend/cpu/launch.h"

static const struct linear_attributes *attributes_of(const struct value *v)
{
    return v->attributes;
}

// y = x · w + bias: rows × out, over in.
static struct product forward(const struct value *v)
{
    bool out_in = attributes_of(v)->layout == LAYOUT_OUT_IN;
    int64_t in = shape_last(v->input[0]->shape), out = shape_last(v->shape);
    return (struct product){.rows = shape_rows(v->shape),
                            .cols = out,
                            .depth = in,
                            .a_row = in,
                            .a_depth = 1,
                            .b_depth = out_in ? 1 : out,
                            .b_col = out_in ? in : 1,
                            .c_row = out,
                            .activation = attributes_of(v)->activation};
}

// dx = dy · w transposed: rows × in, over out.
static struct product grad_input(const struct value *v)
{
    bool out_in = attributes_of(v)->layout == LAYOUT_OUT_IN;
    int64_t in = shape_last(v->shape), out = shape_last(v->input[0]->shape);
    return (struct product){.rows = shape_rows(v->shape),
                            .cols = in,
                            .depth = out,
                            .a_row = out,
                            .a_depth = 1,
                            .b_depth = out_in ? in : 1,
                            .b_col = out_in ? 1 : out,
                            .c_row = in};
}

// dw in w's layout: dy transposed · x is [out, in], x transposed · dy is [in, out]; over rows.
static struct product grad_weight(const struct value *v)
{
    int64_t rows = v->shape.size[0], cols = v->shape.size[1];
    return (struct product){.rows = rows,
                            .cols = cols,
                            .depth = shape_rows(v->input[0]->shape),
                            .a_row = 1,
                            .a_depth = rows,
                            .b_depth = cols,
                            .b_col = 1,
                            .c_row = cols};
}

// ---- packed weights ----
static struct product packed_operand(const struct packing *packing, const real *weight)
{
    return (struct product){.cols = packing->cols,
                            .depth = packing->depth,
                            .b = weight,
                            .b_depth = packing->b_depth,
                            .b_col = packing->b_col};
}

static void fill_packed(const struct packing *packing, const real *weight, void *packed,
                        int64_t first, int64_t cols)
{
    const struct product product = packed_operand(packing, weight);
    ((__typeof__(&product_pack_generic))packing->pack)(packed, &product, first, cols);
}

static void write_packed(const struct packing *packing, const real *weight, void *packed,
                         int64_t first, int64_t last)
{
    const struct product product = packed_operand(packing, weight);
    ((__typeof__(&product_bf16_pack_range_generic))packing->pack_range)(packed, &product, first,
                                                                        last);
}

struct packing packing_of(const struct value *weight, const struct cpu_row *row,
                          const struct product *product)
{
    bool in_order = row->precision == PRECISION_FLOAT32 && product->b_col == 1;
    if (weight->storage != STORAGE_PARAMETER || in_order) return (struct packing){0};
    return (struct packing){
        .fill = fill_packed,
        .write = row->pack_range ? write_packed : NULL,
        .band = product_bf16_band(product),
        .pack_range = row->pack_range,
        .pack = row->pack,
        .sizes = row->packed_bytes,
        .weight = weight,
        .cols = product->cols,
        .depth = product->depth,
        .b_depth = product->b_depth,
        .b_col = product->b_col,
        .unit = PRODUCT_PANEL,
        .bytes = ((__typeof__(&product_packed_bytes_generic))row->packed_bytes)(product->cols,
                                                                                product->depth),
        .spare = row->isa != ISA_AMX || row->precision != PRECISION_BF16,
    };
}

void packing_linear(const struct value *v, const struct cpu_row *row, struct packing *packing)
{
    struct product product = forward(v);
    packing[0] = packing_of(v->input[1], row, &product);
}
void packing_linear_grad_input(const struct value *v, const struct cpu_row *row,
                               struct packing *packing)
{
    struct product product = grad_input(v);
    packing[0] = packing_of(v->input[1], row, &product);
}

void packing_linear_grad_weight(const struct value *v, const struct cpu_row *row,
                                struct packing *packing)
{
    (void)v, (void)row, (void)packing;
}

// ---- launches ----
// This part of it.
static void product_run(const struct step *step, struct product *product, const struct part *part)
{
    product->packed = step->packed[0];
    product_take_part(product, part,
                      (__typeof__(&product_packed_bytes_generic))step->packing[0].sizes);
    KERNEL_OF(step, product)(product, step_part_scratch(step, part));
}

void launch_linear(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct product product = forward(call->value);
    product.a = call->input[0];
    product.b = call->input[1];
    product.bias = call->input[2];
    product.c = call->output[0];
    product.before = call->output[1];
    product.residual = call->input[3];
    product_run(step, &product, part);
}

void launch_linear_grad_input(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct product product = grad_input(call->value);
    product.a = call->input[0];
    product.b = call->input[1];
    product.c = call->output[0];
    product_run(step, &product, part);
}

void launch_linear_grad_weight(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct product product = grad_weight(call->value);
    bool out_in = attributes_of(call->value)->layout == LAYOUT_OUT_IN;
    product.a = call->input[out_in ? 1 : 0];
    product.b = call->input[out_in ? 0 : 1];
    product.c = call->output[0];
    product_run(step, &product, part);
}

// Of the whole, which is enough for any part of it.
static struct scratch scratch_product(struct product product, kernel_function sizes)
{
    return (struct scratch){
        .each = ((__typeof__(&product_scratch_bytes_generic))sizes)(product.rows, product.cols,
                                                                    product.depth),
    };
}

struct scratch scratch_linear(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return scratch_product(forward(v), sizes);
}
struct scratch scratch_linear_grad_input(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return scratch_product(grad_input(v), sizes);
}
struct scratch scratch_linear_grad_weight(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return scratch_product(grad_weight(v), sizes);
}
