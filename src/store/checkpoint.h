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
    double best_loss; // best evaluation so far, infinity when none
    int64_t best_step;
    int64_t evaluations_waited;            // since the best one: early stopping
    double schedule_factor, schedule_best; // struct schedule_state
    int64_t schedule_waited;
    double seconds; // of training, over all resumes
};
struct checkpoint_content {
    const struct parameters *parameters;
    float *weights;  // block; read by save, filled by load
    float *state[2]; // optimizer state blocks, NULL where the optimizer has none
    const char *state_name[2];
    struct run_position position;
    uint64_t
        config_hash; // of what must not change between resumes (model, tokenizer, batch, leaves, seed, optimizer)
    const char *run_file; // text of the resolved run file, stored as run.yaml
    char other_run[4096]; // by load: the path of the checkpoint whose config_hash differs, else ""
};
// Writes checkpoint step-<position.step> below `directory` ("out/checkpoints") and keeps the newest `keep` (and `protect_step`, -1 none).
// Fails: STATUS_DISK; nothing that was there is harmed, the temporary folder is removed.
enum status checkpoint_save(const char *directory, const struct checkpoint_content *content,
                            int keep, int64_t protect_step) CHECK_RESULT;
// Loads the newest that verifies into *content. *found_p false when there is none at all.
// Fails: STATUS_INPUT when there are some but none verifies, or when config_hash differs (other_run then names it);
// STATUS_UNSUPPORTED when a later format wrote the newest. position is then unchanged; the blocks are changed only when
// the disk fails between verifying and reading.
enum status checkpoint_load_newest(const char *directory, struct checkpoint_content *content,
                                   bool *found_p) CHECK_RESULT;
// Verifies one checkpoint's manifest and hashes.
enum status checkpoint_verify(const char *path) CHECK_RESULT;
#endif
