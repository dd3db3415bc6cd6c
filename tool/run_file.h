// SPDX-License-Identifier: Apache-2.0
// The run file as the command line sees it: defaults, the file, the environment, --set, --workers, --out; then checked.
#ifndef STN_TOOL_RUN_FILE_H
#define STN_TOOL_RUN_FILE_H

#include "options.h"
#include "train/run.h"

enum status run_file_read(const struct options *options, const char *path,
                          struct run_config *config_p) CHECK_RESULT;
// The same for one of `replicas` processes, which may use `cores`.
enum status run_file_read_among(const struct options *options, const char *path, int64_t replicas,
                                int64_t cores, struct run_config *config_p) CHECK_RESULT;
// The same for this process alone, with settings ("train.fold=2") that come last, from `origin`, for messages.
enum status run_file_read_with(const struct options *options, const char *const *setting, int count,
                               const char *origin, struct run_config *config_p) CHECK_RESULT;
// What a run of that level (trainer_exactness()) promises, in words.
const char *exactness_sentence(const char *level);
#endif
