// SPDX-License-Identifier: Apache-2.0
// The memory planner: sharing changes no bit, nothing alive is overwritten, dead code is dropped,
// and plans are small and quick.
#include "backend/registry.h"
#include "pass/gpt_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static const struct gpt_sizes small = {.batch = 2,
                                       .tokens = 9,
                                       .width = 12,
                                       .layers = 3,
                                       .heads = 3,
                                       .vocabulary = 13,
                                       .dropout = 0.1,
                                       .gradient = true};

static struct graph *new_graph(void)
{
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    return g;
}

static struct plan *new_plan(struct graph *g)
{
    struct plan *plan;
    if (plan_create(g, NULL, NULL, &plan)) fail_msg("%s", error_message());
    if (plan_verify(plan)) fail_msg("%s", error_message());
    return plan;
}

// ---- sharing ----
static void sharing_changes_no_bit_of_a_gpt(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        struct gpt_sizes n = small;
        n.recompute = recompute;
        struct gpt_run run[2];
        for (int shared = 0; shared < 2; shared++) {
            if (gpt_run_create(&run[shared], &reference_backend, n, shared))
                fail_msg("%s", error_message());
            program_run(run[shared].program, gpt_receive, &run[shared]);
            program_run(run[shared].program, gpt_receive,
                        &run[shared]); // what the first run left must not matter
        }
        assert_memory_equal(run[0].gradient, run[1].gradient,
                            (size_t)run[0].m.elements * sizeof(real));
        assert_true(run[0].loss == run[1].loss && run[0].loss > 0);
        assert_true(program_arena_bytes(run[1].program) < program_arena_bytes(run[0].program) / 2);
        assert_int_equal(program_plan(run[1].program)->bytes_unshared,
                         program_arena_bytes(run[0].program));
        for (int i = 0; i < 2; i++) gpt_run_destroy(&run[i]);
    }
}

// A graph of `values` random element-wise and matrix operations over [4, 8], some of them yielded.
struct random_graph {
    struct graph *g;
    struct value *input;
    uint64_t at;
    uint32_t number;
    real yielded[64][32];
};

static uint32_t draw(struct random_graph *r, uint32_t below)
{
    struct philox_address address = {
        .seed = 21, .stream = philox_stream(PHILOX_TEST, 3), .step = r->number};
    return philox_bits(address, r->at++) % below;
}

static struct value *pick(struct random_graph *r)
{
    // Late values are likelier, so that chains of in-place operations form.
    uint32_t back = draw(r, 3) ? draw(r, 4) : draw(r, (uint32_t)r->g->count);
    for (int id = r->g->count - 1 - (int)back; id >= 0; id--)
        if (r->g->values[id]->shape.rank == 2 && r->g->values[id]->shape.size[0] == 4)
            return r->g->values[id];
    return r->input;
}

static struct value *random_operation(struct random_graph *r, struct value *w, struct value *gain)
{
    struct graph *g = r->g;
    struct value *x = pick(r), *y;
    switch (draw(r, 8)) {
    case 0:
        return op_linear(g, x, w, gain, ACTIVATION_SILU, LAYOUT_OUT_IN);
    case 1:
        y = op_linear(g, x, w, NULL, ACTIVATION_RELU, LAYOUT_IN_OUT);
        return graph_aux(g, y, 0);
    case 2:
        return op_layer_norm(g, x, gain, NULL, 1e-5);
    case 3:
        y = op_layer_norm_grad(g, x, gain, pick(r), 1e-5);
        graph_aux(g, y, (int)draw(r, 2));
        return y;
    case 4:
        return op_activation(g, x, ACTIVATION_GELU);
    case 5:
        return op_activation_grad(g, x, pick(r), ACTIVATION_SILU);
    case 6:
        return op_scale(g, x, op_dot(g, x, pick(r)));
    default:
        return op_add(g, x, pick(r));
    }
}

static void random_graph_build(struct random_graph *r, uint32_t number)
{
    *r = (struct random_graph){.g = new_graph(), .number = number};
    r->input = graph_input(r->g, "x", F32, shape_of(2, 4, 8));
    struct value *w = graph_parameter(r->g, "w", shape_of(2, 8, 8), 0, 0);
    struct value *gain = graph_parameter(r->g, "gain", shape_of(1, 8), 64, 1);
    int values = 5 + (int)draw(r, 60), yields = 0;
    for (int i = 0; i < values; i++) {
        struct value *y = random_operation(r, w, gain);
        if (y->yield < 0 && y->producer->op && yields < 62 && draw(r, 6) == 0)
            graph_yield(r->g, y, yields++);
        if (i == values - 1 && y->yield < 0) graph_yield(r->g, y, yields);
    }
}

