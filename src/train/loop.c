// SPDX-License-Identifier: Apache-2.0
// The whole run: steps, evaluations, checkpoints, the log, early stopping, and what happens when it is asked to stop.
//
// Everything that a step's number decides happens in one order: step, evaluation, checkpoint. A checkpoint therefore holds all
// that its step led to, and a run that is killed anywhere goes on from one as if it had never stopped.
#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"
#include "parallel/update_kernels.h"
#include "train/internal.h"
#include "train/run_log.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Wishes of all who asked, and how many of them were there when they were last forgotten: a trainer begins with these, and stops
// when there are more. So a wish stops all trainers that are under way, whichever sees it first, and none that comes later.
static atomic_uint wishes, forgotten;

// An atomic addition is all: safe in a signal handler.
void train_request_stop(void) { atomic_fetch_add(&wishes, 1); }
void train_forget_stop(void) { atomic_store(&forgotten, atomic_load(&wishes)); }
void trainer_request_stop(struct trainer *trainer) { atomic_store(&trainer->asked, true); }

void train_hear_wishes(struct trainer *trainer)
{
    atomic_store(&trainer->wishes, atomic_load(&forgotten));
}

bool train_stop_requested(const struct trainer *trainer)
{
    return atomic_load(&trainer->asked) || atomic_load(&wishes) != atomic_load(&trainer->wishes);
}

void train_follow_stop(struct trainer *trainer)
{
    train_forget_stop();
    train_hear_wishes(trainer);
    atomic_store(&trainer->asked, false);
}

bool train_gives_up(const void *context)
{
    const struct trainer *trainer = context;
    const struct crew *crew = &trainer->crew;
    return train_stop_requested(trainer) || crew->stops || (crew->net && comm_is_lost(crew->net));
}

struct loop {
    struct trainer *trainer;
    const struct train_observer *observer;
    struct run_log *log;
    double start, seconds_before; // of this process; of earlier ones
    int64_t first_step;           // that this process began with
    double logged;                // time and tokens of the last line
    double looked;                // whether the folder is still this run's
    int64_t tokens_since;
    int64_t evaluated_step;
    const char *doing; // where a worker may be lost
    bool advised;      // about save_every
    bool
        outdated; // the newest checkpoint calls an evaluation due that has come since, or lacks the best one
    struct train_result result;
};

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

// Replicas that update for themselves evaluate and save where they are averaged.
static bool comes_up(const struct loop *loop, int64_t step, int64_t every)
{
    const struct trainer *trainer = loop->trainer;
    return trainer->local ? average_passed(trainer, step, every) : due(step, every);
}

static bool waited_enough(const struct trainer *trainer)
{
    int64_t patience = trainer->config.patience;
    return patience > 0 && trainer->position.evaluations_waited >= patience;
}

static void count_seconds(struct loop *loop)
{
    loop->result.seconds = loop->seconds_before + monotonic_seconds() - loop->start;
    loop->trainer->position.seconds = loop->result.seconds;
}

// What failed is told, and training goes on, unless another process is lost, has other weights, or has left the steps.
static enum status forgive(struct trainer *trainer, enum status status, const char *what)
{
    if (trainer->crew.agreed && (status == STATUS_PEER || status == STATUS_DIVERGED)) return status;
    if (trainer->crew.net && !trainer->crew.agreed)
        return error_adopt(STATUS_PEER, error_message());
    trainer->crew.agreed = false;
    if (crew_speaks(trainer))
        log_warning("step %lld: %s: %s; training goes on", (long long)trainer->position.step, what,
                    error_message());
    error_clear();
    return STATUS_OK;
}

// ---- checkpoints ----

// What a failure a day would cost least with: sqrt(2 C M) between checkpoints of C seconds, M a day (Young 1974, Daly 2006). Said once in
// runs of an hour or more, where it is another number of steps altogether.
static void advise(struct loop *loop, double seconds)
{
    const struct trainer *trainer = loop->trainer;
    const double day = 86400, hour = 3600;
    double steps = (double)trainer->position.step - (double)loop->first_step;
    double step = steps > 0 ? (monotonic_seconds() - loop->start) / steps : 0;
    double left = step * (double)(trainer->config.steps - trainer->position.step);
    if (loop->advised || !crew_speaks(trainer) || step <= 0 || left < hour) return;
    loop->advised = true;
    double best = sqrt(2 * seconds * day), best_steps = fmax(1, floor(best / step));
    double ratio = (double)trainer->config.save_every / best_steps;
    if (ratio > 1.0 / 3 && ratio < 3) return;
    log_info("a checkpoint takes %.2g s: where something fails once a day, one every %.0f s costs "
             "least (train.save_every=%.0f)",
             seconds, best, best_steps);
}

