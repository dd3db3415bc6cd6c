// SPDX-License-Identifier: Apache-2.0
// Every row of the table of CPU kernels over every case of its operation, whichever auxiliary
// outputs are asked for: within the row's tolerance of the reference, and the same bits for every
// instruction set that this machine has and for teams of one, two and three threads.
#include "backend/cpu/table.h"
#include "op/fill_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

// One case with the outputs that are asked for, and memory for one run. Arrays begin 4 bytes off
// every alignment and have a guard behind them.
struct trial {
    struct graph *g;
    struct value *leaf[MAX_INPUTS], *y;
    void *block[MAX_INPUTS + 1 + MAX_AUX + 1];
    int blocks;
    struct op_call call;
};
enum { GUARD = 64, GUARD_BYTE = 0xA5 };

static void *take(struct trial *t, size_t bytes)
{
    unsigned char *block = aligned_alloc(64, (bytes + 4 + GUARD + 63) / 64 * 64);
    assert_non_null(block);
    t->block[t->blocks++] = block;
    memset(block + 4, 0xFF, bytes); // NaN: what is read before it is written shows
    memset(block + 4 + bytes, GUARD_BYTE, GUARD);
    return block + 4;
}

static size_t bytes_of(const struct value *v)
{
    return (size_t)shape_count(v->shape) * dtype_bytes(v->dtype);
}

static void check_guard(const void *data, size_t bytes, const char *name)
{
    const unsigned char *guard = (const unsigned char *)data + bytes;
    for (int i = 0; i < GUARD; i++)
        if (guard[i] != GUARD_BYTE) fail_msg("%s writes behind its output", name);
}

static void trial_create(struct trial *t, const struct op *op, const struct op_case *test,
                         unsigned aux)
{
    *t = (struct trial){.blocks = 0};
    assert_int_equal(graph_create(&t->g), STATUS_OK);
    case_leaves(t->g, op, test, false, t->leaf);
    t->y = graph_append(t->g, op, t->leaf, test->inputs, test->attributes, op->attribute_bytes);
    for (int i = 0; i < op->aux_count; i++)
        if (aux >> i & 1) graph_aux(t->g, t->y, i);
    if (graph_status(t->g)) fail_msg("%s", error_message());
    t->call.value = t->y;
    for (int i = 0; i < test->inputs; i++) {
        if (!t->leaf[i]) continue;
        void *data = take(t, bytes_of(t->leaf[i]));
        fill_input(test, i, (uint32_t)i, data);
        t->call.input[i] = data;
    }
    t->call.output[0] = take(t, bytes_of(t->y));
    for (int i = 0; i < MAX_AUX; i++)
        if (t->y->aux[i]) t->call.output[1 + i] = take(t, bytes_of(t->y->aux[i]));
}

enum { MOST_THREADS = 3 };
static struct team *teams[1 + MOST_THREADS]; // [threads], NULL for one

static void launch_part(void *context, const struct part *part)
{
    const struct step *step = context;
    step->launch(step, part);
}

static void trial_run(struct trial *t, const struct cpu_row *row, int threads, const char *name)
{
    struct step step = {.call = t->call};
    cpu_row_use(row, t->y, threads, &step);
    size_t scratch_bytes = step_scratch_bytes(&step.scratch, threads);
    unsigned char *scratch = NULL;
    if (scratch_bytes) {
        scratch = aligned_alloc(64, (scratch_bytes + GUARD + 63) / 64 * 64);
        memset(scratch, 0xFF, scratch_bytes);
        memset(scratch + scratch_bytes, GUARD_BYTE, GUARD);
    }
    step.call.scratch = scratch;
    team_run(teams[threads], launch_part, &step);
    if (scratch) check_guard(scratch, scratch_bytes, name);
    for (int i = 0; i < 1 + MAX_AUX; i++)
        if (t->call.output[i])
            check_guard(t->call.output[i], bytes_of(i ? t->y->aux[i - 1] : t->y), name);
    free(scratch);
}

static void trial_destroy(struct trial *t)
{
    graph_destroy(t->g);
    for (int i = 0; i < t->blocks; i++) free(t->block[i]);
}

