// SPDX-License-Identifier: Apache-2.0
// stentor train: a run file, what the command line changes in it, and the run.
#include "base/cpu.h"
#include "base/log.h"
#include "folds.h"
#include "options.h"
#include "output.h"
#include "profile.h"
#include "progress.h"
#include "replicas.h"
#include "run_file.h"
#include "signals.h"
#include "speed.h"
#include "supervise.h"
#include "terminal.h"
#include "train/run_schema.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row rows[] = {
    {"set", "KEY=VALUE", "changes a key of the run file, as train.steps=200; may be repeated"},
    {"workers", "N", "as --set parallel.workers=N; 0: one for each core"},
    {"out", "DIR", "as --set out=DIR"},
    {"resume", NULL, "goes on from the newest checkpoint in out, if there is one"},
    {"folds", "K",
     "cross-validation: K runs in out/fold-0 …, each holding out another part of the rows"},
    {"restarts", "N", "starts again when killed, at most N times without a new checkpoint"},
    {"profile", NULL, "prints where the time went: each operation beside the machine's peaks"},
    {"print-config", NULL, "prints the run file with every key resolved, and ends"},
    {"json", NULL, "prints the result as one JSON object"},
    {"quiet", NULL, "says nothing but warnings and errors"},
    {"color", "WHEN", "auto, always or never"},
    {NULL, NULL, NULL},
};

static void help(void)
{
    printf("\nkeys of the run file (YAML; sections model, data, train, parallel):\n");
    for (int i = 0; i < run_schema_count; i++) {
        const struct run_key *key = &run_schema[i];
        printf("  %-26s %-10s %s%s%s\n", key->name, *key->start ? key->start : "-", key->meaning,
               key->type == RUN_ENUM ? ": " : "", key->type == RUN_ENUM ? key->choices : "");
    }
    printf("\nLater wins: defaults (second column), run file, environment "
           "(STENTOR_TRAIN_STEPS=200), --set.\n"
           "SIGINT, SIGTERM or SIGUSR1: a checkpoint, then exit code 75; the same command with "
           "--resume goes on.\n");
}

static void say_rows(const struct run_config *config, const struct text_report *text)
{
    char a[32], b[32], c[32], classes[48] = "", cut[96] = "";
    if (text->classes)
        snprintf(classes, sizeof classes, ", %lld classes", (long long)text->classes);
    if (text->texts)
        snprintf(classes, sizeof classes, " (%s of %lld texts)",
                 strcmp(config->task, "mlm") ? "sentences" : "pieces", (long long)text->texts);
    if (text->cut)
        snprintf(cut, sizeof cut, "; %lld texts are cut at model.context", (long long)text->cut);
    terminal_say("rows       %s: %s rows%s, %s tokens (%s, %lld different), %s rows held out",
                 config->data.train, output_count((double)text->rows, a), classes,
                 output_count((double)text->tokens, b), text->tokenizer,
                 (long long)text->vocabulary, output_count((double)text->held_out_rows, c));
    terminal_say("           %.1f %% of the places of micro-batches are padding%s",
                 100 * text->padding, cut);
    if (text->lost)
        terminal_say("           %lld answers do not stand in their contexts; nothing is learned "
                     "from them",
                     (long long)text->lost);
}

