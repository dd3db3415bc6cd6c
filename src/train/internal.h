// SPDX-License-Identifier: Apache-2.0
// What the files of train/ share: the trainer, its workers, and the graphs that they run. Private to train/ and its tests.
#ifndef STN_TRAIN_INTERNAL_H
#define STN_TRAIN_INTERNAL_H

#include "backend/packed.h"
#include "base/gate.h"
#include "comm/comm.h"
#include "data/partition.h"
#include "data/sampler.h"
#include "parallel/exchange.h"
#include "store/model_directory.h"
#include "train/trainer.h"

#include <pthread.h>

// ---- graphs: one forward and backward of one micro-batch, and one forward for evaluation; shared by all workers' programs ----
struct model_graph {
    struct graph *g;
    struct model_inputs inputs; // [micro_batch, context]
    struct value *random;       // U32 [4]; NULL without dropout
};
// The training graph yields every gradient with tag = parameter index, and the loss with tag = number of parameters; it declares
// the parameters. The evaluation graph (registry closed) yields the loss alone, with tag 0.
enum status training_graph(const struct run_config *config, struct parameters *parameters,
                           struct model_graph *graph_p) CHECK_RESULT;
enum status evaluation_graph(const struct run_config *config, struct parameters *parameters,
                             struct model_graph *graph_p) CHECK_RESULT;

// How a run's programs are made; and its training program, whose gradients need no room where each worker has one
// micro-batch a step: they are written into its gradient buffer.
struct program_options program_options_of(const struct run_config *config);
struct program_options training_options_of(const struct run_config *config,
                                           const struct parameters *parameters);

// One of a worker's two programs, and where it reads.
struct worker_program {
    struct program *program;
    int32_t *tokens, *positions, *targets;
    uint32_t *random; // NULL without dropout
};

// ---- workers ----
enum task { TASK_INITIALISE, TASK_STEP, TASK_EVALUATE, TASK_EXAMINE, TASK_END };

// What a worker does beside running its program. Waiting by the clock on the wall, the others in processor time.
struct step_times {
    double data, wait, reduce, update, step; // step: all of it, by the clock on the wall
};

struct worker {
    struct trainer *trainer;
    int rank;
    struct comm *comm;
    struct team *team; // NULL for one thread
    pthread_t thread;
    bool running;
    struct worker_program training, evaluation;
    struct block arena; // of both programs, which never run at the same time
    struct gradients gradients;
    float loss;  // that the program has just yielded
    bool finite; // examination: all gradients of the micro-batch under way
    double compute_seconds, wait_seconds, exchange_seconds; // of the last step
    struct step_times times;                                // of all steps
    enum status status;
    char message[512];
};

// What all workers agree on after a step's reduction: each computes the same numbers, worker 0 writes them down.
struct outcome {
    double loss; // mean over tokens
    int64_t tokens;
    struct gradient_size gradient;
};

