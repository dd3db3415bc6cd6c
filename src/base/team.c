// SPDX-License-Identifier: Apache-2.0
#include "base/team.h"

#include "base/affinity.h"
#include "base/cpu.h"
#include "base/gate.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Some 50 microseconds of pauses, then turns given to others. A step of a program lasts 10 to 1,000 microseconds, and waking a
// thread that sleeps about 50.
enum { SPINS = 2000, YIELDS = 20, CACHE_LINE = 64, STACK_BYTES = 512 * 1024 };

const struct part part_whole = {.index = 0, .count = 1, .team = NULL};

struct member {
    struct part part;
    pthread_t thread;
    int core; // -1: not tied
};

// Arrivals are counted; the last one opens the gate at which the others wait.
struct team {
    _Alignas(CACHE_LINE) atomic_int arrived;
    struct gate gate;
    atomic_int threads; // changes only where not all could be started
    // Written by the caller before all meet, read by all after.
    team_function function; // NULL: the end
    void *context;
    struct member *member; // [threads]
};

struct range part_range(const struct part *part, int64_t count, int64_t unit)
{
    int64_t units = (count + unit - 1) / unit;
    int64_t share = units / part->count, larger = units % part->count, i = part->index;
    int64_t first = (i * share + (i < larger ? i : larger)) * unit;
    int64_t last = first + (share + (i < larger)) * unit;
    return (struct range){first < count ? first : count, last < count ? last : count};
}

static void meet(struct team *team)
{
    unsigned round = gate_round(&team->gate);
    if (atomic_fetch_add(&team->arrived, 1) + 1 < atomic_load(&team->threads)) {
        gate_wait(&team->gate, round);
    } else {
        atomic_store(&team->arrived, 0);
        gate_open(&team->gate);
    }
}

void part_meet_others(const struct part *part) { meet(part->team); }

static void *member_main(void *context)
{
    struct member *member = context;
    struct team *team = member->part.team;
    if (member->core >= 0) affinity_tie(member->core);
    cpu_flush_to_zero();
    for (;;) {
        meet(team);
        if (!team->function) return NULL;
        team->function(team->context, &member->part);
        meet(team);
    }
}

// Starts members 1, 2, …; how many there are then, with the error that ended it.
static int start_members(struct team *team, const int *cores, int *started_p)
{
    int threads = atomic_load(&team->threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int error = 0, i = 0;
    for (; i < threads; i++) {
        struct member *member = &team->member[i];
        member->part = (struct part){i, threads, team};
        member->core = cores ? cores[i] : -1;
        if (i > 0) error = pthread_create(&member->thread, &attributes, member_main, member);
        if (error) break;
    }
    pthread_attr_destroy(&attributes);
    *started_p = i;
    return error;
}

// Ends the members 1 … started - 1, which wait for work.
static void end_members(struct team *team, int started)
{
    atomic_store(&team->threads, started); // those that never started are not waited for
    team->function = NULL;
    if (started > 1) meet(team);
    for (int i = 1; i < started; i++) pthread_join(team->member[i].thread, NULL);
}

static void free_team(struct team *team)
{
    gate_release(&team->gate);
    free(team->member);
    free(team);
}

enum status team_create(const struct team_options *options, struct team **team_p)
{
    struct member *member = NULL;
    INVARIANT(options->threads >= 1, "a team of %d threads", options->threads);
    TRY(memory_allocate((size_t)options->threads, sizeof *member, "a team of threads", &member));
    // calloc would align to 16 bytes only.
    struct team *team = aligned_alloc(CACHE_LINE, sizeof *team);
    if (!team) {
        free(member);
        FAIL(STATUS_MEMORY, "not enough memory for a team of threads");
    }
    memset(team, 0, sizeof *team);
    atomic_store(&team->threads, options->threads);
    gate_init(&team->gate, options->crowded ? 0 : SPINS, YIELDS);
    team->member = member;
    int started = 0, error = start_members(team, options->cores, &started);
    if (error) {
        end_members(team, started);
        free_team(team);
        FAIL(STATUS_MEMORY, "thread %d of %d cannot be started: %s", started, options->threads,
             strerror(error));
    }
    *team_p = team;
    return STATUS_OK;
}

void team_destroy(struct team *team)
{
    if (!team) return;
    end_members(team, team_threads(team));
    free_team(team);
}

int team_threads(const struct team *team) { return team ? atomic_load(&team->threads) : 1; }

void team_run(struct team *team, team_function function, void *context)
{
    if (team_threads(team) == 1) {
        function(context, &part_whole);
        return;
    }
    team->function = function;
    team->context = context;
    meet(team);
    function(context, &team->member[0].part);
    meet(team);
}
