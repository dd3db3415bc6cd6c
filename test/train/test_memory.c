// SPDX-License-Identifier: Apache-2.0
// Memory is known before the first step: the prediction against the growth of resident memory, and what is refused.
#include "base/cpu.h"
#include "replicas.h"
#include "train/internal.h"

#include <math.h>
#include <sys/resource.h>

// Anonymous and file-backed pages of this process that are in memory.
static double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[128];
    double kilobytes = -1;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %lf", &kilobytes) == 1) break;
    if (file) fclose(file);
    return kilobytes * 1024;
}

// These leave the test where it cannot be done.
static void need_plain_memory(void)
{
#ifdef SANITIZED
    print_message("# SKIP a sanitizer maps terabytes, and its own memory would be counted\n");
    skip();
#endif
}
static void need_resident_bytes(void)
{
    need_plain_memory();
    if (resident_bytes() >= 0) return;
    print_message("# SKIP this system has no /proc/self/status\n");
    skip();
}

// Weights of about 25 MB, so that what is not counted to the byte (libraries, tables) is small beside the rest.
static struct run_config large_run(const char *out, int64_t workers)
{
    struct run_config config = small_run(out);
    config.model.layers = 2;
    config.model.heads = 8;
    config.model.width = 512;
    config.model.context = 64;
    config.batch = 8;
    config.micro_batch = 1;
    config.leaves = 4;
    config.parallel.workers = workers;
    return config;
}

static void measure_growth(const struct run_config *config, void *context,
                           struct child_result *result)
{
    (void)context;
    struct trainer *trainer = NULL;
    struct step_report report;
    double before = resident_bytes();
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    for (int i = 0; i < 2 && !status; i++) status = trainer_step(trainer, &report);
    if (!status)
        status = trainer_evaluate(trainer, &result->evaluation, &result->evaluation_tokens);
    if (status) {
        fill_failure(result, status);
        return;
    }
    struct memory_report memory = trainer_memory(trainer);
    result->loss = resident_bytes() - before;
    result->evaluation = (double)memory.total;
    snprintf(result->message, sizeof result->message,
             "weights %zu, optimizer %zu, gradients %zu, activations %zu, data %zu, other %zu",
             memory.weights, memory.optimizer_state, memory.gradients, memory.activations,
             memory.data, memory.other);
}

static void the_prediction_is_what_is_taken(void **state)
{
    (void)state;
    need_resident_bytes();
    for (int workers = 1; workers <= 9; workers++) {
        struct run_config config = large_run("memory", workers < 5 ? workers : 2);
        if (workers == 5) config.parallel.threads = 3;
        // A micro-batch each, so that activations lie in the gradient buffer; at last with a worker that has none.
        if (workers > 5 && workers < 9) {
            config.parallel.workers = workers - 5;
            config.leaves = workers < 8 ? workers - 5 : 2;
            config.micro_batch = 16;
            config.batch = 16 * config.leaves;
        }
        if (workers == 9) {
            config.parallel.workers = 2;
            snprintf(config.freeze, sizeof config.freeze, "*w?e*, *.h.0.*");
        }
        struct child_result result = in_child(NULL, measure_growth, &config, NULL);
        assert_fine(&result);
        double error = result.loss / result.evaluation - 1;
        print_message("# case %d (5: 2 workers of 3 threads, 6 to 8: a micro-batch each, 9: "
                      "half frozen): "
                      "predicted %.2f MB, measured %.2f MB, "
                      "%+.2f %% (%s)\n",
                      workers, result.evaluation / 1e6, result.loss / 1e6, 100 * error,
                      result.message);
        assert_true(result.evaluation > 100e6);
        assert_true(fabs(error) < 0.02);
    }
}

// One of several replicas in this process; the first measures for all.
static void replica_growth(const struct run_config *config, void *context,
                           struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    (void)context;
    double before = resident_bytes();
    enum status status = comm_barrier(own_net);
    if (!status) status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    for (int i = 0; i < 2 && !status; i++) status = trainer_step(trainer, &report);
    if (!status)
        status = trainer_evaluate(trainer, &result->evaluation, &result->evaluation_tokens);
    if (!status) status = comm_barrier(own_net);
    result->loss = resident_bytes() - before;
    if (!status) status = comm_barrier(own_net);
    if (status)
        fill_failure(result, status);
    else
        result->evaluation = (double)trainer_memory(trainer).total;
    trainer_destroy(trainer);
}

