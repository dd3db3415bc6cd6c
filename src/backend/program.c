// SPDX-License-Identifier: Apache-2.0
// Programs: the live operations of a graph as a flat array of launches with all pointers fixed.
// Running one is a loop.
#include "backend/backend.h"
#include "base/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct measure {
    double seconds, work;
    long calls;
};

struct program {
    const struct backend *backend;
    struct program_options options;
    struct team *team; // borrowed, NULL for one thread
    struct graph *graph;
    struct plan *plan;
    struct step *steps;
    int count;
    unsigned char *arena; // NULL before program_prepare
    struct block own;     // the arena, unless the caller gave one
    bool profile;
    struct measure *measures; // [steps]
    double yield_seconds;
    // While it is made: operations without a kernel.
    char missing[512];
    enum status status; // the first failure of another kind
};

// The value that output i of a step is, or NULL.
static const struct value *output_of(const struct step *step, int i)
{
    INVARIANT(step->call.value, "output %d of a step without a value", i);
    return i ? step->call.value->aux[i - 1] : step->call.value;
}

// ---- choosing kernels ----
static void note_missing(struct program *program, const struct value *v)
{
    char name[64], shape[64];
    snprintf(name, sizeof name, "%s %s", v->op->name, shape_print(v->shape, shape));
    size_t used = strlen(program->missing);
    if (!strstr(program->missing, name))
        snprintf(program->missing + used, sizeof program->missing - used, "%s%s", used ? ", " : "",
                 name);
}

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t step_scratch_bytes(const struct scratch *scratch, int threads)
{
    return line_up(scratch->shared) + checked_multiply(line_up(scratch->each), (size_t)threads);
}

void *step_part_scratch(const struct step *step, const struct part *part)
{
    size_t before =
        line_up(step->scratch.shared) + line_up(step->scratch.each) * (size_t)part->index;
    return step->call.scratch ? (unsigned char *)step->call.scratch + before : NULL;
}

// Called by the planner for each live operation in schedule order: makes its step on the way.
static size_t choose_step(void *context, const struct value *v)
{
    struct program *program = context;
    struct step *step = &program->steps[program->count++];
    *step = (struct step){.call.value = v, .yield = {v->yield, -1, -1, -1}};
    for (int i = 0; i < MAX_AUX; i++)
        if (v->aux[i]) step->yield[1 + i] = v->aux[i]->yield;
    for (int i = 0; i < 1 + MAX_AUX; i++) step->yields |= step->yield[i] >= 0;
    if (program->status) return 0;
    enum status status = program->backend->choose(program->backend, v, &program->options, step);
    if (status == STATUS_UNSUPPORTED) {
        error_clear();
        note_missing(program, v);
    } else {
        program->status = status;
    }
    return status ? 0 : step_scratch_bytes(&step->scratch, program->options.threads);
}

static void find_tags(struct program *program)
{
    const int *tag = program->plan->tag;
    for (int i = 0; i < program->count; i++) {
        struct step *step = &program->steps[i];
        const struct value *v = step->call.value;
        for (int j = 0; j < 1 + MAX_AUX; j++)
            step->output_tag[j] = output_of(step, j) ? tag[output_of(step, j)->id] : -1;
        for (int j = 0; j < MAX_INPUTS; j++)
            step->input_tag[j] = j < v->inputs && v->input[j] ? tag[v->input[j]->id] : -1;
    }
}

static enum status build(struct program *program, bool share)
{
    size_t most = (size_t)program->graph->count;
    TRY(memory_allocate(most, sizeof *program->steps, "the steps of a program", &program->steps));
    TRY(memory_allocate(most, sizeof *program->measures, "the profile of a program",
                        &program->measures));
    if (!share)
        TRY(plan_create_unshared(program->graph, choose_step, program, &program->plan));
    else
        TRY(plan_create_placed(program->graph, program->options.block, choose_step, program,
                               &program->plan));
    if (program->status) return error_trace(program->status, __FILE__, __LINE__);
    if (program->missing[0])
        FAIL(STATUS_UNSUPPORTED, "backend %s has no kernel for: %s", program->backend->name,
             program->missing);
    find_tags(program);
    return STATUS_OK;
}

