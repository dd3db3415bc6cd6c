// SPDX-License-Identifier: Apache-2.0
// What a checkpoint's own run file, which lies in it, says against the run's: why it does not fit, key by key, or was measured otherwise.
#include "base/file.h"
#include "base/log.h"
#include "train/internal.h"
#include "train/run_schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// "run.yaml:3: ", or as much of it as is known.
static const char *place_of(const struct run_config *config, const char *key,
                            char text[RUN_PATH + 32])
{
    run_key_place(config, key, text);
    if (!text[0] && config->file[0]) snprintf(text, RUN_PATH + 32, "%s: ", config->file);
    return text;
}

// Only the first difference names the checkpoint. What does not fit is left out.
static void add_difference(const struct run_config *here, const struct run_config *there, int key,
                           const char *checkpoint, int count, char *text, size_t bytes)
{
    char a[RUN_PATH], b[RUN_PATH], place[RUN_PATH + 32];
    const char *name = run_schema[key].name;
    size_t used = strlen(text);
    run_key_text(here, key, a);
    run_key_text(there, key, b);
    const char *now = a[0] ? a : "nothing", *then = b[0] ? b : "nothing";
    if (count == 0)
        snprintf(text, bytes, "%.*s%s: %.*s, but the checkpoint %.*s was made with %.*s",
                 CUT(place_of(here, name, place), 300), name, CUT(now, 200), CUT(checkpoint, 900),
                 CUT(then, 200));
    else
        snprintf(text + used, bytes - used, "; %s: %.*s, not %.*s", name, CUT(now, 200),
                 CUT(then, 200));
}

static bool differs(const struct run_config *here, const struct run_config *there, int key)
{
    char a[RUN_PATH], b[RUN_PATH];
    run_key_text(here, key, a);
    run_key_text(there, key, b);
    return strcmp(a, b) != 0;
}

// Worked out from other keys: where those are named, this one needs no word.
static bool is_derived(const struct run_config *config, int key)
{
    const char *start = run_schema[key].start;
    return config->origin[key] == RUN_DEFAULT && (!*start || !strcmp(start, "0"));
}

// The keys that differ, as text. Returns how many.
static int list_differences(const struct run_config *here, const struct run_config *there,
                            const char *checkpoint, bool derived, char *text, size_t bytes)
{
    int count = 0;
    text[0] = 0;
    for (int i = 0; i < run_schema_count; i++)
        if (!run_schema[i].may_change && is_derived(here, i) == derived && differs(here, there, i))
            add_difference(here, there, i, checkpoint, count++, text, bytes);
    return count;
}

// No key differs that must not: then it is the text, its columns, or the tokenizer. Keys of data that differ may say why.
static enum status fail_by_text(const struct run_config *here, const struct run_config *there,
                                const char *checkpoint)
{
    char keys[1200] = "", a[RUN_PATH], b[RUN_PATH];
    size_t used = 0;
    for (int i = 0; i < run_schema_count && used < sizeof keys; i++) {
        if (strncmp(run_schema[i].name, "data.", 5) != 0 || !differs(here, there, i)) continue;
        run_key_text(here, i, a), run_key_text(there, i, b);
        used += (size_t)snprintf(keys + used, sizeof keys - used, "; %s is %.*s here and was %.*s",
                                 run_schema[i].name, CUT(a[0] ? a : "nothing", 200),
                                 CUT(b[0] ? b : "nothing", 200));
    }
    FAIL(STATUS_INPUT,
         "the text or its tokenizer is not the one that the checkpoint %s was made with%s%s; give "
         "back the same text and tokenizer, or choose another out",
         checkpoint, keys, keys[0] ? "" : ": no key differs, so a file has changed");
}

enum status resume_explain(const struct run_config *config, const char *checkpoint,
                           enum status status)
{
    static const char key_advice[] = "; set it back, or choose another out",
                      keys_advice[] = "; set them back, or choose another out";
    struct run_config there;
    char path[RUN_PATH * 5], text[3 * RUN_PATH] = "", reason[1024];
    error_copy(reason, sizeof reason);
    error_clear();
    run_config_defaults(&there);
    if (path_join(path, sizeof path, checkpoint, "run.yaml") || run_config_read(&there, path) ||
        run_config_check(&there)) {
        // The manifest's word has to do.
        error_clear();
        FAIL(status, "%s", reason);
    }
    int count = list_differences(config, &there, checkpoint, false, text, sizeof text);
    if (count == 0) count = list_differences(config, &there, checkpoint, true, text, sizeof text);
    if (count == 0) return fail_by_text(config, &there, checkpoint);
    FAIL(STATUS_USAGE, "%s%s", text, count == 1 ? key_advice : keys_advice);
}

void resume_measure(const struct run_config *config, const char *checkpoint,
                    struct run_position *position)
{
    struct run_config there;
    struct schedule_state schedule;
    char path[RUN_PATH * 5], here[RUN_PATH], was[RUN_PATH];
    run_config_defaults(&there);
    if (path_join(path, sizeof path, checkpoint, "run.yaml") || run_config_read(&there, path)) {
        error_clear(); // then nothing says that it was another
        return;
    }
    static const char *const measured_by[] = {"train.measure", "data.valid", "train.eval_windows"};
    int key = -1;
    for (size_t i = 0; i < sizeof measured_by / sizeof *measured_by && key < 0; i++)
        if (differs(config, &there, run_key_find(measured_by[i])))
            key = run_key_find(measured_by[i]);
    if (key < 0) return;
    run_key_text(config, key, here);
    run_key_text(&there, key, was);
    log_info("%s is %.*s and was %.*s: the best weights are looked for anew", run_schema[key].name,
             CUT(here[0] ? here : "nothing", 200), CUT(was[0] ? was : "nothing", 200));
    schedule_start(&schedule);
    position->best_loss = position->scheduled_best = (double)INFINITY;
    position->best_step = position->evaluations_waited = 0;
    position->schedule_best = schedule.best;
    position->schedule_waited = schedule.waited;
}