static void keep_random(void *context, int tag, const void *data)
{
    struct random_graph *r = context;
    memcpy(r->yielded[tag], data, sizeof r->yielded[tag]);
}

static size_t some_scratch(void *context, const struct value *v)
{
    (void)context;
    return v->id % 3 == 0 ? (size_t)v->id * 10 : 0;
}

static void sharing_changes_no_bit_of_random_graphs(void **state)
{
    (void)state;
    real weights[72];
    for (int i = 0; i < 72; i++) weights[i] = (real)(i % 7 - 3) / 5;
    size_t shared_bytes = 0, apart_bytes = 0;
    for (uint32_t number = 0; number < 300; number++) {
        static struct random_graph r[2];
        for (int shared = 0; shared < 2; shared++) {
            random_graph_build(&r[shared], number);
            struct program *program;
            enum status status =
                shared ? program_create(&reference_backend, r[shared].g, NULL, &program)
                       : program_create_unshared(&reference_backend, r[shared].g, NULL, &program);
            if (status) fail_msg("%s", error_message());
            if (plan_verify(program_plan(program)))
                fail_msg("graph %u: %s", number, error_message());
            assert_int_equal(program_prepare(program, weights, NULL), STATUS_OK);
            real *x = program_input(program, r[shared].input);
            for (int i = 0; i < 32; i++) x[i] = (real)(i % 5) / 3 - 1;
            program_run(program, keep_random, &r[shared]);
            *(shared ? &shared_bytes : &apart_bytes) += program_arena_bytes(program);
            program_destroy(program);
        }
        for (int tag = 0; tag < 64; tag++)
            assert_memory_equal(r[0].yielded[tag], r[1].yielded[tag], sizeof r[0].yielded[0]);
        struct plan *plan;
        assert_int_equal(plan_create(r[0].g, some_scratch, NULL, &plan), STATUS_OK);
        if (plan_verify(plan)) fail_msg("graph %u with scratch: %s", number, error_message());
        assert_true(plan->bytes >= plan->bytes_bound && plan->bytes <= plan->bytes_unshared);
        plan_destroy(plan);
        graph_destroy(r[0].g);
        graph_destroy(r[1].g);
    }
    assert_true(shared_bytes < apart_bytes / 2);
}

// ---- lifetimes ----
static void what_nothing_yielded_needs_does_not_run(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 4, 8)),
                 *unused = graph_input(g, "unused", F32, shape_of(1, 3));
    struct value *dead = op_activation(g, x, ACTIVATION_RELU), *dead_too = op_add(g, dead, x);
    struct value *live = op_add(g, x, x);
    graph_yield(g, live, 0);
    struct plan *plan = new_plan(g);
    assert_true(plan->alive[live->id] && plan->alive[x->id]);
    assert_false(plan->alive[dead->id] || plan->alive[dead_too->id]);
    assert_int_equal(plan->offset[dead->id], -1);
    assert_true(plan->offset[unused->id] >= 0); // the caller may write it all the same
    assert_int_equal(plan->bytes, 2 * 4 * 8 * sizeof(real) + 64);
    plan_destroy(plan);
    struct program *program;
    assert_int_equal(program_create(&null_backend, g, NULL, &program), STATUS_OK);
    assert_int_equal(program_steps(program), 1);
    program_destroy(program);
    graph_destroy(g);
}

static void an_asked_auxiliary_output_is_born_with_its_producer(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 4, 8)),
                 *w = graph_input(g, "w", F32, shape_of(2, 8, 8));
    struct value *y = op_linear(g, x, w, NULL, ACTIVATION_GELU, LAYOUT_IN_OUT);
    struct value *z = op_add(g, y, y); // y dies here; the auxiliary output lives on from before
    struct value *before = graph_aux(g, y, 0);
    graph_yield(g, op_add(g, z, before), 0);
    struct plan *plan = new_plan(g);
    assert_int_not_equal(plan->offset[before->id], plan->offset[y->id]);
    assert_int_not_equal(plan->offset[before->id], plan->offset[z->id]);
    plan_destroy(plan);
    graph_destroy(g);
}