static void several_growths(const struct run_config *config, void *context,
                            struct child_result *result)
{
    struct child_result each[MOST_REPLICAS] = {{0}};
    int replicas = *(const int *)context;
    run_replicas(config, replicas, NULL, replica_growth, NULL, each);
    *result = each[0];
    for (int r = 1; r < replicas; r++) {
        if (each[r].status) *result = each[r];
        result->evaluation += each[r].evaluation;
    }
}

// Optimizer state is reserved whole and taken where it is owned: with N replicas an N-th of it each.
static void replicas_take_what_is_predicted(void **state)
{
    (void)state;
    need_resident_bytes();
    static const struct {
        const char *exchange;
        int replicas, workers;
    } row[] = {{"direct", 2, 1}, {"direct", 2, 2}, {"tree", 4, 1},      {"tree", 3, 1},
               {"ring", 2, 2},   {"server", 3, 1}, {"local-sgd", 2, 1}, {"server", 3, -1}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct run_config config = large_run("replicas", abs(row[i].workers));
        int replicas = row[i].replicas;
        if (row[i].workers < 0) config.parallel.staleness = 1;
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", row[i].exchange);
        config.parallel.bucket_mb = 2;
        config.parallel.sync_every = 1;
        struct child_result result = in_child(NULL, several_growths, &config, &replicas);
        assert_fine(&result);
        // What a process takes by itself is predicted for each, and here all are in one.
        result.evaluation -= 2300 * 1024 * (replicas - 1);
        double error = result.loss / result.evaluation - 1;
        print_message("# %s, %d replicas of %d: predicted %.2f MB, measured %.2f MB, %+.2f %%\n",
                      row[i].exchange, replicas, row[i].workers, result.evaluation / 1e6,
                      result.loss / 1e6, 100 * error);
        assert_true(fabs(error) < 0.02);
    }
}

// Pairs of `least` to `most` words each.
static void write_pairs(const char *name, int rows, int least, int most)
{
    struct philox_address at = {5, philox_stream(PHILOX_TEST, 22), 0, 0};
    char path[400];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < rows; i++) {
        int words =
            least + (int)(philox_bits(at, (uint64_t)(i * 256)) % (uint64_t)(most - least + 1));
        for (int side = 0; side < 2; side++)
            for (int w = 0; w < words; w++)
                fprintf(file, "%s%c%d%s", w ? " " : "", side ? 'w' : 'v',
                        (int)(philox_bits(at, (uint64_t)(i * 256 + w + 1)) % 90),
                        w + 1 < words ? ""
                        : side        ? "\n"
                                      : "\t");
    }
    assert_int_equal(fclose(file), 0);
}

static struct run_config writing_run(const char *out, int64_t workers, int64_t threads)
{
    struct run_config config = large_run(out, workers);
    snprintf(config.task, sizeof config.task, "translate");
    snprintf(config.model.type, sizeof config.model.type, "seq2seq");
    snprintf(config.measure, sizeof config.measure, "bleu");
    snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "word");
    snprintf(config.data.train, sizeof config.data.train, "%s/pairs.tsv", test_folder);
    snprintf(config.data.valid, sizeof config.data.valid, "%s/held.tsv", test_folder);
    config.data.valid_fraction = 0;
    config.model.width = 384;
    config.schedule.learning_rate = 1e-6; // what is written does not end early
    config.parallel.threads = threads;
    return config;
}

static void measure_writing(const struct run_config *config, void *context,
                            struct child_result *result)
{
    (void)context;
    struct trainer *trainer = NULL;
    struct step_report report;
    struct evaluation_report evaluation;
    double before = resident_bytes();
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    for (int i = 0; i < 2 && !status; i++) status = trainer_step(trainer, &report);
    if (!status) status = trainer_measure(trainer, &evaluation);
    if (status) {
        fill_failure(result, status);
        return;
    }
    result->loss = resident_bytes() - before;
    result->evaluation = (double)trainer_memory(trainer).total;
    result->evaluation_tokens = (int64_t)trainer->feed.decoding;
}