static void say_what_runs(const struct trainer *trainer, bool resume)
{
    const struct run_config *config = trainer_config(trainer);
    struct memory_report memory = trainer_memory(trainer);
    struct text_report text = trainer_text(trainer);
    struct crew_report crew = trainer_crew(trainer);
    char a[32], b[32], c[32], d[32], e[32], f[32], g[32], threads[48] = "", replicas[64] = "";
    enum isa isa;
    if (isa_choose(&isa)) return error_clear();
    terminal_say("model      %s, %lld layers, %lld heads, width %lld, context %lld: %s parameters",
                 config->model.type, (long long)config->model.layers,
                 (long long)config->model.heads, (long long)config->model.width,
                 (long long)config->model.context,
                 output_count((double)trainer_parameters(trainer), a));
    if (text.rows)
        say_rows(config, &text);
    else
        terminal_say("text       %s: %s tokens (%s, %lld different), %s held out",
                     config->data.train, output_count((double)text.tokens, a), text.tokenizer,
                     (long long)text.vocabulary, output_count((double)text.held_out, b));
    if (config->parallel.threads > 1)
        snprintf(threads, sizeof threads, " of %lld threads", (long long)config->parallel.threads);
    if (crew.replicas > 1) snprintf(replicas, sizeof replicas, " in %d processes", crew.replicas);
    terminal_say(
        "workers    %d%s%s (%s%s); a step is %lld sequences in %lld leaves, micro-batches of %lld",
        crew.workers, replicas, threads, crew.exchange, crew.overlaps ? ", overlapped" : "",
        (long long)config->batch, (long long)config->leaves, (long long)config->micro_batch);
    terminal_say(
        "memory     %s of %s%s: weights %s, optimizer %s, gradients %s, activations %s, data and "
        "other %s",
        output_bytes((double)memory.total, a), output_bytes((double)memory.available, b),
        crew.replicas > 1 ? " for each process" : "", output_bytes((double)memory.weights, c),
        output_bytes((double)memory.optimizer_state, d), output_bytes((double)memory.gradients, e),
        output_bytes((double)memory.activations, f),
        output_bytes((double)(memory.data + memory.packed_weights + memory.other), g));
    terminal_say("processor  %s, %d cores, %s; %s", cpu_name(), cpu_cores(), isa_name(isa),
                 config->precision);
    terminal_say("exactness  %s", exactness_sentence(trainer_exactness(trainer)));
    terminal_say("out        %s%s", config->out, resume ? " (goes on where it is)" : "");
    if (crew.workers > config->leaves)
        terminal_say("           %lld leaves keep only %lld of %d workers busy; a larger "
                     "train.leaves or train.batch would help",
                     (long long)config->leaves, (long long)config->leaves, crew.workers);
}

// [[median, 95th percentile], …] of the milliseconds in which each worker computed in a step.
static json_t *worker_times(const struct trainer *trainer, int workers)
{
    json_t *list = json_array();
    for (int i = 0; i < workers; i++) {
        struct worker_time time = trainer_worker_time(trainer, i);
        json_array_append_new(list, json_pack("[f, f]", 1e3 * time.median, 1e3 * time.p95));
    }
    return list;
}

// {"perplexity": 12.3, …} of the last evaluation.
static json_t *measures_json(const struct evaluation_report *report)
{
    json_t *object = json_object();
    for (int i = 0; i < report->measures; i++) {
        const char *name = strchr(report->measure[i].tag, '/');
        json_object_set_new(object, name ? name + 1 : report->measure[i].tag,
                            output_json_number(report->measure[i].value));
    }
    return object;
}

// The result as one JSON object, with `profile` (NULL: none was asked for) in it.
static enum status print_json(const struct trainer *trainer, const struct train_result *result,
                              const char *digest, const struct train_profile *profile)
{
    const struct run_config *config = trainer_config(trainer);
    struct crew_report crew = trainer_crew(trainer);
    json_t *object = json_pack(
        "{s:I, s:o, s:o, s:o, s:f, s:b, s:I, s:i, s:i, s:I, s:s, s:s, s:s, s:s}", "steps",
        (json_int_t)result->steps, "train_loss", output_json_number(result->train_loss),
        "validation_loss", output_json_number(result->last_loss), "best_validation_loss",
        output_json_number(result->best_loss), "seconds", result->seconds, "stopped_early",
        result->stopped_early, "parameters", (json_int_t)trainer_parameters(trainer), "workers",
        crew.workers, "processes", crew.replicas, "threads", (json_int_t)config->parallel.threads,
        "exchange", crew.exchange, "exactness", trainer_exactness(trainer), "out", config->out,
        "sha256", digest);
    json_t *times = object ? worker_times(trainer, crew.workers) : NULL;
    if (times) json_object_set_new(object, "worker_step_ms", times);
    json_t *measures = object ? measures_json(&result->evaluation) : NULL;
    if (measures) json_object_set_new(object, "validation", measures);
    if (object && strcmp(config->measure, "loss") != 0)
        json_object_set_new(object, "best", output_json_number(result->best));
    if (object) json_object_set_new(object, "measure", json_string(config->measure));
    if (object && profile) json_object_set_new(object, "profile", profile_json(profile));
    return output_json(object);
}