// As struct cpu_row says of its tolerance.
static double difference(const float *found, const float *right, int64_t n)
{
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)right[i]));
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)found[i] - (double)right[i]);
        if (!(error <= worst)) worst = error; // NaN too
    }
    return worst == 0 ? 0 : worst / fmax(largest, 0.1);
}

// f(trial array, other trial's array, elements) over every array that the kernel writes: outputs
// and states.
static double compare(const struct trial *a, const struct trial *b,
                      double (*f)(const float *, const float *, int64_t))
{
    double worst = 0;
    for (int i = 0; i < 1 + MAX_AUX; i++) {
        if (!a->call.output[i]) continue;
        double error = f(a->call.output[i], b->call.output[i],
                         shape_count(i ? a->y->aux[i - 1]->shape : a->y->shape));
        if (!(error <= worst)) worst = error;
    }
    for (int i = 0; i < a->y->inputs; i++) {
        if (!(a->y->op->writes >> i & 1)) continue;
        double error = f(a->call.input[i], b->call.input[i], shape_count(a->leaf[i]->shape));
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static double differing_bits(const float *a, const float *b, int64_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) != 0;
}

static double check_case(const struct op *op, enum precision precision, int number, unsigned aux)
{
    const struct op_case *test = &op->cases[number];
    char name[256], full[320];
    case_name(op, number, name);
    double worst = 0;
    struct trial reference, first = {.blocks = 0};
    const char *first_isa = NULL;
    trial_create(&reference, op, test, aux);
    op->reference(&reference.call);
    for (int i = 0; i < cpu_table_rows; i++) {
        const struct cpu_row *row = &cpu_table[i];
        if (row->op != op || row->precision != precision || !isa_available(row->isa)) continue;
        struct trial t;
        snprintf(full, sizeof full, "%s, outputs %x, %s, %s", name, aux, isa_name(row->isa),
                 precision_name(precision));
        trial_create(&t, op, test, aux);
        trial_run(&t, row, 1, full);
        double error = compare(&t, &reference, difference);
        if (!(error <= row->tolerance))
            fail_msg("%s: %.2e off the reference, allowed %.1e", full, error, row->tolerance);
        if (error > worst) worst = error;
        if (first_isa && compare(&t, &first, differing_bits) > 0)
            fail_msg("%s: other bits than %s", full, first_isa);
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            struct trial several;
            trial_create(&several, op, test, aux);
            trial_run(&several, row, threads, full);
            if (compare(&t, &several, differing_bits) > 0)
                fail_msg("%s: other bits with %d threads", full, threads);
            trial_destroy(&several);
        }
        if (first_isa) {
            trial_destroy(&t);
        } else {
            first = t;
            first_isa = isa_name(row->isa);
        }
    }
    assert_non_null(first_isa);
    trial_destroy(&first);
    trial_destroy(&reference);
    return worst;
}

static void every_kernel_agrees_with_its_reference_and_with_every_isa(void **state)
{
    (void)state;
    cpu_flush_to_zero();
    for (int i = 0; op_registry[i]; i++) {
        const struct op *op = op_registry[i];
        for (enum precision p = 0; p < PRECISION_COUNT; p++) {
            const struct cpu_row *row = cpu_row_find(op, ISA_GENERIC, p);
            if (!row) fail_msg("%s has no kernel for the CPU", op->name);
            if (row->precision != p) continue;
            double worst = 0;
            for (int c = 0; c < op->case_count; c++)
                for (unsigned aux = 0; aux < 1u << op->aux_count; aux++)
                    worst = fmax(worst, check_case(op, p, c, aux));
            print_message("# %-18s worst %.1e of %.0e over %d cases, %s\n", op->name, worst,
                          row->tolerance, op->case_count, precision_name(p));
        }
    }
}

// ---- output_loss: rows whose target is ignored ----
enum { LOSS_ROWS = 150, LOSS_WIDTH = 40, LOSS_VOCABULARY = 333 };
static const struct output_loss_attributes smoothing = {0.1};

