// SPDX-License-Identifier: Apache-2.0
// Checkpoints: what is saved comes back to the bit; the newest are kept; other runs' and leftovers are told apart.
#include "base/sha256.h"
#include "store/small_checkpoints.h"

#include <sys/wait.h>

// ---- saving and loading ----
static void what_is_saved_comes_back_to_the_bit(void **state)
{
    (void)state;
    save(7, 2);
    memset(loaded.content.weights, 0xff, (size_t)loaded.parameters.elements * sizeof(float));
    assert_loads(7);
    assert_names("latest step-7");
    char *text;
    size_t bytes;
    read_all(scratch_path("checkpoints/latest"), &text, &bytes);
    assert_string_equal(text, "step-7\n");
    free(text);
    read_all(scratch_path("checkpoints/step-7/run.yaml"), &text, &bytes);
    assert_string_equal(text, "task: lm\n");
    free(text);
    assert_int_equal(checkpoint_verify(scratch_path("checkpoints/step-7")), STATUS_OK);
    assert_int_equal(warnings, 0);
}

static void no_folder_and_no_checkpoint_are_no_error(void **state)
{
    (void)state;
    bool found = true;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    assert_false(found);
    found = true;
    assert_int_equal(directory_create(folder()), STATUS_OK);
    put_file(scratch_path("checkpoints/latest"), "step-3\n", 7);
    static const char *const others[] = {
        "step-", "step--1", "step-07", "step-1x", "step-99999999999999999999", "Step-1", "notes"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder(), others[i]);
        assert_int_equal(directory_create(path), STATUS_OK);
    }
    put_file(scratch_path("checkpoints/step-5"), "a file", 6);
    assert_int_equal(symlink("notes", scratch_path("checkpoints/step-6")), 0);
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    assert_false(found);
}

static void optimizers_with_less_state_save_less(void **state)
{
    (void)state;
    float *second = saved.content.state[1], *first = saved.content.state[0];
    float *loaded_first = loaded.content.state[0], *loaded_second = loaded.content.state[1];
    saved.content.state[1] = loaded.content.state[1] = NULL;
    saved.content.run_file = NULL;
    small_fill(&saved.parameters, saved.content.weights, 1);
    small_fill(&saved.parameters, first, 2);
    assert_int_equal(checkpoint_save(folder(), &saved.content, 1, -1), STATUS_OK);
    bool found;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    assert_memory_equal(first, loaded_first, (size_t)saved.parameters.elements * sizeof(float));
    // A run whose optimizer needs more than is there is told so.
    loaded.content.state[1] = loaded_second;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("optimizer.safetensors holds 12 tensors; this model has 24 there"));
    saved.content.state[0] = NULL;
    saved.content.position.step = 1;
    assert_int_equal(checkpoint_save(folder(), &saved.content, 1, -1), STATUS_OK);
    assert_false(file_exists(scratch_path("checkpoints/step-1/optimizer.safetensors")));
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("holds no optimizer state"));
    loaded.content.state[0] = loaded.content.state[1] = NULL;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    loaded.content.state[0] = loaded_first;
    loaded.content.state[1] = loaded_second;
    free(second);
    saved.content.state[0] = first;
}

static void the_newest_are_kept_and_the_protected_one(void **state)
{
    (void)state;
    for (int64_t step = 8; step <= 12; step++) {
        small_run_set(&saved, step);
        assert_int_equal(checkpoint_save(folder(), &saved.content, 2, step >= 9 ? 9 : -1),
                         STATUS_OK);
    }
    assert_names("latest step-11 step-12 step-9");
    assert_loads(12);
    save(13, 0);
    assert_names("latest step-13");
}

static void older_ones_stay_when_a_newer_one_is_there(void **state)
{
    (void)state;
    save(30, 1);
    save(20, 1); // the run went back
    assert_names("latest step-20 step-30");
}

static void a_step_saved_again_is_replaced(void **state)
{
    (void)state;
    save(5, 2);
    small_run_set(&saved, 6);
    saved.content.position.step = 5;
    assert_int_equal(checkpoint_save(folder(), &saved.content, 2, -1), STATUS_OK);
    assert_names("latest step-5");
    bool found;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    loaded.content.position.step = 6;
    assert_true(small_run_is(&loaded, 6));
}

static void digest_of(const char *path, char hex[65])
{
    struct sha256 hash;
    char *data;
    size_t bytes;
    read_all(path, &data, &bytes);
    sha256_start(&hash);
    sha256_add(&hash, data, bytes);
    sha256_finish(&hash, hex);
    free(data);
}

