// SPDX-License-Identifier: Apache-2.0
// Batch norm in training: running statistics go a tenth of the way to the rows' at every step, by no optimizer, with the same bits for
// any number of workers, threads and processes, resumed or not; they are in checkpoints and in the model's directory.
#include "replicas.h"
#include "train/internal.h"

#include <math.h>

enum { ROWS = 48, FEATURES = 3 };
static double point[ROWS][FEATURES];

static int write_points(void **state)
{
    char path[300];
    if (make_folder(state)) return 1;
    snprintf(path, sizeof path, "%s/points.csv", test_folder);
    FILE *file = fopen(path, "w");
    struct philox_address at = {3, philox_stream(PHILOX_TEST, 11), 0, 0};
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < FEATURES; j++) {
            point[i][j] = (double)(float)(3 * philox_uniform(at, (uint64_t)(i * FEATURES + j)) + j);
            fprintf(file, "%.9g,", point[i][j]);
        }
        fprintf(file, "%.9g\n", point[i][0] - point[i][2]);
    }
    return fclose(file) != 0;
}

static struct run_config norm_run(const char *out)
{
    struct run_config config = small_run(out);
    snprintf(config.task, sizeof config.task, "regress");
    snprintf(config.model.type, sizeof config.model.type, "mlp");
    snprintf(config.data.train, sizeof config.data.train, "%s/points.csv", test_folder);
    snprintf(config.data.features, sizeof config.data.features, "1-3");
    snprintf(config.data.target, sizeof config.data.target, "4");
    config.model.batch_norm = true;
    config.model.hidden = 5;
    config.model.layers = 2;
    config.data.valid_fraction = 0;
    config.dropout = 0;
    config.batch = 16;
    config.micro_batch = 4;
    config.leaves = 4;
    config.steps = 9;
    config.optimizer.weight_decay = 0.5;
    return config;
}

static const float *values_of(const struct trainer *trainer, const char *name)
{
    int i = parameters_find(&trainer->parameters, name);
    if (i < 0) fail_msg("there is no %s", name);
    return (const float *)trainer->weights.data + trainer->parameters.list[i].offset;
}

// One step over all rows, in one micro-batch: by the definition.
static void a_tenth_of_the_way(void **state)
{
    (void)state;
    struct run_config config = norm_run("way");
    struct trainer *trainer = NULL;
    struct step_report report;
    double mean[5] = {0}, variance[5] = {0};
    config.batch = config.micro_batch = ROWS;
    config.leaves = 1;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    const float *w = values_of(trainer, "layers.0.linear.weight");
    static double x[ROWS][5];
    for (int j = 0; j < 5; j++) {
        for (int i = 0; i < ROWS; i++) {
            x[i][j] = 0;
            for (int k = 0; k < FEATURES; k++) x[i][j] += point[i][k] * (double)w[j * FEATURES + k];
            mean[j] += x[i][j] / ROWS;
        }
        for (int i = 0; i < ROWS; i++)
            variance[j] += (x[i][j] - mean[j]) * (x[i][j] - mean[j]) / (ROWS - 1);
        assert_true(values_of(trainer, "layers.0.norm.running_mean")[j] == 0);
        assert_true(values_of(trainer, "layers.0.norm.running_var")[j] == 1);
    }
    assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    for (int j = 0; j < 5; j++) {
        double now = (double)values_of(trainer, "layers.0.norm.running_mean")[j];
        double spread = (double)values_of(trainer, "layers.0.norm.running_var")[j];
        assert_true(fabs(now - 0.1 * mean[j]) < 1e-6 * (1 + fabs(mean[j])));
        assert_true(fabs(spread - (0.9 + 0.1 * variance[j])) < 1e-6 * (1 + variance[j]));
    }
    trainer_destroy(trainer);
}

static struct child_result expected;

static void any_workers(void **state)
{
    (void)state;
    struct run_config one = norm_run("one");
    expected = in_child(NULL, train_steps, &one, NULL);
    assert_fine(&expected);
    for (int i = 0; i < 8; i++) {
        struct run_config config = norm_run("workers");
        config.parallel.workers = 1 + i % 4;
        config.parallel.threads = 1 + i / 4;
        if (i % 2) snprintf(config.parallel.balance, sizeof config.parallel.balance, "random");
        struct child_result result =
            in_child(i == 5 ? "generic" : NULL, train_steps, &config, NULL);
        assert_fine(&result);
        assert_string_equal(result.digest, expected.digest);
    }
}