static void results_take_over_only_what_dies(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(1, 64));
    struct value *a = op_activation(g, x, ACTIVATION_RELU); // x is an input: stays
    struct value *b = op_activation(g, a, ACTIVATION_RELU); // a dies: taken over
    struct value *c = op_activation(g, b, ACTIVATION_RELU); // b is read again below
    struct value *d = op_add(g, b, c);                      // both die here
    struct value *e = op_activation_grad(
        g, d, d, ACTIVATION_SILU); // d is also read as x: not element-wise safe by contract
    graph_yield(g, e, 0);
    struct plan *plan = new_plan(g);
    assert_int_not_equal(plan->offset[a->id], plan->offset[x->id]);
    assert_int_equal(plan->offset[b->id], plan->offset[a->id]);
    assert_int_not_equal(plan->offset[c->id], plan->offset[b->id]);
    assert_true(plan->offset[d->id] == plan->offset[b->id] ||
                plan->offset[d->id] == plan->offset[c->id]);
    assert_int_not_equal(plan->offset[e->id], plan->offset[d->id]);
    assert_int_equal(plan->bytes, 3 * 64 * sizeof(real));
    plan_destroy(plan);
    graph_destroy(g);
}

static void parameters_and_states_have_no_place_in_the_arena(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *p = graph_parameter(g, "p", shape_of(1, 64), 0, 0),
                 *s = graph_state(g, "s", F32, shape_of(1, 64));
    struct value *y = op_add(g, p, s);
    graph_yield(g, y, 0);
    struct plan *plan = new_plan(g);
    assert_int_equal(plan->offset[p->id], -1);
    assert_int_equal(plan->offset[s->id], -1);
    assert_int_equal(plan->bytes, 64 * sizeof(real));
    plan_destroy(plan);
    graph_destroy(g);
}

// ---- the checker ----
static void verify_finds_overlaps(void **state)
{
    (void)state;
    struct gpt m;
    assert_int_equal(gpt_build(&m, small), STATUS_OK);
    struct plan *plan;
    assert_int_equal(plan_create(m.g, some_scratch, NULL, &plan), STATUS_OK);
    assert_int_equal(plan_verify(plan), STATUS_OK);
    int moved = 0, found = 0;
    for (int id = 0; id < m.g->count; id++) {
        if (plan->offset[id] < 64) continue;
        int64_t kept = plan->offset[id];
        plan->offset[id] = 0;
        found += plan_verify(plan) != STATUS_OK;
        moved++;
        error_clear();
        plan->offset[id] = kept;
    }
    // A value may happen to fit at 0; most do not.
    assert_true(moved > 50 && found > moved / 2);
    plan->offset[m.ids->id] = (int64_t)plan->bytes;
    assert_int_equal(plan_verify(plan), STATUS_SHAPE);
    error_clear();
    plan_destroy(plan);
    graph_destroy(m.g);
}

static void a_broken_graph_gets_no_plan(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(1, 0));
    graph_yield(g, op_add(g, x, x), 0);
    struct plan *plan = NULL;
    assert_int_equal(plan_create(g, NULL, NULL, &plan), STATUS_SHAPE);
    assert_non_null(strstr(error_message(), "x: shape [0]"));
    assert_null(plan);
    error_clear();
    graph_destroy(g);
}

// ---- gradients at given places ----
static void gradients_stay_where_weights_would_lie(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        struct gpt m;
        struct gpt_sizes n = small;
        n.recompute = recompute;
        assert_int_equal(gpt_build(&m, n), STATUS_OK);
        size_t block = (size_t)m.elements * sizeof(real);
        struct plan *all, *some;
        assert_int_equal(plan_create(m.g, some_scratch, NULL, &all), STATUS_OK);
        assert_int_equal(plan_create_placed(m.g, block, some_scratch, NULL, &some), STATUS_OK);
        assert_int_equal(plan_verify(some), STATUS_OK);
        assert_true(some->bytes >= block && some->bytes < all->bytes + block);
        int stay = 0, inside = 0;
        for (int id = 0; id < m.g->count; id++) {
            const struct value *v = m.g->values[id];
            assert_int_equal(all->tag[id], some->tag[id]);
            if (v->storage == STORAGE_INPUT) assert_true(some->offset[id] >= (int64_t)block);
            bool lies = some->alive[id] && v->storage == STORAGE_ARENA;
            if (some->tag[id] < 0) {
                inside += lies && some->offset[id] < (int64_t)block;
            } else if (some->tag[id] < m.parameters) {
                // Also those whose place it has taken over: the output layer's part of the table's gradient.
                assert_int_equal(some->offset[id], m.offset[some->tag[id]] * (int64_t)sizeof(real));
                stay++;
            }
        }
        assert_true(stay > m.parameters && inside > 10);
        plan_destroy(all);
        plan_destroy(some);
        graph_destroy(m.g);
    }
}

