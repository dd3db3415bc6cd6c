// SPDX-License-Identifier: Apache-2.0
// Parameter servers: without staleness the bits of a synchronous run, with it never more than the bound under delays by chance, and
// the minimum of a quadratic is found; whoever gives up ends all.
#include "base/philox.h"
#include "parallel/asynchronous.h"
#include "parallel/batch_tree.h"
#include "parallel/slices.h"

#include <math.h>
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

enum { ELEMENTS = 3 * SLICE_GRAIN + 77, MOST_REPLICAS = 6 };

// A leaf's loss is half the squared distance to its own point; the minimum of their sum is the mean of the points.
static float point(int leaf, int64_t i) { return (float)((leaf * 31 + i * 7) % 23) - 11 + 0.37f; }

static void node_sum(int leaves, int level, int index, const float *w, float *sum)
{
    if (level == 0) {
        for (int64_t i = 0; i < ELEMENTS; i++) sum[i] = w[i] - point(index, i);
        return;
    }
    node_sum(leaves, level - 1, 2 * index, w, sum);
    if ((2 * index + 1) << (level - 1) >= leaves) return;
    float *other = malloc(ELEMENTS * sizeof *other);
    node_sum(leaves, level - 1, 2 * index + 1, w, other);
    for (int64_t i = 0; i < ELEMENTS; i++) sum[i] += other[i];
    free(other);
}

struct job {
    int replicas, leaves, servers, staleness, steps, border[MOST_REPLICAS + 1];
    bool servers_compute;
    float rate;
    int slow;    // a replica that takes 1.5 ms a step, -1: none
    bool chance; // all take up to 0.3 ms by chance
    int quitter; // gives up in the middle, -1: nobody
    struct comm *comm[MOST_REPLICAS];
    atomic_llong clock[MOST_REPLICAS]; // pushes that a worker has begun
    // out
    enum status status[MOST_REPLICAS], worker_status[MOST_REPLICAS];
    float *weights[MOST_REPLICAS];
    int64_t ahead[MOST_REPLICAS];
    atomic_int too_far;
};
struct replica {
    struct job *job;
    int rank;
    struct asynchronous *asynchronous;
};

static void apply(void *context, const struct push *push)
{
    const struct job *job = context;
    // What gradients of other clocks did, the falling rate lets go of.
    float rate = job->rate;
    for (int64_t c = 60; c < push->clock; c++) rate *= 0.96f;
    for (int64_t i = 0; i < push->last - push->first; i++)
        push->weights[i] = fmaf(-rate, push->gradient[i], push->weights[i]);
    // A token for each leaf.
    const int *border = job->border;
    double tokens =
        push->worker < 0 ? job->leaves : border[push->worker + 1] - border[push->worker];
    if (push->tokens != tokens) abort();
}

static void dawdle(const struct job *job, int rank, int64_t clock)
{
    long us = 0;
    struct philox_address at = {29, philox_stream(PHILOX_TEST, 12), (uint32_t)clock,
                                (uint32_t)rank};
    if (job->chance) us = (long)(philox_bits(at, 0) % 300);
    if (rank == job->slow) us = 1500;
    if (us) nanosleep(&(struct timespec){0, 1000 * us}, NULL);
}

static enum status work(const struct replica *replica)
{
    struct job *job = replica->job;
    int rank = replica->rank, first = job->border[rank], last = job->border[rank + 1];
    struct node node[MAX_NODES];
    float *buffer[MAX_NODES] = {0}, *w = job->weights[rank];
    int nodes = run_nodes(first, last, node);
    for (int i = 0; i < nodes; i++) buffer[i] = malloc(ELEMENTS * sizeof(float));
    enum status status = asynchronous_step(replica->asynchronous, NULL, w);
    for (int64_t clock = 0; clock < job->steps && !status; clock++) {
        for (int r = 0; r < job->replicas; r++)
            if ((r >= job->servers || job->servers_compute) &&
                atomic_load(&job->clock[r]) < clock - job->staleness)
                atomic_fetch_add(&job->too_far, 1);
        for (int i = 0; i < nodes; i++)
            node_sum(job->leaves, node[i].level, node[i].index, w, buffer[i]);
        dawdle(job, rank, clock);
        if (rank == job->quitter && clock == job->steps / 2) {
            comm_abandon(job->comm[rank]);
            status = STATUS_INPUT;
            break;
        }
        atomic_store(&job->clock[rank], clock + 1);
        const struct pushed pushed = {(const float *const *)buffer, last - first, 0, 1};
        status = (clock + 1 < job->steps ? asynchronous_step
                                         : asynchronous_finish)(replica->asynchronous, &pushed, w);
    }
    for (int i = 0; i < nodes; i++) free(buffer[i]);
    return status;
}

