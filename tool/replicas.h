// SPDX-License-Identifier: Apache-2.0
// The replicas of a training run: processes that a launcher started, or threads of this one where the way to exchange needs copies of
// the model (ring, local-sgd). Replica 0 speaks.
#ifndef STN_TOOL_REPLICAS_H
#define STN_TOOL_REPLICAS_H

#include "comm/comm.h"
#include "comm/identity.h"
#include "train/run.h"

#include <stdbool.h>

struct replicas {
    struct identity identity;
    struct comm *net; // between processes; NULL: this one is alone
};
// Joins the other processes of a job, if there are any. Collective. Fails: as identity_find and identity_join.
enum status replicas_join(struct replicas *replicas) CHECK_RESULT;
// Parts from them, with what became of the command; returns it. Of several processes the first tells what failed before they part.
enum status replicas_leave(struct replicas *replicas, enum status status) CHECK_RESULT;
// Whether this process is to speak.
bool replicas_speak(const struct replicas *replicas);
// What failed at one process fails at all.
enum status replicas_agree(const struct replicas *replicas, enum status status) CHECK_RESULT;

// Runs `work` as this process's replica, or, where the exchange wants copies and there is no other process, in a thread for each
// worker. net NULL: alone; speaks: of replica 0 only.
typedef enum status (*replica_work)(const void *context, const struct run_config *config,
                                    struct comm *net, bool speaks);
enum status replicas_run(const struct replicas *replicas, const struct run_config *config,
                         replica_work work, const void *context) CHECK_RESULT;
#endif
