// SPDX-License-Identifier: Apache-2.0
// stentor train --folds K: cross-validation. Each fold is a run and a process of its own in out/fold-0 …; as many run side by
// side as there are workers, which they share. What a fold gives does not depend on that.
#ifndef STN_TOOL_FOLDS_H
#define STN_TOOL_FOLDS_H

#include "options.h"
#include "train/trainer.h"

struct fold_result {
    enum status status;
    char message[1024]; // of a failure
    struct train_result result;
    char digest[65];
};
// Trains as `config` says and fills the result: in the fold's process.
typedef enum status (*fold_work)(const struct run_config *config, bool resume,
                                 struct fold_result *result_p);
// Prints each fold's measures, their means and standard deviations. Fails: as the first fold that fails, when the others have stopped with
// checkpoints; STATUS_INTERRUPTED after a signal.
enum status folds_run(const struct options *options, fold_work work) CHECK_RESULT;
#endif
