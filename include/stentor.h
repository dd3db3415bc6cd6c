/* SPDX-License-Identifier: Apache-2.0 */
/* Stentor: trains language models data parallel, with the same bits for any number of workers,
 * and generates text with them.
 *
 * The order of calls:
 *   train      stn_config_create, stn_config_read / stn_config_set, stn_trainer_create,
 *              stn_trainer_run, stn_trainer_destroy
 *   use        stn_model_open, stn_generate or stn_evaluate, stn_model_close
 *
 * Errors: functions that can fail return an enum stn_status, STN_OK (0) on success. stn_error()
 * then says what went wrong, in one sentence with the file or key, the value, and what would be
 * right. Outputs are written only on success.
 * Threads: an object is used by one thread at a time; different objects may be used by different
 * threads. Messages are each thread's own. The library starts threads of its own (the workers)
 * and installs no signal handlers.
 * Ownership: what a function named create, open or print gives, the caller ends with destroy,
 * close or stn_free. Texts are UTF-8.
 * Collective calls: none in a process alone: workers are threads inside the library. Where
 * mpirun or srun started several processes and stn_join has been called, stn_trainer_create,
 * _run and _destroy are collective: every process calls them in the same order. */
#ifndef STENTOR_H
#define STENTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define STN_API __attribute__((visibility("default")))
#else
#    define STN_API
#endif

/* ---- version and errors ---- */

/* "0.1.0". Static storage. */
STN_API const char *stn_version(void);

enum stn_status {
    STN_OK = 0,
    STN_USAGE,  /* a wrong argument, key or value */
    STN_INPUT,  /* a file that is missing, damaged, or not what it says */
    STN_MEMORY, /* not enough memory */
    STN_DISK,   /* disk full, or a place that cannot be written */
    STN_FAILED, /* the run failed: a loss that is not finite, a model that nothing here computes */
    STN_PEER,   /* a worker was lost */
    STN_INTERRUPTED /* stn_trainer_stop() was called; a checkpoint was written */
};

/* The message of this thread's last failed call, "" when there was none. Borrowed: valid until
 * this thread's next call. */
STN_API const char *stn_error(void);
/* Lines on standard error: 0 none, 1 warnings (the default), 2 also what a run does. For the whole
 * process. */
STN_API void stn_set_verbosity(int level);
/* Frees a text that the library gave. NULL is fine. */
STN_API void stn_free(void *text);

/* ---- configuration: the keys of a run file (stentor train --help, stentor(1)) ---- */

struct stn_config;

/* All keys at their defaults. Fails: STN_MEMORY. */
STN_API enum stn_status stn_config_create(struct stn_config **config);
/* NULL is fine. */
STN_API void stn_config_destroy(struct stn_config *config);
/* Reads a run file (YAML); keys that it does not name stay as they are. On failure nothing has
 * changed.
 * Fails: STN_USAGE naming file, line, key, value and what would be right; STN_INPUT when the file
 * cannot be read. */
STN_API enum stn_status stn_config_read(struct stn_config *config, const char *path);
/* Sets one key: ("train.steps", "200"), ("data.train", "input.txt"). Fails: STN_USAGE. */
STN_API enum stn_status stn_config_set(struct stn_config *config, const char *key,
                                       const char *value);
/* The run file with every key resolved, as stn_config_read takes it. The caller frees *text with
 * stn_free().
 * Fails: STN_USAGE when keys do not fit together, as heads that do not divide the width, or when
 * data.train is not set, as right after stn_config_create(). */
STN_API enum stn_status stn_config_print(const struct stn_config *config, char **text);

/* ---- several processes ---- */

/* Joins the processes that mpirun or srun started beside this one. From then on trainers are
 * shared: each process holds a copy of the model, they take a part of each step's batch each, and
 * the weights are the bits of one process alone (with an exact parallel.exchange). Process 0's
 * settings count, but for parallel.workers, threads, pin and memory_limit, and it alone writes
 * files. One trainer at a time. MPI is loaded, and started unless the program has done so; once for
 * each program, before its first trainer.
 *   process, processes  this one's number and how many there are; 0 and 1 without a launcher;
 *                       may be NULL
 * Collective. Fails: STN_USAGE when the launcher's variables contradict each other, STN_FAILED
 * when this build has no MPI for the launcher, STN_PEER. */
STN_API enum stn_status stn_join(int *process, int *processes);
/* Collective, after the last trainer, before the program ends. After STN_PEER end the program by
 * _exit() instead: what an MPI library does in exit() may wait for the lost process. */
STN_API void stn_leave(void);

/* ---- training ---- */

struct stn_trainer;

/* Of one step. */
struct stn_step {
    int64_t step;         /* counted from 1 */
    int64_t tokens;       /* learned from in this step */
    double loss;          /* mean over these tokens, natural logarithm */
    double gradient_norm; /* L2, before clipping */
    double learning_rate;
    double seconds;
};
/* Of a run. Losses that there are none of are NaN. */
struct stn_result {
    int64_t steps;          /* done, earlier runs counted */
    double training_loss;   /* of the last step */
    double validation_loss; /* the last evaluation's: mean over the held-out text */
    double best_validation_loss;
    double seconds;     /* of training, earlier runs counted */
    bool stopped_early; /* train.patience evaluations brought no improvement */
    char sha256[65];    /* of all weights and optimizer state: the same for any number of workers */
};
/* Bytes that a trainer takes at its peak, known before it takes them. */
struct stn_memory {
    size_t weights, optimizer_state, gradients, activations, data, other, total;
    size_t available; /* what the machine has free, or parallel.memory_limit */
};
/* Called after every step. `step` is valid during the call. Returns false to stop this run as
 * stn_trainer_stop() does all. */