static enum status save(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    count_seconds(loop);
    double start = monotonic_seconds();
    loop->doing = "the checkpoint";
    TRY(trainer_save(trainer));
    loop->outdated = false;
    double seconds = monotonic_seconds() - start;
    const struct measure measure[] = {{"perf/checkpoint_s", seconds}};
    if (loop->log) run_log_write(loop->log, trainer->position.step, measure, 1);
    advise(loop, seconds);
    if (loop->observer && loop->observer->saved)
        loop->observer->saved(loop->observer->context, trainer->position.step);
    return STATUS_OK;
}

static bool is_saved(const struct loop *loop)
{
    const struct trainer *trainer = loop->trainer;
    return trainer->saved_step == trainer->position.step && !loop->outdated;
}

// A disk that is full for a while should not end a run of days: it is told, and the next checkpoint tries again. The last one must succeed.
static enum status save_or_warn(struct loop *loop)
{
    enum status status = save(loop);
    if (!status || status == STATUS_USAGE) return status; // another start of the run has the folder
    return forgive(loop->trainer, status, "no checkpoint could be written");
}

// ---- the end by a wish ----

static enum status stop_interrupted(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    train_follow_stop(trainer);
    if (!is_saved(loop)) TRY(save(loop));
    trainer->crew.agreed = true; // that the run ends
    FAIL(STATUS_INTERRUPTED,
         "stopped after step %lld of %lld; its checkpoint is written, and --resume goes on from it",
         (long long)trainer->position.step, (long long)trainer->config.steps);
}

// All steps are taken: whoever stops now waits for an evaluation, and shall have the model that is done.
static enum status stop_at_the_end(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    if (!is_saved(loop)) TRY(save(loop));
    loop->doing = "the export";
    TRY(trainer_export(trainer, trainer->config.out));
    trainer->crew.agreed = true; // that the run ends
    FAIL(STATUS_INTERRUPTED,
         "stopped in the last evaluation: all %lld steps are taken, and %s has their model and "
         "checkpoint; --resume makes up for the evaluation",
         (long long)trainer->config.steps, trainer->config.out);
}

// What an evaluation decides comes before the next step, whoever takes that: the checkpoint says that it is still to come.
static enum status stop_evaluation(struct loop *loop, bool scheduled)
{
    struct trainer *trainer = loop->trainer;
    error_clear();
    trainer->crew.agreed = false; // about what comes now
    trainer->position.evaluation_due = scheduled;
    bool last = trainer->position.step >= trainer->config.steps;
    return last ? stop_at_the_end(loop) : stop_interrupted(loop);
}

// ---- evaluation ----

// What an evaluation changes in how the run goes on.
static bool take_evaluation(struct trainer *trainer, const struct evaluation_report *report,
                            bool scheduled)
{
    struct run_position *position = &trainer->position;
    bool best = report->badness < position->best_loss;
    if (best) {
        position->best_loss = report->badness;
        position->best_step = position->step;
    }
    // An evaluation that is there only because the run ends must not change how a longer run would go on.
    if (scheduled) {
        struct schedule_state schedule = {position->schedule_factor, position->schedule_best,
                                          position->schedule_waited};
        schedule_observe(&trainer->config.schedule, &schedule, report->badness);
        position->schedule_factor = schedule.factor;
        position->schedule_best = schedule.best;
        position->schedule_waited = schedule.waited;
        bool better = report->badness < position->scheduled_best;
        if (better) position->scheduled_best = report->badness;
        position->evaluations_waited = better ? 0 : position->evaluations_waited + 1;
    }
    return best;
}

static void log_evaluation(struct loop *loop, const struct evaluation_report *report)
{
    struct measure measure[1 + EVALUATION_MEASURES] = {{"val/loss", report->loss}};
    memcpy(measure + 1, report->measure, (size_t)report->measures * sizeof *measure);
    run_log_write(loop->log, loop->trainer->position.step, measure, 1 + report->measures);
}

