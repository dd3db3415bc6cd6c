// SPDX-License-Identifier: Apache-2.0
#include "run_file.h"

#include <stdio.h>
#include <string.h>

const char *exactness_sentence(const char *level)
{
    if (!strcmp(level, "exact"))
        return "exact: the same bits for any number of workers on any processor";
    if (!strcmp(level, "same-workers"))
        return "same-workers: the same bits again with the same processes and workers";
    return "approximate: not what one process would compute, but near it";
}

static enum status apply(const struct options *options, int i, struct run_config *config)
{
    const char *name = options->given[i].row->name, *value = options->given[i].value;
    char assignment[RUN_PATH + 64], origin[64];
    snprintf(origin, sizeof origin, "--%s", name);
    if (!strcmp(name, "set")) return run_config_set(config, value, origin);
    bool workers = !strcmp(name, "workers");
    if (!workers && strcmp(name, "out") != 0) return STATUS_OK;
    int length = snprintf(assignment, sizeof assignment, "%s=%s",
                          workers ? "parallel.workers" : "out", value);
    if (length >= (int)sizeof assignment) FAIL(STATUS_USAGE, "%s: the value is too long", origin);
    return run_config_set(config, assignment, origin);
}

static enum status read_all(const struct options *options, const char *path,
                            struct run_config *config)
{
    TRY(run_config_read(config, path));
    TRY(run_config_environment(config));
    for (int i = 0; i < options->count; i++) TRY(apply(options, i, config));
    return STATUS_OK;
}

enum status run_file_read_among(const struct options *options, const char *path, int64_t replicas,
                                int64_t cores, struct run_config *config_p)
{
    run_config_defaults(config_p);
    config_p->replicas = replicas;
    config_p->cores = cores;
    TRY(read_all(options, path, config_p));
    return run_config_check(config_p);
}

enum status run_file_read_with(const struct options *options, const char *const *setting, int count,
                               const char *origin, struct run_config *config_p)
{
    run_config_defaults(config_p);
    TRY(read_all(options, options->argument[0], config_p));
    for (int i = 0; i < count; i++) TRY(run_config_set(config_p, setting[i], origin));
    return run_config_check(config_p);
}

enum status run_file_read(const struct options *options, const char *path,
                          struct run_config *config_p)
{
    return run_file_read_among(options, path, 0, 0, config_p);
}