static enum status create(const struct backend *backend, struct graph *g,
                          const struct program_options *options, bool share,
                          struct program **program_p)
{
    struct program *program;
    TRY(graph_status(g));
    TRY(memory_allocate(1, sizeof *program, "a program", &program));
    program->backend = backend;
    program->graph = g;
    if (options) program->options = *options;
    if (program->options.threads < 1) program->options.threads = 1;
    enum status status = build(program, share);
    if (status) {
        program_destroy(program);
        return error_trace(status, __FILE__, __LINE__);
    }
    *program_p = program;
    return STATUS_OK;
}

enum status program_create(const struct backend *backend, struct graph *g,
                           const struct program_options *options, struct program **program_p)
{
    return create(backend, g, options, true, program_p);
}

enum status program_create_unshared(const struct backend *backend, struct graph *g,
                                    const struct program_options *options,
                                    struct program **program_p)
{
    return create(backend, g, options, false, program_p);
}

void program_destroy(struct program *program)
{
    if (!program) return;
    plan_destroy(program->plan);
    block_destroy(&program->own);
    free(program->steps);
    free(program->measures);
    free(program);
}

// ---- reading ----
size_t program_arena_bytes(const struct program *program) { return program->plan->bytes; }
int program_steps(const struct program *program) { return program->count; }
struct step *program_step(struct program *program, int i) { return &program->steps[i]; }
const struct plan *program_plan(const struct program *program) { return program->plan; }

static struct cost step_cost(const struct step *step)
{
    return step->call.value->op->cost(step->call.value);
}

static const struct op *step_op(const struct step *step) { return step->call.value->op; }

struct cost program_cost(const struct program *program, double counted)
{
    struct cost sum = {0, 0};
    for (int i = 0; i < program->count; i++) {
        struct cost cost = step_cost(&program->steps[i]);
        double part = step_op(&program->steps[i])->asked ? counted : 1;
        sum.flops += part * cost.flops;
        sum.bytes += part * cost.bytes;
    }
    return sum;
}

// ---- fixing pointers ----
static void *planned(const struct program *program, int64_t offset)
{
    return offset < 0 ? NULL : program->arena + offset;
}

static const void *address_of(const struct program *program, const real *weights,
                              const struct value *v)
{
    if (v->storage == STORAGE_PARAMETER) return weights + v->offset;
    return planned(program, program->plan->offset[v->id]); // NULL for a STATE: program_bind
}

static void fix_step(const struct program *program, const real *weights, struct step *step)
{
    const struct value *v = step->call.value;
    for (int i = 0; i < 1 + MAX_AUX; i++)
        if (output_of(step, i))
            step->call.output[i] = planned(program, program->plan->offset[output_of(step, i)->id]);
    for (int i = 0; i < v->inputs; i++)
        if (v->input[i] && v->input[i]->storage != STORAGE_STATE)
            step->call.input[i] = address_of(program, weights, v->input[i]);
    step->call.scratch = planned(program, program->plan->scratch[v->id]);
}

enum status program_prepare(struct program *program, const real *weights, void *arena)
{
    if (!arena && !program->own.data)
        TRY(block_create(program->plan->bytes, "a program's values", &program->own));
    INVARIANT((uintptr_t)arena % 64 == 0, "the arena lies at %p", arena);
    program->arena = arena ? arena : program->own.data;
    for (int i = 0; i < program->count; i++) fix_step(program, weights, &program->steps[i]);
    return STATUS_OK;
}

void program_bind(struct program *program, const struct value *state, void *memory)
{
    INVARIANT(state->storage == STORAGE_STATE, "%s is no state", state->name);
    for (int i = 0; i < program->count; i++) {
        struct step *step = &program->steps[i];
        for (int j = 0; j < step->call.value->inputs; j++)
            if (step->call.value->input[j] == state) step->call.input[j] = memory;
    }
}

// The place of value v, which has `tag`.
static void *placed(const struct program *program, place_function place, void *context, int tag,
                    const struct value *v)
{
    void *at = place ? place(context, tag) : NULL;
    return at ? at : planned(program, program->plan->offset[v->id]);
}

