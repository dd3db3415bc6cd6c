// SPDX-License-Identifier: Apache-2.0
// The registry and the modules: places, names, sharing, errors; initial weights as their addresses define them.
#include "base/stable_math.h"
#include "kernel/cpu/kernels.h"
#include "model/small_model.h"

#include <math.h>

static void parameters_lie_at_multiples_of_sixteen(void **state)
{
    (void)state;
    struct graph *g;
    struct parameters parameters;
    assert_ok(graph_create(&g));
    parameters_init(&parameters);
    struct builder b = {.g = g, .parameters = &parameters};
    nn_parameter(&b, "a", shape_of(1, INT64_C(1)), INIT_ONE, 0);
    nn_parameter(&b, "b", shape_of(2, INT64_C(4), INT64_C(4)), INIT_NORMAL, 1);
    nn_parameter(&b, "c", shape_of(2, INT64_C(3), INT64_C(11)), INIT_ONE, 0);
    assert_ok(graph_status(g));
    assert_int_equal(parameters.list[0].offset, 0);
    assert_int_equal(parameters.list[1].offset, 16);
    assert_int_equal(parameters.list[2].offset, 32);
    assert_int_equal(parameters.elements, 80);
    assert_int_equal(parameters_total(&parameters), 1 + 16 + 33);
    assert_false(parameters.list[0].decay);
    assert_true(parameters.list[1].decay);
    float block[80];
    memset(block, 0xff, sizeof block);
    parameters_initialise(&parameters, 5, block);
    for (int i = 1; i < 16; i++) assert_true(block[i] == 0); // padding
    for (int i = 32 + 33; i < 80; i++) assert_true(block[i] == 0);
    assert_true(block[0] == 1 && block[64] == 1);
    parameters_release(&parameters);
    graph_destroy(g);
}

static void initial_weights_are_at_their_addresses(void **state)
{
    (void)state;
    enum { COUNT = 333 };
    struct graph *g;
    struct parameters parameters;
    assert_ok(graph_create(&g));
    parameters_init(&parameters);
    struct builder b = {.g = g, .parameters = &parameters};
    nn_parameter(&b, "first", shape_of(1, INT64_C(7)), INIT_NORMAL, 1);
    nn_parameter(&b, "second", shape_of(1, (int64_t)COUNT), INIT_NORMAL, 0.25);
    float block[16 + 336];
    parameters_initialise(&parameters, UINT64_C(0x123456789abcdef), block);
    struct philox_address at = {.seed = UINT64_C(0x123456789abcdef),
                                .stream = philox_stream(PHILOX_INIT, 1)};
    for (uint64_t i = 0; i < COUNT; i++) {
        double normal = stable_normal(philox_uniform(at, 2 * i), philox_uniform(at, 2 * i + 1));
        assert_true(block[16 + i] == (float)(0.25 * normal));
    }
    parameters_release(&parameters);
    graph_destroy(g);
}

// Workers draw a slice each: cut anywhere, the slices make up the whole, and nothing beside a slice is touched.
static void slices_of_initial_weights_are_the_whole(void **state)
{
    (void)state;
    struct graph *g;
    struct parameters parameters;
    assert_ok(graph_create(&g));
    parameters_init(&parameters);
    struct builder b = {.g = g, .parameters = &parameters};
    nn_parameter(&b, "a", shape_of(1, INT64_C(37)), INIT_NORMAL, 1);
    nn_parameter(&b, "b", shape_of(1, INT64_C(5)), INIT_ONE, 0);
    nn_parameter(&b, "c", shape_of(1, INT64_C(100)), INIT_NORMAL, 0.1);
    nn_parameter(&b, "d", shape_of(1, INT64_C(9)), INIT_ZERO, 0);
    enum { ELEMENTS = 48 + 16 + 112 + 16 };
    assert_int_equal(parameters.elements, ELEMENTS);
    float whole[ELEMENTS], sliced[ELEMENTS];
    parameters_initialise(&parameters, 3, whole);
    for (int64_t cut = 0; cut <= ELEMENTS; cut += 13) {
        memset(sliced, 0xff, sizeof sliced);
        parameters_initialise_range(&parameters, 3, cut, ELEMENTS, normal_generic, sliced);
        for (int64_t i = 0; i < cut; i++) assert_true(isnan(sliced[i]));
        parameters_initialise_range(&parameters, 3, 0, cut, normal_generic, sliced);
        assert_memory_equal(whole, sliced, sizeof whole);
    }
    parameters_release(&parameters);
    graph_destroy(g);
}

static void a_name_is_one_value(void **state)
{
    (void)state;
    struct graph *g;
    struct parameters parameters;
    assert_ok(graph_create(&g));
    parameters_init(&parameters);
    struct builder b = {.g = g, .parameters = &parameters};
    prefix_push(&b, "h.%d", 3);
    prefix_push(&b, "attn");
    struct value *first = nn_parameter(&b, "weight", shape_of(1, INT64_C(5)), INIT_ONE, 0);
    assert_ptr_equal(nn_parameter(&b, "weight", shape_of(1, INT64_C(5)), INIT_ONE, 0), first);
    assert_string_equal(parameters.list[0].name, "h.3.attn.weight");
    assert_int_equal(parameters_find(&parameters, "h.3.attn.weight"), 0);
    assert_int_equal(parameters_find(&parameters, "weight"), -1);
    prefix_pop(&b);
    assert_string_equal(b.prefix, "h.3.");
    prefix_pop(&b);
    assert_string_equal(b.prefix, "");
    assert_string_equal(g->scope, "");
    graph_destroy(g);

    // Another graph finds what the first one declared.
    assert_ok(graph_create(&g));
    b = (struct builder){.g = g, .parameters = &parameters};
    parameters.closed = true;
    struct value *found = nn_parameter(&b, "h.3.attn.weight", shape_of(1, INT64_C(5)), INIT_ONE, 0);
    assert_int_equal(found->parameter, 0);
    assert_int_equal(parameters.count, 1);
    assert_ok(graph_status(g));
    graph_destroy(g);
    parameters_release(&parameters);
}