static void *run_worker(void *context)
{
    struct replica *replica = context;
    cpu_flush_to_zero();
    replica->job->worker_status[replica->rank] = work(replica);
    error_clear();
    return NULL;
}

static void *run_replica(void *context)
{
    struct replica *replica = context;
    struct job *job = replica->job;
    int rank = replica->rank;
    pthread_t thread;
    float *initial = calloc(ELEMENTS, sizeof *initial);
    cpu_flush_to_zero();
    const struct asynchronous_setup setup = {.net = job->comm[rank],
                                             .elements = ELEMENTS,
                                             .leaves = job->leaves,
                                             .border = job->border,
                                             .isa = ISA_GENERIC,
                                             .servers = job->servers,
                                             .servers_compute = job->servers_compute,
                                             .staleness = job->staleness,
                                             .weights = initial,
                                             .update = apply,
                                             .context = job};
    if (asynchronous_create(&setup, &replica->asynchronous)) abort();
    bool server = asynchronous_is_server(replica->asynchronous);
    bool worker = asynchronous_is_worker(replica->asynchronous);
    if (server && worker && pthread_create(&thread, NULL, run_worker, replica)) abort();
    if (server) {
        job->status[rank] = asynchronous_serve(replica->asynchronous);
        job->ahead[rank] = asynchronous_ahead(replica->asynchronous);
    }
    if (server && worker) pthread_join(thread, NULL);
    if (!server) run_worker(replica);
    asynchronous_destroy(replica->asynchronous);
    free(initial);
    error_clear();
    return NULL;
}

static void run(struct job *job)
{
    pthread_t thread[MOST_REPLICAS];
    struct replica replica[MOST_REPLICAS];
    assert_int_equal(comm_create("threads", job->replicas, job->comm), STATUS_OK);
    for (int r = 0; r < job->replicas; r++) {
        replica[r] = (struct replica){.job = job, .rank = r};
        job->weights[r] = calloc(ELEMENTS, sizeof(float));
        assert_int_equal(pthread_create(&thread[r], NULL, run_replica, &replica[r]), 0);
    }
    for (int r = 0; r < job->replicas; r++) pthread_join(thread[r], NULL);
    comm_destroy(job->comm, job->replicas);
}

static void release(struct job *job)
{
    for (int r = 0; r < job->replicas; r++) free(job->weights[r]);
}

static struct job prepare(int replicas, int servers, bool compute, int staleness, int steps)
{
    struct job job = {.replicas = replicas,
                      .leaves = 11,
                      .servers = servers,
                      .servers_compute = compute,
                      .staleness = staleness,
                      .steps = steps,
                      .rate = 0.15f / 11,
                      .slow = -1,
                      .quitter = -1};
    // Leaves of those that compute.
    int border[MOST_REPLICAS + 1], from = compute ? 0 : servers;
    borders_equal(job.leaves, replicas - from, border);
    for (int r = from; r <= replicas; r++) job.border[r] = border[r - from];
    return job;
}

// ---- one session after the other, the net used for something else between them; and a wish to end ----
struct sessions {
    int replicas, servers, wisher;
    bool compute;
    struct comm *comm[MOST_REPLICAS];
    int64_t until[MOST_REPLICAS];
    atomic_int wrong;
};
struct member {
    struct sessions *sessions;
    int rank;
    struct asynchronous *asynchronous;
};
static atomic_int wisher; // rank + 1
static _Thread_local int own_rank;

static bool wishes(void *context)
{
    (void)context;
    return atomic_load(&wisher) == own_rank + 1;
}

static void ignore(void *context, const struct push *push) { (void)context, (void)push; }

static void *serve_sessions(void *context)
{
    struct member *member = context;
    own_rank = member->rank;
    if (asynchronous_serve(member->asynchronous)) atomic_fetch_add(&member->sessions->wrong, 1);
    return NULL;
}