static void what_evaluations_write_is_predicted(void **state)
{
    (void)state;
    need_resident_bytes();
    static const struct {
        int workers, threads, beam, rows, least;
    } row[] = {{1, 1, 1, 40, 1}, {2, 1, 1, 70, 1}, {3, 1, 1, 40, 1}, {1, 2, 4, 40, 1}};
    write_pairs("pairs.tsv", 60, 1, 24);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct run_config config = writing_run("writing", row[i].workers, row[i].threads);
        config.measure_beam = row[i].beam;
        write_pairs("held.tsv", row[i].rows, row[i].least, 30);
        struct child_result result = in_child(NULL, measure_writing, &config, NULL);
        assert_fine(&result);
        double error = result.loss / result.evaluation - 1;
        print_message("# %d workers of %d, %d beams, %d rows: predicted %.2f MB (writing %.2f MB), "
                      "measured %.2f MB, %+.2f %%\n",
                      row[i].workers, row[i].threads, row[i].beam, row[i].rows,
                      result.evaluation / 1e6, (double)result.evaluation_tokens / 1e6,
                      result.loss / 1e6, 100 * error);
        assert_true(result.evaluation_tokens > 0);
        assert_true(fabs(error) < 0.02);
    }
}

// Blocks of 25 MB lie in pages of 2 MiB, or not.
static void pages_change_no_bit(void **state)
{
    (void)state;
    struct run_config config = large_run("pages", 2);
    config.steps = 2;
    struct child_result huge = in_child(NULL, train_steps, &config, NULL);
    setenv("STENTOR_HUGE_PAGES", "off", 1);
    struct child_result plain = in_child(NULL, train_steps, &config, NULL);
    unsetenv("STENTOR_HUGE_PAGES");
    assert_fine(&huge);
    assert_fine(&plain);
    assert_string_equal(huge.digest, plain.digest);
}

static void kinds_add_up(void **state)
{
    (void)state;
    struct run_config config = large_run("sum", 3);
    struct trainer *trainer = NULL;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    struct memory_report m = trainer_memory(trainer);
    assert_int_equal(m.total, m.weights + m.optimizer_state + m.gradients + m.activations + m.data +
                                  m.packed_weights + m.other);
    assert_true(m.weights >= sizeof(float) * (size_t)trainer_parameters(trainer));
    assert_int_equal(m.optimizer_state, 2 * m.weights);
    assert_int_equal(m.activations, 3 * m.worker_activations);
    // 4 leaves over 3 workers, two micro-batches each: [0, 2) needs 2 buffers, [2, 3) and [3, 4) one each.
    assert_int_equal(m.worker_gradients, 2);
    assert_int_equal(m.gradients, 4 * m.weights);
    trainer_destroy(trainer);
}

// Prepares with `limit` bytes; the message when it is refused.
static enum status prepare_with(struct run_config config, double limit, char message[1024])
{
    struct trainer *trainer = NULL;
    config.parallel.memory_limit = limit;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    size_t blocks = block_total_bytes();
    enum status status = trainer_prepare(trainer, false);
    snprintf(message, 1024, "%s", error_message());
    if (status) assert_int_equal(block_total_bytes(), blocks); // before anything was taken
    error_clear();
    trainer_destroy(trainer);
    return status;
}

// The number behind `key` in an advice, or -1.
static int64_t advised(const char *message, const char *key)
{
    const char *found = strstr(message, key);
    return found ? strtoll(found + strlen(key), NULL, 10) : -1;
}

static void what_does_not_fit_is_refused_with_what_would(void **state)
{
    (void)state;
    char message[1024], again[1024];
    struct run_config config = large_run("refused", 4);
    config.micro_batch = 4;
    config.batch = 32;
    struct trainer *trainer = NULL;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    struct memory_report memory = trainer_memory(trainer);
    trainer_destroy(trainer);
    double enough = (double)(memory.total - memory.data);
    assert_int_equal(prepare_with(config, enough, message), STATUS_OK);
    assert_int_equal(prepare_with(config, enough - 1, message), STATUS_MEMORY);
    assert_non_null(strstr(message, "would take"));

    // Each advice is true: with it the run is prepared; with one less of it, it is not.
    double limit = enough * 0.8;
    assert_int_equal(prepare_with(config, limit, message), STATUS_MEMORY);
    int64_t workers = advised(message, "parallel.workers: "),
            micro = advised(message, "train.micro_batch: ");
    int64_t layers = advised(message, "model.recompute_layers: "),
            leaves = advised(message, "train.leaves: ");
    assert_true(workers > 0 || micro > 0 || layers > 0 || leaves > 0);
    print_message("# %s\n", message);
    for (int kind = 0; kind < 4; kind++) {
        struct run_config changed = config;
        if (kind == 0 && workers > 0)
            changed.parallel.workers = workers;
        else if (kind == 1 && micro > 0)
            changed.micro_batch = micro;
        else if (kind == 2 && layers > 0)
            changed.model.recompute_layers = layers;
        else if (kind == 3 && leaves > 0)
            changed.leaves = leaves;
        else
            continue;
        snprintf(changed.out, sizeof changed.out, "%s/advice%d", test_folder, kind);
        if (prepare_with(changed, limit, again))
            fail_msg("advice %d of \"%s\": %s", kind, message, again);
        if (kind == 0 && workers + 1 < config.parallel.workers) {
            changed.parallel.workers++;
            assert_int_equal(prepare_with(changed, limit, again), STATUS_MEMORY);
        }
    }

    // Nothing helps but a smaller model.
    assert_int_equal(prepare_with(config, 1e6, message), STATUS_MEMORY);
    assert_non_null(strstr(message, "a smaller model"));
}

