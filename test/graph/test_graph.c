// SPDX-License-Identifier: Apache-2.0
// Building graphs: errors stick and say where, placeholders are harmless, and the checker notices
// what is broken.
#include "graph/operation.h"
#include "op/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct graph *new_graph(void)
{
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    return g;
}

static void expect_message(struct graph *g, enum status code, const char *text)
{
    assert_int_equal(graph_status(g), code);
    if (!strstr(error_message(), text)) fail_msg("'%s' does not say '%s'", error_message(), text);
    error_clear();
}

// ---- values ----
static void values_know_where_they_come_from(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 3, 4));
    scope_push(g, "h.%d", 3);
    scope_push(g, "attn");
    int line = __LINE__ + 1;
    struct value *y = op_add(g, op_activation(g, x, ACTIVATION_RELU), x);
    scope_pop(g);
    struct value *z = op_add(g, y, x);
    scope_pop(g);
    struct value *last = op_add(g, z, x);
    assert_string_equal(x->name, "x");
    assert_string_equal(y->name, "h.3.attn");
    assert_string_equal(y->input[0]->name, "h.3.attn");
    assert_string_equal(z->name, "h.3");
    assert_string_equal(last->name, "");
    assert_int_equal(y->line, line);
    assert_int_equal(y->input[0]->line, line);
    assert_non_null(strstr(y->file, "test_graph.c"));
    assert_int_equal(g->count, 5);
    assert_int_equal(graph_status(g), STATUS_OK);
    assert_int_equal(graph_verify(g), STATUS_OK);
    graph_destroy(g);
}

static void gradients_are_needed_where_parameters_flow(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 3, 4)),
                 *p = graph_parameter(g, "p", shape_of(2, 3, 4), 0, 0);
    assert_false(op_add(g, x, x)->needs_gradient);
    assert_true(op_add(g, x, p)->needs_gradient);
    assert_true(op_add(g, op_add(g, p, x), x)->needs_gradient);
    graph_destroy(g);
}

static void an_auxiliary_output_is_made_once(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 3, 4)),
                 *w = graph_input(g, "w", F32, shape_of(2, 4, 5));
    struct value *y = op_linear(g, x, w, NULL, ACTIVATION_GELU, LAYOUT_IN_OUT);
    struct value *before = graph_aux(g, y, 0);
    assert_ptr_equal(graph_aux(g, y, 0), before);
    assert_ptr_equal(before->producer, y);
    assert_int_equal(before->aux_index, 0);
    assert_true(shape_equal(before->shape, shape_of(2, 3, 5)));
    graph_aux(g, y, 1);
    expect_message(g, STATUS_USAGE, "linear has no auxiliary output 1");
    graph_destroy(g);
}

static void shapes_take_and_print_sizes(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(shape_print(shape_of(3, 2, 3, 4), text), "[2, 3, 4]");
    assert_string_equal(shape_print(shape_of(0), text), "[]");
    assert_int_equal(shape_count(shape_of(0)), 1);
    assert_int_equal(shape_count(shape_of(3, 2, 3, 4)), 24);
    assert_int_equal(shape_rows(shape_of(3, 2, 3, 4)), 6);
    assert_int_equal(shape_last(shape_of(3, 2, 3, 4)), 4);
    assert_false(shape_equal(shape_of(2, 2, 3), shape_of(3, 2, 3, 1)));
    int64_t huge = INT64_MAX;
    assert_int_equal(strlen(shape_print(shape_of(4, huge, huge, huge, huge), text)),
                     63); // cut, not overrun
}

// ---- errors ----
static void the_first_error_sticks_with_scope_and_place(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 3, 4)),
                 *w = graph_parameter(g, "w", shape_of(2, 7, 5), 0, 0);
    int count = g->count;
    scope_push(g, "h.2");
    int line = __LINE__ + 1;
    struct value *y = op_linear(g, x, w, NULL, ACTIVATION_NONE, LAYOUT_IN_OUT);
    // Everything after it is harmless, whatever it reads.
    struct value *z = op_add(g, op_activation(g, y, ACTIVATION_RELU), x);
    z = op_attention(g, z, NULL, NULL, &(struct attention_attributes){.heads = 3, .kv_heads = 3});
    struct value *more =
        graph_input(g, "late", F32, shape_of(1, shape_last(z->shape) / z->shape.size[2]));
    graph_yield(g, graph_aux(g, z, 0), 3);
    region_begin(g);
    region_end(g);
    scope_pop(g);
    assert_ptr_equal(y, g->placeholder);
    assert_ptr_equal(more, g->placeholder);
    assert_int_equal(g->count, count);
    char expected[256];
    snprintf(expected, sizeof expected,
             "h.2: linear: x [3, 4] does not fit w [7, 5] (in, out): the last dimension has to be "
             "7 (test/graph/test_graph.c:%d)",
             line);
    assert_int_equal(graph_status(g), STATUS_SHAPE);
    assert_string_equal(error_message(), expected);
    error_clear();
    graph_destroy(g);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    const struct {
        int64_t size;
        const char *text;
    } sizes[] = {{0, "x: shape [0]: sizes must be at least 1"},
                 {-3, "x: shape [-3]: sizes must be at least 1"},
                 {INT64_MAX, "hold at most 2^45 bytes"}};
    for (int i = 0; i < 3; i++) {
        struct graph *g = new_graph();
        graph_input(g, "x", F32, shape_of(1, sizes[i].size));
        expect_message(g, STATUS_SHAPE, sizes[i].text);
        graph_destroy(g);
    }
    struct graph *g = new_graph(), *other = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(1, 4)),
                 *foreign = graph_input(other, "x", F32, shape_of(1, 4));
    op_add(g, x, foreign);
    expect_message(g, STATUS_USAGE, "add: input 1 belongs to another graph");
    graph_destroy(g);
    graph_destroy(other);

    g = new_graph();
    x = graph_input(g, "x", F32, shape_of(1, 4));
    op_add(g, x, NULL);
    expect_message(g, STATUS_SHAPE, "add: b is missing");
    graph_destroy(g);

    g = new_graph();
    graph_parameter(g, "p", shape_of(1, 4), -16, 0);
    expect_message(g, STATUS_USAGE, "parameter p: offset -16");
    graph_destroy(g);

    g = new_graph();
    x = graph_input(g, "qkv", F32, shape_of(3, 1, 2, 12));
    op_attention_cached(g, x, graph_input(g, "cache", F32, shape_of(3, 2, 8, 3)),
                        graph_input(g, "at", I32, shape_of(1, 1)), 2, 1);
    expect_message(g, STATUS_USAGE,
                   "attention_cached: input 1 (cache) is written and must be a state");
    graph_destroy(g);
}