static void expect_error(struct graph *g, const char *part)
{
    error_clear();
    assert_int_equal(graph_status(g), STATUS_SHAPE);
    if (!strstr(error_message(), part)) fail_msg("\"%s\" lacks \"%s\"", error_message(), part);
    error_clear();
    graph_destroy(g);
}

static void wrong_declarations_stick(void **state)
{
    (void)state;
    struct parameters parameters;
    struct graph *g;
    parameters_init(&parameters);
    assert_ok(graph_create(&g));
    struct builder b = {.g = g, .parameters = &parameters};
    nn_parameter(&b, "w", shape_of(2, INT64_C(2), INT64_C(3)), INIT_ONE, 0);
    nn_parameter(&b, "w", shape_of(2, INT64_C(3), INT64_C(2)), INIT_ONE, 0);
    expect_error(g, "parameter w is [2, 3], but [3, 2] is asked for");

    assert_ok(graph_create(&g));
    b = (struct builder){.g = g, .parameters = &parameters};
    nn_parameter(&b, "huge", shape_of(3, INT64_MAX / 2, INT64_C(2), INT64_C(2)), INIT_ONE, 0);
    expect_error(g, "parameter huge cannot have the shape");
    assert_int_equal(parameters.count, 1);

    assert_ok(graph_create(&g));
    b = (struct builder){.g = g, .parameters = &parameters};
    parameters.closed = true;
    struct value *x = graph_input(g, "x", F32, shape_of(2, INT64_C(2), INT64_C(4)));
    nn_layer_norm(&b, nn_linear(&b, x, "fc", 4, true, ACTIVATION_RELU, LAYOUT_OUT_IN, 1), "norm",
                  true, 1e-5);
    expect_error(g, "the model has no parameter fc.weight");
    assert_int_equal(parameters.count, 1);
    parameters_release(&parameters);
}

static void modules_make_what_they_say(void **state)
{
    (void)state;
    struct parameters parameters;
    struct graph *g;
    parameters_init(&parameters);
    assert_ok(graph_create(&g));
    struct builder b = {.g = g, .parameters = &parameters};
    struct value *x = graph_input(g, "x", F32, shape_of(3, INT64_C(2), INT64_C(3), INT64_C(4)));
    struct value *y = nn_linear(&b, x, "out_in", 5, true, ACTIVATION_RELU, LAYOUT_OUT_IN, 1);
    y = nn_linear(&b, y, "in_out", 6, false, ACTIVATION_NONE, LAYOUT_IN_OUT, 1);
    y = nn_rms_norm(&b, nn_layer_norm(&b, y, "norm", false, 1e-5), "rms", 1e-6);
    assert_true(shape_equal(y->shape, shape_of(3, INT64_C(2), INT64_C(3), INT64_C(6))));
    static const char *const names[] = {"out_in.weight", "out_in.bias", "in_out.weight",
                                        "norm.weight", "rms.weight"};
    assert_int_equal(parameters.count, 5);
    for (int i = 0; i < 5; i++) assert_string_equal(parameters.list[i].name, names[i]);
    assert_true(shape_equal(parameters.list[0].shape, shape_of(2, INT64_C(5), INT64_C(4))));
    assert_true(shape_equal(parameters.list[2].shape, shape_of(2, INT64_C(5), INT64_C(6))));
    assert_int_equal(parameters.list[1].init, INIT_ZERO);
    assert_int_equal(parameters.list[3].init, INIT_ONE);
    assert_ok(graph_status(g));
    graph_destroy(g);
    parameters_release(&parameters);
}

// Dropout is numbered alike in training (with random) and in evaluation (without): the n-th operation is the
// n-th operation.
static void dropout_counts_also_when_it_is_off(void **state)
{
    (void)state;
    struct parameters parameters;
    struct graph *g;
    parameters_init(&parameters);
    assert_ok(graph_create(&g));
    struct builder b = {.g = g, .parameters = &parameters};
    struct value *x = graph_input(g, "x", F32, shape_of(2, INT64_C(2), INT64_C(4)));
    assert_ptr_equal(nn_dropout(&b, x, 0.5), x); // no random input: evaluation
    assert_int_equal(nn_operation(&b, 12), 1);
    b.random = graph_input(g, "random", U32, shape_of(1, INT64_C(4)));
    struct value *y = nn_dropout(&b, x, 0.5);
    assert_ptr_not_equal(y, x);
    assert_int_equal(((const struct dropout_attributes *)y->attributes)->operation, 13);
    assert_ok(graph_status(g));
    graph_destroy(g);
    parameters_release(&parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_lie_at_multiples_of_sixteen),
        cmocka_unit_test(initial_weights_are_at_their_addresses),
        cmocka_unit_test(slices_of_initial_weights_are_the_whole),
        cmocka_unit_test(a_name_is_one_value),
        cmocka_unit_test(wrong_declarations_stick),
        cmocka_unit_test(modules_make_what_they_say),
        cmocka_unit_test(dropout_counts_also_when_it_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
