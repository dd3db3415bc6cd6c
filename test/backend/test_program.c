// SPDX-License-Identifier: Apache-2.0
// Programs: every backend runs a GPT, instruction sets and sharing change no bit, what cannot run
// says so before it runs.
#include "backend/profile.h"
#include "backend/registry.h"
#include "base/cpu.h"
#include "base/log.h"
#include "pass/gpt_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct gpt_sizes small = {.batch = 2,
                                       .tokens = 33,
                                       .width = 24,
                                       .layers = 2,
                                       .heads = 3,
                                       .vocabulary = 67,
                                       .dropout = 0.1,
                                       .gradient = true};

// With its inputs filled anew: in a run other values may have come where they lay.
static void run_again(struct gpt_run *run)
{
    gpt_fill(&run->m, program_input(run->program, run->m.ids),
             program_input(run->program, run->m.positions),
             program_input(run->program, run->m.targets),
             program_input(run->program, run->m.random));
    program_run(run->program, gpt_receive, run);
}

static void start(struct gpt_run *run, const struct backend *backend, struct gpt_sizes n,
                  bool shared)
{
    if (gpt_run_create(run, backend, n, shared)) fail_msg("%s", error_message());
    program_run(run->program, gpt_receive, run);
}

static void the_cpu_agrees_with_the_reference_on_a_gpt(void **state)
{
    (void)state;
    struct gpt_run fast, slow;
    start(&fast, &cpu_backend, small, true);
    start(&slow, &reference_backend, small, true);
    assert_true(fabs((double)(fast.loss / slow.loss) - 1) < 1e-6);
    for (int p = 0; p < fast.m.parameters; p++) {
        double largest = 1e-3, worst = 0;
        for (int64_t i = 0; i < shape_count(fast.m.shape[p]); i++) {
            double right = (double)slow.gradient[slow.m.offset[p] + i],
                   found = (double)fast.gradient[fast.m.offset[p] + i];
            largest = fmax(largest, fabs(right));
            worst = fmax(worst, fabs(right - found));
        }
        if (!(worst <= 1e-5 * largest))
            fail_msg("parameter %d is off by %.1e of %.1e", p, worst, largest);
    }
    gpt_run_destroy(&fast);
    gpt_run_destroy(&slow);
}

static void instruction_sets_sharing_and_recompute_change_no_bit(void **state)
{
    (void)state;
    struct gpt_run first;
    start(&first, &cpu_backend, small, true);
    int runs = 0;
    for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++)
        for (int mode = 0; mode < 3 && isa_available(isa); mode++) {
            struct gpt_sizes n = small;
            n.recompute = mode == 2;
            struct gpt_run run;
            setenv("STENTOR_ISA", isa_name(isa), 1);
            start(&run, &cpu_backend, n, mode != 1);
            assert_true(run.loss == first.loss);
            if (memcmp(run.gradient, first.gradient, (size_t)run.m.elements * sizeof(real)))
                fail_msg("%s, mode %d: other gradients", isa_name(isa), mode);
            gpt_run_destroy(&run);
            runs++;
        }
    unsetenv("STENTOR_ISA");
    print_message("# %d runs of the same bits\n", runs);
    gpt_run_destroy(&first);
}

// A value that is handed to all threads, each of which takes its part.
static void take_parts(void *context, int tag, const void *data, const struct part *part)
{
    struct gpt_run *run = context;
    if (tag >= run->m.parameters) {
        if (part->index == 0) gpt_receive(context, tag, data);
        return;
    }
    const real *from = data;
    real *to = run->gradient + run->m.offset[tag];
    struct range r = part_range(part, shape_count(run->m.shape[tag]), 16);
    for (int64_t i = r.first; i < r.last; i++) to[i] += from[i];
}

// Every other gradient is written where the test says.
struct placing {
    struct gpt_run *run;
    real *memory;
    bool asked[1024];
    int placed, found;
};
static void *place_some(void *context, int tag)
{
    struct placing *placing = context;
    if (tag >= placing->run->m.parameters) return NULL;
    if (tag % 2) return NULL;
    placing->placed += !placing->asked[tag];
    placing->asked[tag] = true;
    return placing->memory + 16 + placing->run->m.offset[tag];
}
static void receive_placed(void *context, int tag, const void *data)
{
    struct placing *placing = context;
    const struct gpt *m = &placing->run->m;
    if (tag < m->parameters && data == placing->memory + 16 + m->offset[tag]) placing->found++;
    gpt_receive(placing->run, tag, data);
}