static struct op_case loss_case(int64_t rows)
{
    return (struct op_case){.inputs = 3,
                            .input = {shape_of(2, rows, LOSS_WIDTH),
                                      shape_of(2, LOSS_VOCABULARY, LOSS_WIDTH), shape_of(1, rows)},
                            .dtype = {F32, F32, I32},
                            .integer_limit = LOSS_VOCABULARY,
                            .attributes = &smoothing};
}

// Some of the rows of `all`, which alone have targets there, as a trial of their own.
static void keep_rows(struct trial *all, struct trial *kept, const bool *keeps, int64_t count)
{
    const struct op_case test = loss_case(count);
    trial_create(kept, &output_loss_op, &test, 7);
    const float *x = all->call.input[0];
    int32_t *targets = (int32_t *)(uintptr_t)all->call.input[2];
    float *x_to = (float *)(uintptr_t)kept->call.input[0];
    int32_t *targets_to = (int32_t *)(uintptr_t)kept->call.input[2];
    for (int64_t r = 0; r < LOSS_ROWS; r++) {
        if (keeps[r]) {
            memcpy(x_to, x + r * LOSS_WIDTH, LOSS_WIDTH * sizeof *x);
            x_to += LOSS_WIDTH;
            *targets_to++ = targets[r];
        } else {
            targets[r] = r % 2 ? -1 : -100;
        }
    }
}

static void check_rows(const float *all, const float *kept, int64_t width, const bool *keeps)
{
    for (int64_t r = 0; r < LOSS_ROWS; r++, all += width) {
        if (keeps[r]) assert_memory_equal(all, kept, (size_t)width * sizeof *all);
        for (int64_t i = 0; i < width && !keeps[r]; i++) assert_true(all[i] == 0);
        if (keeps[r]) kept += width;
    }
}

static void check_ignored(const struct cpu_row *row, const bool *keeps, int64_t count)
{
    const struct op_case test = loss_case(LOSS_ROWS);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct trial all, kept;
        trial_create(&all, &output_loss_op, &test, 7);
        keep_rows(&all, &kept, keeps, count);
        trial_run(&all, row, threads, "ignored rows");
        trial_run(&kept, row, 1, "rows that count");
        assert_memory_equal(all.call.output[0], kept.call.output[0], sizeof(float));
        check_rows(all.call.output[1], kept.call.output[1], LOSS_WIDTH, keeps);
        assert_memory_equal(all.call.output[2], kept.call.output[2],
                            LOSS_VOCABULARY * LOSS_WIDTH * sizeof(float));
        check_rows(all.call.output[3], kept.call.output[3], 1, keeps);
        assert_true(fabs(output_loss_op.asked(&all.call) * LOSS_ROWS - (double)count) < 1e-9);
        assert_true(output_loss_op.asked(&kept.call) == 1);
        trial_destroy(&all);
        trial_destroy(&kept);
    }
}

static void ignored_rows_are_left_out(void **state)
{
    (void)state;
    for (int i = 0; i < cpu_table_rows; i++) {
        const struct cpu_row *row = &cpu_table[i];
        if (row->op != &output_loss_op || !isa_available(row->isa)) continue;
        for (int pattern = 0; pattern < 6; pattern++) {
            bool keeps[LOSS_ROWS];
            int64_t count = 0;
            for (int r = 0; r < LOSS_ROWS; r++) {
                const bool kept[] = {r % 7 == 3, r == 0, r == LOSS_ROWS - 1, r < 97, r >= 20, true};
                keeps[r] = kept[pattern];
                count += keeps[r];
            }
            check_ignored(row, keeps, count);
        }
    }
}

// Without any row: a loss of 0, and gradients of 0.
static void a_batch_of_ignored_rows_is_worth_nothing(void **state)
{
    (void)state;
    const struct op_case test = loss_case(LOSS_ROWS);
    for (int i = 0; i < cpu_table_rows; i++) {
        const struct cpu_row *row = &cpu_table[i];
        if (row->op != &output_loss_op || !isa_available(row->isa)) continue;
        struct trial nothing, reference;
        for (int threads = 1; threads <= MOST_THREADS; threads++) {
            trial_create(&nothing, &output_loss_op, &test, 7);
            memset((void *)(uintptr_t)nothing.call.input[2], 0xFF, LOSS_ROWS * sizeof(int32_t));
            trial_run(&nothing, row, threads, "nothing but ignored rows");
            trial_create(&reference, &output_loss_op, &test, 7);
            for (int j = 0; j < 4; j++)
                memset(reference.call.output[j], 0,
                       bytes_of(j ? reference.y->aux[j - 1] : reference.y));
            assert_true(compare(&nothing, &reference, differing_bits) == 0);
            trial_destroy(&nothing);
            trial_destroy(&reference);
        }
    }
}