static enum status evaluate(struct loop *loop, bool scheduled)
{
    struct trainer *trainer = loop->trainer;
    struct evaluation_report report;
    char best_path[RUN_PATH + 16];
    loop->doing = "the evaluation";
    enum status measured = trainer_measure(trainer, &report);
    if (measured == STATUS_INTERRUPTED) return stop_evaluation(loop, scheduled);
    TRY(measured);
    loop->evaluated_step = trainer->position.step;
    loop->outdated = trainer->position.evaluation_due != 0;
    trainer->position.evaluation_due = 0;
    bool best = take_evaluation(trainer, &report, scheduled);
    loop->result.last_loss = report.loss;
    loop->result.evaluation = report;
    if (report.loss < loop->result.best_loss) loop->result.best_loss = report.loss;
    if (loop->log) log_evaluation(loop, &report);
    if (loop->observer && loop->observer->evaluation)
        loop->observer->evaluation(loop->observer->context, trainer->position.step, &report, best);
    if (!best) return STATUS_OK;
    loop->outdated |= trainer->saved_step == trainer->position.step;
    TRY(path_join(best_path, sizeof best_path, trainer->config.out, "best"));
    enum status status = trainer_export(trainer, best_path);
    if (status == STATUS_USAGE) return status;
    if (status) return forgive(trainer, status, "the best model could not be written");
    return STATUS_OK;
}

// ---- steps ----

static bool all_finite(const struct trainer *trainer)
{
    const struct block *block[] = {&trainer->weights, &trainer->state[0], &trainer->state[1]};
    const struct update_kernels *kernels = update_kernels_of(trainer->isa);
    for (int i = 0; i < 3; i++)
        if (block[i]->data &&
            !isfinite(kernels->max_magnitude(block[i]->data, trainer->parameters.elements)))
            return false;
    return true;
}

// The same for every replica's own part.
static enum status find_finite(struct trainer *trainer, bool *finite_p)
{
    struct crew *crew = &trainer->crew;
    bool finite = all_finite(trainer);
    if (crew->net) {
        enum status status = STATUS_OK;
        if (!finite)
            status = error_at(STATUS_DIVERGED, __FILE__, __LINE__, "a weight is not finite");
        status = comm_agree(crew->net, status);
        if (status && status != STATUS_DIVERGED) return status;
        finite = !status;
        error_clear();
    }
    *finite_p = finite;
    return STATUS_OK;
}

// Keeps what there was before the step that failed, and drops no older checkpoint for it: the way back may be longer.
static enum status stop_diverged(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    char message[1024];
    bool finite = false;
    error_copy(message, sizeof message);
    error_clear();
    trainer->crew.agreed = false; // about what comes now
    // Replicas that update for themselves are not at one step.
    if (!trainer->apart && trainer->position.step > 0 &&
        trainer->saved_step != trainer->position.step)
        TRY(crew_fail(trainer, find_finite(trainer, &finite)));
    if (finite) {
        count_seconds(loop);
        enum status status = trainer_save_keeping(trainer, INT_MAX);
        if (status) TRY(forgive(trainer, status, "no checkpoint could be written"));
    }
    trainer->crew.agreed = true; // that the run ends
    if (trainer->saved_step > 0)
        FAIL(STATUS_DIVERGED, "%s; the newest checkpoint is step-%lld", message,
             (long long)trainer->saved_step);
    FAIL(STATUS_DIVERGED, "%s", message);
}

// Where another start of the run has taken over, the log is its own, too: this run ends at its next step, in the checkpoint that it cannot
// write.
static void keep_fence(struct loop *loop, double now)
{
    struct trainer *trainer = loop->trainer;
    if (!loop->log || now - loop->looked < 1) return;
    loop->looked = now;
    if (folder_fence(trainer->config.out, trainer->term) != STATUS_USAGE) {
        error_clear();
        return;
    }
    error_clear();
    run_log_close(loop->log);
    loop->log = NULL;
    trainer_request_stop(trainer);
}

static void log_step(struct loop *loop, const struct step_report *report)
{
    double now = monotonic_seconds(), seconds = now - loop->logged;
    const struct measure measure[] = {
        {"train/loss", report->loss},
        {"train/lr", report->learning_rate},
        {"train/grad_norm", report->gradient_norm},
        {"train/epoch", (double)report->epoch},
        {"perf/tokens_per_s", (double)loop->tokens_since / (seconds > 0 ? seconds : 1e-9)},
        {"perf/wait_fraction",
         report->wait_seconds / (report->seconds > 0 ? report->seconds : 1e-9)},
        {"perf/compute_s", report->compute_seconds},
        {"perf/exchange_s", report->exchange_seconds},
        {"perf/wait_s", report->wait_seconds},
        {"perf/exchange_hidden_s", report->hidden_seconds},
        {"perf/bytes_sent", report->bytes_sent},
        {"perf/bytes_received", report->bytes_received},
    };
    // What travels between processes is there where there are some.
    int count = (int)(sizeof measure / sizeof *measure) - (loop->trainer->crew.net ? 0 : 3);
    keep_fence(loop, now);
    if (loop->log) run_log_write(loop->log, report->step, measure, count);
    loop->logged = now;
    loop->tokens_since = 0;
}