static void assert_gradients_lie_there(const struct gpt_run *run)
{
    const struct plan *plan = program_plan(run->program);
    for (int id = 0; id < run->m.g->count; id++) {
        const struct value *v = run->m.g->values[id];
        if (v->yield < 0 || v->yield >= run->m.parameters || plan->tag[id] < 0) continue;
        int64_t offset = run->m.offset[v->yield];
        assert_int_equal(plan->offset[id], offset * (int64_t)sizeof(real));
        assert_memory_equal(run->arena + offset, run->gradient + offset,
                            (size_t)shape_count(v->shape) * sizeof(real));
    }
}

static void placed_gradients_are_the_same_bits(void **state)
{
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        struct gpt_run first, run;
        struct gpt_sizes n = small;
        start(&first, &cpu_backend, n, true);
        n.threads = mode < 2 ? 1 : 3;
        n.block = mode % 2;
        if (gpt_run_create(&run, &cpu_backend, n, true)) fail_msg("%s", error_message());
        size_t bytes = (size_t)run.m.elements * sizeof(real);
        struct placing placing = {.run = &run, .memory = malloc(bytes + 32 * sizeof(real))};
        memset(placing.memory, 0xff, bytes + 32 * sizeof(real));
        program_place(run.program, place_some, &placing);
        assert_true(placing.placed > run.m.parameters / 3);
        for (int again = 0; again < 2; again++) {
            placing.found = 0;
            program_run(run.program, receive_placed, &placing);
            assert_int_equal(placing.found, placing.placed);
            assert_memory_equal(run.gradient, first.gradient, bytes);
        }
        // Nothing beside them is written.
        for (int i = 0; i < 16; i++)
            assert_true(isnan(placing.memory[i]) && isnan(placing.memory[16 + run.m.elements + i]));
        program_place(run.program, NULL, NULL);
        placing.found = 0;
        program_run(run.program, receive_placed, &placing);
        assert_int_equal(placing.found, 0);
        assert_memory_equal(run.gradient, first.gradient, bytes);
        // They are still there, where the arena begins.
        if (n.block) assert_gradients_lie_there(&run);
        free(placing.memory);
        gpt_run_destroy(&run);
        gpt_run_destroy(&first);
    }
}

// Norms and activations of wide layers are computed again in the backward pass, unless a region recomputes all.
static void what_is_cheap_is_not_kept(void **state)
{
    (void)state;
    struct gpt_sizes wide = {1, 9, 576, 2, 2, 31, .dropout = 0.1, .gradient = true}, region = wide;
    struct gpt_run first, again;
    start(&first, &cpu_backend, wide, true);
    region.recompute = true;
    start(&again, &cpu_backend, region, true);
    assert_true(first.loss == again.loss);
    assert_memory_equal(first.gradient, again.gradient, (size_t)first.m.elements * sizeof(real));
    int norms = 0, activations = 0;
    for (int i = 0; i < program_steps(first.program); i++) {
        const struct op *op = program_step(first.program, i)->call.value->op;
        norms += op == &layer_norm_op;
        activations += op == &activation_op;
    }
    // Two layers with two norms each, and the last one, which the output layer's gradient does not read.
    assert_int_equal(norms, 2 * 2 * 2 + 1);
    assert_int_equal(activations, 2);
    gpt_run_destroy(&first);
    gpt_run_destroy(&again);

    wide.width = 64;
    start(&first, &cpu_backend, wide, true);
    for (int i = 0; i < program_steps(first.program); i++)
        assert_ptr_not_equal(program_step(first.program, i)->call.value->op, &activation_op);
    gpt_run_destroy(&first);
}

static void *count_tags(void *context, int tag)
{
    int *asked = context;
    asked[tag]++;
    return NULL;
}

