// SPDX-License-Identifier: Apache-2.0
// Every operation of the registry that has a gradient: its vjp, run by the reference backend in
// double, against central differences; and every shape rule against inputs that it has to refuse. A
// new operation is tested without writing a test.
#include "backend/backend.h"
#include "op/fill_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const double STEP = 1e-5, TOLERANCE = 1e-7;
enum { LOSS_TAG = 1000, MOST_ELEMENTS = 40 };

// One case as a program: loss = dot(y, dy).
struct rig {
    const struct op *op;
    const struct op_case *test;
    struct graph *g;
    struct program *program;
    struct value *leaf[MAX_INPUTS];
    int64_t elements;
    double *gradient[MAX_INPUTS];
    double loss;
};

static void receive(void *context, int tag, const void *data)
{
    struct rig *rig = context;
    if (tag == LOSS_TAG)
        rig->loss = *(const double *)data;
    else
        memcpy(rig->gradient[tag], data,
               (size_t)shape_count(rig->test->input[tag]) * sizeof(double));
}

static void rig_create(struct rig *rig, const struct op *op, const struct op_case *test,
                       const double *weights, bool gradients)
{
    *rig = (struct rig){.op = op, .test = test};
    assert_int_equal(graph_create(&rig->g), STATUS_OK);
    rig->elements = case_leaves(rig->g, op, test, true, rig->leaf);
    struct value *y =
        graph_append(rig->g, op, rig->leaf, test->inputs, test->attributes, op->attribute_bytes);
    struct value *dy = graph_input(rig->g, "dy", F32, y->shape);
    struct value *loss = op_dot(rig->g, y, dy);
    graph_yield(rig->g, loss, LOSS_TAG);
    if (gradients) backward(rig->g, loss, MAX_INPUTS);
    const struct backend *reference;
    assert_int_equal(backend_find("reference", &reference), STATUS_OK);
    if (program_create(reference, rig->g, NULL, &rig->program)) fail_msg("%s", error_message());
    assert_int_equal(plan_verify(program_plan(rig->program)), STATUS_OK);
    assert_int_equal(program_prepare(rig->program, weights, NULL), STATUS_OK);
    for (int i = 0; i < test->inputs; i++) {
        if (rig->leaf[i] && rig->leaf[i]->storage == STORAGE_INPUT)
            fill_input(test, i, (uint32_t)i, program_input(rig->program, rig->leaf[i]));
        if (gradients && rig->leaf[i])
            rig->gradient[i] = calloc((size_t)shape_count(rig->leaf[i]->shape), 8);
    }
    double *data = program_input(rig->program, dy);
    for (int64_t i = 0; i < shape_count(dy->shape); i++) data[i] = test_number(99, (uint64_t)i);
}

static double rig_run(struct rig *rig)
{
    program_run(rig->program, receive, rig);
    return rig->loss;
}

static void rig_destroy(struct rig *rig)
{
    program_destroy(rig->program);
    graph_destroy(rig->g);
    for (int i = 0; i < MAX_INPUTS; i++) free(rig->gradient[i]);
}

// Largest error over the elements of input i (at most MOST_ELEMENTS, spread out), relative to its
// largest gradient; and of the derivative along a random direction, which all elements enter.
static double worst_error(struct rig *forward, double *weights, const struct value *leaf,
                          const double *gradient)
{
    int64_t n = shape_count(leaf->shape), stride = n / MOST_ELEMENTS + 1;
    double *w = weights + leaf->offset, largest = 1e-3, worst = 0, length = 0, along = 0;
    for (int64_t k = 0; k < n; k++) largest = fmax(largest, fabs(gradient[k]));
    for (int64_t k = 0; k < n; k += stride) {
        double kept = w[k];
        w[k] = kept + STEP;
        double above = rig_run(forward);
        w[k] = kept - STEP;
        double below = rig_run(forward);
        w[k] = kept;
        double error = fabs((above - below) / (2 * STEP) - gradient[k]) / largest;
        worst = error > worst || isnan(error) ? error : worst;
    }
    double *direction = malloc((size_t)n * sizeof *direction),
           *kept = malloc((size_t)n * sizeof *kept);
    memcpy(kept, w, (size_t)n * sizeof *kept);
    for (int64_t k = 0; k < n; k++) {
        direction[k] = test_number(77, (uint64_t)k);
        length += direction[k] * direction[k];
    }
    double square = 0, value[2];
    for (int64_t k = 0; k < n; k++) {
        direction[k] /= sqrt(length);
        along += direction[k] * gradient[k];
        square += gradient[k] * gradient[k];
    }
    for (int side = 0; side < 2; side++) {
        for (int64_t k = 0; k < n; k++) w[k] = kept[k] + (side ? -STEP : STEP) * direction[k];
        value[side] = rig_run(forward);
    }
    memcpy(w, kept, (size_t)n * sizeof *kept);
    double error = fabs((value[0] - value[1]) / (2 * STEP) - along) / fmax(sqrt(square), 1e-3);
    free(direction);
    free(kept);
    return error > worst || isnan(error) ? error : worst;
}

