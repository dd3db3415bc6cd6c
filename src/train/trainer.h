// SPDX-License-Identifier: Apache-2.0
// The trainer: a model, its data and its workers; one call runs one step with the same bits for any number of workers.
//
// A run may have several replicas: a trainer in each of several processes (or threads), which meet through a net (comm/comm.h).
// All call the same functions in the same order, all of them collective, and all return alike: what fails at one fails at all.
// Only replica 0 logs, and writes files.
// trainer_create (config -> tokenizer, corpus, graphs, plans; bytes are known, no large memory yet) -> trainer_prepare (checks that it
// fits, allocates, starts workers, initial weights or checkpoint) -> trainer_step … trainer_evaluate … trainer_save.
// Called from one thread; workers are inside.
#ifndef STN_TRAIN_TRAINER_H
#define STN_TRAIN_TRAINER_H

#include "backend/profile.h"
#include "comm/comm.h"
#include "store/checkpoint.h"
#include "train/run.h"
#include "train/run_log.h"

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
    int replicas;        // of the run: each takes about as much
};
struct step_report {
    int64_t step; // counted from 1
    double loss;  // mean over the tokens of the global batch
    double gradient_norm, learning_rate, seconds;
    // Of this process's worker 0: its leaves; then summing, travelling, updating; then waiting for other workers.
    double compute_seconds, exchange_seconds, wait_seconds;
    double hidden_seconds;             // gradients travelling while leaves were computed
    double bytes_sent, bytes_received; // between this process and others
    int64_t tokens, epoch;
};

// What the run reads.
struct text_report {
    int64_t tokens,
        held_out; // learned from; held out (of running text all of it, whatever eval_windows says)
    const char *tokenizer; // "char"; static storage. "numbers" where there is none
    int64_t vocabulary;
    // Of rows of examples; 0 of running text.
    int64_t rows, held_out_rows, classes;
    int64_t
        texts; // whose sentences, or pieces (task: mlm), all the rows are; 0: rows are texts themselves
    int64_t cut;    // texts that were longer than the model's context
    int64_t lost;   // questions without an answer that stands in its context; not learned from
    double padding; // places without a token, as a part of all
};
// What an evaluation shows.
enum { EVALUATION_MEASURES = 8 };
struct evaluation_report {
    double loss; // mean over targets, or examples
    int64_t targets;
    int measures;
    struct measure measure[EVALUATION_MEASURES]; // "val/perplexity", "val/accuracy", …
    double badness; // what train.measure asks for, the lower the better
};

// net: borrowed, rank = replica; NULL: one replica. Of several, replica 0's settings count, but for workers, threads, cores and
// the limit of memory, which are each one's own.
// Fails: STATUS_INTERRUPTED after train_request_stop(), while the data are read; as they do.
enum status trainer_create(const struct run_config *config, struct comm *net,
                           struct trainer **trainer_p) CHECK_RESULT;
// Cores for each of the replicas that may use this one's. Collective.
enum status trainer_cores(struct comm *net, int64_t *cores_p) CHECK_RESULT;
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
// The same with what the loss does not tell. Both fail with STATUS_INTERRUPTED, alike at all replicas, after train_request_stop().
enum status trainer_measure(struct trainer *trainer,
                            struct evaluation_report *report_p) CHECK_RESULT;
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
// Seconds in which a worker of the crew computed in each of the last 100 steps; 0 before the first.
struct worker_time {
    double median, p95;
};
struct worker_time trainer_worker_time(const struct trainer *trainer, int worker);
// A checkpoint under out/checkpoints.
enum status trainer_save(struct trainer *trainer) CHECK_RESULT;
// The model directory `directory` (out, or out/best) with the weights as they are.
enum status trainer_export(struct trainer *trainer, const char *directory) CHECK_RESULT;
// SHA-256 of all weights and optimizer state, 64 hexadecimal digits.
enum status trainer_digest(struct trainer *trainer, char digest[65]) CHECK_RESULT;
// How exact the run is: "exact", "same-workers", "approximate". Static storage.
const char *trainer_exactness(const struct trainer *trainer);
// Who takes part, and how slices travel (of auto: what was chosen; static storage or the trainer's).
struct crew_report {
    int replicas, workers; // of all replicas
    const char *exchange;
    bool overlaps; // gradients travel while others are computed
};
struct crew_report trainer_crew(const struct trainer *trainer);

// The whole run: steps, evaluations, checkpoints, logs, early stopping, signals. Callbacks may be NULL.
struct train_observer {
    void *context;
    void (*step)(void *context, const struct step_report *report);
    void (*evaluation)(void *context, int64_t step, const struct evaluation_report *report,
                       bool best);
    void (*saved)(void *context, int64_t step);
};
struct train_result {
    int64_t steps;
    double best_loss, last_loss, train_loss, seconds; // best_loss: the lowest
    struct evaluation_report evaluation;              // the last; targets 0: there was none
    double best; // of train.measure, as it is reported; NaN: there was no evaluation
    bool stopped_early;
};
// Fails: STATUS_INTERRUPTED after train_request_stop() and a checkpoint; others as above.
enum status train_run(struct trainer *trainer, const struct train_observer *observer,
                      struct train_result *result_p) CHECK_RESULT;
// Safe in a signal handler: all trainers of the process end after their current step, and give up reading data, counting and
// evaluating. A trainer that is created later does so, too, until the wish is forgotten, or one has followed it.
void train_request_stop(void);
void train_forget_stop(
    void); // trainers that are created from now on do not see what was wished before
// The same wish to one trainer alone.
void trainer_request_stop(struct trainer *trainer);
#endif