static void what_steps_read_stays_in_the_arena(void **state)
{
    (void)state;
    struct graph *g;
    struct program *program;
    int asked[2] = {0, 0};
    if (graph_create(&g)) fail_msg("%s", error_message());
    struct value *x = graph_input(g, "x", F32, shape_of(1, INT64_C(5)));
    struct value *sum = op_add(g, x, x);
    graph_yield(g, sum, 0);
    graph_yield(g, op_add(g, sum, x), 1);
    if (program_create(&cpu_backend, g, NULL, &program) || program_prepare(program, NULL, NULL))
        fail_msg("%s", error_message());
    program_place(program, count_tags, asked);
    assert_int_equal(asked[0], 0);
    assert_int_equal(asked[1], 1);
    program_destroy(program);
    graph_destroy(g);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    // More rows, columns and words than a part's least: every kernel is cut.
    const struct gpt_sizes sizes[] = {small, {3, 130, 192, 2, 3, 200, 0.1, .gradient = true}};
    for (int i = 0; i < 2; i++) {
        struct gpt_run first;
        start(&first, &cpu_backend, sizes[i], true);
        size_t bytes = (size_t)first.m.elements * sizeof(real);
        for (int mode = 0; mode < 8; mode++) {
            struct gpt_run run;
            struct gpt_sizes n = sizes[i];
            n.threads = 2 + mode % 4;
            start(&run, &cpu_backend, n, mode < 4);
            assert_true(run.loss == first.loss);
            if (memcmp(run.gradient, first.gradient, bytes))
                fail_msg("%d threads, mode %d: other gradients", n.threads, mode);
            memset(run.gradient, 0, bytes);
            program_run_parts(run.program, take_parts, &run);
            if (memcmp(run.gradient, first.gradient, bytes))
                fail_msg("%d threads, mode %d: other gradients in parts", n.threads, mode);
            gpt_run_destroy(&run);
        }
        gpt_run_destroy(&first);
    }
}

static void a_wrong_isa_is_refused(void **state)
{
    (void)state;
    struct gpt m;
    assert_int_equal(gpt_build(&m, small), STATUS_OK);
    struct program *program = NULL;
    setenv("STENTOR_ISA", "altivec", 1);
    assert_int_equal(program_create(&cpu_backend, m.g, NULL, &program), STATUS_USAGE);
    unsetenv("STENTOR_ISA");
    assert_non_null(strstr(error_message(), "STENTOR_ISA=altivec"));
    assert_null(program);
    error_clear();
    graph_destroy(m.g);
}

// ---- backends ----
static void backends_are_found_by_name(void **state)
{
    (void)state;
    const struct backend *backend;
    for (int i = 0; backend_registry[i]; i++) {
        assert_int_equal(backend_find(backend_registry[i]->name, &backend), STATUS_OK);
        assert_ptr_equal(backend, backend_registry[i]);
    }
    assert_int_equal(backend_find("tpu", &backend), STATUS_USAGE);
    assert_string_equal(error_message(),
                        "there is no backend 'tpu'; there are: cpu, reference, null");
    error_clear();
}

static enum status choose_little(const struct backend *backend, const struct value *v,
                                 const struct program_options *options, struct step *step)
{
    if (v->op == &attention_op || v->op == &output_loss_op)
        FAIL(STATUS_UNSUPPORTED, "no %s", v->op->name);
    return reference_backend.choose(backend, v, options, step);
}

static void all_missing_kernels_are_listed_once(void **state)
{
    (void)state;
    const struct backend little = {.name = "little", .choose = choose_little};
    struct gpt m;
    assert_int_equal(gpt_build(&m, small), STATUS_OK);
    struct program *program;
    assert_int_equal(program_create(&little, m.g, NULL, &program), STATUS_UNSUPPORTED);
    assert_string_equal(error_message(),
                        "backend little has no kernel for: attention [2, 33, 24], output_loss [1]");
    error_clear();
    graph_destroy(m.g);
}

static void keep_sum(void *context, int tag, const void *data)
{
    (void)tag;
    *(float *)context = *(const float *)data;
}

static void count_warning(void *context, enum log_level level, const char *line)
{
    *(int *)context += level == LOG_WARNING && strstr(line, "sum_of_two") != NULL;
}

static void an_operation_without_a_kernel_runs_by_its_definition(void **state)
{
    (void)state;
    struct op sum_of_two = add_op;
    sum_of_two.name = "sum_of_two";
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    struct value *x = graph_input(g, "x", F32, shape_of(1, 1));
    struct value *input[] = {x, x};
    graph_yield(g, graph_append(g, &sum_of_two, input, 2, NULL, 0), 0);
    struct program *program;
    int warnings = 0;
    log_set_sink(count_warning, &warnings);
    assert_int_equal(program_create(&cpu_backend, g, NULL, &program), STATUS_OK);
    log_set_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
    assert_int_equal(program_prepare(program, NULL, NULL), STATUS_OK);
    *(float *)program_input(program, x) = 21;
    float sum = 0;
    program_run(program, keep_sum, &sum);
    assert_true(sum == 42);
    program_destroy(program);
    graph_destroy(g);
}