static void say_validation(const struct run_config *config, const struct train_result *result)
{
    char text[256];
    if (!strcmp(config->measure, "loss"))
        terminal_say("validation %s, best loss %.4f", progress_measures(&result->evaluation, text),
                     result->best_loss);
    else
        terminal_say("validation %s, best %s %.4f", progress_measures(&result->evaluation, text),
                     config->measure, result->best);
}

static enum status print_result(const struct options *options, struct trainer *trainer,
                                const struct train_result *result, bool speaks)
{
    const struct run_config *config = trainer_config(trainer);
    char digest[65], time[32], loss[48] = "";
    TRY(trainer_digest(trainer, digest)); // by all
    if (!speaks) return STATUS_OK;
    terminal_status("");
    if (result->stopped_early)
        terminal_say("stopped early at step %lld: %lld evaluations without improvement",
                     (long long)result->steps, (long long)config->patience);
    if (isfinite(result->last_loss)) say_validation(config, result);
    // A run that was complete before it was resumed has taken no step, and knows no training loss.
    if (isfinite(result->train_loss))
        snprintf(loss, sizeof loss, ", training loss %.4f", result->train_loss);
    terminal_say("trained %lld steps in %s%s", (long long)result->steps,
                 progress_time(result->seconds, time), loss);
    terminal_say("the model lies in %s", config->out);
    terminal_say("sha256 of weights and optimizer state %s", digest);
    static struct train_profile profile;
    bool profiled = option_given(options, "profile");
    if (profiled) trainer_profile_read(trainer, &profile);
    if (option_given(options, "json"))
        return print_json(trainer, result, digest, profiled ? &profile : NULL);
    return profiled ? profile_print(&profile) : STATUS_OK;
}

// 0 where it cannot be measured: the run does not depend on it.
static double measured_peak(const struct trainer *trainer)
{
    const struct run_config *config = trainer_config(trainer);
    double peak = 0;
    int threads = (int)(config->parallel.workers * config->parallel.threads);
    if (speed_peak(run_precision(config), threads, &peak)) error_clear();
    return peak;
}

// Of as many threads as workers compute at once; arithmetic at the peak of the run's precision.
static enum status measured_roof(const struct trainer *trainer, struct roof *roof_p)
{
    const struct run_config *config = trainer_config(trainer);
    struct roof roof;
    enum isa isa;
    int64_t threads = config->parallel.workers;
    if (threads > config->leaves) threads = config->leaves;
    threads *= config->parallel.threads;
    if (threads > cpu_cores()) threads = cpu_cores();
    TRY(isa_choose(&isa));
    TRY(speed_peak(run_precision(config), (int)threads, &roof.fma));
    TRY(roof_measure_triad(isa, (int)threads, 0, 0.06, &roof.triad));
    *roof_p = roof;
    return STATUS_OK;
}

// What a replica needs to know of the command.
struct task {
    const struct options *options;
    bool resume;
};

static enum status run_trainer(const struct options *options, struct trainer *trainer, double peak,
                               bool speaks)
{
    int64_t done = trainer_position(trainer)->step;
    struct progress progress;
    struct train_result result;
    if (speaks) say_what_runs(trainer, done > 0);
    progress_start(&progress, done, trainer_config(trainer)->steps,
                   trainer_config(trainer)->log_every);
    progress.step_operations = trainer_cost(trainer).flops;
    progress.peak = peak;
    const struct train_observer observer = {&progress, progress_step, progress_evaluation,
                                            progress_saved};
    TRY(train_run(trainer, speaks ? &observer : NULL, &result));
    return print_result(options, trainer, &result, speaks);
}

// One replica's part of the run.
static enum status train(const void *context, const struct run_config *config, struct comm *net,
                         bool speaks)
{
    const struct task *task = context;
    const struct options *options = task->options;
    struct trainer *trainer;
    struct roof roof;
    double peak = 0;
    bool profiled = speaks && option_given(options, "profile");
    TRY(trainer_create(config, net, &trainer));
    // While nothing else runs here, and before the run's memory is taken. The others are taken to be as fast.
    if (speaks && !option_given(options, "quiet"))
        peak = measured_peak(trainer) * trainer_crew(trainer).replicas;
    if (profiled && measured_roof(trainer, &roof)) {
        log_warning("no profile: %s", error_message());
        error_clear();
        profiled = false;
    }
    enum status status = trainer_prepare(trainer, task->resume);
    if (status == STATUS_OK && profiled) trainer_profile_start(trainer, &roof);
    if (status == STATUS_OK) status = run_trainer(options, trainer, peak, speaks);
    trainer_destroy(trainer);
    return status;
}

