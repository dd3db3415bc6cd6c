// SPDX-License-Identifier: Apache-2.0
// Backends: operation -> kernel, chosen once when a program is made; a program is a flat array of
// launches.
//
// cpu: the best kernel for the instruction set. reference: the definitions in op/. null: computes
// nothing (memory and schedules of models too large for this machine). Order of calls:
// program_create (plans; knows bytes) -> program_prepare (arena) -> program_bind / program_input ->
// program_run, often. Nothing is allocated in program_run.
#ifndef STN_BACKEND_BACKEND_H
#define STN_BACKEND_BACKEND_H

#include "op/op.h"
#include "pass/pass.h"

typedef void (*kernel_function)(void);

// One entry of the flat array. launch() unpacks the call into plain arguments of `kernel`.
struct step {
    void (*launch)(const struct step *step);
    kernel_function kernel; // for launch's own use; NULL for the reference
    struct op_call call;
    int yield[1 + MAX_AUX]; // tags of what is handed out after this step, -1 for none
};

struct backend {
    const char *name;
    // Fills launch and kernel of `step` for value `v`, and says how many bytes of scratch it needs.
    // Fails: STATUS_UNSUPPORTED naming op and shapes.
    enum status (*choose)(const struct backend *backend, const struct value *v, struct step *step,
                          size_t *scratch_bytes_p);
};
extern const struct backend *const backend_registry[]; // ends with NULL
// By name. Fails: STATUS_USAGE listing the names.
enum status backend_find(const char *name, const struct backend **backend_p) CHECK_RESULT;

// The reference: op->reference through `launch`. For backends that compute some operations by their
// definition.
void launch_reference(const struct step *step);

struct program;
// Plans and chooses kernels; takes no arena yet. Borrows g, which must outlive the program.
// Fails: the graph's first error, STATUS_UNSUPPORTED listing every operation without a kernel,
// STATUS_MEMORY.
enum status program_create(const struct backend *backend, struct graph *g,
                           struct program **program_p) CHECK_RESULT;
// The same with a plan in which no two values share memory (pass/pass.h).
enum status program_create_unshared(const struct backend *backend, struct graph *g,
                                    struct program **program_p) CHECK_RESULT;
void program_destroy(struct program *program);
size_t program_arena_bytes(const struct program *program);
int program_steps(const struct program *program);
const struct plan *program_plan(const struct program *program);
struct cost program_cost(const struct program *program); // sums over steps

// Fixes all pointers. weights: the block that parameters lie in, borrowed. arena:
// program_arena_bytes of 64-byte aligned memory, borrowed (programs that never run at the same time
// may share one); NULL: the program allocates its own (touched by the calling thread).
enum status program_prepare(struct program *program, const real *weights, void *arena) CHECK_RESULT;
// Memory for a STATE value of the graph, borrowed; before the first run, and again whenever it
// moves.
void program_bind(struct program *program, const struct value *state, void *memory);
// Where the caller writes an INPUT value; after program_prepare.
void *program_input(struct program *program, const struct value *input);
// Receives every yielded value, in schedule order; `data` is valid during the call only.
typedef void (*yield_function)(void *context, int tag, const void *data);
void program_run(struct program *program, yield_function yield, void *context);
// Seconds and calls per op name are gathered when on (off at first).
struct step_profile {
    const char *name;
    const char *op;
    double seconds;
    struct cost cost;
    long calls;
};
void program_profile(struct program *program, bool on);
// Profile of step i in [0, program_steps). `name` and `op` are borrowed from the graph.
struct step_profile program_step_profile(const struct program *program, int i);
#endif