static void the_null_backend_plans_what_no_machine_holds(void **state)
{
    (void)state;
    struct gpt m;
    struct gpt_sizes n = {1, 4096, 12288, 30, 96, 50304, .gradient = true};
    assert_int_equal(gpt_build(&m, n), STATUS_OK);
    struct program *program;
    assert_int_equal(program_create(&null_backend, m.g, NULL, &program), STATUS_OK);
    assert_true(program_arena_bytes(program) > (size_t)10 << 30);
    assert_true(program_cost(program, 1).flops > 6.0 * 4096 * 30 * 12 * 12288 * 12288);
    program_destroy(program);
    graph_destroy(m.g);
}

// ---- programs ----
static void programs_may_share_an_arena(void **state)
{
    (void)state;
    struct gpt_sizes n = small;
    struct gpt_run training, evaluation;
    start(&training, &cpu_backend, n, true);
    n.gradient = false;
    n.dropout = 0;
    start(&evaluation, &cpu_backend, n, true);
    real loss[2] = {training.loss, evaluation.loss};
    void *arena = aligned_alloc(64, program_arena_bytes(training.program));
    assert_true(program_arena_bytes(evaluation.program) <= program_arena_bytes(training.program));
    struct gpt_run *run[2] = {&training, &evaluation};
    for (int i = 0; i < 4; i++) {
        struct gpt_run *r = run[i % 2];
        assert_int_equal(program_prepare(r->program, r->weights, arena), STATUS_OK);
        run_again(r);
        assert_true(r->loss == loss[i % 2]);
    }
    free(arena);
    gpt_run_destroy(&training);
    gpt_run_destroy(&evaluation);
}

static void every_yield_comes_once_in_every_run(void **state)
{
    (void)state;
    struct gpt_run run;
    start(&run, &cpu_backend, small, true);
    assert_int_equal(run.yields, run.m.parameters + 2);
    program_run(run.program, gpt_receive, &run);
    for (int p = 0; p < run.m.parameters; p++) assert_int_equal(run.times[p], 2);
    gpt_run_destroy(&run);
}

static void gradients_come_as_soon_as_they_are_complete(void **state)
{
    (void)state;
    // Weights are declared before everything else; the last layer's gradients still come first, and
    // memory stays low.
    struct gpt_run run;
    struct gpt_sizes n = small;
    n.layers = 6;
    assert_int_equal(gpt_run_create(&run, &null_backend, n, true), STATUS_OK);
    const struct graph *g = run.m.g;
    int last = g->count, previous = -1;
    for (int p = 2; p < run.m.parameters - 2; p += 12) { // a norm's gain in every layer
        int at = -1;
        for (int id = 0; id < last; id++)
            if (g->values[id]->yield == p) at = id;
        assert_true(at > 0 && (previous < 0 || at < previous));
        previous = at;
    }
    gpt_run_destroy(&run);
}

static void take_output(void *context, int tag, const void *data)
{
    (void)tag;
    memcpy(context, data, 6 * sizeof(real));
}

static void states_are_bound_and_written(void **state)
{
    (void)state;
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    struct value *qkv = graph_input(g, "qkv", F32, shape_of(3, 1, 1, 18)),
                 *position = graph_input(g, "position", I32, shape_of(1, 1));
    struct value *cache = graph_state(g, "cache", F32, shape_of(3, 2, 4, 6));
    graph_yield(g, op_attention_cached(g, qkv, cache, position, 2, 2), 0);
    const struct backend *backends[] = {&cpu_backend, &reference_backend};
    real output[2][4][6];
    for (int b = 0; b < 2; b++) {
        struct program *program;
        assert_int_equal(program_create(backends[b], g, NULL, &program), STATUS_OK);
        assert_int_equal(program_prepare(program, NULL, NULL), STATUS_OK);
        real memory[2 * 4 * 6] = {0};
        program_bind(program, cache, memory);
        for (int32_t t = 0; t < 4; t++) {
            real *in = program_input(program, qkv);
            for (int i = 0; i < 18; i++) in[i] = (real)((i * 7 + t * 5) % 11) / 11;
            *(int32_t *)program_input(program, position) = t;
            program_run(program, take_output, output[b][t]);
            assert_memory_equal(memory + t * 6, in + 6, 6 * sizeof(real));       // key
            assert_memory_equal(memory + 24 + t * 6, in + 12, 6 * sizeof(real)); // value
        }
        program_destroy(program);
    }
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < 6; i++)
            assert_true(fabs((double)(output[0][t][i] - output[1][t][i])) < 1e-6);
    graph_destroy(g);
}

