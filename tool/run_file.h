// SPDX-License-Identifier: Apache-2.0
// The run file as the command line sees it: defaults, the file, the environment, --set, --workers, --out; then checked.
#ifndef STN_TOOL_RUN_FILE_H
#define STN_TOOL_RUN_FILE_H

#include "options.h"
#include "train/run.h"

enum status run_file_read(const struct options *options, const char *path,
                          struct run_config *config_p) CHECK_RESULT;
// What a run promises, in words.
extern const char exactness_sentence[];
#endif
