// SPDX-License-Identifier: Apache-2.0
// A registry and blocks to save and load, made by hand: odd sizes, gaps between parameters, numbers that are hard to keep.
#ifndef STN_TEST_STORE_SMALL_CONTENT_H
#define STN_TEST_STORE_SMALL_CONTENT_H

#include "store/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Parameters "transformer.h.<i>.w" of shapes [rows, 3 + i % 5] and every fourth one a bias.
static inline void small_parameters(struct parameters *parameters, int count, int64_t rows)
{
    *parameters = (struct parameters){.count = count, .capacity = count, .closed = true};
    parameters->list = calloc((size_t)count, sizeof *parameters->list);
    for (int i = 0; i < count; i++) {
        struct parameter *parameter = &parameters->list[i];
        char name[64];
        snprintf(name, sizeof name, "transformer.h.%d.%s", i / 4,
                 i % 4 == 3   ? "b"
                 : i % 4 == 2 ? "w"
                 : i % 4      ? "v"
                              : "u");
        parameter->name = strdup(name);
        parameter->shape.rank = i % 4 == 3 ? 1 : 2;
        parameter->shape.size[0] = i % 4 == 3 ? 7 : rows;
        parameter->shape.size[1] = i % 4 == 3 ? 0 : 3 + i % 5;
        parameter->count = i % 4 == 3 ? 7 : rows * (3 + i % 5);
        parameter->offset = parameters->elements;
        parameters->elements += (parameter->count + 15) / 16 * 16;
    }
}

static inline void small_release(struct parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) free(parameters->list[i].name);
    free(parameters->list);
}

static inline float *small_block(const struct parameters *parameters)
{
    return calloc((size_t)parameters->elements, sizeof(float));
}

// Numbers that tell `salt` and their place, among them infinities, NaN, -0 and subnormals. Gaps stay 0.
static inline void small_fill(const struct parameters *parameters, float *block, uint32_t salt)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN, -0.0f, 1e-45f, 3.4e38f};
    for (int p = 0; p < parameters->count; p++)
        for (int64_t i = 0; i < parameters->list[p].count; i++) {
            uint32_t bits =
                ((uint32_t)(parameters->list[p].offset + i) * 2654435761u) ^ (salt * 40503u);
            block[parameters->list[p].offset + i] =
                bits % 97 < 6 ? odd[bits % 97] : (float)(bits % 100003) / 7;
        }
}

// What a run of this salt saves: everything differs with the salt.
struct small_run {
    struct parameters parameters;
    struct checkpoint_content content;
};
static inline void small_run_init(struct small_run *run, int count, int64_t rows)
{
    small_parameters(&run->parameters, count, rows);
    run->content = (struct checkpoint_content){
        .parameters = &run->parameters,
        .weights = small_block(&run->parameters),
        .state = {small_block(&run->parameters), small_block(&run->parameters)},
        .state_name = {"mean", "square"},
        .config_hash = 0xfedcba9876543210u,
        .run_file = "task: lm\n",
    };
}
static inline void small_run_set(struct small_run *run, int64_t step)
{
    uint32_t salt = (uint32_t)step;
    small_fill(&run->parameters, run->content.weights, 3 * salt);
    small_fill(&run->parameters, run->content.state[0], 3 * salt + 1);
    small_fill(&run->parameters, run->content.state[1], 3 * salt + 2);
    run->content.position = (struct run_position){
        .step = step,
        .samples = 12 * step,
        .best_loss = step % 2 ? HUGE_VAL : 1.0 / (double)(step + 3),
        .best_step = step % 2 ? -1 : step - 1,
        .scheduled_best = step % 2 ? HUGE_VAL : 1.0 / (double)(step + 2),
        .evaluations_waited = step % 3,
        .schedule_factor = 0.1 * (double)step,
        .schedule_best = HUGE_VAL,
        .schedule_waited = step % 5,
        .seconds = 1e-3 * (double)step + 1.0 / 3,
        .evaluation_due = step % 2,
    };
}
static inline void small_run_release(struct small_run *run)
{
    free(run->content.weights);
    free(run->content.state[0]);
    free(run->content.state[1]);
    small_release(&run->parameters);
}
// Whether `loaded` holds what small_run_set(step) made, to the bit.
static inline int small_run_is(const struct small_run *loaded, int64_t step)
{
    struct small_run expected;
    small_run_init(&expected, loaded->parameters.count, loaded->parameters.list[0].shape.size[0]);
    small_run_set(&expected, step);
    size_t bytes = (size_t)loaded->parameters.elements * sizeof(float);
    int same = memcmp(loaded->content.weights, expected.content.weights, bytes) == 0 &&
               memcmp(loaded->content.state[0], expected.content.state[0], bytes) == 0 &&
               memcmp(loaded->content.state[1], expected.content.state[1], bytes) == 0 &&
               memcmp(&loaded->content.position, &expected.content.position,
                      sizeof expected.content.position) == 0;
    small_run_release(&expected);
    return same;
}
#endif
