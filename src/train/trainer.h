// SPDX-License-Identifier: Apache-2.0
// The trainer: a model, its data and its workers; one call runs one step with the same bits for any number of workers.
//
// trainer_create (config -> tokenizer, corpus, graphs, plans; bytes are known, no large memory yet) -> trainer_prepare (checks that it
// fits, allocates, starts workers, initial weights or checkpoint) -> trainer_step … trainer_evaluate … trainer_save.
// Called from one thread; workers are inside.
#ifndef STN_TRAIN_TRAINER_H
#define STN_TRAIN_TRAINER_H

#include "backend/profile.h"
#include "store/checkpoint.h"
#include "train/run.h"

struct trainer;

// What the run takes at its peak, to the byte, by kind.
struct memory_report {
    size_t packed_weights; // copies that products read faster (backend/packed.h)
    size_t weights, optimizer_state, gradients, activations, data, other, total;
    size_t worker_activations; // one worker's arena
    int worker_gradients;      // most gradient buffers that one worker keeps
    size_t worker_share; // the largest slice of weights and optimizer state that one worker updates
    size_t worker_total; // activations, gradient buffers and share of the worker that has most
    size_t available;    // what the machine (or parallel.memory_limit) allows
};
struct step_report {
    int64_t step; // counted from 1
    double loss;  // mean over the tokens of the global batch
    double gradient_norm, learning_rate, seconds;
    double compute_seconds, exchange_seconds, wait_seconds; // worker 0's
    int64_t tokens, epoch;
};

// What the run reads.
struct text_report {
    int64_t tokens, held_out; // learned from; held out (all of it, whatever eval_windows says)
    const char *tokenizer;    // "char"; static storage
    int64_t vocabulary;
};

enum status trainer_create(const struct run_config *config,
                           struct trainer **trainer_p) CHECK_RESULT;
void trainer_destroy(struct trainer *trainer); // stops and joins the workers
struct memory_report trainer_memory(const struct trainer *trainer);
struct cost trainer_cost(const struct trainer *trainer); // of one step, all micro-batches
int64_t trainer_parameters(const struct trainer *trainer);
struct text_report trainer_text(const struct trainer *trainer);
// Fails: STATUS_MEMORY before anything is allocated, with the setting that would make it fit.
enum status trainer_prepare(struct trainer *trainer, bool resume) CHECK_RESULT;
const struct run_config *trainer_config(const struct trainer *trainer); // resolved
struct run_position *trainer_position(struct trainer *trainer);
// One step. Fails: STATUS_DIVERGED naming step and sequences, weights unchanged; STATUS_PEER.
enum status trainer_step(struct trainer *trainer, struct step_report *report_p) CHECK_RESULT;
// Mean loss over the held-out text, by all workers, the same bits for any number of them; *tokens_p its targets.
enum status trainer_evaluate(struct trainer *trainer, double *loss_p,
                             int64_t *tokens_p) CHECK_RESULT;
// Where the time of steps goes, from now on: every operation of the program beside its roof, and what workers do besides. Sums over
// all workers; processor time, but for what they wait. threads: the roof of as many threads as compute at once.
struct train_profile {
    struct profile operations;               // the longest first
    double data, fold, reduce, update, wait; // fold: gradients into partial sums
    double
        step; // all of it, by the clock on the wall: what is missing, neighbours on the machine took
    int64_t steps;
    int workers;
    double reduce_bytes,
        update_bytes; // that these read and write in one step, all workers together
    struct roof threads;
};
void trainer_profile_start(struct trainer *trainer, const struct roof *threads);
void trainer_profile_read(const struct trainer *trainer, struct train_profile *profile_p);
// A checkpoint under out/checkpoints.
enum status trainer_save(struct trainer *trainer) CHECK_RESULT;
// The model directory `directory` (out, or out/best) with the weights as they are.
enum status trainer_export(struct trainer *trainer, const char *directory) CHECK_RESULT;
// SHA-256 of all weights and optimizer state, 64 hexadecimal digits.
void trainer_digest(const struct trainer *trainer, char digest[65]);

// The whole run: steps, evaluations, checkpoints, logs, early stopping, signals. Callbacks may be NULL.
struct train_observer {
    void *context;
    void (*step)(void *context, const struct step_report *report);
    void (*evaluation)(void *context, int64_t step, double loss, bool best);
    void (*saved)(void *context, int64_t step);
};
struct train_result {
    int64_t steps;
    double best_loss, last_loss, train_loss, seconds;
    bool stopped_early;
};
// Fails: STATUS_INTERRUPTED after train_request_stop() and a checkpoint; others as above.
enum status train_run(struct trainer *trainer, const struct train_observer *observer,
                      struct train_result *result_p) CHECK_RESULT;
// Safe in a signal handler: the run ends after the current step.
void train_request_stop(void);
#endif
