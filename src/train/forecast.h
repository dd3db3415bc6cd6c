// SPDX-License-Identifier: Apache-2.0
// What a run would take on a cluster that is only described: its graphs are built and planned as for training, its memory is
// memory.c's prediction, its time the cost model's. Nothing is allocated, and no text is read but for a `char` vocabulary.
#ifndef STN_TRAIN_FORECAST_H
#define STN_TRAIN_FORECAST_H

#include "parallel/cost.h"
#include "train/run.h"
#include "train/trainer.h"

struct forecast {
    struct run_config config; // resolved
    struct workload workload; // of the run as it stands; exchange auto: direct
    double parameters;
    size_t arena, evaluation,
        gradients;            // bytes of a worker: as struct memory_need's arena, evaluation, block
    size_t packed, heap;      // bytes of a replica
    int64_t block;            // elements of the block of weights
    struct parameters frozen; // with train.freeze: all of them, some marked; else none
};
// config.parallel.workers is that of a node. Fails: as run_config_check and the building of graphs do; STATUS_INPUT where the
// tokenizer, or the text that it is to be made of, is missing.
enum status forecast_create(const struct run_config *config,
                            struct forecast *forecast_p) CHECK_RESULT;
// What has been created, or is all 0.
void forecast_release(struct forecast *forecast);
// Bytes that a node takes (not shared: a worker), at the replica that takes most. Fails: STATUS_USAGE for servers that the cluster has no
// place for, as the run would.
enum status forecast_memory(const struct forecast *forecast, const struct cluster *cluster,
                            struct memory_report *report_p) CHECK_RESULT;
// The run with `times` the batch and leaves (at most MAX_LEAVES).
struct workload forecast_larger(const struct forecast *forecast, int64_t times);

// The shares of `peak` (operations a second of one thread) that products and attention reach in training two small GPTs here (2 layers
// of 128 and of 512, the mean of both), in float32, by processor time. Takes about a second.
enum status forecast_measure(double peak, double *products_p, double *attention_p) CHECK_RESULT;
#endif
