// SPDX-License-Identifier: Apache-2.0
// A small GPT as a program, with what it yields kept: the loss, the losses of rows, and every
// gradient in the layout of the weights.
#ifndef STN_TEST_PASS_GPT_RUN_H
#define STN_TEST_PASS_GPT_RUN_H

#include "backend/backend.h"
#include "pass/tiny_gpt.h"

#include <stdlib.h>

struct gpt_run {
    struct gpt m;
    struct program *program;
    struct team *team;
    real *weights, *gradient;
    struct block memory;
    real *arena; // in `memory`
    int *times;  // [parameters] how often each was yielded
    int yields;
    real loss;
};

static inline void gpt_receive(void *context, int tag, const void *data)
{
    struct gpt_run *run = context;
    run->yields++;
    if (tag == GPT_LOSS_TAG) run->loss = *(const real *)data;
    if (tag >= run->m.parameters) return;
    memcpy(run->gradient + run->m.offset[tag], data,
           (size_t)shape_count(run->m.shape[tag]) * sizeof(real));
    run->times[tag]++;
}

static inline enum status gpt_run_create(struct gpt_run *run, const struct backend *backend,
                                         struct gpt_sizes n, bool shared)
{
    *run = (struct gpt_run){.loss = 0};
    TRY(gpt_build(&run->m, n));
    size_t elements = (size_t)run->m.elements;
    run->weights = calloc(elements, sizeof(real));
    run->gradient = calloc(elements, sizeof(real));
    run->times = calloc((size_t)run->m.parameters, sizeof(int));
    const struct program_options options = {.threads = n.threads,
                                            .precision = (enum precision)n.precision,
                                            .block = n.block ? elements * sizeof(real) : 0};
    if (shared)
        TRY(program_create(backend, run->m.g, &options, &run->program));
    else
        TRY(program_create_unshared(backend, run->m.g, &options, &run->program));
    if (n.threads > 1) {
        const struct team_options team = {.threads = n.threads, .crowded = true};
        TRY(team_create(&team, &run->team));
        program_set_team(run->program, run->team);
    }
    TRY(plan_verify(program_plan(run->program)));
    TRY(block_create(program_arena_bytes(run->program), "the arena", &run->memory));
    run->arena = run->memory.data;
    TRY(program_prepare(run->program, run->weights, run->arena));
    gpt_weights(&run->m, run->weights);
    gpt_fill(&run->m, program_input(run->program, run->m.ids),
             program_input(run->program, run->m.positions),
             program_input(run->program, run->m.targets),
             program_input(run->program, run->m.random));
    return STATUS_OK;
}

static inline void gpt_run_destroy(struct gpt_run *run)
{
    program_destroy(run->program);
    team_destroy(run->team);
    graph_destroy(run->m.g);
    block_destroy(&run->memory);
    free(run->weights);
    free(run->gradient);
    free(run->times);
}
#endif