typedef bool (*stn_step_function)(void *context, const struct stn_step *step);

/* Reads the text, plans the memory. Takes no large memory yet; the config may be destroyed
 * afterwards.
 * Fails: STN_USAGE, STN_INPUT, STN_MEMORY, STN_DISK. */
STN_API enum stn_status stn_trainer_create(const struct stn_config *config,
                                           struct stn_trainer **trainer);
/* Stops and joins the workers. NULL is fine. */
STN_API void stn_trainer_destroy(struct stn_trainer *trainer);
STN_API struct stn_memory stn_trainer_memory(const struct stn_trainer *trainer);
/* Numbers that are learned. */
STN_API int64_t stn_trainer_parameters(const struct stn_trainer *trainer);
/* Trains to the end and leaves the model in the folder `out`, with its log and checkpoints. Once
 * for each trainer.
 *   resume    go on from the newest checkpoint in `out`, if there is one; on any number of workers,
 *             to the same bits
 *   function  called after every step, with `context`; may be NULL
 *   result    may be NULL; written on success
 * Fails: STN_INTERRUPTED (a checkpoint was written), STN_MEMORY before anything large is taken
 * (the message names the setting that would make it fit), STN_USAGE when `out` holds another run,
 * STN_FAILED when the loss is not finite, STN_DISK, STN_PEER. */
STN_API enum stn_status stn_trainer_run(struct stn_trainer *trainer, bool resume,
                                        stn_step_function function, void *context,
                                        struct stn_result *result);
/* Asks all trainers that this process has created, or is creating, to stop after their step, with a
 * checkpoint; reading data and evaluating are given up (stn_trainer_create then fails with
 * STN_INTERRUPTED, too). Trainers that are created later do not see it. Safe in signal handlers and
 * from any thread. */
STN_API void stn_trainer_stop(void);

/* ---- models ---- */

struct stn_model;

/* Reads a directory that Stentor trained, or a Hugging Face directory of a kind that it knows
 * (GPT-2). Everything in it is checked. Fails: STN_INPUT naming file, key or tensor and what
 * would be right; STN_MEMORY. */
STN_API enum stn_status stn_model_open(const char *directory, struct stn_model **model);
/* NULL is fine. */
STN_API void stn_model_close(struct stn_model *model);
STN_API int64_t stn_model_parameters(const struct stn_model *model);
STN_API int64_t stn_model_vocabulary(const struct stn_model *model); /* tokens that it knows */
STN_API int64_t stn_model_context(const struct stn_model *model); /* tokens that it sees at once */

/* ---- generating ---- */

struct stn_generation {
    int64_t max_tokens; /* 200 */
    double temperature; /* 1; 0: always the likeliest token */
    int64_t top_k;      /* 0: all; else draws among the k likeliest */
    double top_p;       /* 1: all; else among the likeliest that share this probability */
    double min_p; /* 0: all; else leaves out what is less likely than min_p times the likeliest */
    double repetition_penalty; /* 1: none */
    uint64_t seed;             /* 0; the same seed writes the same text */
    const char *const
        *stop;   /* NULL, or texts ending with NULL before which to end; borrowed during the call */
    int threads; /* 1; 0: one for each core. The text is the same for any number */
};
/* The defaults above. */
STN_API void stn_generation_defaults(struct stn_generation *generation);
/* Gets the text as it is made: whole characters, `bytes` bytes without a NUL behind them. Returns
 * false to stop. */
typedef bool (*stn_text_function)(void *context, const char *text, size_t bytes);
/* Continues a prompt of `bytes` bytes. Of one that is longer than the context its end is read, by
 * lstm_lm all. An empty one starts with a new line.
 *   generation  NULL: the defaults
 *   tokens      may be NULL: how many were made
 * Fails: STN_USAGE (a setting out of range), STN_INPUT (a character that the tokenizer lacks),
 * STN_MEMORY, STN_FAILED. */
STN_API enum stn_status stn_generate(struct stn_model *model, const char *prompt, size_t bytes,
                                     const struct stn_generation *generation,
                                     stn_text_function function, void *context, int64_t *tokens);
/* The same into a buffer of `size` bytes (at least 1), with a NUL behind the text, which is cut
 * between characters where the buffer ends. *length (may be NULL): bytes of the text without the
 * NUL. prompt: ends with a NUL. */
STN_API enum stn_status stn_generate_text(struct stn_model *model, const char *prompt,
                                          const struct stn_generation *generation, char *buffer,
                                          size_t size, size_t *length);

/* ---- evaluating ---- */

struct stn_evaluation {
    double loss;       /* mean over tokens, natural logarithm */
    double perplexity; /* e to the loss */
    /* NaN, and bytes 0: words, or a tokenizer.json with Unicode's form C, do not keep the bytes */
    double bits_per_byte;
    int64_t tokens, bytes;
};
/* How well the model predicts a text: a file or folder, text, .jsonl (its field "text"), .gz or
 * .zst. workers: 0: one for each core; the loss is the same for any number. Fails: STN_INPUT (the
 * text, or a TMPDIR that cannot be opened; tokens lie there meanwhile), STN_DISK (TMPDIR is full or
 * not writable), STN_USAGE, STN_MEMORY, STN_FAILED (a model without a loss on running text or a
 * tokenizer that is known; weights whose loss is not finite). */
STN_API enum stn_status stn_evaluate(struct stn_model *model, const char *path, int workers,
                                     struct stn_evaluation *evaluation);

#ifdef __cplusplus
}
#endif
#endif
