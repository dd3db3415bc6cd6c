// SPDX-License-Identifier: Apache-2.0
// What `train --profile` tells: where the time of steps went.
#ifndef STN_TOOL_PROFILE_H
#define STN_TOOL_PROFILE_H

#include "output.h"
#include "train/trainer.h"

enum status profile_print(const struct train_profile *profile) CHECK_RESULT; // a table
json_t *profile_json(const struct train_profile *profile); // NULL when there is no memory
#endif