// 5 steps, or as many as are named.
static int64_t take_steps(struct member *member, int session, float *w)
{
    struct asynchronous *a = member->asynchronous;
    const float *node[1] = {w};
    const struct pushed pushed = {node, 2, 3, 1};
    struct tally tally;
    int64_t clock = 0, most = session < 3 ? 5 : 1000;
    enum status status = STATUS_OK;
    while (!status && clock < most &&
           (asynchronous_until(a) < 0 || asynchronous_until(a) > clock)) {
        if (session == 3 && clock == 9 && member->rank == member->sessions->wisher)
            atomic_store(&wisher, member->rank + 1);
        status = asynchronous_is_worker(a) ? asynchronous_step(a, &pushed, w)
                                           : asynchronous_serve_clock(a, clock, &tally);
        int pushers = member->sessions->replicas - member->sessions->servers;
        if (!status && !asynchronous_is_worker(a) &&
            (tally.tokens != 2 * pushers || tally.loss != 3 * pushers))
            atomic_fetch_add(&member->sessions->wrong, 1);
        clock++;
    }
    if (!status && asynchronous_is_worker(a)) status = asynchronous_finish(a, NULL, w);
    if (!status && !asynchronous_is_worker(a)) status = asynchronous_serve(a);
    if (status) atomic_fetch_add(&member->sessions->wrong, 1);
    return clock;
}

static void *run_member(void *context)
{
    struct member *member = context;
    struct sessions *s = member->sessions;
    int border[MOST_REPLICAS + 1], idle = s->compute ? 0 : s->servers;
    int32_t all[MOST_REPLICAS], own = member->rank;
    float *w = calloc(ELEMENTS, sizeof *w);
    own_rank = member->rank;
    for (int r = 0; r <= s->replicas; r++) border[r] = r < idle ? 0 : r - idle;
    const struct asynchronous_setup setup = {.net = s->comm[member->rank],
                                             .elements = ELEMENTS,
                                             .leaves = s->replicas - idle,
                                             .nodes = 1,
                                             .border = border,
                                             .isa = ISA_GENERIC,
                                             .servers = s->servers,
                                             .servers_compute = s->compute,
                                             .staleness = 2,
                                             .weights = w,
                                             .update = ignore,
                                             .stops = wishes};
    if (asynchronous_create(&setup, &member->asynchronous)) abort();
    for (int session = 0; session < 4; session++) {
        pthread_t thread;
        bool both = member->rank < s->servers && s->compute;
        asynchronous_restart(member->asynchronous, w);
        if (both && pthread_create(&thread, NULL, serve_sessions, member)) abort();
        s->until[member->rank] = take_steps(member, session, w);
        if (both) pthread_join(thread, NULL);
        // A server that still listened would take this for a push.
        if (comm_gather(s->comm[member->rank], &own, sizeof own, all))
            atomic_fetch_add(&s->wrong, 1);
        for (int r = 0; r < s->replicas; r++)
            if (all[r] != r) atomic_fetch_add(&s->wrong, 1);
    }
    asynchronous_destroy(member->asynchronous);
    free(w);
    error_clear();
    return NULL;
}

static void sessions_end_together(void **state)
{
    (void)state;
    for (int servers = 1; servers <= 3; servers++)
        for (int compute = 0; compute < 2; compute++)
            for (int who = 0; who < 5; who++) {
                struct sessions s = {
                    .replicas = 5, .servers = servers, .wisher = who, .compute = compute};
                struct member member[MOST_REPLICAS];
                pthread_t thread[MOST_REPLICAS];
                atomic_store(&wisher, 0);
                assert_int_equal(comm_create("threads", 5, s.comm), STATUS_OK);
                for (int r = 0; r < 5; r++) {
                    member[r] = (struct member){.sessions = &s, .rank = r};
                    assert_int_equal(pthread_create(&thread[r], NULL, run_member, &member[r]), 0);
                }
                for (int r = 0; r < 5; r++) pthread_join(thread[r], NULL);
                comm_destroy(s.comm, 5);
                assert_int_equal(atomic_load(&s.wrong), 0);
                assert_in_range(s.until[0], 9, 999);
                for (int r = 0; r < 5; r++) assert_int_equal(s.until[r], s.until[0]);
            }
}

// First replica that has weights of a worker.
static int first_worker(const struct job *job) { return job->servers_compute ? 0 : job->servers; }

