// SPDX-License-Identifier: Apache-2.0
#include "parallel/gradients.h"

#include "parallel/update_kernels.h"

#include <string.h>

enum status gradients_create(struct gradients *gradients, int64_t elements, int buffers,
                             enum isa isa)
{
    struct block memory = {0};
    if (buffers > 0) {
        size_t bytes =
            checked_multiply(checked_multiply((size_t)elements, sizeof(float)), (size_t)buffers);
        TRY(block_create(bytes, "gradients", &memory));
    }
    *gradients = (struct gradients){.memory = memory,
                                    .data = memory.data,
                                    .elements = elements,
                                    .buffers = buffers,
                                    .isa = isa};
    return STATUS_OK;
}

enum status gradients_create_spare(struct gradients *gradients, int64_t elements, enum isa isa)
{
    struct block memory = {0};
    TRY(block_create_sparse(checked_multiply((size_t)elements, sizeof(float)), "gradients",
                            &memory));
    *gradients = (struct gradients){
        .memory = memory, .data = memory.data, .elements = elements, .buffers = 1, .isa = isa};
    return STATUS_OK;
}

// NOLINTNEXTLINE(readability-non-const-parameter): kept, and written to later
void gradients_borrow(struct gradients *gradients, float *data, int64_t elements, enum isa isa)
{
    *gradients = (struct gradients){.data = data, .elements = elements, .buffers = 1, .isa = isa};
}

void gradients_release(struct gradients *gradients) { block_destroy(&gradients->memory); }

float *gradients_buffer(const struct gradients *gradients, int buffer)
{
    INVARIANT(buffer >= 0 && buffer < gradients->buffers, "gradient buffer %d of %d", buffer,
              gradients->buffers);
    return gradients->data + buffer * gradients->elements;
}

void gradients_begin(struct gradients *gradients, int first, int last, int leaf, int64_t which,
                     int64_t count)
{
    struct fold fold = run_fold(first, last, leaf);
    int n = 0;
    // The leaf is complete with its last micro-batch: only then does it merge with its siblings, the largest lowest.
    bool complete = which + 1 == count;
    for (int i = fold.merges - 1; complete && i >= 0; i--) gradients->source[n++] = fold.merge[i];
    if (which > 0) gradients->source[n++] = fold.running;
    gradients->sources = n;
    gradients->target = complete ? fold.target : fold.running;
    // source 0 + (source 1 + (… + gradient)).
    for (int i = 0; i <= n; i++) gradients->program[i] = (int16_t)i;
    for (int i = 0; i < n; i++) gradients->program[n + 1 + i] = -1;
}

float *gradients_place(const struct gradients *gradients, int64_t offset)
{
    if (gradients->sources > 0) return NULL;
    return gradients_buffer(gradients, gradients->target) + offset;
}

void gradients_add(struct gradients *gradients, int64_t offset, const float *gradient, int64_t n)
{
    INVARIANT(offset >= 0 && n >= 0 && offset + n <= gradients->elements,
              "a gradient at %lld with %lld elements in a buffer of %lld", (long long)offset,
              (long long)n, (long long)gradients->elements);
    if (gradient == gradients_place(gradients, offset)) return;
    const float *array[MAX_LEVELS + 2];
    int sources = gradients->sources;
    for (int i = 0; i < sources; i++)
        array[i] = gradients_buffer(gradients, gradients->source[i]) + offset;
    array[sources] = gradient;
    float *target = gradients_buffer(gradients, gradients->target) + offset;
    update_kernels_of(gradients->isa)
        ->tree_sum(target, array, gradients->program, 2 * sources + 1, n);
}

void gradients_clear(struct gradients *gradients, int64_t first, int64_t last)
{
    float *target = gradients_buffer(gradients, gradients->target);
    memset(target + first, 0, (size_t)(last - first) * sizeof *target);
}
