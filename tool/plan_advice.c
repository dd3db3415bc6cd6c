// SPDX-License-Identifier: Apache-2.0
// Tries settings of a run on a described cluster: each is planned, none guessed.
#include "base/memory.h"
#include "parallel/batch_tree.h"
#include "plan.h"

#include <stdlib.h>

enum { MOST_CANDIDATES = 24 };

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Divisors of the batch, the largest first; where there are many, those that are left of halving it.
static int divisors(int64_t batch, int64_t divisor[MOST_CANDIDATES])
{
    int count = 0, all = 0;
    for (int64_t d = 1; d <= batch && d <= 1 << 16; d++) all += batch % d == 0;
    for (int64_t d = batch;
         d >= 1 && count<MOST_CANDIDATES; d = all> MOST_CANDIDATES ? d / 2 : d - 1)
        if (batch % d == 0) divisor[count++] = d;
    return count;
}

// As many leaves as workers can use, no fewer than the run has.
static int64_t leaves_for(const struct outlook *plan, int64_t micro_batches)
{
    int64_t workers = plan->file.cluster.nodes * plan->file.cluster.workers;
    int64_t wanted =
        workers > plan->forecast.config.leaves ? workers : plan->forecast.config.leaves;
    return smaller(smaller(wanted, micro_batches), MAX_LEAVES);
}

static void consider(struct outlook *plan, struct forecast *trial)
{
    const struct cluster *cluster = &plan->file.cluster;
    struct plan_advice *best = &plan->advice;
    trial->workload.exchange = cost_best_exchange(cluster, &trial->workload);
    struct memory_report memory;
    if (forecast_memory(trial, cluster, &memory)) {
        error_clear();
        return;
    }
    struct step_cost cost = cost_step(cluster, &trial->workload);
    if ((double)memory.total > cluster->memory) return;
    if (best->found && cost.seconds >= best->cost.seconds * (1 - 1e-9)) return;
    *best = (struct plan_advice){
        .found = true,
        .micro_batch = trial->config.micro_batch,
        .leaves = trial->config.leaves,
        .recompute_layers = trial->config.model.recompute_layers,
        .exchange = trial->workload.exchange,
        .cost = cost,
        .node_bytes = memory.total,
    };
}

static enum status try_settings(struct outlook *plan, struct run_config *config,
                                struct forecast *trial)
{
    int64_t divisor[MOST_CANDIDATES], layers = config->model.layers;
    int count = divisors(config->batch, divisor);
    for (int i = 0; i < count; i++)
        for (int recompute = 0; recompute < 2; recompute++) {
            config->micro_batch = divisor[i];
            config->leaves = leaves_for(plan, config->batch / divisor[i]);
            config->model.recompute_layers = recompute ? layers : 0;
            // A setting that cannot be is none.
            if (forecast_create(config, trial)) {
                error_clear();
                continue;
            }
            consider(plan, trial);
            forecast_release(trial);
        }
    return STATUS_OK;
}

enum status outlook_advise(struct outlook *plan)
{
    struct run_config *config = NULL;
    struct forecast *trial = NULL;
    TRY(memory_allocate(1, sizeof *config, "a trial", &config));
    enum status status = memory_allocate(1, sizeof *trial, "a trial", &trial);
    if (!status) {
        *config = plan->forecast.config;
        // The vocabulary is known: no text is read again.
        config->vocabulary = config->model.vocabulary;
        status = try_settings(plan, config, trial);
    }
    free(trial);
    free(config);
    return status;
}
