// SPDX-License-Identifier: Apache-2.0
// data.carry: a recurrent model's states go from window to window of their streams, in training and evaluation, the same bits for any
// number of workers, threads and processes, resumed or not.
#include "base/cpu.h"
#include "data/streams.h"
#include "replicas.h"
#include "train/score.h"

#include <math.h>

static struct run_config carried_run(const char *out)
{
    struct run_config config = small_run(out);
    snprintf(config.model.type, sizeof config.model.type, "lstm_lm");
    config.data.carry = true;
    config.model.context = 7;
    config.model.width = 16;
    config.model.hidden = 12;
    config.batch = 12;
    config.micro_batch = 2;
    config.leaves = 4;
    config.steps = 60;
    config.data.valid_fraction = 0.8; // an epoch has less than 60 windows
    return config;
}

static void streams_give_every_target_once(void **state)
{
    (void)state;
    uint16_t ids[103];
    for (int i = 0; i < 103; i++) ids[i] = (uint16_t)i;
    const struct corpus corpus = {.ids16 = ids, .count = 103};
    struct streams streams;
    assert_int_equal(streams_init(&streams, &corpus, 2, 103, 4, 7), STATUS_OK);
    assert_int_equal(streams.length, 25);
    assert_int_equal(streams.windows, 4);
    for (int row = 0; row < 4; row++)
        for (int w = 0; w < 4; w++) {
            int32_t tokens[7], targets[7];
            assert_int_equal(streams_fill(&streams, row, w, tokens, targets), w < 3 ? 7 : 4);
            for (int i = 0; i < 7; i++) {
                bool there = w < 3 || i < 4;
                assert_int_equal(tokens[i], there ? 2 + 25 * row + 7 * w + i : 0);
                assert_int_equal(targets[i], there ? 2 + 25 * row + 7 * w + i + 1 : -1);
            }
        }
    assert_int_equal(streams_init(&streams, &corpus, 0, 5, 5, 7), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "5 ids are too few for 5 streams"));
    error_clear();
}

