// SPDX-License-Identifier: Apache-2.0
// The run file: every key, its type, its default. YAML (libyaml's events) typed by our schema (run_schema.c, one row a key).
// Precedence: defaults < file < environment (STENTOR_TRAIN_LEARNING_RATE) < --set. Unknown keys are errors that suggest the nearest.
#ifndef STN_TRAIN_RUN_H
#define STN_TRAIN_RUN_H

#include "model/model.h"
#include "optim/optim.h"

enum { RUN_PATH = 1024, RUN_KEYS = 160 };
// Where a key was set, besides lines of the run file (> 0).
enum { RUN_DEFAULT = 0, RUN_ENVIRONMENT = -1, RUN_OPTION = -2, RUN_CALL = -3 };

struct run_config {
    char task[16];             // lm | mlm | classify | regress | translate | summarize | answer
    struct model_config model; // model.*   (vocabulary: see below)
    int64_t
        vocabulary; // model.vocabulary as asked for; 0: the tokenizer's. The trainer sets model.vocabulary
    double dropout;         // model.dropout: sets the three dropouts that are not set themselves
    char from[RUN_PATH];    // model.from: a model directory to start from, "": initial weights
    char loss[16], pool[8]; // model.loss, model.pool: auto, or names of their enums
    bool matches;           // model.matches, of task: answer
    struct {
        char train[RUN_PATH],
            valid[RUN_PATH];      // file or folder; valid "" : valid_fraction of train's end
        double valid_fraction;    // 0.1
        char tokenizer[RUN_PATH]; // char | byte | word | directory or tokenizer.json
        char field[64];           // of .jsonl, "text"
        char cache[RUN_PATH];     // folder of token caches, "": out/cache
        char partition[12];       // contiguous | interleaved | length
        bool carry;               // a recurrent model's state goes from window to window
        // Of tasks of examples: columns of rows, numbers or names.
        char format[12]; // auto | lines | csv | tsv | spaced | jsonl | squad
        bool header, replace;
        char text[64], pair[64], target[64], features[512];
        char train_pair[RUN_PATH],
            valid_pair[RUN_PATH];        // second files, of parallel text
        char source_tokenizer[RUN_PATH]; // "": the same
        int64_t vocabulary, min_count;   // of tokenizers that are made here; 0: all words
        bool lower_case;
        char split[12];                           // spaces | words
        int64_t buckets;                          // lengths that rows are padded to
        int64_t ngrams, ngram_hash;               // of bag
        char class_weights[12];                   // none | balanced
        char sampling[12];                        // natural | balanced
        double word_dropout, swap, mask, unknown; // what is done to texts that are learned from
        double mask_rate;                         // mlm
        int64_t answer_tokens;                    // answer: of the longest
        char answer_goal[8];                      // exact | f1
    } data;
    int64_t batch_tokens; // train.batch_tokens: places of a step; 0: batch rows of any length
    char measure[16];     // train.measure: what tells the best weights
    int64_t measure_beam; // of decoding for it
    int64_t folds, fold;  // train.folds, train.fold
    int64_t steps, batch,
        micro_batch; // train.*: batch in sequences; micro_batch 0: chosen (largest divisor of batch <= max(1, batch / 8))
    int64_t leaves;  // 0: min(8, micro-batches)
    struct optimizer_config optimizer; // train.optimizer, momentum, beta1, …
    struct schedule_config schedule;   // train.learning_rate, schedule, warmup, …
    double label_smoothing;
    double smoothing;                       // train.smoothing: added to counts
    char freeze[RUN_PATH];                  // train.freeze: patterns of parameter names
    double layer_decay, head_learning_rate; // factors of the learning rate (train/tuning.c)
    uint64_t seed;
    int64_t eval_every, eval_windows;    // 0 windows: all of the held-out text
    int64_t save_every, keep, log_every; // keep: checkpoints kept (2)
    int64_t patience;   // evaluations without improvement before the run stops early, 0: never
    char precision[12]; // float32 | bf16x3 | bf16 | auto (until run_config_check)
    struct {
        // of one process; 0: one for each core, or for as many cores as a worker has threads
        int64_t workers;
        int64_t threads;      // of each worker; 0: the cores shared out among the workers
        char pin[8];          // auto | on | off
        char exchange[16];    // direct | tree | ring | server | native | local-sgd | auto
        double bucket_mb;     // of the block that travels at once, in 1,000,000 bytes
        char overlap[8];      // auto | on | off: gradients travel while others are computed
        char wire[12];        // float32 | bf16: gradients on their way
        int64_t servers;      // of `server`: replicas that own the slices
        bool servers_compute; // whether they compute leaves, too
        int64_t
            staleness; // of `server`: steps that a worker may be ahead of the slowest; 0: synchronous
        int64_t sync_every; // local-sgd: steps from one averaging to the next
        double outer_learning_rate, outer_momentum; // of what local-sgd does with the average
        int64_t check_every;   // steps from one comparison of the replicas' weights to the next
        double peer_timeout;   // seconds after which a silent process counts as lost
        char balance[12];      // none | measured | random
        int64_t balance_every; // steps
        double memory_limit;   // bytes that the run may take, 0: what the machine has free
    } parallel;
    char out[RUN_PATH];
    // Set by the program before run_config_check, not keys: replicas of the run and cores for this one; 0: one, and all.
    int64_t replicas, cores;
    // Of keys that were 0, what run_config_check has chosen; with other settings it would be others.
    struct {
        int64_t micro_batch, leaves, workers, threads;
    } chosen;
    // For messages: the run file ("" when none was read) and, for each row of the schema, where it was set last.
    char file[RUN_PATH];
    int origin[RUN_KEYS];
};

