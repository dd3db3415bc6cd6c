// SPDX-License-Identifier: Apache-2.0
// Whoever computes a leaf and wherever two sums meet, the expression that comes out is the one fixed tree: checked
// symbolically. A term is the text of its sum, "((a+b)+c)", so that any other order or association shows.
#include "base/philox.h"
#include "parallel/batch_tree.h"
#include "parallel/slices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// A hash of an expression: equal for equal trees; not associative and not commutative.
typedef uint64_t term;
static term leaf_term(int64_t micro_batch)
{
    return ((uint64_t)micro_batch + 1) * 0x9E3779B97F4A7C15u;
}
static term sum(term a, term b)
{
    uint64_t x = a * 0xD6E8FEB86659FD93u ^ (b << 23 | b >> 41);
    x ^= x >> 29;
    return x * 0xBF58476D1CE4E5B9u + 0x94D049BB133111EBu;
}

static term leaf_sum(int64_t micro_batches, int leaves, int leaf)
{
    int64_t first, last;
    leaf_micro_batches(micro_batches, leaves, leaf, &first, &last);
    term value = leaf_term(first);
    for (int64_t m = first + 1; m < last; m++) value = sum(value, leaf_term(m));
    return value;
}

// The definition of batch_tree.h, word for word.
static term node_term(int64_t micro_batches, int leaves, int level, int index)
{
    if (level == 0) return leaf_sum(micro_batches, leaves, index);
    term left = node_term(micro_batches, leaves, level - 1, 2 * index);
    if ((2 * index + 1) << (level - 1) >= leaves) return left;
    return sum(left, node_term(micro_batches, leaves, level - 1, 2 * index + 1));
}

static term tree(int64_t micro_batches, int leaves)
{
    int level = 0;
    while (1 << level < leaves) level++;
    return node_term(micro_batches, leaves, level, 0);
}

// What a worker does, micro-batch by micro-batch, with terms in place of arrays.
static void compute_run(int64_t micro_batches, int leaves, int first, int last, term *buffer,
                        int buffers)
{
    for (int i = 0; i < buffers; i++) buffer[i] = 0xdead;
    for (int leaf = first; leaf < last; leaf++) {
        struct fold fold = run_fold(first, last, leaf);
        int64_t from, to;
        leaf_micro_batches(micro_batches, leaves, leaf, &from, &to);
        term value = 0;
        for (int64_t m = from; m < to; m++) {
            value = m == from ? leaf_term(m) : sum(buffer[fold.running], leaf_term(m));
            if (m + 1 == to) break;
            assert_in_range(fold.running, 0, buffers - 1);
            buffer[fold.running] = value;
        }
        for (int i = 0; i < fold.merges; i++) {
            assert_in_range(fold.merge[i], 0, buffers - 1);
            value = sum(buffer[fold.merge[i]], value);
        }
        assert_in_range(fold.target, 0, buffers - 1);
        buffer[fold.target] = value;
    }
}

static term whole_step(int64_t micro_batches, int leaves, int workers, const int *border)
{
    bool several = micro_batches > leaves;
    term *array = calloc((size_t)leaves, sizeof *array);
    struct node *node = calloc((size_t)leaves, sizeof *node);
    int16_t *program = calloc(2 * (size_t)leaves, sizeof *program);
    int count = 0;
    for (int r = 0; r < workers; r++) {
        term buffer[MAX_NODES + 1];
        struct node mine[MAX_NODES];
        int first = border[r], last = border[r + 1];
        assert_true(first <= last);
        int buffers = run_buffers(first, last, several);
        compute_run(micro_batches, leaves, first, last, buffer, buffers);
        int nodes = run_nodes(first, last, mine);
        for (int i = 0; i < nodes; i++) {
            node[count] = mine[i];
            array[count++] = buffer[run_node_buffer(first, last, i)];
        }
    }
    int operations = tree_program(node, count, leaves, program);
    assert_true(operations <= 2 * count);
    term stack[32];
    int depth = 0;
    for (int i = 0; i < operations; i++) {
        if (program[i] >= 0) {
            assert_true(depth < 32);
            stack[depth++] = array[program[i]];
        } else {
            assert_true(depth >= 2);
            depth--;
            stack[depth - 1] = sum(stack[depth - 1], stack[depth]);
        }
    }
    assert_int_equal(depth, 1);
    free(array), free(node), free(program);
    return stack[0];
}

static void any_run_folds_to_its_nodes(void **state)
{
    (void)state;
    for (int leaves = 1; leaves <= 33; leaves++)
        for (int first = 0; first < leaves; first++)
            for (int last = first; last <= leaves; last++) {
                term buffer[MAX_NODES + 1];
                struct node node[MAX_NODES];
                int buffers = run_buffers(first, last, false), nodes = run_nodes(first, last, node);
                compute_run(leaves, leaves, first, last, buffer, buffers);
                int at = first;
                for (int i = 0; i < nodes; i++) {
                    assert_int_equal(node[i].index << node[i].level, at);
                    at += 1 << node[i].level;
                    term wanted = node_term(leaves, leaves, node[i].level, node[i].index);
                    assert_true(buffer[run_node_buffer(first, last, i)] == wanted);
                }
                assert_int_equal(at, last);
            }
}