// Set for each process by who starts many: Open MPI, MPICH and its kin, srun, torchrun.
static const char *const launched[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK",
                                       "SLURM_STEP_ID", "RANK"};

// Returns in the process that trains.
static enum status go_on_supervised(const struct options *options, const struct run_config *config,
                                    bool *resume)
{
    struct supervision supervision = {.out = config->out, .resume = *resume};
    int start;
    for (size_t i = 0; i < sizeof launched / sizeof *launched; i++)
        if (getenv(launched[i]))
            FAIL(STATUS_USAGE,
                 "--restarts belongs to what starts the processes, and this is one that was "
                 "started (%s is set): a rank cannot start the others again; leave it out here",
                 launched[i]);
    TRY(option_integer(options, "restarts", 0, INT32_MAX, &supervision.restarts));
    return supervise(&supervision, resume, &start);
}

static enum status read_run_file(const struct options *options, const struct replicas *replicas,
                                 struct run_config *config_p)
{
    int64_t cores = 0, count = replicas->net ? replicas->net->size : 0;
    if (replicas->net) TRY(trainer_cores(replicas->net, &cores));
    return run_file_read_among(options, options->argument[0], count, cores, config_p);
}

static enum status print_config(const struct run_config *config)
{
    char *text;
    TRY(run_config_check_from(config));
    TRY(run_config_print(config, &text));
    enum status status = output_print("%s", text);
    free(text);
    return status;
}

static enum status run_replica(const struct options *options, const struct replicas *replicas,
                               bool resume)
{
    static struct run_config config;
    const struct task task = {options, resume};
    TRY(replicas_agree(replicas, read_run_file(options, replicas, &config)));
    if (option_given(options, "print-config"))
        return replicas_speak(replicas) ? print_config(&config) : STATUS_OK;
    if (replicas->net) {
        comm_set_timeout(replicas->net, config.parallel.peer_timeout);
        terminal_say("processes  %d, this is %d on %s; %s", replicas->net->size,
                     replicas->net->rank, replicas->identity.host, replicas->identity.source);
    }
    if (replicas->identity.note[0]) terminal_say("           %s", replicas->identity.note);
    signals_catch(train_request_stop, replicas_speak(replicas));
    return replicas_run(replicas, &config, train, &task);
}

struct fold {
    bool resume;
    struct fold_result *result;
};

static enum status train_fold(const void *context, const struct run_config *config,
                              struct comm *net, bool speaks)
{
    const struct fold *fold = context;
    struct trainer *trainer;
    struct train_result result;
    char digest[65];
    TRY(trainer_create(config, net, &trainer));
    enum status status = trainer_prepare(trainer, fold->resume);
    if (!status) status = train_run(trainer, NULL, &result);
    if (!status) status = trainer_digest(trainer, digest);
    if (!status && speaks) {
        fold->result->result = result;
        memcpy(fold->result->digest, digest, sizeof digest);
    }
    trainer_destroy(trainer);
    return status;
}

static enum status run_fold(const struct run_config *config, bool resume,
                            struct fold_result *result_p)
{
    const struct replicas alone = {0};
    const struct fold fold = {resume, result_p};
    return replicas_run(&alone, config, train_fold, &fold);
}

static enum status run(const struct options *options)
{
    static struct run_config config;
    struct replicas replicas;
    bool resume = option_given(options, "resume");
    TRY(terminal_start(option_text(options, "color"), option_given(options, "quiet")));
    bool prints = option_given(options, "print-config");
    if (option_given(options, "folds") && !prints) return folds_run(options, run_fold);
    if (option_given(options, "restarts") && !prints) {
        TRY(run_file_read(options, options->argument[0], &config));
        TRY(go_on_supervised(options, &config, &resume));
    }
    TRY(replicas_join(&replicas));
    enum status status = run_replica(options, &replicas, resume);
    return replicas_leave(&replicas, status);
}

const struct command train_command = {
    "train", "RUN.yaml", "trains a model as a run file says", 1, 1, rows, help, run,
};
