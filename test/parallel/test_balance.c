// SPDX-License-Identifier: Apache-2.0
// The planner alone, driven with made-up seconds: what a slow worker costs, and what noise does.
#include "base/philox.h"
#include "parallel/balance.h"
#include "parallel/batch_tree.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_WORKERS = 8, STEPS = 600, EVERY = 10 };

struct case_of {
    int leaves, workers;
    double slowness[MOST_WORKERS]; // seconds of a leaf without noise
    double
        noise; // a leaf takes (1 + noise * u) times that, u below 1, and now and then three times
    uint32_t number;
};

// How much longer a worker's leaves take in a step.
static double noise_of(const struct case_of *c, int step, int worker)
{
    struct philox_address at = {11, philox_stream(PHILOX_TEST, 7), (uint32_t)step, c->number};
    double usual = philox_uniform(at, (uint64_t)(2 * worker));
    double seldom = philox_uniform(at, (uint64_t)(2 * worker + 1));
    return 1 + c->noise * usual + (c->noise > 0 && seldom < 0.05 ? 2 : 0);
}

static double slowest_of(const struct case_of *c, int step, const int *border, struct speed *speed)
{
    double slowest = 0;
    for (int r = 0; r < c->workers; r++) {
        int leaves = border[r + 1] - border[r];
        double seconds = leaves * c->slowness[r] * noise_of(c, step, r);
        if (speed) speed_note(&speed[r], leaves, seconds);
        slowest = fmax(slowest, seconds);
    }
    return slowest;
}

// Seconds of all steps but the first third: with borders that are planned, and with `fixed`. moves_p: of the borders, in all steps.
static double run(const struct case_of *c, const int *fixed, double *fixed_seconds_p, int *moves_p)
{
    struct speed speed[MOST_WORKERS] = {0};
    int border[MOST_WORKERS + 1], next[MOST_WORKERS + 1];
    double seconds = 0, scratch[MOST_WORKERS];
    const struct balance balance = {c->leaves, c->workers, speed, scratch, next};
    *fixed_seconds_p = 0;
    *moves_p = 0;
    borders_equal(c->leaves, c->workers, border);
    for (int step = 0; step < STEPS; step++) {
        if (step % EVERY == 0) *moves_p += balance_move(&balance, border);
        double took = slowest_of(c, step, border, speed), others = slowest_of(c, step, fixed, NULL);
        if (step < STEPS / 3) continue;
        seconds += took;
        *fixed_seconds_p += others;
    }
    assert_int_equal(border[0], 0);
    assert_int_equal(border[c->workers], c->leaves);
    return seconds;
}

// Half speed of one of two workers is one and a half workers: leaves * 2 / 3 seconds a step at best.
static void half_speed_costs_its_share(void **state)
{
    (void)state;
    const int leaves[] = {9, 12, 15, 18, 24, 25, 48, 100};
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        for (int slow = 0; slow < 2; slow++) {
            struct case_of c = {.leaves = leaves[i], .workers = 2, .slowness = {1, 1}};
            int equal[3], moves;
            double unmoved;
            c.slowness[slow] = 2;
            borders_equal(c.leaves, 2, equal);
            double seconds = run(&c, equal, &unmoved, &moves);
            double ideal = (STEPS - STEPS / 3) * c.leaves / 1.5;
            assert_int_equal(moves, 1);
            assert_true(ideal / seconds >= 0.9);
            assert_true(unmoved / seconds >= 1.2);
        }
}

// The same under noise: beside the best borders, which know.
static void half_speed_is_seen_through_noise(void **state)
{
    (void)state;
    const double noises[] = {0.2, 0.5, 1};
    for (uint32_t n = 0; n < 30; n++) {
        struct case_of c = {
            .leaves = 24, .workers = 2, .slowness = {1, 2}, .noise = noises[n % 3], .number = n};
        const int best[] = {0, 16, 24};
        double known;
        int moves;
        double seconds = run(&c, best, &known, &moves);
        assert_true(seconds <= 1.05 * known);
    }
}