static void tensor_files_depend_on_the_numbers_alone(void **state)
{
    (void)state;
    char first[2][65], second[2][65];
    save(5, 9);
    digest_of(scratch_path("checkpoints/step-5/weights.safetensors"), first[0]);
    digest_of(scratch_path("checkpoints/step-5/optimizer.safetensors"), first[1]);
    saved.content.position.step = 6;
    saved.content.position.seconds = 1e6;
    saved.content.position.best_loss = 0.5;
    saved.content.config_hash++;
    saved.content.run_file = "another: run\n";
    assert_int_equal(checkpoint_save(folder(), &saved.content, 9, -1), STATUS_OK);
    digest_of(scratch_path("checkpoints/step-6/weights.safetensors"), second[0]);
    digest_of(scratch_path("checkpoints/step-6/optimizer.safetensors"), second[1]);
    assert_string_equal(first[0], second[0]);
    assert_string_equal(first[1], second[1]);
    assert_string_not_equal(first[0], first[1]);
}

static void another_runs_checkpoint_is_refused_with_advice(void **state)
{
    (void)state;
    bool found = false;
    save(5, 2);
    loaded.content.config_hash = 0x1234;
    loaded.content.position.step = 77;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "fedcba9876543210 there, 0000000000001234 here"));
    assert_true(error_says("step-5/run.yaml, or train into another `out` folder"));
    assert_int_equal(loaded.content.position.step, 77);
    assert_false(found);
}

static void another_models_checkpoint_is_refused(void **state)
{
    (void)state;
    bool found;
    save(5, 2);
    loaded.parameters.list[4].shape.size[0] = ROWS - 1;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("tensor transformer.h.1.u has another shape"));
    loaded.parameters.list[4].shape.size[0] = ROWS;
    char *name = loaded.parameters.list[4].name;
    loaded.parameters.list[4].name = "transformer.other";
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("has no tensor transformer.other"));
    loaded.parameters.list[4].name = name;
}

// ---- leftovers ----
static void leftovers_of_dead_runs_are_removed_by_the_next_save(void **state)
{
    (void)state;
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    int result;
    assert_int_equal(waitpid(dead, &result, 0), dead);
    char name[64];
    snprintf(name, sizeof name, "checkpoints/.tmp-3-%ld", (long)dead);
    assert_int_equal(directory_create(scratch_path(name)), STATUS_OK);
    snprintf(name, sizeof name, "checkpoints/.tmp-3-%ld/weights.safetensors", (long)dead);
    put_file(scratch_path(name), "torn", 4);
    snprintf(name, sizeof name, "checkpoints/.tmp-4-%ld", (long)getpid());
    assert_int_equal(directory_create(scratch_path(name)), STATUS_OK);
    snprintf(name, sizeof name, "checkpoints/.tmp-5-%ld", (long)getppid());
    assert_int_equal(directory_create(scratch_path(name)), STATUS_OK);
    put_file(scratch_path("checkpoints/latest.tmp-99-1"), "step", 4);
    put_file(scratch_path("checkpoints/.tmp-notes"), "mine", 4);
    save(6, 2);
    char expected[128];
    snprintf(expected, sizeof expected, ".tmp-5-%ld .tmp-notes latest step-6", (long)getppid());
    assert_names(expected);
}

static void an_interrupted_replacement_loses_nothing(void **state)
{
    (void)state;
    save(4, 9);
    save(5, 9);
    assert_int_equal(
        rename(scratch_path("checkpoints/step-5"), scratch_path("checkpoints/.replaced-5")), 0);
    assert_loads(5);
    save(6, 9);
    assert_names("latest step-4 step-5 step-6");
    // Both there: the new one counts, the old one goes with the next save.
    assert_int_equal(
        rename(scratch_path("checkpoints/step-5"), scratch_path("checkpoints/.replaced-6")), 0);
    assert_loads(6);
    assert_int_equal(warnings, 0);
    save(7, 9);
    assert_names("latest step-4 step-6 step-7");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(what_is_saved_comes_back_to_the_bit),
        CASE(no_folder_and_no_checkpoint_are_no_error),
        CASE(optimizers_with_less_state_save_less),
        CASE(the_newest_are_kept_and_the_protected_one),
        CASE(older_ones_stay_when_a_newer_one_is_there),
        CASE(a_step_saved_again_is_replaced),
        CASE(tensor_files_depend_on_the_numbers_alone),
        CASE(another_runs_checkpoint_is_refused_with_advice),
        CASE(another_models_checkpoint_is_refused),
        CASE(leftovers_of_dead_runs_are_removed_by_the_next_save),
        CASE(an_interrupted_replacement_loses_nothing),
    };
    return cmocka_run_group_tests_name("store/checkpoint", tests, NULL, remove_scratch);
}
