// SPDX-License-Identifier: Apache-2.0
// The graph: an append-only array of values, which is also the schedule.
//
// Model code appends values through the builders of op/op.h; pass/ appends gradients and plans
// memory; backend/ walks the array. A value is never changed after it is appended, except that it
// may be asked for an auxiliary output, and that the backward pass has a gradient just appended read an equal value
// instead of an input.
// Errors stick: the first one (with the scope and the caller's place) is kept, builders go on with
// harmless placeholders, and graph_status() or plan_create() reports it. Model code therefore
// checks nothing.
#ifndef STN_GRAPH_GRAPH_H
#define STN_GRAPH_GRAPH_H

#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifndef REAL
#    define REAL float
#endif
// float in the product; double in the build that checks gradients. A value of dtype F32 holds
// `real`s.
typedef REAL real;

struct op; // graph/operation.h

enum dtype { F32, I32, U32 };
size_t dtype_bytes(enum dtype dtype);
const char *dtype_name(enum dtype dtype);

enum { MAX_RANK = 4, MAX_INPUTS = 6, MAX_AUX = 3, MAX_SCOPES = 16 };

struct shape {
    int rank;
    int64_t size[MAX_RANK]; // outermost first; memory is dense, the last dimension runs fastest
};
struct shape shape_make(int rank, const int64_t size[MAX_RANK]);
// shape_of(2, rows, cols)
#define shape_of(rank, ...) shape_make(rank, (const int64_t[MAX_RANK]){__VA_ARGS__})
int64_t shape_count(struct shape shape); // product of sizes; 1 for rank 0
bool shape_equal(struct shape a, struct shape b);
int64_t shape_last(struct shape shape); // size of the last dimension
int64_t shape_rows(struct shape shape); // count / last
// "[2, 3]" into text. Returns text.
const char *shape_print(struct shape shape, char text[64]);

// Where a value's bytes live.
enum storage {
    STORAGE_ARENA, // planned; dies after its last reader
    STORAGE_INPUT, // planned, lives for the whole program; the caller fills it (tokens, targets)
    STORAGE_PARAMETER, // in the model's block of weights, at `offset`; read in place by all workers
    STORAGE_STATE,     // memory of the caller's, bound by program_bind() (key-value caches)
};

struct value {
    int id;                          // index in graph->values
    const struct op *op;             // NULL for leaves and auxiliary outputs: no op runs for them
    struct value *input[MAX_INPUTS]; // NULL where an optional input is absent
    int inputs;
    struct value *aux[MAX_AUX]; // auxiliary outputs that were asked for, else NULL
    struct value *producer;     // whose op writes this one: itself, or an auxiliary output's owner
    int aux_index;              // for an auxiliary output: its number, else -1
    const void *attributes;     // op's own struct, in the graph's arena
    struct shape shape;
    enum dtype dtype;
    enum storage storage;
    int64_t offset;      // STORAGE_PARAMETER: first element in the block of weights
    int parameter;       // STORAGE_PARAMETER: index in the registry (nn/nn.h), else -1
    int region;          // recompute region, 0 = kept (pass/pass.h)
    int yield;           // tag given by graph_yield(), or -1
    bool needs_gradient; // a parameter, or computed from one
    const char *name;    // "h.0.attn" scope, or the leaf's name
    const char *file;    // where the builder was called
    int line;
};

struct graph {
    struct arena *arena;
    struct value **values;
    int count, capacity;
    enum status status;        // first error
    char message[512];         // its text
    bool placed;               // whether the message names the builder's caller
    struct value *placeholder; // what builders return after an error: every size is 1
    char scope[128];
    int scope_end[MAX_SCOPES]; // length of `scope` before each push
    int scopes;
    int region;  // region of values appended now
    int regions; // how many were opened
};

// ---- life cycle ----
enum status graph_create(struct graph **graph_p) CHECK_RESULT;
void graph_destroy(struct graph *g); // values and attributes go with it; NULL is fine
// The first error of building, recorded for this thread too.
enum status graph_status(struct graph *g) CHECK_RESULT;

// ---- leaves ----
struct value *graph_input(struct graph *g, const char *name, enum dtype dtype, struct shape shape);
struct value *graph_state(struct graph *g, const char *name, enum dtype dtype, struct shape shape);
struct value *graph_parameter(struct graph *g, const char *name, struct shape shape, int64_t offset,
                              int index);

// ---- building (used by op/ and pass/) ----
// Appends a value of `op`; attributes (attribute_bytes of them, may be 0) are copied; then
// op->infer() gives it shape and dtype. After an error: appends nothing, returns the placeholder.
struct value *graph_append(struct graph *g, const struct op *op, struct value *const *input,
                           int inputs, const void *attributes, size_t attribute_bytes);
// Auxiliary output `index` of y, created on the first call: op->infer_aux() gives its shape.
// Kernels get NULL for outputs nobody asked for.
struct value *graph_aux(struct graph *g, struct value *y, int index);
// Tells where a builder was called, for messages and listings. Returns `value`. The macros below do
// it for every builder.
struct value *graph_placed(struct graph *g, struct value *value, const char *file, int line);
#define PLACED(g, call)         graph_placed(g, call, __FILE__, __LINE__)
#define graph_input(g, ...)     PLACED(g, graph_input(g, __VA_ARGS__))
#define graph_state(g, ...)     PLACED(g, graph_state(g, __VA_ARGS__))
#define graph_parameter(g, ...) PLACED(g, graph_parameter(g, __VA_ARGS__))
// Records an error, with the scope, unless there is one.
void graph_fail(struct graph *g, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// A name scope for values appended until scope_pop(): "h.3", printed with errors and profiles.
void scope_push(struct graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
void scope_pop(struct graph *g); // scopes nest at most MAX_SCOPES deep
// Values appended between region_begin and region_end are not kept for the backward pass but
// computed again there. A value of a region that is read outside of it is kept all the same.
// Regions do not nest.
void region_begin(struct graph *g);
void region_end(struct graph *g);
// Hands the value out when the program runs: the executor calls the yield function with `tag` (>=
// 0) right after it is computed. A value has one tag, and leaves have none. Fails (sticky):
// STATUS_USAGE.
void graph_yield(struct graph *g, struct value *value, int tag);

// ---- reading ----
// One line a value: id, name, op, inputs, shape. To `file`.
void graph_print(const struct graph *g, void *file);
// Checks what every pass relies on: inputs come before readers, shapes and dtypes are set, aux
// links agree, yields are unique.
// Fails: STATUS_SHAPE naming the value.
enum status graph_verify(const struct graph *g) CHECK_RESULT;
#endif