static enum status one_step(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    const struct run_config *config = &trainer->config;
    struct step_report report;
    loop->doing = "the exchange";
    enum status status = trainer_step(trainer, &report);
    if (status == STATUS_DIVERGED) return stop_diverged(loop);
    if (status) return status;
    loop->result.train_loss = report.loss;
    loop->tokens_since += report.tokens;
    if (report.step == 1 || due(report.step, config->log_every) || report.step == config->steps)
        log_step(loop, &report);
    if (loop->observer && loop->observer->step)
        loop->observer->step(loop->observer->context, &report);
    if (trainer->feed.groups > 0 && comes_up(loop, report.step, config->eval_every)) {
        TRY(evaluate(loop, true));
        loop->logged = monotonic_seconds();
        loop->tokens_since = 0;
    }
    if (comes_up(loop, report.step, config->save_every)) TRY(save_or_warn(loop));
    return STATUS_OK;
}

static enum status finish(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    if (trainer->feed.groups > 0 && loop->evaluated_step != trainer->position.step)
        TRY(evaluate(loop, false));
    if (!is_saved(loop)) TRY(save(loop));
    loop->doing = "the export";
    TRY(trainer_export(trainer, trainer->config.out));
    return STATUS_OK;
}

// Where the run stood when a worker was lost, before what the transport says of it.
static enum status name_place(const struct loop *loop, enum status status)
{
    char message[1024];
    if (status != STATUS_PEER) return status;
    int64_t step = loop->trainer->position.step + !strcmp(loop->doing, "the exchange");
    error_copy(message, sizeof message);
    error_clear();
    FAIL(STATUS_PEER, "in %s of step %lld: %s", loop->doing, (long long)step, message);
}

static enum status run_all(struct loop *loop)
{
    struct trainer *trainer = loop->trainer;
    // In which an earlier start of the run was stopped.
    if (trainer->position.evaluation_due && trainer->feed.groups > 0) TRY(evaluate(loop, true));
    while (trainer->position.step < trainer->config.steps && !waited_enough(trainer)) {
        bool stops = trainer->crew.net ? trainer->crew.stops : train_stop_requested(trainer);
        if (stops) return stop_interrupted(loop);
        TRY(one_step(loop));
    }
    loop->result.stopped_early = trainer->position.step < trainer->config.steps;
    TRY(finish(loop));
    return STATUS_OK;
}

static enum status write_run_file(const struct trainer *trainer)
{
    char path[RUN_PATH + 16], *text = NULL;
    TRY(path_join(path, sizeof path, trainer->config.out, "run.yaml"));
    TRY(run_config_print(&trainer->config, &text));
    enum status status = file_replace(path, text, strlen(text));
    free(text);
    return status;
}

static enum status open_log(const struct trainer *trainer, struct run_log **log_p)
{
    const struct run_position *position = &trainer->position;
    if (!crew_speaks(trainer)) return STATUS_OK;
    TRY(write_run_file(trainer));
    TRY(run_log_open(trainer->config.out, position->step, position->seconds, log_p));
    return STATUS_OK;
}

enum status train_run(struct trainer *trainer, const struct train_observer *observer,
                      struct train_result *result_p)
{
    INVARIANT(trainer->prepared, "train_run before trainer_prepare");
    struct run_position *position = &trainer->position;
    bool by_loss = strcmp(trainer->config.measure, "loss") == 0;
    struct loop loop = {
        .trainer = trainer,
        .observer = observer,
        .start = monotonic_seconds(),
        .seconds_before = position->seconds,
        .first_step = position->step,
        .doing = "the start",
        .evaluated_step = -1,
        .result = {.best_loss = by_loss ? position->best_loss : (double)INFINITY,
                   .last_loss = (double)NAN,
                   .train_loss = (double)NAN},
    };
    loop.logged = loop.start;
    enum status status = open_log(trainer, &loop.log);
    TRY(crew_fail(trainer, crew_agree(trainer, status)));
    status = name_place(&loop, run_all(&loop));
    run_log_close(loop.log);
    if (status == STATUS_INTERRUPTED) train_follow_stop(trainer);
    TRY(crew_fail(trainer, status));
    count_seconds(&loop);
    loop.result.steps = position->step;
    loop.result.best = run_best(&trainer->config, position->best_loss);
    *result_p = loop.result;
    return STATUS_OK;
}