static void yields_and_regions_are_checked(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(1, 4));
    graph_yield(g, x, 0);
    expect_message(g, STATUS_USAGE, "x is a leaf");
    graph_destroy(g);

    g = new_graph();
    x = graph_input(g, "x", F32, shape_of(1, 4));
    struct value *y = op_add(g, x, x);
    graph_yield(g, y, 1);
    graph_yield(g, y, 1);
    assert_int_equal(graph_status(g), STATUS_OK);
    graph_yield(g, y, 2);
    expect_message(g, STATUS_USAGE, "is yielded with tag 1 already, not 2");
    graph_destroy(g);

    g = new_graph();
    region_begin(g);
    region_begin(g);
    expect_message(g, STATUS_USAGE, "regions do not nest");
    graph_destroy(g);

    g = new_graph();
    region_end(g);
    expect_message(g, STATUS_USAGE, "no recompute region is open");
    graph_destroy(g);
}

// ---- verify ----
static struct graph *sound_graph(void)
{
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 3, 4)),
                 *w = graph_parameter(g, "w", shape_of(2, 4, 5), 0, 0);
    struct value *y = op_linear(g, x, w, NULL, ACTIVATION_GELU, LAYOUT_IN_OUT);
    graph_yield(g, op_add(g, y, graph_aux(g, y, 0)), 0);
    graph_yield(g, op_add(g, y, y), 1);
    assert_int_equal(graph_verify(g), STATUS_OK);
    return g;
}

// values: 0 x, 1 w, 2 linear, 3 its auxiliary output, 4 and 5 add
static void break_id(struct graph *g) { g->values[2]->id = 3; }
static void break_order(struct graph *g) { g->values[2]->input[0] = g->values[4]; }
static void break_shape(struct graph *g) { g->values[4]->shape.size[1] = 0; }
static void break_rank(struct graph *g) { g->values[4]->shape.rank = 5; }
static void break_dtype(struct graph *g) { g->values[4]->dtype = (enum dtype)7; }
static void break_aux_link(struct graph *g) { g->values[2]->aux[0] = NULL; }
static void break_aux_producer(struct graph *g) { g->values[3]->producer = g->values[4]; }
static void break_producer(struct graph *g) { g->values[4]->producer = g->values[2]; }
static void break_leaf(struct graph *g) { g->values[0]->storage = STORAGE_ARENA; }
static void break_parameter(struct graph *g) { g->values[1]->parameter = -1; }
static void break_storage(struct graph *g) { g->values[4]->storage = STORAGE_STATE; }
static void break_gradient(struct graph *g) { g->values[2]->needs_gradient = false; }
static void break_yield(struct graph *g) { g->values[4]->yield = 1; }
static void break_region(struct graph *g) { g->region = 1; }

static void verify_catches_corruption(void **state)
{
    (void)state;
    void (*const corrupt[])(struct graph *) = {
        break_id,       break_order,    break_shape,        break_rank,     break_dtype,
        break_aux_link, break_leaf,     break_aux_producer, break_producer, break_parameter,
        break_storage,  break_gradient, break_yield,        break_region,
    };
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) {
        struct graph *g = sound_graph();
        corrupt[i](g);
        if (graph_verify(g) != STATUS_SHAPE) fail_msg("corruption %zu is not noticed", i);
        assert_true(strlen(error_message()) > 0);
        error_clear();
        graph_destroy(g);
    }
}

static void printing_shows_every_value(void **state)
{
    (void)state;
    struct graph *g = sound_graph();
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    graph_print(g, file);
    fclose(file);
    assert_non_null(strstr(text, "parameter  f32 [4, 5]"));
    assert_non_null(strstr(text, "linear(0, 1, -)  f32 [3, 5]"));
    assert_non_null(strstr(text, "linear.0(2)  f32 [3, 5]"));
    assert_non_null(strstr(text, "add(2, 3)  f32 [3, 5]  yield 0"));
    int lines = 0;
    for (const char *at = text; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, g->count);
    free(text);
    graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_know_where_they_come_from),
        cmocka_unit_test(gradients_are_needed_where_parameters_flow),
        cmocka_unit_test(an_auxiliary_output_is_made_once),
        cmocka_unit_test(shapes_take_and_print_sizes),
        cmocka_unit_test(the_first_error_sticks_with_scope_and_place),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(yields_and_regions_are_checked),
        cmocka_unit_test(verify_catches_corruption),
        cmocka_unit_test(printing_shows_every_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