static void set_and_prepare(const struct run_config *config, double limit, const char *message)
{
    char again[1024];
    if (prepare_with(*config, limit, again)) fail_msg("\"%s\" was followed: %s", message, again);
}

// Does what a refusal advises, as another --set of the same run: each by itself, or all together. Returns how many runs there were.
static int follow(const struct run_config *config, double limit, const char *message)
{
    static const char *const keys[] = {"parallel.workers", "parallel.threads",
                                       "model.recompute_layers", "train.micro_batch",
                                       "train.leaves"};
    const char *advice = strstr(message, "it fits with ");
    bool together = strstr(message, " together") != NULL;
    struct run_config all = *config;
    int runs = 0;
    assert_non_null(advice);
    if (strstr(advice, "a smaller model")) return 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s: ", keys[i]);
        long long value = (long long)advised(advice, text);
        struct run_config one = *config;
        if (value < 0) continue;
        snprintf(text, sizeof text, "%s=%lld", keys[i], value);
        assert_int_equal(run_config_set(&one, text, "--set"), STATUS_OK);
        assert_int_equal(run_config_set(&all, text, "--set"), STATUS_OK);
        if (!together) set_and_prepare(&one, limit, message);
        runs++;
    }
    if (together) set_and_prepare(&all, limit, message);
    return runs;
}

// Settings that the user left open are chosen anew by the run that follows an advice.
static void advice_that_is_followed_fits(void **state)
{
    (void)state;
    char message[1024];
    int followed = 0, together = 0;
    write_pairs("pairs.tsv", 60, 1, 24);
    write_pairs("held.tsv", 40, 1, 30);
    for (int kind = 0; kind < 3; kind++) {
        struct run_config config = kind < 2 ? small_run("followed") : writing_run("followed", 0, 0);
        config.cores = 4;
        config.model.layers = 3;
        config.model.width = 128;
        config.model.context = 64;
        config.batch = 12;
        config.micro_batch = 3;
        config.leaves = 0;
        config.parallel.workers = kind < 2 ? 2 - 2 * kind : 0;
        config.parallel.threads = kind == 1 ? 2 : 0;
        struct trainer *trainer = NULL;
        assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
        struct memory_report memory = trainer_memory(trainer);
        trainer_destroy(trainer);
        for (double part = 0.95; part > 0.4; part -= 0.1) {
            double limit = part * (double)(memory.total - memory.data);
            if (!prepare_with(config, limit, message)) continue;
            if (kind == 2) assert_null(strstr(message, "recompute")); // seq2seq does not read it
            followed += follow(&config, limit, message);
            together += strstr(message, " together") != NULL;
        }
    }
    assert_true(followed > 10 && together > 1);
}

static void limit_and_prepare(const struct run_config *config, void *context,
                              struct child_result *result)
{
    (void)context;
    struct trainer *trainer = NULL;
    enum status status = trainer_create(config, NULL, &trainer);
    struct rlimit limit = {200u << 20, 200u << 20};
    setrlimit(RLIMIT_AS, &limit);
    if (!status) status = trainer_prepare(trainer, false);
    fill_failure(result, status);
}

static void a_process_limit_counts(void **state)
{
    (void)state;
    need_plain_memory();
    struct run_config config = large_run("limited", 4);
    struct child_result result = in_child(NULL, limit_and_prepare, &config, NULL);
    assert_int_equal(result.status, STATUS_MEMORY);
    if (!strstr(result.message, "MB are free")) fail_msg("%s", result.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prediction_is_what_is_taken),
        cmocka_unit_test(replicas_take_what_is_predicted),
        cmocka_unit_test(what_evaluations_write_is_predicted),
        cmocka_unit_test(pages_change_no_bit),
        cmocka_unit_test(kinds_add_up),
        cmocka_unit_test(what_does_not_fit_is_refused_with_what_would),
        cmocka_unit_test(advice_that_is_followed_fits),
        cmocka_unit_test(a_process_limit_counts),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
