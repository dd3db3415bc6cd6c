// SPDX-License-Identifier: Apache-2.0
// The backward pass over whole graphs, in double against central differences; and that recomputing
// changes no bit.
#include "pass/gpt_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct gpt_sizes sizes = {.batch = 2,
                                       .tokens = 7,
                                       .width = 12,
                                       .layers = 2,
                                       .heads = 2,
                                       .vocabulary = 11,
                                       .dropout = 0.2,
                                       .gradient = true};

static const struct backend *reference(void)
{
    const struct backend *backend;
    assert_int_equal(backend_find("reference", &backend), STATUS_OK);
    return backend;
}

static void start(struct gpt_run *run, struct gpt_sizes n)
{
    if (gpt_run_create(run, reference(), n, true)) fail_msg("%s", error_message());
    program_run(run->program, gpt_receive, run);
}

// Largest error of parameter p relative to its largest gradient.
static double parameter_error(struct gpt_run *forward, const struct gpt_run *both, int p)
{
    const double step = 1e-5;
    int64_t n = shape_count(both->m.shape[p]), at = both->m.offset[p];
    double largest = 1e-3, worst = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(both->gradient[at + i]));
    for (int64_t i = 0; i < n; i += n / 30 + 1) {
        double *w = &forward->weights[at + i], kept = *w, loss[2];
        for (int side = 0; side < 2; side++) {
            *w = kept + (side ? -step : step);
            program_run(forward->program, gpt_receive, forward);
            loss[side] = forward->loss;
        }
        *w = kept;
        double error = fabs((loss[0] - loss[1]) / (2 * step) - both->gradient[at + i]) / largest;
        worst = error > worst || isnan(error) ? error : worst;
    }
    return worst;
}

static void gradients_of_a_gpt_agree_with_finite_differences(void **state)
{
    (void)state;
    struct gpt_sizes n = sizes;
    struct gpt_run forward, both;
    start(&both, n);
    n.gradient = false;
    start(&forward, n);
    assert_true(forward.loss == both.loss);
    double worst = 0;
    for (int p = 0; p < both.m.parameters; p++) {
        assert_int_equal(both.times[p], 1);
        double error = parameter_error(&forward, &both, p);
        if (!(error <= 1e-7)) fail_msg("parameter %d: gradient is wrong by %.2e", p, error);
        worst = fmax(worst, error);
    }
    print_message("# worst error over %d parameters %.1e\n", both.m.parameters, worst);
    gpt_run_destroy(&forward);
    gpt_run_destroy(&both);
}

static void recomputing_changes_no_bit_and_takes_less_memory(void **state)
{
    (void)state;
    struct gpt_sizes n = sizes;
    n.layers = 5;
    struct gpt_run kept, again;
    start(&kept, n);
    n.recompute = true;
    start(&again, n);
    assert_true(kept.loss == again.loss);
    assert_memory_equal(kept.gradient, again.gradient, (size_t)kept.m.elements * sizeof(real));
    for (int p = 0; p < again.m.parameters; p++) assert_int_equal(again.times[p], 1);
    assert_true(program_steps(again.program) > program_steps(kept.program));
    assert_true(program_arena_bytes(again.program) < program_arena_bytes(kept.program) / 2);
    print_message("# 5 layers: %zu bytes, recomputed %zu\n", program_arena_bytes(kept.program),
                  program_arena_bytes(again.program));
    gpt_run_destroy(&kept);
    gpt_run_destroy(&again);
}

static void what_is_cheap_to_compute_again_changes_no_bit(void **state)
{
    (void)state;
    struct gpt_sizes n = {1, 3, 576, 1, 2, 7, .dropout = 0.2, .gradient = true};
    struct gpt_run cheap, region;
    start(&cheap, n);
    n.recompute = true;
    start(&region, n);
    assert_memory_equal(cheap.gradient, region.gradient, (size_t)cheap.m.elements * sizeof(real));
    gpt_run_destroy(&cheap);
    gpt_run_destroy(&region);
}

// ---- small graphs ----
struct received {
    double data[8][8];
    int times[8];
};

static void keep(void *context, int tag, const void *data)
{
    struct received *received = context;
    memcpy(received->data[tag], data, sizeof received->data[tag]);
    received->times[tag]++;
}

// Runs g with these weights on the reference backend, 8 elements a parameter.
static struct received run(struct graph *g, const double *weights)
{
    struct received received = {.times = {0}};
    struct program *program;
    if (program_create(reference(), g, NULL, &program)) fail_msg("%s", error_message());
    assert_int_equal(plan_verify(program_plan(program)), STATUS_OK);
    assert_int_equal(program_prepare(program, weights, NULL), STATUS_OK);
    program_run(program, keep, &received);
    program_destroy(program);
    return received;
}

static struct graph *new_graph(void)
{
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    return g;
}

static double weights[24];

static void fill_weights(void)
{
    for (int i = 0; i < 24; i++) weights[i] = sin(i + 1.0);
}

