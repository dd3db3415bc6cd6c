// SPDX-License-Identifier: Apache-2.0
// What a search for translations runs: the encoder over a batch of sources, once, and then the decoder, one token of every beam a
// step.
//
// Programs are of fixed shape, so there is a graph for each shape that is met; all of a searcher's share memory, of which the largest
// decides. Rows see neither each other nor padding: what comes out for a source has the same bits in any batch.
#ifndef STN_INFER_SEARCH_GRAPH_H
#define STN_INFER_SEARCH_GRAPH_H

#include "backend/backend.h"
#include "store/model_directory.h"

struct search_shape {
    int64_t batch, beams; // rows of a step: batch * beams, the beams of a source side by side
    int64_t source;       // most tokens of a source
    int64_t steps;        // most steps; at most the model's context
};
// Memory of all graphs of one thread.
struct search_memory {
    struct block arena, kept;
    int64_t moves; // how often it got new places
};
void search_memory_release(struct search_memory *memory);

struct search_graph;
enum status search_graph_create(const struct loaded_model *model, const struct backend *backend,
                                struct search_shape shape,
                                struct search_graph **graph_p) CHECK_RESULT;
void search_graph_destroy(struct search_graph *graph);
const struct search_shape *search_graph_shape(const struct search_graph *graph);
// Bytes of its thread's memory: of the arena, and of what decoding keeps, of which so many steps touch the pages that are marked.
size_t search_graph_arena(const struct search_graph *graph);
size_t search_graph_kept(const struct search_graph *graph);
void search_graph_touch(const struct search_graph *graph, int64_t steps, unsigned char *page,
                        size_t page_bytes);
// About as many of its own: graph and program, and lists of origins.
size_t search_graph_bytes(const struct search_graph *graph);
size_t search_graph_lists(const struct search_graph *graph);
// Before a batch: has the graph use `memory`, which grows if need be. Fails: STATUS_MEMORY.
enum status search_graph_use(struct search_graph *graph, struct search_memory *memory) CHECK_RESULT;

// Where source `row` of the batch is written, [source] ids, before the encoder runs. length 0: none.
int32_t *search_graph_source(struct search_graph *graph, int64_t row, int64_t length);
// Runs the encoder: every beam stands before its first token then.
void search_graph_encode(struct search_graph *graph);
// Receives the logs of probabilities of every row's next token, [rows, vocabulary], which are its own for the call.
typedef void (*search_take)(void *context, const float *log_probabilities);
// Step number `step`, from 0: tokens [rows] are the newest of each row.
void search_graph_step(struct search_graph *graph, int64_t step, const int32_t *tokens,
                       search_take take, void *context);
// Has every row go on from the row parents[row], of the same source, as the last step left it.
void search_graph_reorder(struct search_graph *graph, int64_t step, const int32_t *parents);
// Has `to`, of another batch but otherwise the same shape, go on with `count` sources of `from` after `steps` steps: `chosen` are their
// numbers, ascending. False, and nothing is done, where `to` has no room in `memory`, which both use.
bool search_graph_shrink(struct search_graph *to, const struct search_graph *from,
                         struct search_memory *memory, const int64_t *chosen, int64_t count,
                         int64_t steps);
#endif
