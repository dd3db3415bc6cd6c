// SPDX-License-Identifier: Apache-2.0
// What a run begins with, and what it leaves behind: checkpoints and the model's directory.
#include "base/file.h"
#include "base/log.h"
#include "store/checkpoint_folder.h"
#include "train/internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

// ---- the beginning ----
static void start_position(struct run_position *position)
{
    struct schedule_state schedule;
    schedule_start(&schedule);
    *position = (struct run_position){
        .best_loss = (double)INFINITY,
        .scheduled_best = (double)INFINITY,
        .schedule_factor = schedule.factor,
        .schedule_best = schedule.best,
        .schedule_waited = schedule.waited,
    };
}

static enum status checkpoints_path(const struct trainer *trainer, char path[RUN_PATH + 16])
{
    TRY(path_join(path, RUN_PATH + 16, trainer->config.out, "checkpoints"));
    return STATUS_OK;
}

static enum status ask_fence(const void *context)
{
    const struct trainer *trainer = context;
    return folder_fence(trainer->config.out, trainer->term);
}

// What is learned from, which is not all of a text that has a held-out part: that part is the seed's and the run file's.
static uint64_t learned_hash(const struct trainer *trainer)
{
    uint64_t hash = trainer->feed.hash;
    return run_holds_out_of_train(&trainer->config) ? XXH3_64bits_withSeed(NULL, 0, hash) : hash;
}

static uint64_t words_hash(const struct trainer *trainer)
{
    return trainer->tokenizer ? tokenizer_hash(trainer->tokenizer) : 0;
}

static struct checkpoint_content content_of(const struct trainer *trainer,
                                            const struct checkpoint_stream *stream)
{
    struct checkpoint_content content = {
        .parameters = &trainer->parameters,
        .weights = trainer->weights.data,
        .stream = stream,
        .position = trainer->position,
        .config_hash =
            run_config_hash(&trainer->config, words_hash(trainer), learned_hash(trainer)),
        .term = trainer->term,
        .fence = ask_fence,
        .fence_context = trainer,
    };
    struct crew_report crew = trainer_crew(trainer);
    content.crew = (struct checkpoint_crew){.processes = crew.replicas, .workers = crew.workers};
    snprintf(content.crew.exchange, sizeof content.crew.exchange, "%s", crew.exchange);
    snprintf(content.crew.exactness, sizeof content.crew.exactness, "%s",
             trainer_exactness(trainer));
    for (int s = 0; s < trainer->states; s++) {
        content.state_name[s] = trainer->optimizer->state_name[s];
        content.state[s] = state_is_shared(trainer, s) ? NULL : trainer->state[s].data;
    }
    if (trainer->local) content.state_name[trainer->states] = "outer";
    if (trainer->carried.width > 0) {
        content.carried = carry_state(trainer, trainer->position.step);
        content.carried_count = (int64_t)(carry_bytes(&trainer->config) / sizeof(float));
    }
    return content;
}

// A run that would write over an earlier one's checkpoints is refused.
static enum status refuse_earlier_run(const char *checkpoints, const char *out)
{
    struct checkpoint_name *list = NULL;
    int count = 0;
    if (!directory_exists(checkpoints)) return STATUS_OK;
    TRY(checkpoint_names(checkpoints, &list, &count));
    int64_t newest = count ? list[0].step : -1;
    free(list);
    if (newest >= 0)
        FAIL(STATUS_USAGE,
             "%s holds step-%lld of an earlier run; add --resume to go on from it, set another "
             "out, or remove %s first",
             checkpoints, (long long)newest, out);
    return STATUS_OK;
}

// What replica 0 found in the folder of checkpoints.
struct found {
    struct run_position position;
    int64_t count;
};

static enum status look_at_measure(const struct trainer *trainer, const char *checkpoints,
                                   struct run_position *position)
{
    char name[64], path[RUN_PATH + 128];
    snprintf(name, sizeof name, "step-%lld", (long long)position->step);
    TRY(path_join(path, sizeof path, checkpoints, name));
    resume_measure(&trainer->config, path, position);
    return STATUS_OK;
}