static void assert_good(const struct job *job)
{
    assert_int_equal(atomic_load(&job->too_far), 0);
    for (int r = 0; r < job->replicas; r++) {
        assert_int_equal(job->status[r], STATUS_OK);
        assert_int_equal(job->worker_status[r], STATUS_OK);
        if (r >= first_worker(job))
            assert_memory_equal(job->weights[r], job->weights[first_worker(job)],
                                ELEMENTS * sizeof(float));
        assert_true(job->ahead[r] <= job->staleness);
    }
}

static void without_staleness_it_is_the_synchronous_run(void **state)
{
    (void)state;
    float *w = calloc(ELEMENTS, sizeof *w), *sum = calloc(ELEMENTS, sizeof *sum);
    for (int step = 0; step < 12; step++) {
        node_sum(11, 4, 0, w, sum);
        for (int64_t i = 0; i < ELEMENTS; i++) w[i] = fmaf(-0.15f / 11, sum[i], w[i]);
    }
    for (int replicas = 1; replicas <= MOST_REPLICAS; replicas++)
        for (int servers = 1; servers <= replicas && servers <= 4; servers++)
            for (int compute = servers == replicas; compute < 2; compute++) {
                struct job job = prepare(replicas, servers, compute, 0, 12);
                job.chance = true;
                run(&job);
                assert_good(&job);
                assert_memory_equal(job.weights[first_worker(&job)], w, ELEMENTS * sizeof *w);
                release(&job);
            }
    free(w), free(sum);
}

static void the_bound_holds_and_the_minimum_is_found(void **state)
{
    (void)state;
    for (int staleness = 1; staleness <= 4; staleness += 3)
        for (int servers = 1; servers <= 3; servers++)
            for (int compute = 0; compute < 2; compute++)
                for (int slow = -1; slow < 6; slow += 6) {
                    struct job job = prepare(6, servers, compute, staleness, 140);
                    job.chance = true;
                    job.slow = slow;
                    run(&job);
                    assert_good(&job);
                    // Others run ahead of who is slow, as far as they may.
                    if (slow >= 0) assert_int_equal(job.ahead[0], staleness);
                    double worst = 0;
                    for (int64_t i = 0; i < ELEMENTS; i++) {
                        double mean = 0;
                        for (int leaf = 0; leaf < job.leaves; leaf++)
                            mean += (double)point(leaf, i) / job.leaves;
                        worst = fmax(worst, fabs((double)job.weights[5][i] - mean));
                    }
                    // From as far as 11 at the start.
                    assert_true(worst < 0.5);
                    release(&job);
                }
}

static void who_gives_up_ends_all(void **state)
{
    (void)state;
    for (int servers = 1; servers <= 3; servers++)
        for (int compute = 0; compute < 2; compute++)
            for (int quitter = servers; quitter < 5; quitter += 2) {
                struct job job = prepare(5, servers, compute, 2, 30);
                job.quitter = quitter;
                job.chance = true;
                run(&job);
                for (int r = 0; r < 5; r++) {
                    if (r < servers) assert_int_equal(job.status[r], STATUS_PEER);
                    if (r < first_worker(&job)) continue;
                    assert_int_equal(job.worker_status[r],
                                     r == quitter ? STATUS_INPUT : STATUS_PEER);
                }
                release(&job);
            }
}

static void numbers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct comm *comm[2];
    struct asynchronous *asynchronous = NULL;
    const int border[3] = {0, 1, 2};
    assert_int_equal(comm_create("threads", 2, comm), STATUS_OK);
    struct asynchronous_setup setup = {
        .net = comm[0], .elements = 10, .leaves = 2, .border = border, .servers = 2};
    assert_int_equal(asynchronous_create(&setup, &asynchronous), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "do not compute"));
    error_clear();
    setup.servers = 3;
    setup.servers_compute = true;
    assert_int_equal(asynchronous_create(&setup, &asynchronous), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "1 to 2"));
    error_clear();
    comm_destroy(comm, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_staleness_it_is_the_synchronous_run),
        cmocka_unit_test(the_bound_holds_and_the_minimum_is_found),
        cmocka_unit_test(who_gives_up_ends_all),
        cmocka_unit_test(sessions_end_together),
        cmocka_unit_test(numbers_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
