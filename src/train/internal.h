// SPDX-License-Identifier: Apache-2.0
// What the files of train/ share: the trainer, its workers, and the graphs that they run. Private to train/ and its tests.
#ifndef STN_TRAIN_INTERNAL_H
#define STN_TRAIN_INTERNAL_H

#include "backend/packed.h"
#include "base/gate.h"
#include "base/stop.h"
#include "comm/comm.h"
#include "parallel/balance.h"
#include "parallel/exchange.h"
#include "store/model_directory.h"
#include "train/feed.h"
#include "train/trainer.h"

#include <pthread.h>
#include <stdatomic.h>

struct overlap;
struct serving;

// ---- graphs: one forward and backward of one micro-batch, and one forward for evaluation; shared by all workers' programs ----
struct model_graph {
    struct graph *g;
    struct model_inputs inputs;
    struct value *random; // U32 [4]; NULL without dropout
};
// The training graph yields every gradient with tag = parameter index, the loss with tag = number of parameters, and, with data.carry,
// the states that rows end with, with the tag behind it; it declares
// the parameters, unless they are there. The evaluation graph (registry closed) yields the loss with tag 0 and, where examples are
// scored, the scores with tag 1; states with tag 2.
enum status training_graph(const struct run_config *config, struct model_sizes sizes,
                           struct parameters *parameters, struct model_graph *graph_p) CHECK_RESULT;
enum status evaluation_graph(const struct run_config *config, struct model_sizes sizes,
                             struct parameters *parameters,
                             struct model_graph *graph_p) CHECK_RESULT;

// How a run's programs are made; and its training program, whose arena begins with the worker's gradient buffer where each has one
// micro-batch a step: until a gradient is computed, activations lie there. computing: workers of all replicas that have leaves.
struct program_options program_options_of(const struct run_config *config);
struct program_options training_options_of(const struct run_config *config, const struct graph *g,
                                           const struct parameters *parameters, int computing);

// One of a worker's programs, and where it reads.
struct worker_program {
    struct program *program;
    struct batch_inputs inputs;
};

// ---- replicas: copies of the model, each with its workers; a run alone is one of one (crew.c) ----
struct crew {
    struct comm *net; // borrowed; rank = replica. NULL: one replica
    int replicas, replica;
    int *base;      // [replicas + 1] replica r has the workers base[r] .. base[r + 1] - 1 of all
    int all, first; // workers of all replicas; the first of this one's
    int idle;       // so many first workers of all compute no leaf: they serve
    int sharers,
        share; // replicas on the same cores, this one counted; how many of them come before it
    int local, neighbour; // the same for those on the same host
    size_t *offset;       // [replicas + 1] for crew_tell
    bool agreed;          // all replicas have failed alike: nobody needs to be told
    bool stops;           // some replica has been asked to stop
};

bool crew_speaks(const struct trainer *trainer); // whether this replica logs and writes files
// What fails at one replica fails at all, with the same message. Collective.
enum status crew_agree(struct trainer *trainer, enum status status) CHECK_RESULT;
// Ends the other replicas, too, unless they have failed alike. Returns status.
enum status crew_fail(struct trainer *trainer, enum status status) CHECK_RESULT;
// Whether a replica has been asked to stop becomes known to all. Collective.
enum status crew_share_wishes(struct trainer *trainer) CHECK_RESULT;
// Replica 0's bytes go to everybody. Collective.
enum status crew_tell(struct trainer *trainer, void *data, size_t bytes) CHECK_RESULT;
// Steps of trainer_create, all collective: replica 0's run file for all; who has how many workers; whether all read one text.
enum status crew_take_config(struct trainer *trainer) CHECK_RESULT;
enum status crew_join(struct trainer *trainer) CHECK_RESULT;
// *dedicated_p: whether the first parallel.servers replicas only serve. Fails: STATUS_USAGE for more servers than replicas, and where
// none of them computes.
enum status crew_check_servers(const struct run_config *config, int replicas,
                               bool *dedicated_p) CHECK_RESULT;
// Fails: STATUS_USAGE where replicas update from leaves of their own and there is not one for each.
enum status crew_check_leaves(const struct run_config *config,
                              const struct crew *crew) CHECK_RESULT;
