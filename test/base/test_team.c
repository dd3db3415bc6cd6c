// SPDX-License-Identifier: Apache-2.0
// Teams: ranges cover everything once, parts meet, nothing is lost over many short pieces of work, crowded or not.
#include "base/affinity.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/team.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct team *make_team(int threads, bool crowded)
{
    const struct team_options options = {.threads = threads, .crowded = crowded};
    struct team *team;
    assert_int_equal(team_create(&options, &team), STATUS_OK);
    assert_int_equal(team_threads(team), threads);
    return team;
}

static void ranges_cover_everything_once(void **state)
{
    (void)state;
    for (int count = 1; count <= 9; count++)
        for (int64_t items = 0; items < 300; items += 7)
            for (int64_t unit = 1; unit <= 64; unit *= 4) {
                int64_t at = 0, least = items, most = 0;
                for (int i = 0; i < count; i++) {
                    struct range r = part_range(&(struct part){i, count, NULL}, items, unit);
                    assert_int_equal(r.first, at);
                    assert_true(r.last >= r.first && r.last <= items);
                    assert_true(r.first % unit == 0 || r.first == items);
                    int64_t units = (r.last - r.first + unit - 1) / unit;
                    if (units < least) least = units;
                    if (units > most) most = units;
                    at = r.last;
                }
                assert_int_equal(at, items);
                assert_true(most - least <= 1);
            }
}

// ---- work in phases: what one part writes in a phase, its neighbour reads in the next ----
enum { PHASES = 20, MOST = 7 };
struct relay {
    uint64_t value[MOST][8]; // a cache line each
    uint64_t wrong;
    int sleepy; // the part that is late in this piece of work, -1: none
};

static void run_relay(void *context, const struct part *part)
{
    struct relay *relay = context;
    int next = (part->index + 1) % part->count;
    if (relay->sleepy == part->index) {
        struct timespec time = {0, 300000};
        nanosleep(&time, NULL);
    }
    for (int phase = 0; phase < PHASES; phase++) {
        uint64_t before = relay->value[next][0];
        part_meet(part);
        relay->value[part->index][0] = before + 1;
        part_meet(part);
        if (relay->value[part->index][0] != before + 1) relay->wrong++;
    }
}

static void relay_many(int threads, bool crowded, int pieces)
{
    struct team *team = make_team(threads, crowded);
    struct relay relay = {.wrong = 0};
    struct philox_address random = {1, philox_stream(PHILOX_TEST, 1), 0, 0};
    for (int i = 0; i < pieces; i++) {
        uint32_t bits = philox_bits(random, (uint64_t)i);
        relay.sleepy = bits % 50 == 0 ? (int)(bits / 50 % (uint32_t)threads) : -1;
        team_run(team, run_relay, &relay);
    }
    assert_int_equal(relay.wrong, 0);
    for (int i = 0; i < threads; i++)
        assert_int_equal(relay.value[i][0], (uint64_t)pieces * PHASES);
    team_destroy(team);
}

static void work_allocates_nothing(void **state)
{
    (void)state;
    struct team *team = make_team(3, false);
    struct relay relay = {.sleepy = -1};
    uint64_t allocations = memory_allocations();
    for (int i = 0; i < 20; i++) team_run(team, run_relay, &relay);
    assert_int_equal(memory_allocations(), allocations);
    team_destroy(team);
}

static void nothing_is_lost_in_many_meetings(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) relay_many(threads, threads > cpu_cores(), 400);
}

// More threads than cores, asleep at once; and spinning although there are not cores enough: slow, and right.
static void crowds_get_through(void **state)
{
    (void)state;
    relay_many(MOST, true, 60);
    relay_many(MOST, false, 20);
}

static void *own_team(void *context)
{
    (void)context;
    relay_many(2, true, 100);
    return NULL;
}

static void teams_do_not_meet_each_other(void **state)
{
    (void)state;
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, own_team, NULL), 0);
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
}

// ---- the edges ----
static void count_calls(void *context, const struct part *part)
{
    assert_int_equal(part->index, 0);
    assert_int_equal(part->count, 1);
    part_meet(part);
    ++*(int *)context;
}

static void one_thread_needs_no_team(void **state)
{
    (void)state;
    int calls = 0;
    team_run(NULL, count_calls, &calls);
    struct team *one = make_team(1, false);
    team_run(one, count_calls, &calls);
    assert_int_equal(calls, 2);
    assert_int_equal(team_threads(NULL), 1);
    team_destroy(one);
    team_destroy(NULL);
}

static void teams_end_without_having_worked(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) team_destroy(make_team(1 + i % 5, i % 2));
}

// A denormal operand is zero in every thread.
static void multiply_denormal(void *context, const struct part *part)
{
    volatile float small = 0x1p-130f, large = 0x1p100f;
    ((float *)context)[part->index] = small * large;
}

static void every_thread_has_the_arithmetic_of_computing_threads(void **state)
{
    (void)state;
#if !defined(__x86_64__) && !defined(__aarch64__)
    skip();
#endif
    struct team *team = make_team(3, true);
    float product[3] = {1, 1, 1};
    cpu_flush_to_zero();
    team_run(team, multiply_denormal, product);
    for (int i = 0; i < 3; i++) assert_true(product[i] == 0);
    team_destroy(team);
}

// ---- cores ----
static void *tie_to_each(void *context)
{
    int core[64], count = affinity_cores(64, core);
    for (int i = 0; i < count; i++)
        if (!affinity_tie(core[i])) ++*(int *)context;
    if (affinity_tie(-1) || affinity_tie(1 << 20)) ++*(int *)context;
    return NULL;
}

static void cores_are_listed_once_and_can_be_had(void **state)
{
    (void)state;
    int core[64], first = -1, count = affinity_cores(64, core), failures = 0;
    if (count == 0) skip();
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++) assert_int_not_equal(core[i], core[j]);
    assert_int_equal(affinity_cores(1, &first), 1);
    assert_int_equal(first, core[0]);
    pthread_t thread; // so that this one stays free
    assert_int_equal(pthread_create(&thread, NULL, tie_to_each, &failures), 0);
    pthread_join(thread, NULL);
    assert_int_equal(failures, 0);
    // A team whose threads are tied does the same work.
    const struct team_options options = {.threads = 2, .cores = (int[]){core[0], core[0]}};
    struct team *team;
    struct relay relay = {.sleepy = -1};
    assert_int_equal(team_create(&options, &team), STATUS_OK);
    for (int i = 0; i < 20; i++) team_run(team, run_relay, &relay);
    assert_int_equal(relay.value[1][0], 20 * PHASES);
    team_destroy(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_cover_everything_once),
        cmocka_unit_test(work_allocates_nothing),
        cmocka_unit_test(nothing_is_lost_in_many_meetings),
        cmocka_unit_test(crowds_get_through),
        cmocka_unit_test(teams_do_not_meet_each_other),
        cmocka_unit_test(one_thread_needs_no_team),
        cmocka_unit_test(teams_end_without_having_worked),
        cmocka_unit_test(every_thread_has_the_arithmetic_of_computing_threads),
        cmocka_unit_test(cores_are_listed_once_and_can_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