void run_config_defaults(struct run_config *config);
// Reads a run file. Fails: STATUS_USAGE naming file, line, key, value and what would be right; STATUS_INPUT when the file cannot be read.
enum status run_config_read(struct run_config *config, const char *path) CHECK_RESULT;
// "train.steps=200". `origin` names it in messages: an option ("--set"), or the function that was called ("stn_config_set").
enum status run_config_set(struct run_config *config, const char *assignment,
                           const char *origin) CHECK_RESULT;
enum status run_config_environment(struct run_config *config) CHECK_RESULT;
// Resolves what is 0 or auto (precision: as a run in `out` began, else by the processor), checks ranges and what must fit together
// (heads divide width, micro_batch divides batch, …).
enum status run_config_check(struct run_config *config) CHECK_RESULT;
// Of a checked configuration whose figures are asked for. Fails: STATUS_INPUT where its sizes are those of model.from, and neither that
// directory nor a run in `out` that began with it says them.
enum status run_config_check_from(const struct run_config *config) CHECK_RESULT;
// Opens what was chosen, so that the next check chooses anew: what a changed key would make of the others.
void run_config_reopen(struct run_config *config);
// The whole resolved file as YAML that run_config_read takes; the caller frees *text_p.
enum status run_config_print(const struct run_config *config, char **text_p) CHECK_RESULT;
// Of a checked configuration.
enum precision run_precision(const struct run_config *config);
enum model_tasks run_task(const struct run_config *config);
bool run_counts(const struct run_config *config);   // whether weights come of counting, in one step
bool run_has_rows(const struct run_config *config); // whether its data are rows of examples
bool run_has_scores(const struct run_config *config); // whether the model scores each of them
// What train.measure is worth where an evaluation is so bad: the loss itself, or 1 - badness.
double run_best(const struct run_config *config, double badness);
bool run_decodes(
    const struct run_config *config); // whether its measure needs texts that the model writes
// Of a corpus of `count` ids without a file of its own for evaluation, ids from here on are held out.
int64_t run_held_out_start(const struct run_config *config, int64_t count);
// Whether a part of data.train is held out.
bool run_holds_out_of_train(const struct run_config *config);
// Of what must not change between resumes: the keys that the schema does not mark as free to
// change, the tokenizer and the text.
uint64_t run_config_hash(const struct run_config *config, uint64_t tokenizer_hash,
                         uint64_t corpus_hash);
#endif