static enum status load(struct trainer *trainer, const struct checkpoint_stream *stream,
                        void *context)
{
    struct found *found = context;
    char checkpoints[RUN_PATH + 16];
    bool any = false;
    TRY(checkpoints_path(trainer, checkpoints));
    struct checkpoint_content content = content_of(trainer, stream);
    enum status status = checkpoint_load_newest(checkpoints, &content, &any);
    if (status && content.other_run[0])
        return resume_explain(&trainer->config, content.other_run, status);
    if (status) return status;
    found->count = any;
    if (any) found->position = content.position;
    if (any) TRY(look_at_measure(trainer, checkpoints, &found->position));
    // A folder that was copied without its terms.
    if (any && content.term >= trainer->term)
        TRY(folder_claim(trainer->config.out, content.term, &trainer->term));
    if (!any)
        log_info("%s holds no checkpoint yet: the run starts at its beginning",
                 trainer->config.out);
    return STATUS_OK;
}

enum status checkpoints_refuse(const struct trainer *trainer)
{
    char checkpoints[RUN_PATH + 16];
    TRY(checkpoints_path(trainer, checkpoints));
    return refuse_earlier_run(checkpoints, trainer->config.out);
}

enum status checkpoints_start(struct trainer *trainer, bool resume)
{
    struct found found = {.count = 0};
    start_position(&trainer->position);
    if (resume) TRY(state_collect(trainer, load, &found));
    TRY(crew_tell(trainer, &found, sizeof found));
    if (found.count == 0) TRY(workers_run(trainer, TASK_INITIALISE));
    TRY(tuning_start(trainer, found.count > 0));
    if (found.count == 0) return STATUS_OK;
    trainer->position = found.position;
    trainer->saved_step = found.position.step;
    TRY(carry_resume(trainer));
    // Whole optimizer states, too, where every replica has one of its own.
    TRY(crew_tell(trainer, trainer->weights.data, trainer->weights.bytes));
    for (int s = 0; s < trainer->states; s++)
        if (!state_is_shared(trainer, s))
            TRY(crew_tell(trainer, trainer->state[s].data, trainer->state[s].bytes));
    return STATUS_OK;
}

// ---- writing ----

static enum status write_checkpoint(struct trainer *trainer, const struct checkpoint_stream *stream,
                                    void *context)
{
    char checkpoints[RUN_PATH + 16], *run_file = NULL;
    const int *keep = context;
    TRY(checkpoints_path(trainer, checkpoints));
    TRY(run_config_print(&trainer->config, &run_file));
    struct checkpoint_content content = content_of(trainer, stream);
    content.run_file = run_file;
    int64_t best = trainer->position.best_step > 0 ? trainer->position.best_step : -1;
    enum status status = checkpoint_save(checkpoints, &content, *keep, best);
    free(run_file);
    return status;
}

enum status trainer_save_keeping(struct trainer *trainer, int keep)
{
    TRY(crew_fail(trainer, average_weights(trainer)));
    TRY(crew_fail(trainer, average_state(trainer)));
    TRY(crew_fail(trainer, check_replicas(trainer)));
    TRY(crew_fail(trainer, carry_share(trainer)));
    TRY(state_collect(trainer, write_checkpoint, &keep));
    trainer->saved_step = trainer->position.step;
    return STATUS_OK;
}

enum status trainer_save(struct trainer *trainer)
{
    INVARIANT(trainer->prepared, "trainer_save before trainer_prepare");
    int64_t keep = trainer->config.keep;
    return trainer_save_keeping(trainer, keep < 1 ? 1 : keep > INT_MAX ? INT_MAX : (int)keep);
}

static enum status write_model(const struct trainer *trainer, const char *directory)
{
    if (!crew_speaks(trainer)) return STATUS_OK;
    TRY(folder_fence(trainer->config.out, trainer->term));
    struct model_words words = {.tokenizer = trainer->tokenizer};
    if (trainer->feed.kind->words) trainer->feed.kind->words(trainer, &words);
    TRY(directory_create(directory));
    TRY(model_words_save(directory, &words));
    TRY(model_directory_save(directory, &trainer->config.model, &trainer->parameters,
                             trainer->weights.data, NULL));
    return STATUS_OK;
}

enum status trainer_export(struct trainer *trainer, const char *directory)
{
    INVARIANT(trainer->prepared, "trainer_export before trainer_prepare");
    TRY(crew_fail(trainer, serve_meet(trainer)));
    return crew_agree(trainer, write_model(trainer, directory));
}
