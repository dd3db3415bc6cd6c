// SPDX-License-Identifier: Apache-2.0
#include "profile.h"

#include "progress.h"

#include <stdio.h>

// What workers do besides running their programs.
struct phase {
    const char *name, *meaning;
    double seconds;
    double bytes; // of all steps and workers; 0: not counted
};
enum { PHASES = 5 };

static void list_phases(const struct train_profile *p, struct phase phase[PHASES])
{
    double steps = (double)p->steps;
    const struct phase all[PHASES] = {
        {"data", "tokens of the batch", p->data, 0},
        {"fold", "gradients into partial sums", p->fold, 0},
        {"reduce", "partial sums of all workers, and their norm", p->reduce,
         steps * p->reduce_bytes},
        {"update", "the optimizer", p->update, steps * p->update_bytes},
        {"wait", "for other workers, by the clock", p->wait, 0},
    };
    for (int i = 0; i < PHASES; i++) phase[i] = all[i];
}

static double sum_of(const struct train_profile *p)
{
    struct phase phase[PHASES];
    double sum = 0;
    list_phases(p, phase);
    for (int i = 0; i < PHASES; i++) sum += phase[i].seconds;
    for (int i = 0; i < p->operations.rows; i++) sum += p->operations.row[i].seconds;
    return sum;
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static const char *pass_of(const struct profile_row *row)
{
    return row->backward ? "backward" : "forward";
}

// Milliseconds a step, of one worker: what all have taken, over steps and workers.
static double milliseconds(const struct train_profile *p, double seconds)
{
    return 1e3 * ratio(seconds, (double)p->steps * p->workers);
}

static enum status print_operation(const struct train_profile *p, const struct profile_row *row,
                                   double sum)
{
    char flops[32], bytes[32];
    return output_print("%-20s %-8s %7lld %10.3f %6.1f %9s %9s %7.0f\n", row->op, pass_of(row),
                        (long long)row->calls, milliseconds(p, row->seconds),
                        100 * ratio(row->seconds, sum),
                        progress_rate(ratio(row->cost.flops, row->seconds), flops),
                        progress_rate(ratio(row->cost.bytes, row->seconds), bytes),
                        100 * ratio(row->roof_seconds, row->seconds));
}

// Its roof is the triad of all workers at once: seconds are theirs together.
static enum status print_phase(const struct train_profile *p, const struct phase *phase, double sum)
{
    char rate[32] = "", share[32] = "";
    double bytes_a_second = ratio(phase->bytes, phase->seconds);
    if (bytes_a_second > 0) {
        progress_rate(bytes_a_second, rate);
        snprintf(share, sizeof share, "%.0f",
                 100 * ratio(bytes_a_second * p->workers, p->threads.triad));
    }
    return output_print("%-20s %-8s %7s %10.3f %6.1f %9s %9s %7s  %s\n", phase->name, "", "",
                        milliseconds(p, phase->seconds), 100 * ratio(phase->seconds, sum), "", rate,
                        share, phase->meaning);
}

enum status profile_print(const struct train_profile *p)
{
    struct phase phase[PHASES];
    char fma[32], triad[32];
    double sum = sum_of(p);
    list_phases(p, phase);
    TRY(output_print("profile of %lld steps, %d workers; ms a step and worker, of processor time\n",
                     (long long)p->steps, p->workers));
    TRY(output_print("%-20s %-8s %7s %10s %6s %9s %9s %7s\n", "operation", "pass", "calls", "ms",
                     "% time", "FLOP/s", "bytes/s", "% roof"));
    for (int i = 0; i < p->operations.rows; i++)
        if (p->operations.row[i].calls > 0) TRY(print_operation(p, &p->operations.row[i], sum));
    for (int i = 0; i < PHASES; i++) TRY(print_phase(p, &phase[i], sum));
    return output_print("%-20s %-8s %7s %10.3f  100.0  by the clock: %.3f\n"
                        "roof: %s FLOP/s and %s bytes/s of all workers (stentor bench)\n",
                        "sum", "", "", milliseconds(p, sum), milliseconds(p, p->step),
                        progress_rate(p->threads.fma, fma), progress_rate(p->threads.triad, triad));
}

static json_t *operation_json(const struct profile_row *row)
{
    return json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f}", "operation", row->op, "pass",
                     pass_of(row), "calls", (json_int_t)row->calls, "seconds", row->seconds,
                     "flops", row->cost.flops, "bytes", row->cost.bytes, "of_roof",
                     ratio(row->roof_seconds, row->seconds));
}

json_t *profile_json(const struct train_profile *p)
{
    struct phase phase[PHASES];
    json_t *operations = json_array(), *phases = json_object();
    list_phases(p, phase);
    for (int i = 0; i < p->operations.rows; i++)
        if (p->operations.row[i].calls > 0)
            json_array_append_new(operations, operation_json(&p->operations.row[i]));
    for (int i = 0; i < PHASES; i++)
        json_object_set_new(
            phases, phase[i].name,
            json_pack("{s:f, s:f}", "seconds", phase[i].seconds, "bytes", phase[i].bytes));
    return json_pack("{s:I, s:i, s:f, s:f, s:f, s:o, s:o}", "steps", (json_int_t)p->steps,
                     "workers", p->workers, "fma", p->threads.fma, "triad", p->threads.triad,
                     "step_seconds", p->step, "operations", operations, "phases", phases);
}