static void any_borders_give_the_one_tree(void **state)
{
    (void)state;
    for (int leaves = 1; leaves <= 64; leaves++)
        for (int round = 0; round < 60; round++) {
            struct philox_address at = {7, philox_stream(PHILOX_TEST, 1), (uint32_t)round,
                                        (uint32_t)leaves};
            int workers = 1 + (int)(philox_bits(at, 0) % 12);
            int64_t micro_batches = leaves + philox_bits(at, 1) % 3 * (philox_bits(at, 2) % 70);
            int border[16];
            borders_random(99, round, leaves, workers, border);
            assert_true(whole_step(micro_batches, leaves, workers, border) ==
                        tree(micro_batches, leaves));
            borders_equal(leaves, workers, border);
            assert_true(whole_step(micro_batches, leaves, workers, border) ==
                        tree(micro_batches, leaves));
        }
}

static void large_trees_too(void **state)
{
    (void)state;
    int border[8];
    for (int leaves = 4093; leaves <= MAX_LEAVES; leaves++) {
        borders_random(5, leaves, leaves, 7, border);
        assert_true(whole_step(leaves, leaves, 7, border) == tree(leaves, leaves));
    }
}

// Runs of neighbours fold into the nodes of their common run: terms of neighbours' nodes go in, terms of the common nodes come out.
static void neighbours_fold_into_their_common_nodes(void **state)
{
    (void)state;
    for (int round = 0; round < 4000; round++) {
        struct philox_address at = {7, philox_stream(PHILOX_TEST, 6), (uint32_t)round, 0};
        int leaves = 1 + (int)(philox_bits(at, 0) % 70), runs = 1 + (int)(philox_bits(at, 1) % 9);
        int border[10], from = (int)(philox_bits(at, 2) % (uint32_t)runs), to = runs;
        borders_random(51, round, leaves, runs, border);
        term array[MAX_NODES * 9];
        struct node node[MAX_NODES * 9], made[MAX_NODES];
        int count = 0;
        for (int r = from; r < to; r++) {
            int nodes = run_nodes(border[r], border[r + 1], node + count);
            for (int i = 0; i < nodes; i++, count++)
                array[count] = node_term(leaves, leaves, node[count].level, node[count].index);
            assert_true(nodes <= run_nodes_most(leaves));
        }
        int16_t program[2 * MAX_NODES * 9];
        int start[MAX_NODES + 1];
        int nodes = run_nodes(border[from], border[to], made);
        assert_int_equal(merge_program(node, count, border[from], border[to], program, start),
                         nodes);
        assert_true(start[0] == 0 && start[nodes] <= 2 * count);
        for (int i = 0; i < nodes; i++) {
            term stack[32];
            int depth = 0;
            for (int k = start[i]; k < start[i + 1]; k++)
                if (program[k] >= 0) {
                    stack[depth++] = array[program[k]];
                } else {
                    depth--;
                    stack[depth - 1] = sum(stack[depth - 1], stack[depth]);
                }
            assert_int_equal(depth, 1);
            assert_true(stack[0] == node_term(leaves, leaves, made[i].level, made[i].index));
        }
    }
}

static void most_nodes_of_a_run(void **state)
{
    (void)state;
    for (int leaves = 1; leaves <= 64; leaves++) {
        int most = 0;
        struct node node[MAX_NODES];
        for (int first = 0; first < leaves; first++)
            for (int last = first; last <= leaves; last++) {
                int nodes = run_nodes(first, last, node);
                if (nodes > most) most = nodes;
            }
        assert_true(most <= run_nodes_most(leaves));
        if ((leaves & (leaves - 1)) == 0) assert_int_equal(most, run_nodes_most(leaves));
    }
}

static void every_micro_batch_lies_in_one_leaf(void **state)
{
    (void)state;
    for (int leaves = 1; leaves <= 40; leaves++)
        for (int64_t micro_batches = leaves; micro_batches < 3 * leaves + 5; micro_batches++) {
            int64_t next = 0;
            for (int leaf = 0; leaf < leaves; leaf++) {
                int64_t first, last;
                leaf_micro_batches(micro_batches, leaves, leaf, &first, &last);
                assert_int_equal(first, next);
                assert_true(last > first);
                next = last;
            }
            assert_int_equal(next, micro_batches);
        }
}