void program_place(struct program *program, place_function place, void *context)
{
    INVARIANT(program->arena, "the program is not prepared");
    for (int i = 0; i < program->count; i++) {
        struct step *step = &program->steps[i];
        struct op_call *call = &step->call;
        for (int j = 0; j < 1 + MAX_AUX; j++)
            if (step->output_tag[j] >= 0)
                call->output[j] =
                    placed(program, place, context, step->output_tag[j], output_of(step, j));
        for (int j = 0; j < call->value->inputs; j++)
            if (step->input_tag[j] >= 0)
                call->input[j] =
                    placed(program, place, context, step->input_tag[j], call->value->input[j]);
    }
}

void *program_input(struct program *program, const struct value *input)
{
    INVARIANT(program->arena && input->storage == STORAGE_INPUT,
              "%s is no input of a prepared program", input->name);
    return planned(program, program->plan->offset[input->id]);
}

// ---- running ----
static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// One run, by all threads of the team.
struct run {
    struct program *program;
    yield_function yield;           // on the first thread
    part_yield_function part_yield; // or on every thread
    void *context;
};

static void hand_out(const struct run *run, const struct step *step, const struct part *part)
{
    for (int i = 0; i < 1 + MAX_AUX; i++) {
        if (step->yield[i] < 0) continue;
        if (run->part_yield)
            run->part_yield(run->context, step->yield[i], step->call.output[i], part);
        else if (part->index == 0)
            run->yield(run->context, step->yield[i], step->call.output[i]);
    }
    part_meet(part); // the memory of what was handed out is the next steps'
}

static void run_profiled(void *context, const struct part *part)
{
    const struct run *run = context;
    struct program *program = run->program;
    clockid_t clock = part->count > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    double start = seconds_of(clock);
    for (int i = 0; i < program->count; i++) {
        const struct step *step = &program->steps[i];
        step->launch(step, part);
        part_meet(part);
        double end = seconds_of(clock);
        if (part->index == 0) {
            program->measures[i].seconds += end - start;
            program->measures[i].calls++;
            program->measures[i].work +=
                step_op(step)->asked ? step_op(step)->asked(&step->call) : 1;
        }
        if (step->yields) hand_out(run, step, part);
        start = seconds_of(clock);
        if (part->index == 0) program->yield_seconds += start - end;
    }
}

static void run_steps(void *context, const struct part *part)
{
    const struct run *run = context;
    const struct step *end = run->program->steps + run->program->count;
    for (const struct step *step = run->program->steps; step < end; step++) {
        step->launch(step, part);
        part_meet(part);
        if (step->yields) hand_out(run, step, part);
    }
}

void program_set_team(struct program *program, struct team *team)
{
    INVARIANT(team_threads(team) == program->options.threads, "a team of %d for a program of %d",
              team_threads(team), program->options.threads);
    program->team = team;
}

static void run_on_team(struct run run)
{
    const struct program *program = run.program;
    INVARIANT(program->arena, "the program is not prepared");
    INVARIANT(team_threads(program->team) == program->options.threads, "the program has no team");
    cpu_flush_to_zero();
    team_run(program->team, program->profile ? run_profiled : run_steps, &run);
}

void program_run(struct program *program, yield_function yield, void *context)
{
    run_on_team((struct run){.program = program, .yield = yield, .context = context});
}

void program_run_parts(struct program *program, part_yield_function yield, void *context)
{
    run_on_team((struct run){.program = program, .part_yield = yield, .context = context});
}

// ---- profile ----
void program_profile(struct program *program, bool on) { program->profile = on; }

struct step_profile program_step_profile(const struct program *program, int i)
{
    const struct step *step = &program->steps[i];
    return (struct step_profile){.name = step->call.value->name,
                                 .op = step->call.value->op->name,
                                 .seconds = program->measures[i].seconds,
                                 .cost = step_cost(step),
                                 .calls = program->measures[i].calls,
                                 .work = program->measures[i].work,
                                 .asked = step_op(step)->asked != NULL,
                                 .tag = step->yield[0]};
}

double program_yield_seconds(const struct program *program) { return program->yield_seconds; }
