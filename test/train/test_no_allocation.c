// SPDX-License-Identifier: Apache-2.0
// A step allocates nothing: malloc and its kin are counted while steps and evaluations run.
#include "replicas.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/mman.h>

#if defined(SANITIZED) || !defined(__GLIBC__)
static void nothing_is_allocated_in_a_step(void **state)
{
    (void)state;
    print_message("# SKIP allocations cannot be counted under a sanitizer\n");
    skip();
}
#else
static atomic_bool counting;
static atomic_long allocations;

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
static void count(void)
{
    if (atomic_load(&counting)) atomic_fetch_add(&allocations, 1);
}
void *malloc(size_t bytes)
{
    count();
    return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}
void *realloc(void *old, size_t bytes)
{
    count();
    return __libc_realloc(old, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes)
{
    count();
    return __libc_memalign(alignment, bytes);
}
void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    static void *(*next)(void *, size_t, int, int, int, off_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "mmap");
    count();
    return next(address, bytes, protection, flags, file, offset);
}

// As one of several replicas: all stand still while one switches the counter.
static void count_steps(const struct run_config *config, void *context, struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    (void)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    if (!status) status = trainer_step(trainer, &report); // a condition's first wait may allocate
    if (!status) status = comm_barrier(own_net);
    if (own_net->rank == 0) atomic_store(&counting, true);
    if (!status) status = comm_barrier(own_net);
    for (int step = 0; step < 10 && !status; step++) status = trainer_step(trainer, &report);
    if (!status) status = comm_barrier(own_net);
    atomic_store(&counting, false);
    if (!status) status = comm_barrier(own_net);
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

static void nor_is_it_by_several_replicas(void **state)
{
    (void)state;
    static const char *const way[] = {"direct", "tree", "ring", "server", "local-sgd", "server"};
    for (int i = 0; i < 6; i++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = small_run(way[i]);
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", way[i]);
        snprintf(config.parallel.overlap, sizeof config.parallel.overlap, i % 2 ? "on" : "off");
        snprintf(config.parallel.balance, sizeof config.parallel.balance,
                 i < 3 ? "random" : "none");
        config.parallel.bucket_mb = 0.02;
        config.parallel.sync_every = 3;
        config.parallel.check_every = 2;
        config.parallel.workers = 2;
        if (i == 5) { // all meet after every step, or the barrier would come between pushes
            config.parallel.staleness = config.parallel.check_every = 1;
            snprintf(config.parallel.overlap, sizeof config.parallel.overlap, "auto");
        }
        atomic_store(&allocations, 0);
        run_replicas(&config, 3, NULL, count_steps, NULL, result);
        for (int r = 0; r < 3; r++) assert_fine(&result[r]);
        if (atomic_load(&allocations))
            fail_msg("%s: %ld allocations", way[i], atomic_load(&allocations));
    }
}

static void nothing_is_allocated_in_a_step(void **state)
{
    (void)state;
    static const char *const balance[] = {"none", "random", "measured"};
    for (int i = 0; i < 3; i++) {
        struct run_config config = small_run(balance[i]);
        struct trainer *trainer = NULL;
        struct step_report report;
        double loss;
        int64_t tokens;
        config.parallel.workers = 3;
        config.parallel.balance_every = 1;
        snprintf(config.parallel.balance, sizeof config.parallel.balance, "%s", balance[i]);
        assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
        assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
        // The counter counts: creating did allocate.
        atomic_store(&allocations, 0);
        atomic_store(&counting, true);
        void *volatile one = malloc(1); // volatile: or the compiler leaves it out
        free(one);
        assert_true(atomic_exchange(&allocations, 0) >= 1);
        for (int step = 0; step < 10; step++) {
            enum status status = trainer_step(trainer, &report);
            if (status) fail_msg("%s", error_message());
        }
        enum status status = trainer_evaluate(trainer, &loss, &tokens);
        atomic_store(&counting, false);
        assert_int_equal(status, STATUS_OK);
        assert_int_equal(atomic_load(&allocations), 0);
        trainer_destroy(trainer);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_in_a_step),
#if !defined(SANITIZED) && defined(__GLIBC__)
        cmocka_unit_test(nor_is_it_by_several_replicas),
#endif
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
