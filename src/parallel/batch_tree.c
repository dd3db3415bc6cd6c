// SPDX-License-Identifier: Apache-2.0
#include "parallel/batch_tree.h"

int run_nodes(int first, int last, struct node node[MAX_NODES])
{
    int count = 0;
    while (first < last) {
        // The largest complete node that starts at `first`: aligned there, and inside the run.
        int level = 0;
        while (first % (2 << level) == 0 && first + (2 << level) <= last) level++;
        node[count++] = (struct node){level, first >> level};
        first += 1 << level;
    }
    return count;
}

int run_nodes_most(int leaves)
{
    // The worst run lacks the first and the last leaf: one node of each size on either side.
    int level = 0;
    while (1 << level < leaves) level++;
    return level > 1 ? 2 * (level - 1) : 1;
}

// How often the node of leaf `leaf` merges when it is put on the stack of [first, leaf): it does while it is a right child
// whose left sibling lies in the run, as a binary counter carries.
static int carries(int first, int leaf)
{
    int level = 0;
    while ((leaf >> level & 1) && ((leaf >> level) - 1) << level >= first) level++;
    return level;
}

int run_buffers(int first, int last, bool several_micro_batches)
{
    int most = 0, pending = 0;
    for (int leaf = first; leaf < last; leaf++) {
        // A leaf of one micro-batch merges as it is yielded; a running sum lies beside those that wait.
        if (several_micro_batches && pending + 1 > most) most = pending + 1;
        pending += 1 - carries(first, leaf);
        if (pending > most) most = pending;
    }
    return most;
}

int run_buffers_most(int leaves, int longest, bool several_micro_batches)
{
    int most = 0;
    for (int first = 0; first < leaves; first++) {
        // Longer runs from the same start need no less.
        int last = leaves - first < longest ? leaves : first + longest;
        int buffers = run_buffers(first, last, several_micro_batches);
        if (buffers > most) most = buffers;
    }
    return most;
}

void leaf_micro_batches(int64_t micro_batches, int leaves, int leaf, int64_t *first_p,
                        int64_t *last_p)
{
    *first_p = micro_batches * leaf / leaves;
    *last_p = micro_batches * (leaf + 1) / leaves;
}

// Before a leaf the stack holds the nodes of [first, leaf), in order of leaves; the leaf's own node goes on top and merges
// downwards.
struct fold run_fold(int first, int last, int leaf)
{
    (void)last;
    struct node node[MAX_NODES];
    int pending = run_nodes(first, leaf, node);
    struct fold fold = {.merges = carries(first, leaf), .running = pending};
    for (int i = 0; i < fold.merges; i++) fold.merge[i] = pending - 1 - i;
    fold.target = pending - fold.merges;
    fold.node = (struct node){fold.merges, leaf >> fold.merges};
    return fold;
}

int run_node_buffer(int first, int last, int node)
{
    (void)first, (void)last;
    return node;
}

// ---- the program that goes on from the workers' nodes ----
struct route {
    const struct node *node;
    int count, next; // next: first node not used yet
    int leaves;
    int16_t *program;
    int operations;
};

static void emit(struct route *route, int level, int index)
{
    const struct node *wanted = route->next < route->count ? &route->node[route->next] : 0;
    if (wanted && wanted->level == level && wanted->index == index) {
        route->program[route->operations++] = (int16_t)route->next++;
        return;
    }
    INVARIANT(level > 0, "no node covers leaf %d of %d", index, route->leaves);
    emit(route, level - 1, 2 * index);
    if ((2 * index + 1) << (level - 1) >= route->leaves) return;
    emit(route, level - 1, 2 * index + 1);
    route->program[route->operations++] = -1;
}

int tree_program(const struct node *node, int count, int leaves, int16_t *program)
{
    int level = 0;
    while (1 << level < leaves) level++;
    struct route route = {.node = node, .count = count, .leaves = leaves};
    route.program = program;
    emit(&route, level, 0);
    INVARIANT(route.next == count, "%d of %d nodes have no place in a tree of %d leaves",
              count - route.next, count, leaves);
    return route.operations;
}

int merge_program(const struct node *node, int count, int first, int last, int16_t *program,
                  int start[MAX_NODES + 1])
{
    struct node made[MAX_NODES];
    int nodes = run_nodes(first, last, made);
    // All children of a complete node lie inside the run: none is empty.
    struct route route = {.node = node, .count = count, .leaves = last};
    route.program = program;
    for (int i = 0; i < nodes; i++) {
        start[i] = route.operations;
        emit(&route, made[i].level, made[i].index);
    }
    start[nodes] = route.operations;
    INVARIANT(route.next == count, "%d of %d nodes have no place in leaves %d to %d",
              count - route.next, count, first, last);
    return nodes;
}