static void rows_stand_best_first(void **state)
{
    (void)state;
    for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++)
        for (int i = 0; op_registry[i] && isa_available(isa); i++)
            for (enum precision p = 0; p < PRECISION_COUNT; p++) {
                const struct cpu_row *row = cpu_row_find(op_registry[i], isa, p);
                bool precise = row && row->precision != PRECISION_FLOAT32;
                assert_non_null(row);
                assert_true(row->precision == p || row->precision == PRECISION_FLOAT32);
                assert_true(row->isa == (precise ? isa : isa_lanes(isa)) || !row->kernel);
            }
}

// Where a precision has rows of its own, every instruction set has them: a cluster may mix machines.
static void precisions_are_those_of_products(void **state)
{
    (void)state;
    const struct op *const products[] = {
        &linear_op,      &linear_grad_input_op, &linear_grad_weight_op,
        &output_loss_op, &attention_op,         &attention_grad_op};
    enum { COUNT = sizeof products / sizeof *products, ATTENTION = 4 };
    int count = 0;
    for (int i = 0; i < COUNT; i++)
        for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++)
            for (enum precision p = 0; p < PRECISION_COUNT && isa_available(isa); p++) {
                bool none = i >= ATTENTION && p == PRECISION_BF16X3; // attention stays in float32
                enum precision wanted = none ? PRECISION_FLOAT32 : p;
                assert_int_equal(cpu_row_find(products[i], isa, p)->precision, wanted);
            }
    for (int i = 0; op_registry[i]; i++)
        count += cpu_row_find(op_registry[i], ISA_GENERIC, PRECISION_BF16)->precision != 0;
    assert_int_equal(count, COUNT);
}

// Operations that say so may write over their input.
static void in_place_results_are_the_same(void **state)
{
    (void)state;
    int tried = 0;
    for (int i = 0; i < cpu_table_rows; i++) {
        const struct cpu_row *row = &cpu_table[i];
        if (!isa_available(row->isa)) continue;
        for (int c = 0; c < row->op->case_count; c++)
            for (int k = 0; k < row->op->cases[c].inputs; k++) {
                if (!(row->op->in_place >> k & 1)) continue;
                char name[256];
                struct trial apart, over;
                trial_create(&apart, row->op, &row->op->cases[c], 0);
                trial_create(&over, row->op, &row->op->cases[c], 0);
                over.call.output[0] = (void *)over.call.input[k];
                trial_run(&apart, row, 1, case_name(row->op, c, name));
                trial_run(&over, row, 1 + c % MOST_THREADS, name);
                if (compare(&apart, &over, differing_bits) > 0)
                    fail_msg("%s, %s: other bits over input %d", name, isa_name(row->isa), k);
                trial_destroy(&apart);
                trial_destroy(&over);
                tried++;
            }
    }
    assert_true(tried > 50);
}

static int make_teams(void **state)
{
    (void)state;
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        const struct team_options options = {.threads = threads, .crowded = threads > cpu_cores()};
        if (team_create(&options, &teams[threads])) return 1;
    }
    return 0;
}

static int end_teams(void **state)
{
    (void)state;
    for (int threads = 2; threads <= MOST_THREADS; threads++) team_destroy(teams[threads]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_agrees_with_its_reference_and_with_every_isa),
        cmocka_unit_test(ignored_rows_are_left_out),
        cmocka_unit_test(a_batch_of_ignored_rows_is_worth_nothing),
        cmocka_unit_test(rows_stand_best_first),
        cmocka_unit_test(precisions_are_those_of_products),
        cmocka_unit_test(in_place_results_are_the_same),
    };
    return cmocka_run_group_tests(tests, make_teams, end_teams);
}
