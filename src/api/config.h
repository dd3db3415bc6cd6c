// SPDX-License-Identifier: Apache-2.0
// What stands behind struct stn_config.
#ifndef STN_API_CONFIG_H
#define STN_API_CONFIG_H

#include "train/run.h"

struct stn_config {
    struct run_config run;
};
#endif