// Workers that are alike stay with equal shares, whatever single steps take.
static void noise_moves_little(void **state)
{
    (void)state;
    const double noises[] = {0.2, 0.5, 1};
    for (uint32_t n = 0; n < 60; n++) {
        struct case_of c = {.leaves = n % 2 ? 24 : 16,
                            .workers = n % 4 < 2 ? 2 : 4,
                            .slowness = {1, 1, 1, 1},
                            .noise = noises[n % 3],
                            .number = 1000 + n};
        int equal[MOST_WORKERS + 1], moves;
        double unmoved;
        borders_equal(c.leaves, c.workers, equal);
        double seconds = run(&c, equal, &unmoved, &moves);
        assert_true(seconds <= 1.02 * unmoved);
        assert_true(moves <= 2);
    }
}

// A worker that recovers gets its leaves back.
static void speed_that_changes_is_followed(void **state)
{
    (void)state;
    struct speed speed[2] = {{0}};
    int border[3] = {0, 12, 24}, next[3];
    double scratch[2];
    const struct balance balance = {24, 2, speed, scratch, next};
    for (int step = 0; step < 300; step++) {
        bool slow = step >= 100 && step < 200;
        if (step % EVERY == 0) balance_move(&balance, border);
        speed_note(&speed[0], border[1], border[1] * 1.0);
        speed_note(&speed[1], 24 - border[1], (24 - border[1]) * (slow ? 2.0 : 1.0));
        if (step == 99 || step == 299) assert_in_range(border[1], 11, 13);
        if (step == 199) assert_in_range(border[1], 15, 17);
    }
}

static void what_is_not_known_moves_nothing(void **state)
{
    (void)state;
    struct speed speed[3] = {{0}};
    int border[4] = {0, 4, 8, 12}, next[4];
    double scratch[3];
    const struct balance balance = {12, 3, speed, scratch, next};
    assert_false(balance_move(&balance, border));
    // One step says too little.
    for (int r = 0; r < 3; r++) speed_note(&speed[r], 4, r == 0 ? 40 : 4);
    assert_false(balance_move(&balance, border));
    // No leaf, no speed; such a worker is taken to be like the others.
    memset(speed, 0, sizeof speed);
    for (int i = 0; i < 5; i++)
        for (int r = 0; r < 3; r++) speed_note(&speed[r], r == 2 ? 0 : 6, 6.0);
    assert_true(speed[2].seconds == 0);
    memcpy(border, (const int[]){0, 6, 12, 12}, sizeof border);
    assert_true(balance_move(&balance, border));
    assert_memory_equal(border, ((const int[]){0, 4, 8, 12}), sizeof border);
}

static int nodes_of(int workers, const int *border)
{
    struct node node[MAX_NODES];
    int count = 0;
    for (int r = 0; r < workers; r++) count += run_nodes(border[r], border[r + 1], node);
    return count;
}

// Borders that cost next to nothing more and leave fewer sums are taken; none leaves more, none costs more than was allowed.
static void aligned_borders_leave_fewer_sums(void **state)
{
    (void)state;
    int fewer = 0;
    for (int round = 0; round < 500; round++) {
        struct philox_address at = {3, philox_stream(PHILOX_TEST, 8), (uint32_t)round, 0};
        double seconds[MOST_WORKERS];
        int border[MOST_WORKERS + 1], aligned[MOST_WORKERS + 1];
        int workers = 1 + round % MOST_WORKERS, leaves = workers + round % 91;
        for (int r = 0; r < workers; r++) seconds[r] = 1 + philox_uniform(at, (uint64_t)r);
        borders_measured(leaves, workers, seconds, border);
        memcpy(aligned, border, sizeof aligned);
        borders_align(workers, seconds, 0.05, aligned);
        for (int r = 0; r < workers; r++) assert_true(aligned[r] < aligned[r + 1]);
        assert_int_equal(aligned[workers], leaves);
        assert_true(borders_seconds(workers, seconds, aligned) <=
                    1.05 * borders_seconds(workers, seconds, border) + 1e-9);
        assert_true(nodes_of(workers, aligned) <= nodes_of(workers, border));
        fewer += nodes_of(workers, aligned) < nodes_of(workers, border);
    }
    assert_true(fewer > 100);
    int border[] = {0, 33, 64};
    borders_align(2, (const double[]){1, 1}, 0.05, border);
    assert_int_equal(border[1], 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_speed_costs_its_share),
        cmocka_unit_test(half_speed_is_seen_through_noise),
        cmocka_unit_test(noise_moves_little),
        cmocka_unit_test(speed_that_changes_is_followed),
        cmocka_unit_test(what_is_not_known_moves_nothing),
        cmocka_unit_test(aligned_borders_leave_fewer_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