enum status crew_same_text(struct trainer *trainer) CHECK_RESULT;

// ---- the record of a step: what all replicas tell each other after their leaves (agreement.c) ----
// Where the micro-batches of a leaf begin.
int64_t first_micro_batch(const struct trainer *trainer, int leaf);
struct agreement {
    uint64_t *record; // 8 bytes a number
    size_t *offset;   // [replicas + 1] bytes
};
size_t agreement_bytes(const struct trainer *trainer);
// False when there is not enough memory.
bool agreement_init(struct trainer *trainer);
// Collective, by one thread of each replica. Afterwards losses, token counts and seconds of all workers are known here.
enum status agreement_share(struct trainer *trainer) CHECK_RESULT;

// ---- overlap: a replica's thread that lets buckets travel while others are computed (overlap.c) ----
// Also keeps the order in which buckets travel, the same everywhere. Starts the thread when `own_thread`.
enum status overlap_create(struct trainer *trainer, bool own_thread,
                           struct overlap **overlap_p) CHECK_RESULT;
void overlap_destroy(struct overlap *overlap);
size_t overlap_bytes(const struct trainer *trainer, int buckets);
bool overlap_is_on(const struct overlap *overlap);
// Before a step's leaves, while no worker computes.
void overlap_start(struct overlap *overlap);
// A worker's thread has folded its part of a parameter's last gradient of the step.
void overlap_folded(struct overlap *overlap, int parameter, int owner);
// Lets all buckets travel (no thread of its own), or waits until they have. By one thread, after all have met.
enum status overlap_finish(struct overlap *overlap) CHECK_RESULT;
// Seconds of the last step in which buckets travelled until `computed`, on the clock of monotonic_seconds.
double overlap_hidden(const struct overlap *overlap, double computed);

// ---- workers ----
enum task {
    TASK_INITIALISE,
    TASK_STEP,
    TASK_EVALUATE,
    TASK_EXAMINE,
    TASK_COUNT,
    TASK_AVERAGE,
    TASK_AVERAGE_STATE,
    TASK_END
};

// What a worker does beside running its program. Waiting by the clock on the wall, the others in processor time.
struct step_times {
    double data, wait, reduce, update, step; // step: all of it, by the clock on the wall
};

