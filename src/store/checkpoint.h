// SPDX-License-Identifier: Apache-2.0
// Checkpoints: out/checkpoints/step-<n>/ with weights, optimizer state and position, independent of the number of workers.
//
// Writing: into .tmp-<step>-<pid>; every file written, fsynced, closed; manifest.json lists files, sizes, XXH3-128; directory fsynced;
// renamed to step-<n>; parent fsynced; then `latest` is moved and old ones are pruned, never the last one that verifies.
// Reading: the newest directory whose manifest and hashes verify; otherwise the one before, with a warning that says why.
#ifndef STN_STORE_CHECKPOINT_H
#define STN_STORE_CHECKPOINT_H

#include "nn/nn.h"
#include "store/safetensors.h"

// Small numbers that a run goes on from; all are written to manifest.json.
struct run_position {
    int64_t step;     // steps done
    int64_t samples;  // samples drawn
    double best_loss; // badness of the best evaluation so far (train/run.h), infinity when none
    int64_t best_step;
    double scheduled_best;      // as best_loss, of the evaluations that train.eval_every asks for
    int64_t evaluations_waited; // since that one: early stopping
    double schedule_factor, schedule_best; // struct schedule_state
    int64_t schedule_waited;
    double seconds;         // of training, over all resumes
    int64_t evaluation_due; // 1: the run was stopped in the evaluation of `step`; it comes first
};
// Who made it; for people, nothing depends on it.
struct checkpoint_crew {
    int64_t processes, workers; // of all processes; 0: not known
    char exchange[16], exactness[16];
};
enum { CHECKPOINT_STATES = 3, CHECKPOINT_PIECE = 1 << 16 };

// A state that does not lie here whole comes and goes in pieces of at most CHECKPOINT_PIECE elements. Pieces do not cross parameters.
struct checkpoint_stream {
    void *context;
    // Elements [first, first + n) of the block of that state; borrowed until the next call.
    enum status (*get)(void *context, int state, int64_t first, int64_t n, const float **data_p);
    enum status (*put)(void *context, int state, int64_t first, int64_t n, const float *data);
    // Called once all files are written, before the checkpoint takes its place.
    enum status (*commit)(void *context);
};
struct checkpoint_content {
    const struct parameters *parameters;
    float *weights; // block; read by save, filled by load
    // Optimizer state blocks, one after another: a state is there when its block is, or its name and a stream. The state called
    // "outer" may be missing when it is loaded (a run that was not averaged), and be there without being asked for.
    float *state[CHECKPOINT_STATES];
    const char *state_name[CHECKPOINT_STATES];
    const struct checkpoint_stream *stream; // NULL: what is there lies in the blocks
    // (optional) Numbers besides, one array: the states that rows of the batch go on with.
    float *carried;
    int64_t carried_count;
    struct run_position position;
    uint64_t
        config_hash; // of what must not change between resumes (model, tokenizer, batch, leaves, seed, optimizer)
    // Which start of the run writes this, counted from 1; by load: which one wrote it, 0: not known.
    int64_t term;
    // (optional) Called before anything is touched, before the checkpoint takes its place and before older ones go: fails with
    // STATUS_USAGE when another start of the run has taken over.
    enum status (*fence)(const void *context);
    const void *fence_context;
    struct checkpoint_crew crew;
    const char *run_file; // text of the resolved run file, stored as run.yaml
    char other_run[4096]; // by load: the path of the checkpoint whose config_hash differs, else ""
};
// Writes checkpoint step-<position.step> below `directory` ("out/checkpoints") and keeps the newest `keep` (and `protect_step`, -1 none).
// Fails: STATUS_DISK, or as the fence; nothing that was there is harmed, the temporary folder is removed.
enum status checkpoint_save(const char *directory, const struct checkpoint_content *content,
                            int keep, int64_t protect_step) CHECK_RESULT;
// Loads the newest that verifies into *content. *found_p false when there is none at all.
// Fails: STATUS_INPUT when there are some but none verifies, or when config_hash differs (other_run then names it);
// STATUS_UNSUPPORTED when a later format wrote the newest. position is then unchanged; the blocks are changed only when
// the disk fails between verifying and reading.
enum status checkpoint_load_newest(const char *directory, struct checkpoint_content *content,
                                   bool *found_p) CHECK_RESULT;
// How many states the content has; whether state s comes through the stream.
int checkpoint_states(const struct checkpoint_content *content);
bool checkpoint_streams(const struct checkpoint_content *content, int s);
// Verifies one checkpoint's manifest and hashes.
enum status checkpoint_verify(const char *path) CHECK_RESULT;
#endif