static void one_gradient_for_two_parameters_is_yielded_twice(void **state)
{
    (void)state;
    fill_weights();
    struct graph *g = new_graph();
    struct value *p = graph_parameter(g, "p", shape_of(1, 8), 0, 0),
                 *q = graph_parameter(g, "q", shape_of(1, 8), 8, 1);
    struct value *r = graph_parameter(g, "r", shape_of(1, 8), 16, 2);
    // d/dp = d/dq = r, which is a leaf; d/dr = p + q, which is a value of the forward pass.
    backward(g, op_dot(g, op_add(g, p, q), r), 3);
    struct received got = run(g, weights);
    for (int i = 0; i < 8; i++) {
        assert_true(got.data[0][i] == weights[16 + i]);
        assert_true(got.data[1][i] == weights[16 + i]);
        assert_true(got.data[2][i] == weights[i] + weights[8 + i]);
    }
    for (int i = 0; i < 3; i++) assert_int_equal(got.times[i], 1);
    graph_destroy(g);
}

static void a_value_with_many_readers_gets_the_sum(void **state)
{
    (void)state;
    fill_weights();
    struct graph *g = new_graph();
    struct value *p = graph_parameter(g, "p", shape_of(1, 8), 0, 0);
    struct value *x = op_add(g, p, p);               // 2 p
    struct value *y = op_add(g, op_add(g, x, x), x); // 6 p
    struct value *same = graph_parameter(g, "p", shape_of(1, 8), 0, 0);
    backward(g, op_dot(g, y, same), 1); // 6 p · p
    struct received got = run(g, weights);
    for (int i = 0; i < 8; i++) assert_true(fabs(got.data[0][i] - 12 * weights[i]) < 1e-14);
    assert_int_equal(got.times[0], 1);
    graph_destroy(g);
}

static void a_parameter_in_two_regions_is_yielded_once(void **state)
{
    (void)state;
    fill_weights();
    double plain[8];
    for (int recompute = 0; recompute < 2; recompute++) {
        struct graph *g = new_graph();
        struct value *p = graph_parameter(g, "p", shape_of(1, 8), 0, 0);
        struct value *x = graph_parameter(g, "x", shape_of(2, 1, 8), 8, 1);
        for (int layer = 0; layer < 3; layer++) {
            if (recompute) region_begin(g);
            x = op_activation(g, op_rms_norm(g, x, p, 1e-6), ACTIVATION_GELU);
            if (recompute) region_end(g);
        }
        backward(g, op_dot(g, x, x), 2);
        struct received got = run(g, weights);
        assert_int_equal(got.times[0], 1);
        if (recompute) assert_memory_equal(plain, got.data[0], sizeof plain);
        memcpy(plain, got.data[0], sizeof plain);
        graph_destroy(g);
    }
}

static void parameters_without_influence_get_no_gradient(void **state)
{
    (void)state;
    fill_weights();
    struct graph *g = new_graph();
    struct value *p = graph_parameter(g, "p", shape_of(1, 8), 0, 0),
                 *q = graph_parameter(g, "q", shape_of(1, 8), 8, 1);
    op_add(g, p, q); // nobody reads it
    backward(g, op_dot(g, p, p), 2);
    struct received got = run(g, weights);
    assert_int_equal(got.times[0], 1);
    assert_int_equal(got.times[1], 0);
    graph_destroy(g);
}

// Whether the backward pass of `loss` leaves an error that contains `text`.
static void expect_error(struct graph *g, struct value *loss, int parameters, const char *text)
{
    backward(g, loss, parameters);
    assert_int_not_equal(graph_status(g), STATUS_OK);
    if (!strstr(error_message(), text)) fail_msg("'%s' does not say '%s'", error_message(), text);
    error_clear();
    graph_destroy(g);
}

static void impossible_gradients_are_errors(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *p = graph_parameter(g, "p", shape_of(2, 2, 4), 0, 0);
    expect_error(g, op_add(g, p, p), 1, "one computed number");

    g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(1, 4));
    expect_error(g, op_dot(g, x, x), 1, "no parameter");

    g = new_graph();
    p = graph_parameter(g, "p", shape_of(2, 2, 4), 0, 0);
    scope_push(g, "head");
    x = op_column_sum(g, p);
    scope_pop(g);
    expect_error(g, op_dot(g, x, x), 1, "head: column_sum (value 1) has no gradient");

    g = new_graph();
    p = graph_parameter(g, "p", shape_of(3, 1, 2, 12), 0, 0);
    x = graph_aux(
        g,
        op_attention(g, p, NULL, NULL, &(struct attention_attributes){.heads = 2, .kv_heads = 2}),
        0);
    expect_error(g, op_dot(g, x, x), 1,
                 "no gradient flows through auxiliary output 0 of attention");

    g = new_graph();
    p = graph_parameter(g, "p", shape_of(1, 4), 0, 3);
    expect_error(g, op_dot(g, p, p), 3, "p is parameter 3, but there are 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_gpt_agree_with_finite_differences),
        cmocka_unit_test(recomputing_changes_no_bit_and_takes_less_memory),
        cmocka_unit_test(what_is_cheap_to_compute_again_changes_no_bit),
        cmocka_unit_test(one_gradient_for_two_parameters_is_yielded_twice),
        cmocka_unit_test(a_value_with_many_readers_gets_the_sum),
        cmocka_unit_test(a_parameter_in_two_regions_is_yielded_once),
        cmocka_unit_test(parameters_without_influence_get_no_gradient),
        cmocka_unit_test(impossible_gradients_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