static double case_error(const struct op *op, const struct op_case *test)
{
    double worst = 0;
    int64_t elements = 0;
    for (int i = 0; i < test->inputs; i++)
        if (test->input[i].rank >= 0 && test->dtype[i] == F32)
            elements += shape_count(test->input[i]);
    double *weights = calloc((size_t)elements, sizeof *weights);
    int64_t at = 0;
    for (int i = 0; i < test->inputs; i++)
        if (test->input[i].rank >= 0 && test->dtype[i] == F32) {
            fill_input(test, i, (uint32_t)i, weights + at);
            at += shape_count(test->input[i]);
        }
    struct rig forward, both;
    rig_create(&forward, op, test, weights, false);
    rig_create(&both, op, test, weights, true);
    assert_int_equal(both.elements, elements);
    rig_run(&both);
    for (int i = 0; i < test->inputs; i++) {
        if (!both.leaf[i] || both.leaf[i]->parameter < 0) continue;
        double error = worst_error(&forward, weights, both.leaf[i], both.gradient[i]);
        worst = error > worst || isnan(error) ? error : worst;
    }
    rig_destroy(&forward);
    rig_destroy(&both);
    free(weights);
    return worst;
}

static void every_gradient_agrees_with_finite_differences(void **state)
{
    (void)state;
    int checked = 0;
    for (int i = 0; op_registry[i]; i++) {
        const struct op *op = op_registry[i];
        assert_true(op->vjp && op->cases && op->case_count > 0);
        if (op->vjp == vjp_none) continue;
        double worst = 0;
        for (int c = 0; c < op->case_count; c++) {
            double error = case_error(op, &op->cases[c]);
            char name[256];
            if (!(error <= TOLERANCE))
                fail_msg("%s: gradient is wrong by %.2e", case_name(op, c, name), error);
            if (error > worst) worst = error;
        }
        print_message("# gradient of %-14s worst error %.1e over %d cases\n", op->name, worst,
                      op->case_count);
        checked++;
    }
    assert_true(checked >= 10);
}

// ---- shape rules ----
// Builds a case after a change and tells whether the graph refused it, with a message.
static bool refused(const struct op *op, const struct op_case *test, int missing)
{
    struct graph *g;
    struct value *leaf[MAX_INPUTS];
    assert_int_equal(graph_create(&g), STATUS_OK);
    case_leaves(g, op, test, false, leaf);
    if (missing >= 0) leaf[missing] = NULL;
    struct value *y =
        graph_append(g, op, leaf, test->inputs, test->attributes, op->attribute_bytes);
    bool failed = graph_status(g) != STATUS_OK;
    error_clear();
    if (failed) {
        assert_ptr_equal(y, g->placeholder);
        assert_true(strlen(g->message) > 10);
    }
    graph_destroy(g);
    return failed;
}

static void shape_rules_accept_their_cases_and_refuse_others(void **state)
{
    (void)state;
    for (int i = 0; op_registry[i]; i++) {
        const struct op *op = op_registry[i];
        int refusals = 0;
        for (int c = 0; c < op->case_count; c++) {
            char name[256];
            case_name(op, c, name);
            assert_false(refused(op, &op->cases[c], -1));
            for (int k = 0; k < op->cases[c].inputs; k++) {
                struct op_case test = op->cases[c];
                if (test.input[k].rank < 0) continue;
                test.dtype[k] = test.dtype[k] == F32 ? I32 : F32;
                if (!refused(op, &test, -1))
                    fail_msg("%s takes input %d of a wrong dtype", name, k);
                if (k == 0 && !refused(op, &op->cases[c], 0))
                    fail_msg("%s does without its first input", name);
                for (int d = 0; d < op->cases[c].input[k].rank; d++) {
                    test = op->cases[c];
                    test.input[k].size[d]++;
                    refusals += refused(op, &test, -1);
                }
                test = op->cases[c];
                test.input[k].rank = 4;
                test.input[k].size[3] = 1;
                if (op->cases[c].input[k].rank < 4) refusals += refused(op, &test, -1);
            }
        }
        bool takes_any = op->cases[0].inputs == 0 || op == &activation_op || op == &column_sum_op;
        if (!takes_any && refusals == 0) fail_msg("%s takes every shape", op->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_agrees_with_finite_differences),
        cmocka_unit_test(shape_rules_accept_their_cases_and_refuse_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
