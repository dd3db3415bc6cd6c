// SPDX-License-Identifier: Apache-2.0
// Reading run files, the environment and --set; what follows from what, and what must fit together.
#include "train/run.h"

#include "train/run_schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 128 };
extern char **environ;

void run_config_defaults(struct run_config *config)
{
    memset(config, 0, sizeof *config);
    for (int i = 0; i < run_schema_count; i++) {
        const struct run_key *row = &run_schema[i];
        if (row->type == RUN_NUMBER && !*row->start) {
            double unset = RUN_UNSET;
            memcpy((char *)config + row->offset, &unset, sizeof unset);
            continue;
        }
        enum status status = run_key_assign(config, i, row->start, false, "default");
        INVARIANT(status == STATUS_OK, "%s: %s", row->name, error_message());
    }
}

// ---- the run file ----
enum status run_config_read(struct run_config *config, const char *path)
{
    struct run_config work = *config;
    TRY(schema_read(&run_file_schema, path, &work, work.origin));
    snprintf(work.file, sizeof work.file, "%s", path);
    *config = work;
    return STATUS_OK;
}

// ---- --set and the environment ----
static enum status set_value(struct run_config *config, const char *name, const char *value,
                             const char *origin, int mark)
{
    int key = run_key_find(name);
    if (run_section_is(name, strlen(name)))
        FAIL(STATUS_USAGE, "%s: %s is a section; name one of its keys, as train.steps=200", origin,
             name);
    if (key < 0) {
        const char *nearest = run_key_nearest(name);
        FAIL(STATUS_USAGE, "%s: %s: unknown key%s%s%s", origin, name,
             nearest ? "; did you mean " : "; `stentor train --help` lists the keys",
             nearest ? nearest : "", nearest ? "?" : "");
    }
    struct run_config work = *config;
    TRY(run_key_assign(&work, key, value, false, origin));
    work.origin[key] = mark;
    *config = work;
    return STATUS_OK;
}

enum status run_config_set(struct run_config *config, const char *assignment, const char *origin)
{
    const char *equals = strchr(assignment, '=');
    char name[NAME];
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof name)
        FAIL(STATUS_USAGE, "%s: \"%.*s\" is not key=value, such as train.steps=200", origin,
             CUT(assignment, 80));
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    return set_value(config, name, equals + 1, origin, origin[0] == '-' ? RUN_OPTION : RUN_CALL);
}

// "train.learning_rate" -> "STENTOR_TRAIN_LEARNING_RATE"
static void environment_name(const char *key, char name[NAME])
{
    int length = snprintf(name, NAME, "STENTOR_%s", key);
    for (int i = 0; i < length; i++)
        name[i] = name[i] == '.' ? '_' : (char)toupper((unsigned char)name[i]);
}

// A variable that is meant for us (STENTOR_<SECTION>_…) but names no key.
static enum status check_variable(const char *variable)
{
    size_t length = strcspn(variable, "=");
    char name[NAME], key[NAME], prefix[NAME];
    for (size_t i = 0; run_sections[i]; i++) {
        environment_name(run_sections[i], prefix);
        size_t skip = strlen(prefix);
        if (strncmp(variable, prefix, skip) != 0 || variable[skip] != '_') continue;
        for (int k = 0; k < run_schema_count; k++) {
            environment_name(run_schema[k].name, name);
            if (strlen(name) == length && !strncmp(variable, name, length)) return STATUS_OK;
        }
        size_t section = skip - strlen("STENTOR_");
        snprintf(key, sizeof key, "%.*s", (int)(length - strlen("STENTOR_")),
                 variable + strlen("STENTOR_"));
        for (size_t c = 0; key[c]; c++)
            key[c] = c == section ? '.' : (char)tolower((unsigned char)key[c]);
        const char *nearest = run_key_nearest(key);
        if (nearest) environment_name(nearest, name);
        FAIL(STATUS_USAGE, "environment: %.*s: there is no key %s%s%s%s", (int)length, variable,
             key, nearest ? "; did you mean " : "", nearest ? name : "", nearest ? "?" : "");
    }
    return STATUS_OK;
}

enum status run_config_environment(struct run_config *config)
{
    struct run_config work = *config;
    char name[NAME];
    for (int i = 0; i < run_schema_count; i++) {
        environment_name(run_schema[i].name, name);
        const char *value = getenv(name);
        if (value) TRY(set_value(&work, run_schema[i].name, value, name, RUN_ENVIRONMENT));
    }
    for (char **variable = environ; *variable; variable++)
        if (!strncmp(*variable, "STENTOR_", 8)) TRY(check_variable(*variable));
    *config = work;
    return STATUS_OK;
}