// A gradient that is read again lies elsewhere; its place is the caller's from then on. What lies behind a parameter
// is nobody's, either.
static void a_gradient_that_is_read_again_has_its_place_kept(void **state)
{
    (void)state;
    struct graph *g = new_graph();
    struct value *p = graph_parameter(g, "p", shape_of(1, 60), 0, 0),
                 *q = graph_parameter(g, "q", shape_of(1, 60), 64, 1),
                 *x = graph_input(g, "x", F32, shape_of(1, 60));
    struct value *y = op_add(g, x, p), *z = op_add(g, y, q), *u = op_add(g, z, y);
    graph_yield(g, y, 0);
    graph_yield(g, u, 1);
    struct plan *plan;
    int64_t unit = sizeof(real);
    assert_int_equal(plan_create_placed(g, 128 * sizeof(real), some_scratch, NULL, &plan),
                     STATUS_OK);
    assert_int_equal(plan_verify(plan), STATUS_OK);
    assert_true(plan->offset[y->id] >= 64 * unit && plan->offset[u->id] == 64 * unit);
    assert_true(plan->offset[z->id] >= 64 * unit);
    // Where y is copied to.
    int64_t kept = plan->offset[z->id];
    plan->offset[z->id] = 0;
    assert_int_equal(plan_verify(plan), STATUS_SHAPE);
    error_clear();
    plan->offset[z->id] = kept;
    // Where u is copied to is free until then, but not afterwards.
    plan->offset[u->id] = 0;
    assert_int_equal(plan_verify(plan), STATUS_SHAPE);
    error_clear();
    plan_destroy(plan);
    graph_destroy(g);
}

// ---- size and time ----
// Of this process: others may have the processor meanwhile.
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void a_gpt2_is_planned_at_once_and_close_to_the_bound(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        struct gpt m;
        struct gpt_sizes n = {
            4, 1024, 768, 12, 12, 50304, .dropout = 0.1, .recompute = recompute, .gradient = true};
        double start = seconds();
        assert_int_equal(gpt_build(&m, n), STATUS_OK);
        double built = seconds();
        struct plan *plan;
        assert_int_equal(plan_create(m.g, NULL, NULL, &plan), STATUS_OK);
        double planned = seconds();
        assert_int_equal(plan_verify(plan), STATUS_OK);
        print_message("# GPT-2 124M 4 x 1024%s: %d values, built in %.2f ms, planned in %.2f ms; "
                      "%.1f MB, bound %.1f, unshared %.1f\n",
                      recompute ? " recomputed" : "", m.g->count, 1e3 * (built - start),
                      1e3 * (planned - built), (double)plan->bytes / 1e6,
                      (double)plan->bytes_bound / 1e6, (double)plan->bytes_unshared / 1e6);
        assert_true(planned - built < 30); // it takes milliseconds: only what hangs does not
        assert_true((double)plan->bytes <= 1.05 * (double)plan->bytes_bound);
        plan_destroy(plan);
        graph_destroy(m.g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing_changes_no_bit_of_a_gpt),
        cmocka_unit_test(sharing_changes_no_bit_of_random_graphs),
        cmocka_unit_test(what_nothing_yielded_needs_does_not_run),
        cmocka_unit_test(an_asked_auxiliary_output_is_born_with_its_producer),
        cmocka_unit_test(results_take_over_only_what_dies),
        cmocka_unit_test(parameters_and_states_have_no_place_in_the_arena),
        cmocka_unit_test(verify_finds_overlaps),
        cmocka_unit_test(a_broken_graph_gets_no_plan),
        cmocka_unit_test(gradients_stay_where_weights_would_lie),
        cmocka_unit_test(a_gradient_that_is_read_again_has_its_place_kept),
        cmocka_unit_test(a_gpt2_is_planned_at_once_and_close_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
