// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include "api/config.h"
#include "api/processes.h"
#include "api/status.h"
#include "base/memory.h"
#include "comm/agree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct stn_trainer {
    struct trainer *trainer;
    bool ran, shared;           // shared: between processes
    stn_step_function function; // of the run under way
    void *context;
};

// What fails at one process fails at all.
static enum status agree(struct comm *net, enum status status)
{
    return net ? comm_agree(net, status) : status;
}

static enum status create_among(struct comm *net, struct run_config *run,
                                struct stn_trainer **made_p)
{
    struct stn_trainer *made = NULL;
    if (net) TRY(trainer_cores(net, &run->cores));
    run->replicas = net ? net->size : 0;
    enum status status = run_config_check(run);
    if (!status) status = memory_allocate(1, sizeof *made, "a trainer", &made);
    status = agree(net, status);
    if (!status && net) comm_set_timeout(net, run->parallel.peer_timeout);
    if (!status) status = trainer_create(run, net, &made->trainer);
    if (status || !made) {
        free(made);
        return status;
    }
    made->shared = net != NULL;
    *made_p = made;
    return STATUS_OK;
}

static enum status create(const struct stn_config *config, struct stn_trainer **trainer)
{
    struct comm *net;
    if (!config || !trainer) FAIL(STATUS_USAGE, "config or trainer is NULL");
    struct run_config resolved = config->run;
    train_forget_stop(); // came before this trainer
    TRY(api_net_take(&net));
    enum status status = create_among(net, &resolved, trainer);
    if (status && net) api_net_give_back();
    return status;
}

enum stn_status stn_trainer_create(const struct stn_config *config, struct stn_trainer **trainer)
{
    api_enter();
    return public_status(create(config, trainer));
}

void stn_trainer_destroy(struct stn_trainer *trainer)
{
    if (!trainer) return;
    trainer_destroy(trainer->trainer);
    if (trainer->shared) api_net_give_back();
    free(trainer);
}

struct stn_memory stn_trainer_memory(const struct stn_trainer *trainer)
{
    struct memory_report m = trainer_memory(trainer->trainer);
    size_t other = m.other + m.packed_weights;
    return (struct stn_memory){m.weights, m.optimizer_state, m.gradients, m.activations, m.data,
                               other,     m.total,           m.available};
}

int64_t stn_trainer_parameters(const struct stn_trainer *trainer)
{
    return trainer_parameters(trainer->trainer);
}

static void tell_step(void *context, const struct step_report *report)
{
    struct stn_trainer *trainer = context;
    const struct stn_step step = {
        .step = report->step,
        .tokens = report->tokens,
        .loss = report->loss,
        .gradient_norm = report->gradient_norm,
        .learning_rate = report->learning_rate,
        .seconds = report->seconds,
    };
    if (!trainer->function(trainer->context, &step)) trainer_request_stop(trainer->trainer);
}

static double finite_or_nan(double value) { return isfinite(value) ? value : (double)NAN; }

static enum status run(struct stn_trainer *trainer, bool resume, struct stn_result *result)
{
    struct train_observer observer = {trainer, trainer->function ? tell_step : NULL, NULL, NULL};
    struct train_result r;
    if (trainer->ran) FAIL(STATUS_USAGE, "this trainer has run already; create another one");
    trainer->ran = true;
    TRY(trainer_prepare(trainer->trainer, resume));
    enum status status = train_run(trainer->trainer, &observer, &r);
    if (status) return status;
    if (!result) return STATUS_OK;
    result->steps = r.steps;
    result->training_loss = finite_or_nan(r.train_loss);
    result->validation_loss = finite_or_nan(r.last_loss);
    result->best_validation_loss = finite_or_nan(r.best_loss);
    result->seconds = r.seconds;
    result->stopped_early = r.stopped_early;
    return trainer_digest(trainer->trainer, result->sha256);
}

enum stn_status stn_trainer_run(struct stn_trainer *trainer, bool resume,
                                stn_step_function function, void *context,
                                struct stn_result *result)
{
    api_enter();
    if (!trainer)
        return public_status(error_at(STATUS_USAGE, __FILE__, __LINE__, "trainer is NULL"));
    trainer->function = function;
    trainer->context = context;
    return public_status(run(trainer, resume, result));
}

void stn_trainer_stop(void) { train_request_stop(); }
