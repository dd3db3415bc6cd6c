// SPDX-License-Identifier: Apache-2.0
// Nobody waits at a gate that was opened, however the waiting is done: spinning, giving turns away, sleeping.
#include "base/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 3000, PLAYERS = 3 };

// Players take turns: player i waits until it is its turn, writes, and opens the gate.
struct game {
    struct gate gate;
    int written[ROUNDS]; // by turns; no lock, no atomic: the gate orders it
    atomic_int wrong;
};
struct player {
    struct game *game;
    unsigned number;
};

static void *play(void *context)
{
    const struct player *player = context;
    struct game *game = player->game;
    for (unsigned turn = player->number; turn < ROUNDS; turn += PLAYERS) {
        for (unsigned round; (round = gate_round(&game->gate)) != turn;)
            gate_wait(&game->gate, round);
        for (unsigned i = 0; i < turn; i += 97)
            if (game->written[i] != (int)i + 1) atomic_fetch_add(&game->wrong, 1);
        game->written[turn] = (int)turn + 1;
        gate_open(&game->gate);
    }
    return NULL;
}

static void play_with(int spins, int yields)
{
    struct game *game = calloc(1, sizeof *game);
    struct player player[PLAYERS];
    pthread_t thread[PLAYERS];
    assert_non_null(game);
    gate_init(&game->gate, spins, yields);
    for (unsigned i = 0; i < PLAYERS; i++) {
        player[i] = (struct player){game, i};
        assert_int_equal(pthread_create(&thread[i], NULL, play, &player[i]), 0);
    }
    for (int i = 0; i < PLAYERS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&game->wrong), 0);
    assert_int_equal(gate_round(&game->gate), ROUNDS);
    for (int i = 0; i < ROUNDS; i++) assert_int_equal(game->written[i], i + 1);
    gate_release(&game->gate);
    free(game);
}

static void turns_are_taken_in_order_by_sleepers(void **state)
{
    (void)state;
    play_with(0, 0);
}
static void turns_are_taken_in_order_by_yielders(void **state)
{
    (void)state;
    play_with(0, 5);
}
static void turns_are_taken_in_order_by_spinners(void **state)
{
    (void)state;
    play_with(2000, 20);
}

static void *wait_once(void *context)
{
    gate_wait(context, 0);
    return NULL;
}

static void all_who_sleep_are_woken_by_one_opening(void **state)
{
    (void)state;
    enum { SLEEPERS = 6 };
    struct gate gate;
    pthread_t thread[SLEEPERS];
    gate_init(&gate, 0, 0);
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, wait_once, &gate), 0);
    usleep(2000); // most of them sleep by now; the others must not fall asleep after it
    gate_open(&gate);
    for (int i = 0; i < SLEEPERS; i++) pthread_join(thread[i], NULL);
    gate_wait(&gate, 0); // long open
    assert_int_equal(atomic_load(&gate.sleepers), 0);
    gate_release(&gate);
}

int main(void)
{
    alarm(60); // a waiter that nobody wakes
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_taken_in_order_by_sleepers),
        cmocka_unit_test(turns_are_taken_in_order_by_yielders),
        cmocka_unit_test(turns_are_taken_in_order_by_spinners),
        cmocka_unit_test(all_who_sleep_are_woken_by_one_opening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