// Three runs of the program, by operation: nothing is lost, what follows the loss is backward, and roofs are the longer of two.
// counted: the part of the targets that is not ignored, for the others nothing is computed.
static void profiles_sum_up(const struct program *program, double seconds, double counted)
{
    static struct profile profile, memory;
    const struct roof core = {.fma = 2e9, .triad = 1e30}, slow = {.fma = 1e30, .triad = 1e9};
    double flops = 0, bytes = 0, sum = 0, arithmetic = 0, traffic = 0;
    long calls = 0;
    int loss = -1;
    for (int i = 0; i < program_steps(program); i++)
        if (!strcmp(program_step_profile(program, i).op, "output_loss"))
            loss = program_step_profile(program, i).tag;
    profile_add(&profile, program, loss, &core);
    profile_add(&memory, program, loss, &slow);
    profile_sort(&profile);
    for (int i = 0; i < profile.rows; i++) {
        const struct profile_row *row = &profile.row[i];
        bool gradient = strstr(row->op, "_grad") || !strcmp(row->op, "column_sum");
        if (gradient || !strcmp(row->op, "output_loss")) assert_int_equal(row->backward, gradient);
        if (i) assert_true(row->seconds <= row[-1].seconds);
        calls += row->calls;
        flops += row->cost.flops;
        bytes += row->cost.bytes;
        sum += row->seconds;
        arithmetic += row->roof_seconds;
        traffic += memory.row[i].roof_seconds;
    }
    struct cost cost = program_cost(program, counted);
    assert_true(cost.flops < program_cost(program, 1).flops);
    assert_int_equal(calls, 3 * program_steps(program));
    assert_true(fabs(sum / seconds - 1) < 1e-9 && fabs(flops / cost.flops / 3 - 1) < 1e-9);
    assert_true(fabs(arithmetic * 2e9 / flops - 1) < 1e-9 &&
                fabs(traffic * 1e9 / bytes - 1) < 1e-9);
    assert_true(profile.yield_seconds == program_yield_seconds(program));
}

static void profiles_count_calls_and_seconds(void **state)
{
    (void)state;
    struct gpt_run run;
    start(&run, &cpu_backend, small, true);
    assert_int_equal(program_step_profile(run.program, 0).calls, 0);
    program_profile(run.program, true);
    for (int i = 0; i < 3; i++) run_again(&run);
    double flops = 0, seconds = 0;
    for (int i = 0; i < program_steps(run.program); i++) {
        struct step_profile profile = program_step_profile(run.program, i);
        assert_int_equal(profile.calls, 3);
        assert_non_null(op_find(profile.op));
        flops += profile.cost.flops;
        seconds += profile.seconds;
    }
    assert_true(flops == program_cost(run.program, 1).flops && seconds > 0);
    assert_true(program_yield_seconds(run.program) > 0);
    int64_t rows = small.batch * small.tokens;
    profiles_sum_up(run.program, seconds, (double)(rows - rows / 7) / (double)rows);
    program_profile(run.program, false);
    program_run(run.program, gpt_receive, &run);
    assert_int_equal(program_step_profile(run.program, 0).calls, 3);
    gpt_run_destroy(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_agrees_with_the_reference_on_a_gpt),
        cmocka_unit_test(instruction_sets_sharing_and_recompute_change_no_bit),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(placed_gradients_are_the_same_bits),
        cmocka_unit_test(what_steps_read_stays_in_the_arena),
        cmocka_unit_test(what_is_cheap_is_not_kept),
        cmocka_unit_test(a_wrong_isa_is_refused),
        cmocka_unit_test(backends_are_found_by_name),
        cmocka_unit_test(all_missing_kernels_are_listed_once),
        cmocka_unit_test(an_operation_without_a_kernel_runs_by_its_definition),
        cmocka_unit_test(the_null_backend_plans_what_no_machine_holds),
        cmocka_unit_test(programs_may_share_an_arena),
        cmocka_unit_test(every_yield_comes_once_in_every_run),
        cmocka_unit_test(gradients_come_as_soon_as_they_are_complete),
        cmocka_unit_test(states_are_bound_and_written),
        cmocka_unit_test(profiles_count_calls_and_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