struct trainer {
    struct run_config config;
    struct tokenizer *tokenizer;
    struct corpus *corpus,
        *valid_corpus; // valid_corpus NULL: held-out text is corpus's end, or there is none
    struct sampler training, evaluation;
    struct partition partition; // of a step's samples
    int64_t evaluation_windows; // 0: no held-out text
    struct parameters parameters;
    struct arena *tables;    // holds the arrays below that have no other owner
    struct segment *segment; // [parameters]
    struct model_graph training_graph, evaluation_graph;
    const struct backend *backend;
    const struct optimizer *optimizer;
    int states;
    enum isa isa;
    int workers, threads, leaves; // threads of each worker
    const int *core;              // [workers * threads] that threads are tied to, or NULL
    int64_t micro_batches;
    struct worker *worker;
    struct comm **comm;
    struct block weights, state[2];
    struct packed *packed; // copies of weights that all workers' programs read
    bool
        packed_stale; // the weights have changed since; written by the calling thread while workers wait
    struct exchange *exchange;
    int *border, *next_border;          // [workers + 1]
    double *seconds_per_leaf;           // [workers] smoothed, 0: not measured yet
    const struct gradients **gradients; // [workers]
    double *loss;                       // [micro-batches, or groups of evaluation windows]
    int64_t *tokens;                    // [the same]
    bool *offending;                    // [micro-batches] whose gradient is not finite
    int64_t groups;                     // of evaluation windows
    struct run_position position;
    struct roof roof;     // while a profile is taken
    int64_t profile_from; // step
    struct memory_report memory;
    bool prepared;
    int lock;           // descriptor that holds out's lock, -1 none
    int64_t saved_step; // of the newest checkpoint that this process wrote or read, -1 none
    // The command that all workers carry out; written by the calling thread while they wait.
    struct gate commanded, finished; // a command is there; all have finished it
    atomic_int busy;                 // workers that have not
    enum task task;
    double learning_rate;
    struct outcome outcome;
    _Atomic int64_t next_group; // of evaluation
};

double monotonic_seconds(void);
double thread_seconds(void); // of processor time that the calling thread has had

// worker.c: what the threads wait at; starts and ends the threads; has them all carry out `task`.
void workers_init(struct trainer *trainer);
void workers_release(struct trainer *trainer);
enum status workers_start(struct trainer *trainer) CHECK_RESULT;
void workers_end(struct trainer *trainer);
enum status workers_run(struct trainer *trainer, enum task task) CHECK_RESULT;
// threads.c: chooses cores and starts the workers' teams, before the workers; ties a worker's own thread.
enum status threads_start(struct trainer *trainer) CHECK_RESULT;
void worker_tie(const struct worker *worker);
// What a worker's team does in parts: each thread on its own slice, which it is the first to touch.
void worker_pack(struct worker *worker);
void worker_reduce(struct worker *worker, double scale);
void worker_update(struct worker *worker, const struct optimizer_step *step);
// What one worker does for each task. Fails: STATUS_PEER when another has given up.
enum status worker_step(struct worker *worker) CHECK_RESULT;
void worker_examine(struct worker *worker);
void worker_initialise(struct worker *worker); // its slice of the weights
void worker_evaluate(struct worker *worker);
// Copies a worker's positions 0 .. context - 1 in each row.
void fill_positions(const struct trainer *trainer, int32_t *positions);

// memory.c: what a run takes. `workers` and others from config; arena: bytes of one worker's arena; heap: other bytes that are known.
struct memory_need {
    int64_t elements; // of the block of weights
    size_t arena, packed, data, heap;
    int states;
};
struct memory_report memory_of(const struct run_config *config, const struct memory_need *need);
// Gradient buffers of each worker in the worst case that the balance mode allows.
int memory_worker_buffers(const struct run_config *config, int rank);
// Bytes that this process may still take: the least of what the system has free, its control group, its limits, and the run's own.
size_t memory_available(double memory_limit);
// Fails: STATUS_MEMORY when the run does not fit, with the settings that would make it fit.
enum status memory_check(struct trainer *trainer) CHECK_RESULT;
// Heap bytes of the programs, graphs and tables (close, not exact: they are small beside the rest).
size_t memory_heap(const struct trainer *trainer);

// resume.c: the checkpoint failed with `status` as another run's; fails with the keys that differ, and both values.
enum status resume_explain(const struct run_config *config, const char *checkpoint,
                           enum status status) CHECK_RESULT;

// trainer_save with another number of checkpoints to keep.
enum status trainer_save_keeping(struct trainer *trainer, int keep) CHECK_RESULT;

// folder.c: makes `out`, and takes its lock, which ends with the process. Fails: STATUS_DISK, STATUS_USAGE naming the process that has it.
enum status folder_lock(const char *out, int *lock_p) CHECK_RESULT;
void folder_unlock(int lock);
#endif
