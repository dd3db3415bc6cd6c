// SPDX-License-Identifier: Apache-2.0
// Backends: operation -> kernel, chosen once when a program is made; a program is a flat array of
// launches.
//
// cpu: the best kernel for the instruction set. reference: the definitions in op/. null: computes
// nothing (memory and schedules of models too large for this machine). Order of calls:
// program_create (plans; knows bytes) -> program_prepare (arena) -> program_bind / program_input ->
// program_run, often. Nothing is allocated in program_run.
// Threads: a program may be run by a team (base/team.h). Every thread goes through all steps and
// computes its part of each one's output; between steps they meet. Bits are the same for any number.
#ifndef STN_BACKEND_BACKEND_H
#define STN_BACKEND_BACKEND_H

#include "base/team.h"
#include "op/op.h"
#include "pass/pass.h"

typedef void (*kernel_function)(void);

// Bytes of scratch that a step needs: `shared` for the step, and behind it `each` for every thread, all
// of them at multiples of 64.
struct scratch {
    size_t shared, each;
};

// A weight that a step would rather read packed, one of at most MAX_PACKINGS orders of it: a product's operand B [depth, cols], b_depth
// and b_col its strides. backend/packed.h keeps the copies.
enum { MAX_PACKINGS = 2 };
struct packing {
    // Writes columns [first, first + cols) of the operand, which begins at `weight`, to their place in `packed`. NULL: the
    // step reads nothing packed.
    void (*fill)(const struct packing *packing, const real *weight, void *packed, int64_t first,
                 int64_t cols);
    // (optional) Writes the places of elements [first, last) of the weight, counted as it lies, after the whole was filled once; whole
    // bands of them, from a multiple of `band` on, are fast.
    void (*write)(const struct packing *packing, const real *weight, void *packed, int64_t first,
                  int64_t last);
    int64_t band;
    kernel_function pack;       // for fill's own use; copies written by different ones differ
    kernel_function pack_range; // for write's own use
    kernel_function sizes;      // for launch's own use
    const struct value *weight; // a parameter
    int64_t cols, depth, b_depth, b_col;
    int64_t unit; // first is a multiple of it
    size_t bytes; // of the copy
    bool spare;   // the copy saves time only: without it the step reads the weight
};

// One entry of the flat array. launch() unpacks the call into plain arguments of `kernel`; every
// thread of the team calls it with its part.
struct step {
    void (*launch)(const struct step *step, const struct part *part);
    kernel_function kernel; // for launch's own use; NULL for the reference
    struct op_call call;
    struct scratch scratch;
    struct packing packing[MAX_PACKINGS];
    const void *packed[MAX_PACKINGS]; // the copies that packing asks for, NULL: there is none
    bool yields;
    int yield[1 + MAX_AUX]; // tags of what is handed out after this step, -1 for none
    // Tags of what may lie outside the arena (struct plan), -1 for what may not.
    int output_tag[1 + MAX_AUX], input_tag[MAX_INPUTS];
};

// How a program is made. Zeros are the defaults.
struct program_options {
    int threads;              // of the team that runs it; 0: one
    enum precision precision; // of matrix products; the reference always computes in `real`
    // Bytes of a block of gradients that begins the arena (plan_create_placed); 0: none.
    size_t block;
};

struct backend {
    const char *name;
    // Fills launch, kernel, scratch and packing of `step` (which is zeroed) for value `v`.
    // Fails: STATUS_UNSUPPORTED naming op and shapes.
    enum status (*choose)(const struct backend *backend, const struct value *v,
                          const struct program_options *options, struct step *step);
};
extern const struct backend *const backend_registry[]; // ends with NULL
// By name. Fails: STATUS_USAGE listing the names.
enum status backend_find(const char *name, const struct backend **backend_p) CHECK_RESULT;

// The reference: op->reference through `launch`. For backends that compute some operations by their
// definition, on one thread.
void launch_reference(const struct step *step, const struct part *part);

// Bytes of scratch for all threads, and where a thread's own begins; NULL where the step has none.
size_t step_scratch_bytes(const struct scratch *scratch, int threads);
void *step_part_scratch(const struct step *step, const struct part *part);

struct program;
// Plans and chooses kernels; takes no arena yet. Borrows g, which must outlive the program; options
// are copied, NULL: the defaults.
// Fails: the graph's first error, STATUS_UNSUPPORTED listing every operation without a kernel,
// STATUS_MEMORY.
enum status program_create(const struct backend *backend, struct graph *g,
                           const struct program_options *options,
                           struct program **program_p) CHECK_RESULT;
// The same with a plan in which no two values share memory (pass/pass.h).
enum status program_create_unshared(const struct backend *backend, struct graph *g,
                                    const struct program_options *options,
                                    struct program **program_p) CHECK_RESULT;
void program_destroy(struct program *program);
size_t program_arena_bytes(const struct program *program);
int program_steps(const struct program *program);
struct step *program_step(struct program *program, int i); // borrowed
const struct plan *program_plan(const struct program *program);
// Sums over steps; counted: the part of all rows with targets that count (struct op, asked).
struct cost program_cost(const struct program *program, double counted);

// Fixes all pointers. weights: the block that parameters lie in, borrowed. arena:
// program_arena_bytes of 64-byte aligned memory, borrowed (programs that never run at the same time
// may share one); NULL: the program allocates its own (touched by the calling thread).
enum status program_prepare(struct program *program, const real *weights, void *arena) CHECK_RESULT;
// Memory for a STATE value of the graph, borrowed; before the first run, and again whenever it
// moves.
void program_bind(struct program *program, const struct value *state, void *memory);
// Where the caller writes an INPUT value; after program_prepare.
void *program_input(struct program *program, const struct value *input);
// Asks `place` where each yielded value that no step reads shall be written from the next run on: a
// pointer aligned as the arena, or NULL for the arena. place NULL: all of them in the arena again.
// It may be asked several times for one tag.
typedef void *(*place_function)(void *context, int tag);
void program_place(struct program *program, place_function place, void *context);
// The team that runs the program from now on, borrowed: options.threads of them, NULL for one. Only
// the thread that made the team (its part 0) calls program_run then.
void program_set_team(struct program *program, struct team *team);
// Receives every yielded value, in schedule order, on the calling thread; `data` is valid during the
// call only.
typedef void (*yield_function)(void *context, int tag, const void *data);
void program_run(struct program *program, yield_function yield, void *context);
// The same with a function that every thread calls, for its part of the value.
typedef void (*part_yield_function)(void *context, int tag, const void *data,
                                    const struct part *part);
void program_run_parts(struct program *program, part_yield_function yield, void *context);
// Seconds and calls per step are gathered when on (off at first): of processor time, which neighbours on the machine do not
// change; with a team of several threads by the clock on the wall.
struct step_profile {
    const char *name;
    const char *op;
    double seconds;   // of all calls
    struct cost cost; // of one, whose inputs ask for all of it
    long calls;
    double work; // calls, each by the part of its cost that its inputs asked for
    bool asked;  // such parts can be less than 1
    int tag;     // that its value is handed out with, -1 for none
};
void program_profile(struct program *program, bool on);
// Profile of step i in [0, program_steps). `name` and `op` are borrowed from the graph.
struct step_profile program_step_profile(const struct program *program, int i);
// Seconds in which values were handed out, gathered likewise.
double program_yield_seconds(const struct program *program);
#endif
