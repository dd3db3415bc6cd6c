// SPDX-License-Identifier: Apache-2.0
// The batch is a tree; the workers only decide who computes which leaf.
//
// A step's micro-batches are grouped into `leaves` leaves (leaf i holds micro-batches [i * M / L, (i + 1) * M / L), summed in order).
// Gradients of leaves are summed over one fixed binary tree on the leaf index: node (level, index) covers leaves
// [index * 2^level, (index + 1) * 2^level); its value is left child + right child, or the left child where the right one is empty.
// A worker computes a contiguous run of leaves and keeps, like a binary counter, one buffer for each node that waits for its sibling;
// owners of slices go on from there. Who computes a leaf and where two sums meet changes nothing in the arithmetic.
#ifndef STN_PARALLEL_BATCH_TREE_H
#define STN_PARALLEL_BATCH_TREE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { MAX_LEAVES = 4096, MAX_LEVELS = 13, MAX_NODES = 2 * MAX_LEVELS };

struct node {
    int level, index;
};

// The complete nodes that a run of leaves [first, last) leaves behind, in order of leaves. At most 2 log2(leaves).
int run_nodes(int first, int last, struct node node[MAX_NODES]);
// At least as many as any run of `leaves` leaves leaves behind; no more where leaves is a power of two.
int run_nodes_most(int leaves);
// Most buffers (of the parameters' size) that a worker needs at one time to compute the run: pending sums, and one more while a leaf
// has more than one micro-batch.
int run_buffers(int first, int last, bool several_micro_batches);
// The most that run_buffers says of any run of at most `longest` of `leaves` leaves: what a worker needs whose borders may move.
int run_buffers_most(int leaves, int longest, bool several_micro_batches);
// Micro-batches of leaf `leaf`: [*first_p, *last_p).
void leaf_micro_batches(int64_t micro_batches, int leaves, int leaf, int64_t *first_p,
                        int64_t *last_p);

// What a worker does with the gradient of leaf `leaf` (inside its run [first, last)): which buffers it adds to, where the sum goes.
// v = gradient; for i in 0..merges-1: v = buffer[merge[i]] + v; buffer[target] = v. The node of `target` is `node`.
// Until the leaf's last micro-batch its running sum lies in buffer[running], which waits for nobody.
// Buffers are a stack: buffer i holds the i-th pending node, in order of leaves.
struct fold {
    int merges, merge[MAX_LEVELS];
    int target, running;
    struct node node;
};
struct fold run_fold(int first, int last, int leaf);
// After the run: which buffer holds node i of run_nodes().
int run_node_buffer(int first, int last, int node);

// The program (kernel tree_sum: array number pushes, -1 adds) that sums arrays lying at `node[0..count-1]` (in order of leaves, together
// covering leaves 0..leaves-1) up the tree. Returns the number of operations; program holds 2 * count.
int tree_program(const struct node *node, int count, int leaves, int16_t *program);
// The programs that fold nodes of neighbours into the nodes of their common run [first, last): node[0..count-1], in order of leaves,
// are those of consecutive runs that together cover it. Node i of run_nodes(first, last) is made by operations start[i] .. start[i + 1] - 1
// of `program`, which holds 2 * count; a single operation says that it is an array already. Returns the number of nodes.
int merge_program(const struct node *node, int count, int first, int last, int16_t *program,
                  int start[MAX_NODES + 1]);

// Runs of `workers` workers over `leaves` leaves: worker r has leaves [border[r], border[r + 1]). Equal shares, the first ones larger.
void borders_equal(int leaves, int workers, int *border);
// By philox (seed, step): any monotone borders, empty runs included. For tests.
void borders_random(uint64_t seed, int64_t step, int leaves, int workers, int *border);
// Moves borders so that the slowest worker's time becomes least: seconds_per_leaf[r] > 0 is measured (smoothed by the caller). Every
// worker keeps at least one leaf while there are enough. Deterministic.
void borders_measured(int leaves, int workers, const double *seconds_per_leaf, int *border);
// Shifts borders to where runs leave fewer nodes (a node more is a buffer of the parameters' size that is kept and travels), as long
// as the slowest worker's time grows by no more than `part` of it. No run becomes empty.
void borders_align(int workers, const double *seconds_per_leaf, double part, int *border);
// The time of the slowest worker with these borders.
double borders_seconds(int workers, const double *seconds_per_leaf, const int *border);
#endif
