// SPDX-License-Identifier: Apache-2.0
// Launch adapters: they unpack a call into the plain arguments of kernel/cpu/kernels.h.
#ifndef STN_BACKEND_CPU_LAUNCH_H
#define STN_BACKEND_CPU_LAUNCH_H

#include "backend/cpu/table.h"
#include "base/philox.h"
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/product_part.h"

// The step's kernel with the type of the kernel `name`.
#define KERNEL_OF(step, name) ((__typeof__(&name##_generic))(step)->kernel)

// Parts of columns are whole cache lines and groups of lanes.
enum { COLUMN_UNIT = 32 };

// ---- launch_elementwise.c ----
void launch_add(const struct step *step, const struct part *part);
void launch_scale(const struct step *step, const struct part *part);
void launch_multiply(const struct step *step, const struct part *part);
void launch_dot(const struct step *step, const struct part *part);
void launch_ones(const struct step *step, const struct part *part);
void launch_activation(const struct step *step, const struct part *part);
void launch_activation_grad(const struct step *step, const struct part *part);
void launch_swiglu(const struct step *step, const struct part *part);
void launch_swiglu_grad(const struct step *step, const struct part *part);
void launch_column_sum(const struct step *step, const struct part *part);
void launch_dropout(const struct step *step, const struct part *part);
// ---- launch_embedding.c, launch_norm.c ----
void launch_embedding(const struct step *step, const struct part *part);
void launch_embedding_grad(const struct step *step, const struct part *part);
struct scratch scratch_embedding_grad(const struct value *v, kernel_function sizes, int threads);
void launch_layer_norm(const struct step *step, const struct part *part);
void launch_layer_norm_grad(const struct step *step, const struct part *part);
void launch_rms_norm(const struct step *step, const struct part *part);
void launch_rms_norm_grad(const struct step *step, const struct part *part);
struct scratch scratch_layer_norm_grad(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_rms_norm_grad(const struct value *v, kernel_function sizes, int threads);
// ---- launch_product.c ----
void launch_linear(const struct step *step, const struct part *part);
void launch_linear_grad_input(const struct step *step, const struct part *part);
void launch_linear_grad_weight(const struct step *step, const struct part *part);
struct scratch scratch_linear(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_linear_grad_input(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_linear_grad_weight(const struct value *v, kernel_function sizes,
                                          int threads);
// What of a layer's weight is worth a copy. In float32, what would have to be turned to be packed: columns that are dense, small
// products read in place, and large ones copy in order. In other precisions all, since it has to be rounded. Copies are spare
// but for bf16 on tiles, which compute so fast that packing is felt in products of any size.
void packing_linear(const struct value *v, const struct cpu_row *row, struct packing *packing);
void packing_linear_grad_input(const struct value *v, const struct cpu_row *row,
                               struct packing *packing);
void packing_linear_grad_weight(const struct value *v, const struct cpu_row *row,
                                struct packing *packing); // none
// Of an operand B of `product` (sizes and strides) that is the value `weight`.
struct packing packing_of(const struct value *weight, const struct cpu_row *row,
                          const struct product *product);
// ---- launch_attention.c ----
void launch_attention(const struct step *step, const struct part *part);
void launch_attention_grad(const struct step *step, const struct part *part);
void launch_attention_cached(const struct step *step, const struct part *part);
void launch_attention_beams(const struct step *step, const struct part *part);
struct scratch scratch_attention_beams(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_attention(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_attention_grad(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_attention_cached(const struct value *v, kernel_function sizes, int threads);
// ---- launch_recurrent.c ----
void launch_recurrent(const struct step *step, const struct part *part);
void launch_recurrent_grad(const struct step *step, const struct part *part);
void launch_recurrent_previous(const struct step *step, const struct part *part);
void launch_recurrent_cached(const struct step *step, const struct part *part);
struct scratch scratch_recurrent(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_recurrent_grad(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_recurrent_cached(const struct value *v, kernel_function sizes, int threads);
// ---- launch_cross_attention.c ----
void launch_cross_attention(const struct step *step, const struct part *part);
void launch_cross_attention_grad(const struct step *step, const struct part *part);
struct scratch scratch_cross_attention(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_cross_attention_grad(const struct value *v, kernel_function sizes,
                                            int threads);
void launch_additive_scores(const struct step *step, const struct part *part);
void launch_additive_scores_grad(const struct step *step, const struct part *part);
void launch_mix(const struct step *step, const struct part *part);
void launch_mix_grad(const struct step *step, const struct part *part);
struct scratch scratch_mix(const struct value *v, kernel_function sizes, int threads);
struct scratch scratch_mix_grad(const struct value *v, kernel_function sizes, int threads);
// ---- launch_rows.c ----
void launch_score_loss(const struct step *step, const struct part *part);
void launch_log_softmax(const struct step *step, const struct part *part);
void launch_class_loss(const struct step *step, const struct part *part);
void launch_add_row(const struct step *step, const struct part *part);
void launch_pool(const struct step *step, const struct part *part);
void launch_pool_grad(const struct step *step, const struct part *part);
void launch_window(const struct step *step, const struct part *part);
void launch_window_grad(const struct step *step, const struct part *part);
void launch_batch_norm(const struct step *step, const struct part *part);
void launch_batch_norm_grad(const struct step *step, const struct part *part);
void launch_batch_norm_running(const struct step *step, const struct part *part);
void launch_sinusoid(const struct step *step, const struct part *part);
void launch_drift(const struct step *step, const struct part *part);
// ---- launch_columns.c: copies, the same for every instruction set ----
void launch_concat(const struct step *step, const struct part *part);
void launch_slice(const struct step *step, const struct part *part);
void launch_place(const struct step *step, const struct part *part);
void launch_reshape(const struct step *step, const struct part *part);
// ---- launch_output_loss.c ----
void launch_output_loss(const struct step *step, const struct part *part);
void packing_output_loss(const struct value *v, const struct cpu_row *row, struct packing *packing);
struct scratch scratch_output_loss(const struct value *v, kernel_function sizes, int threads);

// The kernels' description of a dropout operation.
static inline struct dropout dropout_of(const void *random, double rate, uint32_t operation)
{
    return (struct dropout){.rate = random ? rate : 0,
                            .stream = philox_stream(PHILOX_DROPOUT, operation),
                            .random = random};
}
#endif