static void buffers_are_as_few_as_promised(void **state)
{
    (void)state;
    assert_int_equal(run_buffers(0, 8, false), 3);
    assert_int_equal(run_buffers(0, 8, true), 4);
    assert_int_equal(run_buffers(0, 0, true), 0);
    assert_int_equal(run_buffers(3, 4, false), 1);
    for (int leaves = 1; leaves <= 48; leaves++) {
        int levels = 0, most = 0;
        while (1 << levels < leaves) levels++;
        for (int first = 0; first < leaves; first++)
            for (int last = first; last <= leaves; last++) {
                int buffers = run_buffers(first, last, false);
                assert_true(buffers <= (levels ? 2 * levels : 1));
                assert_true(run_buffers(first, last, true) <= buffers + 1);
                if (buffers > most) most = buffers;
            }
        assert_int_equal(run_buffers_most(leaves, leaves, false), most);
    }
    assert_int_equal(run_buffers_most(8, 1, true), 1);
}

static void equal_borders_are_equal(void **state)
{
    (void)state;
    int border[9];
    borders_equal(11, 4, border);
    const int wanted[] = {0, 3, 6, 9, 11};
    assert_memory_equal(border, wanted, sizeof wanted);
    borders_equal(3, 8, border);
    const int few[] = {0, 1, 2, 3, 3, 3, 3, 3, 3};
    assert_memory_equal(border, few, sizeof few);
}

static void random_borders_differ_from_step_to_step(void **state)
{
    (void)state;
    int a[6], b[6], empty = 0, changed = 0;
    for (int step = 0; step < 200; step++) {
        borders_random(1, step, 8, 5, a);
        borders_random(1, step, 8, 5, b);
        assert_memory_equal(a, b, sizeof a);
        borders_random(1, step + 1, 8, 5, b);
        changed += memcmp(a, b, sizeof a) != 0;
        for (int r = 0; r < 5; r++) empty += a[r] == a[r + 1];
    }
    assert_true(changed > 150);
    assert_true(empty > 50);
}

// Against the best of all splits, by trying every one.
static double best_split(int workers, const double *seconds, int leaves, int rank)
{
    int least = 1;
    if (rank == workers - 1) return leaves * seconds[rank];
    double best = 1e30;
    for (int mine = least; mine <= leaves - (workers - 1 - rank); mine++) {
        double rest = best_split(workers, seconds, leaves - mine, rank + 1),
               own = mine * seconds[rank];
        double slowest = rest > own ? rest : own;
        if (slowest < best) best = slowest;
    }
    return best;
}

static void measured_borders_are_the_best(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct philox_address at = {3, philox_stream(PHILOX_TEST, 2), (uint32_t)round, 0};
        double seconds[4];
        int border[5], workers = 1 + round % 4, leaves = 4 + round % 17;
        for (int r = 0; r < 4; r++) seconds[r] = 0.1 + philox_uniform(at, (uint64_t)r);
        borders_measured(leaves, workers, seconds, border);
        assert_int_equal(border[0], 0);
        assert_int_equal(border[workers], leaves);
        for (int r = 0; r < workers; r++) assert_true(border[r + 1] > border[r]);
        double got = borders_seconds(workers, seconds, border),
               best = best_split(workers, seconds, leaves, 0);
        assert_true(got <= best * (1 + 1e-12));
    }
}

static void fewer_leaves_than_workers_go_to_the_fast(void **state)
{
    (void)state;
    int border[6];
    borders_measured(2, 5, (const double[]){3, 1, 3, 1, 3}, border);
    const int wanted[] = {0, 0, 1, 1, 2, 2};
    assert_memory_equal(border, wanted, sizeof wanted);
}

static void slices_cover_everything_once(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 16, 1008, 1024, 1040, 5000, 123456};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int workers = 1; workers <= 9; workers++) {
            int64_t next = 0, first, last;
            for (int r = 0; r < workers; r++) {
                slice_of(sizes[s], workers, r, &first, &last);
                assert_int_equal(first, next);
                assert_true(last >= first);
                if (last < sizes[s]) assert_int_equal(last % SLICE_GRAIN, 0);
                next = last;
            }
            assert_int_equal(next, sizes[s]);
        }
}

static void pairwise_sum_is_a_fixed_tree(void **state)
{
    (void)state;
    assert_true(pairwise_sum(NULL, 0) == 0);
    const double x[] = {1e16, 1, -1e16, 1, 1};
    assert_true(pairwise_sum(x, 5) == ((1e16 + 1) + (-1e16 + 1)) + 1);
    assert_true(pairwise_sum(x, 3) == (1e16 + 1) + -1e16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_run_folds_to_its_nodes),
        cmocka_unit_test(any_borders_give_the_one_tree),
        cmocka_unit_test(large_trees_too),
        cmocka_unit_test(neighbours_fold_into_their_common_nodes),
        cmocka_unit_test(most_nodes_of_a_run),
        cmocka_unit_test(every_micro_batch_lies_in_one_leaf),
        cmocka_unit_test(buffers_are_as_few_as_promised),
        cmocka_unit_test(equal_borders_are_equal),
        cmocka_unit_test(random_borders_differ_from_step_to_step),
        cmocka_unit_test(measured_borders_are_the_best),
        cmocka_unit_test(fewer_leaves_than_workers_go_to_the_fast),
        cmocka_unit_test(slices_cover_everything_once),
        cmocka_unit_test(pairwise_sum_is_a_fixed_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
