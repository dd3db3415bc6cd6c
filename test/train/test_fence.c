// SPDX-License-Identifier: Apache-2.0
// Two starts of one run whose lock is lost: the older one writes no checkpoint, no model and no log any more, and says why.
#include "replicas.h"
#include "store/manifest.h"
#include "train/internal.h"

#include <stdatomic.h>

static void path_of(char path[400], const struct run_config *config, const char *name)
{
    snprintf(path, 400, "%.300s/%s", config->out, name);
}

// As where the lock's file is lost: the next start finds nobody.
static void lose_lock(const struct run_config *config)
{
    char path[400];
    path_of(path, config, ".lock");
    assert_int_equal(unlink(path), 0);
}

static struct trainer *start(const struct run_config *config, bool resume)
{
    struct trainer *trainer = NULL;
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, resume);
    if (status) fail_msg("%s", error_message());
    return trainer;
}

static void take_steps(struct trainer *trainer, int count)
{
    struct step_report report;
    for (int i = 0; i < count; i++)
        if (trainer_step(trainer, &report)) fail_msg("%s", error_message());
}

static int64_t term_in(const struct run_config *config, int step)
{
    struct manifest manifest = {0};
    char path[400], name[64];
    snprintf(name, sizeof name, "checkpoints/step-%d", step);
    path_of(path, config, name);
    if (manifest_read(path, &manifest)) fail_msg("%s", error_message());
    int64_t term = manifest.term;
    assert_int_equal(manifest.crew.processes, 1);
    assert_int_equal(manifest.crew.workers, 1);
    assert_string_equal(manifest.crew.exactness, "exact");
    manifest_release(&manifest);
    return term;
}

static bool has(const struct run_config *config, const char *name)
{
    char path[400];
    path_of(path, config, name);
    return directory_exists(path) || file_exists(path);
}

static void assert_fenced(enum status status, const char *word)
{
    assert_int_equal(status, STATUS_USAGE);
    if (!strstr(error_message(), "newer start") || !strstr(error_message(), word))
        fail_msg("%s", error_message());
    error_clear();
}

static void the_older_start_writes_nothing(void **state)
{
    (void)state;
    struct run_config config = small_run("fenced");
    struct trainer *older = start(&config, false);
    char path[400], mine[64];
    take_steps(older, 3);
    assert_int_equal(trainer_save(older), STATUS_OK);
    assert_int_equal(term_in(&config, 3), 1);
    lose_lock(&config);
    struct trainer *newer = start(&config, true);
    assert_int_equal(trainer_position(newer)->step, 3);
    take_steps(older, 2);
    snprintf(mine, sizeof mine, "process %ld", (long)getpid());
    assert_fenced(trainer_save(older), mine);
    assert_false(has(&config, "checkpoints/step-5"));
    assert_false(has(&config, ".term-1"));
    path_of(path, &config, "best");
    assert_fenced(trainer_export(older, path), "term 2");
    assert_false(has(&config, "best"));
    take_steps(newer, 1);
    assert_int_equal(trainer_save(newer), STATUS_OK);
    assert_int_equal(term_in(&config, 4), 2);
    trainer_destroy(older);
    trainer_destroy(newer);
    // A third start is above both, also in a folder that was copied without its terms.
    path_of(path, &config, ".term-2");
    assert_int_equal(unlink(path), 0);
    newer = start(&config, true);
    take_steps(newer, 2);
    assert_int_equal(trainer_save(newer), STATUS_OK);
    assert_int_equal(term_in(&config, 6), 3);
    trainer_destroy(newer);
}

// A run, of one or several replicas, whose folder is taken at step 3.
static void taken_at_three(void *context, const struct step_report *report)
{
    const struct run_config *config = context;
    int64_t term;
    if (report->step != 3 || (own_net && own_net->rank > 0)) return;
    if (folder_claim(config->out, 0, &term) || term != 2) fail_msg("term %lld", (long long)term);
}

static void run_to_the_end(const struct run_config *config, void *context,
                           struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct train_result trained;
    const struct train_observer observer = {.context = (void *)config, .step = taken_at_three};
    (void)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    if (!status) status = train_run(trainer, &observer, &trained);
    if (status) fill_failure(result, status);
    result->step = trainer_position(trainer)->step;
    trainer_destroy(trainer);
}

static void the_run_ends_where_it_would_write(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct child_result result[MOST_REPLICAS];
        char out[32];
        snprintf(out, sizeof out, "taken-%d", i);
        struct run_config config = small_run(out);
        // A checkpoint; a better model; nothing but the end.
        config.save_every = i == 0 ? 5 : 0;
        config.eval_every = i == 1 ? 5 : 0;
        run_replicas(&config, 3, NULL, run_to_the_end, NULL, result);
        for (int r = 0; r < 3; r++) {
            assert_int_equal(result[r].status, STATUS_USAGE);
            assert_non_null(strstr(result[r].message, "newer start"));
            assert_int_equal(result[r].step, i < 2 ? 5 : 20);
        }
        assert_false(has(&config, "checkpoints/step-5") || has(&config, "checkpoints/step-20"));
        assert_false(has(&config, "best") || has(&config, "model.safetensors"));
    }
}

// ---- claims ----
enum { CLAIMS = 40, CLAIMANTS = 6 };
// Numbers may be passed over, and claims come in another order than they were begun.
enum { MOST_TERMS = 100 * CLAIMS * CLAIMANTS };
static atomic_int claimed[MOST_TERMS];

static void *claim(void *out)
{
    for (int i = 0; i < CLAIMS; i++) {
        int64_t term = 0;
        if (folder_claim(out, 0, &term) || term < 1 || term >= MOST_TERMS) continue;
        atomic_fetch_add(&claimed[term], 1);
    }
    return NULL;
}

static void no_two_get_the_same(void **state)
{
    (void)state;
    struct run_config config = small_run("claims");
    pthread_t thread[CLAIMANTS];
    char path[400];
    assert_int_equal(directory_create(config.out), STATUS_OK);
    for (int i = 0; i < CLAIMANTS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, claim, config.out), 0);
    for (int i = 0; i < CLAIMANTS; i++) pthread_join(thread[i], NULL);
    int all = 0, last = 0;
    for (int i = 1; i < MOST_TERMS; i++) {
        assert_in_range(atomic_load(&claimed[i]), 0, 1);
        all += atomic_load(&claimed[i]);
        if (atomic_load(&claimed[i])) last = i;
    }
    assert_int_equal(all, CLAIMS * CLAIMANTS);
    // Names that are nobody's term.
    static const char *const name[] = {".term-",     ".term-0",   ".term-9999999999999999999",
                                       ".term-0999", ".term-99x", ".term--999",
                                       "term-999"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        path_of(path, &config, name[i]);
        assert_int_equal(directory_create(path), STATUS_OK);
    }
    assert_int_equal(folder_fence(config.out, last), STATUS_OK);
    assert_fenced(folder_fence(config.out, last - 1), "newer start");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_older_start_writes_nothing),
        cmocka_unit_test(the_run_ends_where_it_would_write),
        cmocka_unit_test(no_two_get_the_same),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
