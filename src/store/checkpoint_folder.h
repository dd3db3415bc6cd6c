// SPDX-License-Identifier: Apache-2.0
// Names in the folder of checkpoints. Everything else that lies there is left alone.
//
//   step-<n>           a checkpoint
//   .tmp-<n>-<pid>     one under way, or on its way out
//   .replaced-<n>      the former step-<n>, for the moment in which a new one takes its place
//   latest             the name of the newest, for people and scripts; reading does not rely on it
#ifndef STN_STORE_CHECKPOINT_FOLDER_H
#define STN_STORE_CHECKPOINT_FOLDER_H

#include "store/internal.h"

struct checkpoint_name {
    int64_t step;
    bool replaced; // .replaced-<n>
    char name[48];
};
// What is in the folder, the newest first; a replaced one behind its successor. Links are no checkpoints. The caller frees *list_p.
// No folder: none. Fails: STATUS_INPUT when it cannot be listed.
enum status checkpoint_names(const char *directory, struct checkpoint_name **list_p,
                             int *count_p) CHECK_RESULT;
// Removes what dead runs (and failed saves of this one) left, and finishes or takes back a replacement that was interrupted.
enum status checkpoint_sweep(const char *directory) CHECK_RESULT;
// directory/<prefix><step>, and the temporary folder that this process uses for a step.
enum status checkpoint_path(char out[STORE_PATH], const char *directory, const char *prefix,
                            int64_t step) CHECK_RESULT;
enum status checkpoint_temporary(char out[STORE_PATH], const char *directory,
                                 int64_t step) CHECK_RESULT;
#define STEP_PREFIX      "step-"
#define REPLACED_PREFIX  ".replaced-"
#define TEMPORARY_PREFIX ".tmp-"
#endif
