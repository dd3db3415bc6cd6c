// SPDX-License-Identifier: Apache-2.0
// The schema of run files: one row a key, with its type, range, default and meaning. Reading,
// printing, the environment, --set, the hash and the manual page's table all walk it.
#ifndef STN_TRAIN_RUN_SCHEMA_H
#define STN_TRAIN_RUN_SCHEMA_H

#include "train/run.h"

#include <stddef.h>

enum run_type {
    RUN_INTEGER, // int64_t
    RUN_SEED,    // uint64_t
    RUN_NUMBER,  // double
    RUN_BYTES, // double: a whole number of bytes; K, M, G, T behind it count in 1,000, Ki, Mi, Gi,
               // Ti in 1,024
    RUN_BOOLEAN, // bool
    RUN_TEXT,    // char[]
    RUN_CHOICE,  // char[], one of `choices`
    RUN_ENUM,    // an enum: 1 + the place in `choices`
};

struct run_key {
    const char *name;    // "train.steps"; no point: a key outside the sections
    const char *start;   // the default, as text
    const char *choices; // "a | b | c"
    const char *meaning;
    size_t offset, bytes; // of the field in struct run_config
    double least, most;   // of numbers, both included
    enum run_type type;
    bool open;       // least itself is not allowed
    bool may_change; // between resumes: not in run_config_hash()
};
extern const struct run_key run_schema[];
extern const int run_schema_count;
extern const char *const run_sections[]; // ends with NULL

// A default of UNSET is worked out from other keys by run_config_check().
#define RUN_UNSET (-1.0)

// The keys of one kind of file. An object is what its rows' fields lie in.
struct schema {
    const char *kind;   // "a run file"
    const char *listed; // where its keys are listed: "`stentor train --help`"
    const struct run_key *row;
    const int *count;
    const char *const *sections; // ends with NULL
};
extern const struct schema run_file_schema;
// As the functions of run files below.
int schema_find(const struct schema *schema, const char *name);
bool schema_is_section(const struct schema *schema, const char *name, size_t length);
const char *schema_nearest(const struct schema *schema, const char *name);
enum status schema_assign(const struct schema *schema, int key, void *object, const char *text,
                          bool quoted, const char *place) CHECK_RESULT;
// Reads a YAML file of such keys into `object`; origin[key] = line (settings.c). On failure the object may have some of them.
enum status schema_read(const struct schema *schema, const char *path, void *object,
                        int *origin) CHECK_RESULT;

// Row of a full name ("train.steps"), -1 when there is none.
int run_key_find(const char *name);
// Whether `name` is a section: "train".
bool run_section_is(const char *name, size_t length);
// The name of a key, or section, that was probably meant instead of `name`, NULL when nothing is near. Static
// storage.
const char *run_key_nearest(const char *name);
// Reads `text` into the field of row `key`. quoted: it stood in quotes, so it is no number. place:
// "run.yaml:3", "--set". Fails: STATUS_USAGE with place, key, value and what would be right; config
// is then unchanged.
enum status run_key_assign(struct run_config *config, int key, const char *text, bool quoted,
                           const char *place) CHECK_RESULT;
// The field's value as run_key_assign() reads it. Returns text.
const char *run_key_text(const struct run_config *config, int key, char text[RUN_PATH]);
// Whether the key has its default, wherever that comes from.
bool run_key_is_start(const struct run_config *config, const char *name);
extern const char *const run_pools[]; // names of enum pool, in its order; ends with NULL
// run_apply.c. Fails: STATUS_USAGE for a key that is set, and that neither the model nor the task reads, naming those that do.
enum status run_check_readers(const struct run_config *config) CHECK_RESULT;
// Whether models of the type read the key.
bool run_key_is_of_type(const char *key, const char *type);
// run_from.c. Keys that are not set become those of the directory model.from, where that is there; of another type of model
// the vectors' width.
enum status run_take_sizes(struct run_config *config) CHECK_RESULT;
// Of a checked configuration. Fails: STATUS_USAGE for a key that gives the directory's weights another meaning, with both values.
enum status run_compare_sizes(struct run_config *config) CHECK_RESULT;
// "run.yaml:5: ", "run.yaml: ", "--set: ", "stn_config_set: ", by where the key was set. Returns text.
const char *run_key_place(const struct run_config *config, const char *name,
                          char text[RUN_PATH + 32]);
// run_check.c. train.batch, micro_batch and leaves; what is open of them is chosen.
enum status run_check_batch(struct run_config *config) CHECK_RESULT;
// run_check_parallel.c. The section parallel; workers and threads left open are chosen.
enum status run_check_parallel(struct run_config *config) CHECK_RESULT;

// FAIL with the place where `key` was set, and the key.
#define FAIL_KEY(config, key, ...)                                                                 \
    do {                                                                                           \
        char text_[1024], place_[RUN_PATH + 32];                                                   \
        text_print(text_, sizeof text_, __VA_ARGS__);                                              \
        FAIL(STATUS_USAGE, "%s%s: %s", run_key_place(config, key, place_), key, text_);            \
    } while (0)
#endif