struct worker {
    struct trainer *trainer;
    int rank; // among this replica's
    struct comm *comm;
    struct team *team; // NULL for one thread
    pthread_t thread;
    bool running;
    struct worker_program training[FEED_SHAPES], evaluation[FEED_SHAPES];
    struct block arena; // of all programs, of which one runs at a time
    struct gradients gradients;
    float loss;                 // that the program has just yielded
    int64_t group, micro_batch; // of the evaluation and of the step, under way
    bool
        last; // the gradients of the micro-batch under way are the run's last: what they complete may travel
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

// ---- states of rows that go from window to window (carry.c); none without data.carry ----
struct carried {
    int64_t width;     // numbers of a row
    float *state[2];   // [batch, width] that even steps begin with, and odd ones
    float *evaluation; // [batch, width]
};
// 0: the run carries none. Bytes of one array of states.
int64_t carry_width(const struct run_config *config);
size_t carry_bytes(const struct run_config *config);
bool carry_init(struct trainer *trainer); // false: no memory
// What step `step` begins with, [batch, width].
float *carry_state(const struct trainer *trainer, int64_t step);
// Micro-batch m of the step (of the evaluation): the states that it begins with, 0 in the first window; and what it ended with.
void carry_fill(const struct trainer *trainer, int64_t m, bool first, float *to);
void carry_fill_group(const struct trainer *trainer, int64_t m, bool first, float *to);
void carry_take(const struct trainer *trainer, int64_t m, const float *state);
void carry_take_group(const struct trainer *trainer, int64_t m, const float *state);
// All rows of all replicas become known to each; replica 0's, which were read for step 0, to all. Collective.
enum status carry_share(struct trainer *trainer) CHECK_RESULT;
enum status carry_resume(struct trainer *trainer) CHECK_RESULT;

struct trainer {
    struct run_config config;
    struct stop stop;   // whether long work is to be given up; any thread may ask
    atomic_uint wishes; // of the process, that were there before
    atomic_bool asked;  // it alone
    struct tokenizer *tokenizer;
    struct feed feed;
    struct carried carried;
    struct crew crew;
    struct agreement agreement;
    struct parameters parameters;
    struct arena *tables;    // holds the arrays below that have no other owner
    struct segment *segment; // [parameters]
    struct model_graph training_graph[FEED_SHAPES], evaluation_graph[FEED_SHAPES];
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
    struct packed *packed;   // copies of weights that all workers' programs read
    const char *chosen;      // of exchange auto, the way that was taken
    struct travel *travel;   // between replicas; NULL: there is one
    struct serving *serving; // servers apply each push as it comes; NULL: they do not
    bool local;         // every replica updates for itself, and weights are averaged now and then
    bool apart;         // either: replicas are not at the same step but where they meet
    bool packed_stale;  // packed weights are old; written by the calling thread while workers wait
    bool packed_follow; // they are written with the weights, so that steps leave them fresh
    bool prepared;
    int lock; // descriptor that holds out's lock, -1 none
    struct exchange *exchange;
    struct overlap *overlap; // NULL: one replica, or apart
    // local: momentum of the averages, and weights after the last one; touched where owned.
    struct block outer, before;
    int64_t averaged; // local: the step after which weights were averaged last
    int64_t checked;  // the step after which all replicas had the same weights, -1 none
    // Leaves and micro-batches whose sum one update is made of: all, or, apart, this replica's.
    int leaf_first, leaf_last;
    int64_t micro_first, micro_last;
    int *run_border; // [workers + 1] leaves of this replica's workers, counted from leaf_first
    int *border, *next_border;          // [crew.all + 1] leaves of all workers
    double *compute_seconds;            // [crew.all] of the last step
    double *recent_seconds;             // [crew.all][RECENT_STEPS] of the last ones, in a ring
    int64_t recent_count;               // steps that were noted
    struct speed *speed;                // [crew.all] seconds of a leaf, measured
    double *planned_seconds;            // [crew.all] scratch of the planner
    double hidden_seconds;              // of the last step: travel behind computing
    const struct gradients **gradients; // [workers]
    double *loss;                       // [micro-batches, or groups of the evaluation]
    int64_t *tokens;                    // [the same]
    bool *offending;                    // [micro-batches] whose gradient is not finite
    struct run_position position;
    struct roof roof;     // while a profile is taken
    int64_t profile_from; // step
    struct memory_report memory;
    int64_t term;       // which start of the run this is, 0: it writes nothing
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
// programs.c: all workers' programs; makes a worker's ready to run in its arena.
enum status programs_create(struct trainer *trainer) CHECK_RESULT;
enum status programs_prepare(struct trainer *trainer, struct worker *worker) CHECK_RESULT;
void programs_destroy(struct worker *worker);
// threads.c: chooses cores and starts the workers' teams, before the workers; ties a worker's own thread.
enum status threads_start(struct trainer *trainer) CHECK_RESULT;
void worker_tie(const struct worker *worker);
// What a worker's team does in parts: each thread on its own slice, which it is the first to touch.
void worker_pack(struct worker *worker);
void worker_merge(struct worker *worker);
void worker_reduce(struct worker *worker, double scale);
void worker_update(struct worker *worker, const struct optimizer_step *step);
// What one worker does for each task. Fails: STATUS_PEER when another has given up.
enum status worker_step(struct worker *worker) CHECK_RESULT;
void worker_examine(struct worker *worker);
void worker_initialise(struct worker *worker); // its slice of the weights
void worker_evaluate(struct worker *worker);

// memory.c: what a run takes. `workers` and others from config; arena: bytes of one worker's arena; heap: other bytes that are known.
struct memory_need {
    int64_t elements;                // of the block of weights
    const struct parameters *frozen; // of which some have neither gradient nor state; NULL: none
    size_t arena;      // of a worker with leaves, without the gradient buffer that it begins with
    size_t block;      // that buffer, or 0
    size_t evaluation; // of the evaluation program: all that a worker without a leaf needs
    size_t packed, data, heap;
    int states;
    struct crew crew; // with the workers of config
};
// arena, block and evaluation of these programs: for each shape the training program and the evaluation's.
void memory_arena(struct program *const *program, int count, struct memory_need *need_p);
// Those of worker 0, as of each; returns how many.
int trainer_programs(const struct trainer *trainer, struct program *program[2 * FEED_SHAPES]);
struct memory_report memory_of(const struct run_config *config, const struct memory_need *need);
// Gradient buffers of this replica's worker `rank` in the worst case that the balance mode allows.
int memory_worker_buffers(const struct run_config *config, const struct crew *crew, int rank);
// Whether this replica's workers keep none at all, so that worker 0 has one for what the replica owns.
bool memory_is_spare(const struct run_config *config, const struct crew *crew);
// Bytes that this replica may still take: the least of what the system has free, its control group, the process's limits and the run's
// own. It has a part of each, as one of several on the host, or in the process.
size_t memory_available(double memory_limit, const struct crew *crew);
// Fails: STATUS_MEMORY when the run does not fit, with the settings that would make it fit.
enum status memory_check(struct trainer *trainer) CHECK_RESULT;
// Heap bytes of the programs, graphs and tables (close, not exact: they are small beside the rest), with these settings and the graphs
// of each shape that they make.
size_t memory_heap(const struct trainer *trainer, const struct run_config *config,
                   const struct model_graph *training, const struct model_graph *evaluation);

// tuning.c. Declares `parameters` and marks those that train.freeze names; without that key nothing. Fails: STATUS_USAGE naming the
// pattern that matches nothing.
enum status tuning_freeze(const struct run_config *config,
                          struct parameters *parameters) CHECK_RESULT;
// Bytes that are touched of so many blocks side by side in which only what is not frozen is written.
size_t tuning_touched(const struct parameters *parameters, int buffers);
// Fills trainer->segment, with the layers' rates. The training graph is there.
enum status tuning_segments(struct trainer *trainer) CHECK_RESULT;
// tuning_start.c. Of a run with model.from: copies its weights over the initial ones, at all replicas, unless `resumed`; and sets the
// rate of what is new. Collective.
enum status tuning_start(struct trainer *trainer, bool resumed) CHECK_RESULT;

// step.c: where the workers' leaves and sums lie, after borders have moved.
void route_leaves(struct trainer *trainer);

// count.c: the one step of a run that counts; what its workers do.
enum status count_step(struct trainer *trainer, struct step_report *report_p) CHECK_RESULT;
void worker_count(struct worker *worker);

// evaluate.c: groups of the evaluation that replicas before this one compute.
int64_t groups_before(const struct trainer *trainer, int replica);

// check_replicas.c: whether all replicas have the same weights. Collective. Fails: STATUS_PEER naming those that do not.
bool check_is_due(const struct trainer *trainer);
enum status check_replicas(struct trainer *trainer) CHECK_RESULT;

// average.c: whether replicas that update for themselves are averaged after `step`; whether a multiple of `every` has passed since
// they were averaged before.
bool average_due(const struct trainer *trainer, int64_t step);
bool average_passed(const struct trainer *trainer, int64_t step, int64_t every);
// The weights as they are now are those that all began with.
void average_start(struct trainer *trainer);
// Unless that is so already, makes the weights the same everywhere; makes the optimizer's states the same. Collective.
enum status average_weights(struct trainer *trainer) CHECK_RESULT;
enum status average_state(struct trainer *trainer) CHECK_RESULT;
enum status worker_average(struct worker *worker) CHECK_RESULT;
enum status worker_average_state(struct worker *worker) CHECK_RESULT;

// serve.c: servers that apply pushes as they come. Begins after a meeting, before the first step; a worker's step: pushes what has been
// summed, to be scaled by factor, and takes new weights; a step of a server that does not compute. Fail: STATUS_PEER.
enum status serve_create(struct trainer *trainer) CHECK_RESULT;
void serve_destroy(struct trainer *trainer);
size_t serve_bytes(const struct run_config *config, const struct crew *crew, int64_t elements);
bool serves_only(const struct trainer *trainer);
void serve_begin(struct trainer *trainer);
enum status serve_push(struct trainer *trainer, const struct outcome *outcome,
                       double factor) CHECK_RESULT;
enum status serve_clock(struct trainer *trainer) CHECK_RESULT;
// After a step: whether all are to stop here.
void serve_listen(struct trainer *trainer);
struct travel_traffic serve_traffic(const struct trainer *trainer);
// Unless that is so already, brings all to this step and to the same weights, so that the net is free. Collective. A worker that cannot
// take its step comes there with `status`, which then all have.
enum status serve_meet(struct trainer *trainer) CHECK_RESULT;
enum status serve_leave(struct trainer *trainer, enum status status) CHECK_RESULT;

// state_travel.c: replica 0 does `work` with a stream that brings what lies with others (NULL: nothing does), while these answer.
// Collective.
typedef enum status (*state_work)(struct trainer *trainer, const struct checkpoint_stream *stream,
                                  void *context);
enum status state_collect(struct trainer *trainer, state_work work, void *context) CHECK_RESULT;
// Whether every replica has its own part of that state only.
bool state_is_shared(const struct trainer *trainer, int state);

// times.c: computing seconds of all workers in the last steps.
enum { RECENT_STEPS = 100 };
bool times_init(struct trainer *trainer); // false: no memory
void times_note(struct trainer *trainer);

// resume.c: the checkpoint failed with `status` as another run's; fails with the keys that differ, and both values.
enum status resume_explain(const struct run_config *config, const char *checkpoint,
                           enum status status) CHECK_RESULT;
// Of a checkpoint that fits: where its run was measured by something else, no evaluation is the best yet.
void resume_measure(const struct run_config *config, const char *checkpoint,
                    struct run_position *position);

// checkpoints.c: initial weights, or those of the newest checkpoint; collective.
enum status checkpoints_start(struct trainer *trainer, bool resume) CHECK_RESULT;
// Fails: STATUS_USAGE when out holds checkpoints, which a run that starts anew would write over.
enum status checkpoints_refuse(const struct trainer *trainer) CHECK_RESULT;
// trainer_save with another number of checkpoints to keep.
enum status trainer_save_keeping(struct trainer *trainer, int keep) CHECK_RESULT;

// loop.c: whether this trainer has been asked to stop, by whoever asks all of the process or it alone; any thread.
bool train_stop_requested(const struct trainer *trainer);
// A trainer begins: wishes that were forgotten are none of its own.
void train_hear_wishes(struct trainer *trainer);
// The wish has been followed: neither this trainer nor a later one sees it again; others that are under way do.
void train_follow_stop(struct trainer *trainer);
// Of a trainer's `stop`: whether reading data, counting and evaluating are to be given up, since this process or, as is known from a
// step, another has been asked to stop, or since one is lost.
bool train_gives_up(const void *trainer);

// way.c: whether replicas update for themselves; whether servers apply pushes as they come; replicas that compute nothing; the way
// by which slices travel between replicas, NULL where nothing does; with what; what it keeps of the same bits.
bool run_is_local(const struct run_config *config, const struct crew *crew);
bool run_is_stale(const struct run_config *config, const struct crew *crew);
int replicas_that_serve_only(const struct run_config *config, const struct crew *crew);
const char *run_way(const struct run_config *config, const struct crew *crew);
enum exactness run_exactness(const struct run_config *config, const struct crew *crew);
struct travel_setup run_travel(const struct run_config *config, const struct crew *crew,
                               int64_t elements, enum isa isa);

// folder.c: makes `out`, and takes its lock, which ends with the process. Fails: STATUS_DISK, STATUS_USAGE naming the process that has it.
enum status folder_lock(const char *out, int *lock_p) CHECK_RESULT;
void folder_unlock(int lock);
// Takes the next term of `out`, above all that were taken and above `above`: also where the lock is worth nothing, as on some network
// file systems, no two starts of a run get the same. Fails: STATUS_DISK.
enum status folder_claim(const char *out, int64_t above, int64_t *term_p) CHECK_RESULT;
// Fails: STATUS_USAGE naming who has taken a newer term: then this process must not write there any more. Term 0 is never fenced.
enum status folder_fence(const char *out, int64_t term) CHECK_RESULT;
#endif
