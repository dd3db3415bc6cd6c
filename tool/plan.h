// SPDX-License-Identifier: Apache-2.0
// What the files of `stentor plan` share.
#ifndef STN_TOOL_PLAN_H
#define STN_TOOL_PLAN_H

#include "train/cluster_file.h"
#include "train/forecast.h"

// A row of the table of scaling.
struct plan_row {
    int64_t nodes;
    struct step_cost strong, weak;             // the same batch; one that grows with the nodes
    double strong_efficiency, weak_efficiency; // beside one node
    const char *exchange;                      // the best exact one, of the run as it is
};
enum { PLAN_ROWS = 64 };

// The fastest settings that fit.
struct plan_advice {
    bool found; // some do
    int64_t micro_batch, leaves, recompute_layers;
    const char *exchange;
    struct step_cost cost;
    size_t node_bytes;
};

struct outlook {
    struct forecast forecast;
    struct cluster_file file;
    struct memory_report memory;
    struct step_cost cost;
    struct plan_row row[PLAN_ROWS];
    int rows;
    struct plan_advice advice;
};
// Of plan->forecast on plan->file.cluster (plan_advice.c). Fails: STATUS_MEMORY.
enum status outlook_advise(struct outlook *plan) CHECK_RESULT;
#endif
