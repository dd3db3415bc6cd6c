// SPDX-License-Identifier: Apache-2.0
// Every type of model: the gradient of its loss in double, by the reference backend, against central differences along a random
// direction in each parameter. Running statistics, which no gradient moves, get what they have to move by.
#include "backend/backend.h"
#include "model/task_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const double STEP = 1e-5, TOLERANCE = 1e-6;
enum { LOSS_TAG = 1000 };

struct rig {
    struct model_config config;
    struct parameters parameters;
    struct graph *g;
    struct program *program;
    double *weights, *gradient, loss;
};

static void receive(void *context, int tag, const void *data)
{
    struct rig *rig = context;
    if (tag == LOSS_TAG) {
        rig->loss = *(const double *)data;
        return;
    }
    const struct parameter *p = &rig->parameters.list[tag];
    memcpy(rig->gradient + p->offset, data, (size_t)p->count * sizeof(double));
}

static double run(struct rig *rig)
{
    program_run(rig->program, receive, rig);
    return rig->loss;
}

static void rig_create(struct rig *rig, int number)
{
    const struct model_type *type;
    const struct backend *reference;
    const struct value *list[16];
    *rig = (struct rig){0};
    parameters_init(&rig->parameters);
    if (task_config(number, &type, &rig->config)) fail_msg("%s", error_message());
    assert_int_equal(graph_create(&rig->g), STATUS_OK);
    struct builder b = {.g = rig->g, .parameters = &rig->parameters, .training = true};
    const struct model_sizes sizes = {TASK_BATCH, TASK_TOKENS, TASK_SOURCE};
    struct model_inputs in =
        model_inputs_create(rig->g, &rig->config, model_task_of(type, &rig->config), sizes);
    struct value *loss = type->loss(&b, &rig->config, in, 0.1);
    graph_yield(rig->g, loss, LOSS_TAG);
    backward(rig->g, loss, rig->parameters.count);
    assert_int_equal(backend_find("reference", &reference), STATUS_OK);
    if (program_create(reference, rig->g, NULL, &rig->program))
        fail_msg("%s: %s", type->name, error_message());
    rig->weights = calloc((size_t)rig->parameters.elements, sizeof(double));
    rig->gradient = calloc((size_t)rig->parameters.elements, sizeof(double));
    for (int64_t i = 0; i < rig->parameters.elements; i++)
        rig->weights[i] = (double)task_bits(200, i) / 4294967296.0 - 0.5;
    assert_int_equal(program_prepare(rig->program, rig->weights, NULL), STATUS_OK);
    int inputs = task_inputs(&in, list);
    for (int i = 0; i < inputs; i++)
        task_fill(&rig->config, list[i], 3, program_input(rig->program, list[i]));
}

static void rig_destroy(struct rig *rig)
{
    program_destroy(rig->program);
    graph_destroy(rig->g);
    parameters_release(&rig->parameters);
    free(rig->weights);
    free(rig->gradient);
}

// Along one direction in parameter p, relative to the length of its gradient.
static double error_along(struct rig *rig, const struct parameter *p, uint32_t stream)
{
    double *w = rig->weights + p->offset, *kept = malloc((size_t)p->count * sizeof *kept);
    double along = 0, square = 0, length = 0, value[2];
    memcpy(kept, w, (size_t)p->count * sizeof *kept);
    for (int64_t i = 0; i < p->count; i++) {
        double direction = (double)task_bits(stream, i) / 4294967296.0 - 0.5;
        length += direction * direction;
        along += direction * rig->gradient[p->offset + i];
        square += rig->gradient[p->offset + i] * rig->gradient[p->offset + i];
    }
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < p->count; i++) {
            double direction = ((double)task_bits(stream, i) / 4294967296.0 - 0.5) / sqrt(length);
            w[i] = kept[i] + (side ? -STEP : STEP) * direction;
        }
        value[side] = run(rig);
    }
    memcpy(w, kept, (size_t)p->count * sizeof *kept);
    free(kept);
    return fabs((value[0] - value[1]) / (2 * STEP) - along / sqrt(length)) /
           fmax(sqrt(square), 1e-2);
}

static void every_models_gradient_agrees_with_finite_differences(void **state)
{
    (void)state;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig rig;
        double worst = 0, *gradient;
        rig_create(&rig, number);
        run(&rig);
        gradient = malloc((size_t)rig.parameters.elements * sizeof *gradient);
        memcpy(gradient, rig.gradient, (size_t)rig.parameters.elements * sizeof *gradient);
        for (int i = 0; i < rig.parameters.count; i++) {
            const struct parameter *p = &rig.parameters.list[i];
            if (p->running) continue;
            memcpy(rig.gradient, gradient, (size_t)rig.parameters.elements * sizeof *gradient);
            double error = error_along(&rig, p, 300 + (uint32_t)i);
            if (!(error <= TOLERANCE))
                fail_msg("case %d, %s: %s is off by %.2e", number, rig.config.type, p->name, error);
            worst = fmax(worst, error);
        }
        print_message("# case %d, %s: %d parameters, worst %.1e\n", number, rig.config.type,
                      rig.parameters.count, worst);
        free(gradient);
        rig_destroy(&rig);
    }
}

// Subtracting a share of the drift, divided by the rows, is the running mean.
static void running_statistics_drift_to_those_of_the_rows(void **state)
{
    (void)state;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig rig;
        int found = 0;
        rig_create(&rig, number);
        run(&rig);
        for (int i = 0; i < rig.parameters.count; i++) {
            const struct parameter *p = &rig.parameters.list[i];
            if (!p->running) continue;
            found++;
            double *drift = malloc((size_t)p->count * sizeof *drift);
            memcpy(drift, rig.gradient + p->offset, (size_t)p->count * sizeof *drift);
            for (int64_t k = 0; k < p->count; k++)
                rig.weights[p->offset + k] -= drift[k] / TASK_BATCH;
            run(&rig); // now they are the statistics themselves
            for (int64_t k = 0; k < p->count; k++)
                assert_true(fabs(rig.gradient[p->offset + k]) < 1e-12);
            free(drift);
        }
        assert_int_equal(found, rig.config.batch_norm ? 2 * rig.config.layers : 0);
        rig_destroy(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_models_gradient_agrees_with_finite_differences),
        cmocka_unit_test(running_statistics_drift_to_those_of_the_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