static void any_processes(void **state)
{
    (void)state;
    static const char *const exchange[] = {"direct", "tree", "server"};
    for (int i = 0; i < 6; i++) {
        struct run_config config = norm_run("replicas");
        struct child_result result[MOST_REPLICAS] = {{0}};
        int replicas = 2 + i % 3;
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", exchange[i / 2]);
        snprintf(config.parallel.overlap, sizeof config.parallel.overlap, i % 2 ? "on" : "off");
        run_replicas(&config, replicas, NULL, replica_steps, NULL, result);
        for (int r = 0; r < replicas; r++) {
            assert_fine(&result[r]);
            assert_string_equal(result[r].digest, expected.digest);
        }
    }
}

static void resumed_and_exported(void **state)
{
    (void)state;
    struct run_config config = norm_run("resumed");
    struct child_result result = {0};
    for (int64_t step = 3; step <= 9; step += 3) {
        struct portion part = {.stop = step};
        config.parallel.workers = 1 + step / 3;
        result = in_child(NULL, train_steps, &config, &part);
        assert_fine(&result);
    }
    assert_string_equal(result.digest, expected.digest);

    struct trainer *trainer = NULL;
    struct loaded_model *model;
    char folder[300];
    config = norm_run("exported");
    snprintf(folder, sizeof folder, "%s/model", test_folder);
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    struct step_report report;
    for (int i = 0; i < 9; i++) assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    assert_int_equal(trainer_export(trainer, folder), STATUS_OK);
    assert_int_equal(model_directory_load(folder, &model), STATUS_OK);
    const char *const name[] = {"layers.0.norm.running_mean", "layers.1.norm.running_var"};
    for (int i = 0; i < 2; i++) {
        int p = parameters_find(&model->parameters, name[i]);
        assert_true(p >= 0);
        const float *there = (const float *)model->weights.data + model->parameters.list[p].offset;
        assert_memory_equal(there, values_of(trainer, name[i]), 5 * sizeof(float));
    }
    loaded_model_destroy(model);
    trainer_destroy(trainer);
}

// Statistics that train.freeze names stay as they are.
static void frozen_statistics_stay(void **state)
{
    (void)state;
    struct run_config config = norm_run("frozen");
    struct trainer *trainer = NULL;
    struct step_report report;
    snprintf(config.freeze, sizeof config.freeze, "layers.0.norm.running_*");
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    for (int j = 0; j < 5; j++) {
        assert_true(values_of(trainer, "layers.0.norm.running_mean")[j] == 0);
        assert_true(values_of(trainer, "layers.0.norm.running_var")[j] == 1);
        assert_true(values_of(trainer, "layers.1.norm.running_var")[j] != 1);
    }
    trainer_destroy(trainer);
}

// Rows of two kinds, the few at the file's start: what fills up micro-batches, and steps at an epoch's end, are rows of both.
static void padding_is_of_all_rows(void **state)
{
    (void)state;
    enum { COUNT = 100, FIRST = 4, FAR = 100 };
    struct run_config config = norm_run("padding");
    struct trainer *trainer = NULL;
    struct step_report report;
    snprintf(config.data.train, sizeof config.data.train, "%s/sorted.csv", test_folder);
    FILE *file = fopen(config.data.train, "w");
    for (int i = 0; i < COUNT; i++) fprintf(file, "%d,0,0,1\n", i < FIRST ? FAR : 0);
    assert_int_equal(fclose(file), 0);
    config.batch = 32;
    config.micro_batch = 4;
    config.leaves = 8;
    config.steps = 80;
    config.schedule.learning_rate = config.schedule.min_learning_rate = 1e-12;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    for (int i = 0; i < config.steps; i++)
        assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    for (int j = 0; j < 5; j++) {
        double mean = FAR * FIRST / (double)COUNT *
                      (double)values_of(trainer, "layers.0.linear.weight")[j * FEATURES];
        double running = (double)values_of(trainer, "layers.0.norm.running_mean")[j];
        if (fabs(running - mean) > fabs(mean) / 2) fail_msg("%d: %g, not %g", j, running, mean);
    }
    trainer_destroy(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenth_of_the_way),     cmocka_unit_test(any_workers),
        cmocka_unit_test(any_processes),          cmocka_unit_test(resumed_and_exported),
        cmocka_unit_test(frozen_statistics_stay), cmocka_unit_test(padding_is_of_all_rows),
    };
    return cmocka_run_group_tests(tests, write_points, remove_folder);
}
