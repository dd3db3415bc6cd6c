// SPDX-License-Identifier: Apache-2.0
// A folder of small checkpoints, what is said about it, and its damage: for the tests of checkpoints.
#ifndef STN_TEST_STORE_SMALL_CHECKPOINTS_H
#define STN_TEST_STORE_SMALL_CHECKPOINTS_H

#include "base/log.h"
#include "base/philox.h"
#include "scratch.h"
#include "store/small_content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PARAMETERS = 12, ROWS = 120 };

static char last_warning[4096];
static int warnings;

static inline void hear(void *context, enum log_level level, const char *line)
{
    (void)context;
    if (level != LOG_WARNING) return;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", line);
}

static struct small_run saved, loaded;

static inline const char *folder(void) { return scratch_path("checkpoints"); }

static inline int start(void **state)
{
    (void)state;
    error_clear();
    log_set_sink(hear, NULL);
    warnings = 0;
    last_warning[0] = 0;
    small_run_init(&saved, PARAMETERS, ROWS);
    small_run_init(&loaded, PARAMETERS, ROWS);
    return directory_remove(folder()) != STATUS_OK;
}

static inline int stop(void **state)
{
    (void)state;
    small_run_release(&saved);
    small_run_release(&loaded);
    log_set_sink(NULL, NULL);
    return 0;
}

static inline int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

static inline void save(int64_t step, int keep)
{
    small_run_set(&saved, step);
    enum status status = checkpoint_save(folder(), &saved.content, keep, -1);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
}

static inline void assert_loads(int64_t step)
{
    bool found = false;
    enum status status = checkpoint_load_newest(folder(), &loaded.content, &found);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    assert_true(found);
    assert_true(small_run_is(&loaded, step));
}

static inline void read_all(const char *path, char **data_p, size_t *bytes_p)
{
    assert_int_equal(file_read(path, 1 << 28, data_p, bytes_p), STATUS_OK);
}

static inline void assert_names(const char *expected)
{
    char **names, text[1024] = "";
    int count;
    assert_int_equal(directory_list(folder(), &names, &count), STATUS_OK);
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", names[i]);
    names_free(names, count);
    assert_string_equal(text, expected);
}

// ---- damage ----
static const char *const files[] = {"weights.safetensors", "optimizer.safetensors", "run.yaml",
                                    "manifest.json"};
enum { FILES = 4 };

static inline const char *file_path(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "checkpoints/step-2/%s", name);
    return scratch_path(path);
}

// Loads after damage to step-2: step-1 must come, with a warning that names the file.
static inline void assert_damage_is_found(const char *file)
{
    warnings = 0;
    assert_loads(1);
    assert_int_equal(warnings, 1);
    if (!strstr(last_warning, file) || !strstr(last_warning, "step-2"))
        fail_msg("%s: %s", file, last_warning);
}

static struct philox_address test_address = {.seed = 4711, .stream = (uint32_t)PHILOX_TEST << 24};
static inline uint32_t draw(uint32_t below)
{
    static uint64_t element;
    return (uint32_t)((uint64_t)philox_bits(test_address, element++) * below >> 32);
}

// In the data of a tensor file the warning names the tensor.
#endif