static void evaluate_fresh(const struct run_config *config, void *context,
                           struct child_result *result)
{
    struct trainer *trainer = NULL;
    (void)context;
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    if (!status)
        status = trainer_evaluate(trainer, &result->evaluation, &result->evaluation_tokens);
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

// Weights that were not trained give a loss that depends on all that was read before: short windows with carried states are as one long
// window; without, they are not.
static void short_windows_are_as_a_long_one(void **state)
{
    (void)state;
    static const char *const rnn[] = {"lstm", "gru", "tanh"};
    for (int kind = 0; kind < 3; kind++) {
        double loss[3];
        for (int i = 0; i < 3; i++) {
            struct run_config config = carried_run("windows");
            config.model.rnn = (enum cell)(CELL_LSTM + kind);
            config.model.init_deviation = 2;
            config.model.context = i == 0 ? 190 : 7;
            config.data.carry = i < 2;
            struct child_result result = in_child(NULL, evaluate_fresh, &config, NULL);
            assert_fine(&result);
            loss[i] = result.evaluation;
            if (i < 2) assert_int_equal(result.evaluation_tokens % 12, 0);
        }
        print_message("# %s: %.7f in windows of 190, %.7f in windows of 7, %.7f without states\n",
                      rnn[kind], loss[0], loss[1], loss[2]);
        assert_true(fabs(loss[1] - loss[0]) < 1e-6 * loss[0]);
        assert_true(fabs(loss[2] - loss[0]) > 1e-4 * loss[0]);
    }
}

// stentor eval --carry reads a text as one stream, like a trainer with one row.
static void one_stream_is_scored_alike(void **state)
{
    (void)state;
    struct run_config config = carried_run("stream");
    struct trainer *trainer = NULL;
    struct loaded_model *model;
    struct score score, apart;
    double loss;
    int64_t tokens;
    config.batch = config.micro_batch = config.leaves = 1;
    config.model.init_deviation = 2;
    config.model.rnn = CELL_GRU;
    snprintf(config.data.valid, sizeof config.data.valid, "%s/valid.txt", test_folder);
    write_text(config.data.valid, 300, 5);
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    assert_int_equal(trainer_evaluate(trainer, &loss, &tokens), STATUS_OK);
    assert_int_equal(trainer_export(trainer, config.out), STATUS_OK);
    trainer_destroy(trainer);
    assert_int_equal(model_directory_load(config.out, &model), STATUS_OK);
    const struct corpus_source source = {.path = config.data.valid, .field = "text"};
    assert_int_equal(score_text(model, &source, 3, 2, true, &score), STATUS_OK);
    assert_int_equal(score_text(model, &source, 3, 2, false, &apart), STATUS_OK);
    loaded_model_destroy(model);
    assert_int_equal(score.tokens, tokens);
    assert_true(fabs(score.loss - loss) < 1e-6 * loss);
    assert_true(fabs(apart.loss - loss) > 1e-4 * loss);
}

static struct child_result expected;

static int train_expected(void **state)
{
    if (make_folder(state)) return 1;
    struct run_config config = carried_run("one");
    expected = in_child(NULL, train_steps, &config, NULL);
    if (expected.status) fprintf(stderr, "%s\n", expected.message);
    return expected.status != STATUS_OK;
}

static void assert_same(const struct child_result *result)
{
    assert_fine(result);
    assert_string_equal(result->digest, expected.digest);
    assert_memory_equal(&result->evaluation, &expected.evaluation, sizeof expected.evaluation);
}

static void any_workers_and_threads(void **state)
{
    (void)state;
    static const char *const balance[] = {"none", "random", "measured"};
    for (int i = 0; i < 9; i++) {
        struct run_config config = carried_run("workers");
        config.parallel.workers = 1 + i % 5;
        config.parallel.threads = 1 + i / 5;
        config.parallel.balance_every = 1;
        config.model.recompute_layers = i % 3;
        snprintf(config.parallel.balance, sizeof config.parallel.balance, "%s", balance[i % 3]);
        struct child_result result =
            in_child(i == 4 ? "generic" : NULL, train_steps, &config, NULL);
        assert_same(&result);
    }
}

// States reach other numbers than zeros, and the epoch's end (less than 60 windows) sets them back.
static void states_count(void **state)
{
    (void)state;
    struct run_config config = carried_run("without");
    config.data.carry = false;
    struct child_result result = in_child(NULL, train_steps, &config, NULL);
    assert_fine(&result);
    assert_string_not_equal(result.digest, expected.digest);
}

static void any_processes(void **state)
{
    (void)state;
    static const char *const exchange[] = {"direct", "tree"};
    for (int i = 0; i < 4; i++) {
        struct run_config config = carried_run("replicas");
        struct child_result result[MOST_REPLICAS] = {{0}};
        int replicas = 2 + i / 2;
        config.parallel.workers = 1 + i % 2;
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", exchange[i % 2]);
        run_replicas(&config, replicas, NULL, replica_steps, NULL, result);
        for (int r = 0; r < replicas; r++) assert_same(&result[r]);
    }
}

// Stops now and then, at odd and even steps, and goes on with other workers, or as several processes.
static void resumed_with_the_same_bits(void **state)
{
    (void)state;
    struct run_config config = carried_run("resumed");
    struct child_result result[MOST_REPLICAS] = {{0}};
    for (int64_t step = 7; step <= 60; step = step < 60 && step + 9 > 60 ? 60 : step + 9) {
        struct portion part = {.stop = step};
        config.parallel.workers = 1 + step % 3;
        if (step % 2)
            run_replicas(&config, 2, NULL, replica_steps, &part, result);
        else
            result[0] = in_child(NULL, train_steps, &config, &part);
        assert_fine(&result[0]);
        assert_int_equal(result[0].step, step);
        if (step == 60) break;
    }
    assert_same(&result[0]);
}

static void assert_refused(const struct run_config *config, const char *words)
{
    struct child_result result = in_child(NULL, evaluate_fresh, config, NULL);
    assert_int_equal(result.status, STATUS_USAGE);
    if (!strstr(result.message, words)) fail_msg("says: %s", result.message);
}

static void what_carries_no_state_is_refused(void **state)
{
    (void)state;
    struct run_config config = carried_run("refused");
    snprintf(config.model.type, sizeof config.model.type, "gpt2");
    assert_refused(&config, "data.carry: gpt2");
    config = carried_run("refused");
    snprintf(config.data.partition, sizeof config.data.partition, "interleaved");
    assert_refused(&config, "data.partition: interleaved");
    config = carried_run("refused");
    config.replicas = 2;
    snprintf(config.parallel.balance, sizeof config.parallel.balance, "measured");
    assert_int_equal(run_config_check(&config), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "parallel.balance: measured"));
    error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_give_every_target_once),
        cmocka_unit_test(short_windows_are_as_a_long_one),
        cmocka_unit_test(one_stream_is_scored_alike),
        cmocka_unit_test(any_workers_and_threads),
        cmocka_unit_test(states_count),
        cmocka_unit_test(any_processes),
        cmocka_unit_test(resumed_with_the_same_bits),
        cmocka_unit_test(what_carries_no_state_is_refused),
    };
    return cmocka_run_group_tests(tests, train_expected, remove_folder);
}
