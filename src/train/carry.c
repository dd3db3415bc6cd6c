// SPDX-License-Identifier: Apache-2.0
// data.carry: what recurrent layers ended a window with is what they begin the stream's next window with.
//
// A state belongs to a row of the batch, not to a worker: whoever computes the row next takes it from here. A step reads one copy and
// writes the other, so a micro-batch can be computed again. Borders between replicas stay where they are, so a replica's rows do;
// for a checkpoint all rows are brought together.
#include "train/internal.h"

#include <string.h>

static int64_t rows_of(const struct trainer *trainer) { return trainer->config.micro_batch; }

int64_t carry_width(const struct run_config *config)
{
    const struct model_type *type = NULL;
    if (!config->data.carry || model_find(config->model.type, &type) || !type->carried) return 0;
    return type->carried(&config->model);
}

size_t carry_bytes(const struct run_config *config)
{
    return (size_t)(config->batch * carry_width(config)) * sizeof(float);
}

bool carry_init(struct trainer *trainer)
{
    struct carried *carried = &trainer->carried;
    carried->width = carry_width(&trainer->config);
    if (carried->width == 0) return true;
    size_t bytes = carry_bytes(&trainer->config);
    for (int i = 0; i < 2; i++) carried->state[i] = arena_take(trainer->tables, bytes);
    carried->evaluation = arena_take(trainer->tables, bytes);
    return carried->state[0] && carried->state[1] && carried->evaluation;
}

float *carry_state(const struct trainer *trainer, int64_t step)
{
    return trainer->carried.state[step & 1];
}

static void fill(const struct trainer *trainer, const float *from, int64_t m, bool first, float *to)
{
    int64_t n = rows_of(trainer) * trainer->carried.width;
    if (first)
        memset(to, 0, (size_t)n * sizeof *to);
    else
        memcpy(to, from + m * n, (size_t)n * sizeof *to);
}

void carry_fill(const struct trainer *trainer, int64_t m, bool first, float *to)
{
    fill(trainer, carry_state(trainer, trainer->position.step), m, first, to);
}

void carry_fill_group(const struct trainer *trainer, int64_t m, bool first, float *to)
{
    fill(trainer, trainer->carried.evaluation, m, first, to);
}

void carry_take(const struct trainer *trainer, int64_t m, const float *state)
{
    int64_t n = rows_of(trainer) * trainer->carried.width;
    memcpy(carry_state(trainer, trainer->position.step + 1) + m * n, state,
           (size_t)n * sizeof *state);
}

void carry_take_group(const struct trainer *trainer, int64_t m, const float *state)
{
    int64_t n = rows_of(trainer) * trainer->carried.width;
    memcpy(trainer->carried.evaluation + m * n, state, (size_t)n * sizeof *state);
}

enum status carry_share(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    if (!crew->net || trainer->carried.width == 0) return STATUS_OK;
    for (int r = 0; r <= crew->replicas; r++)
        crew->offset[r] = (size_t)(first_micro_batch(trainer, trainer->border[crew->base[r]]) *
                                   rows_of(trainer) * trainer->carried.width) *
                          sizeof(float);
    TRY(comm_share(crew->net, carry_state(trainer, trainer->position.step), crew->offset));
    return STATUS_OK;
}

enum status carry_resume(struct trainer *trainer)
{
    struct carried *carried = &trainer->carried;
    size_t bytes = carry_bytes(&trainer->config);
    if (carried->width == 0) return STATUS_OK;
    TRY(crew_tell(trainer, carried->state[0], bytes));
    memcpy(carried->state[1], carried->state[0], bytes);
    return STATUS_OK;
}
