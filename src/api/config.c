// SPDX-License-Identifier: Apache-2.0
#include "api/config.h"

#include "api/status.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

static enum status check_pointer(const void *pointer, const char *name)
{
    if (!pointer) FAIL(STATUS_USAGE, "%s is NULL", name);
    return STATUS_OK;
}

enum stn_status stn_config_create(struct stn_config **config)
{
    struct stn_config *made;
    api_enter();
    enum status status = check_pointer(config, "config");
    if (status == STATUS_OK) status = memory_allocate(1, sizeof *made, "a configuration", &made);
    if (status) return public_status(status);
    run_config_defaults(&made->run);
    *config = made;
    return STN_OK;
}

void stn_config_destroy(struct stn_config *config) { free(config); }

enum stn_status stn_config_read(struct stn_config *config, const char *path)
{
    api_enter();
    enum status status = check_pointer(config, "config");
    if (status == STATUS_OK) status = check_pointer(path, "path");
    if (status == STATUS_OK) status = run_config_read(&config->run, path);
    return public_status(status);
}

static enum status set(struct stn_config *config, const char *key, const char *value)
{
    char assignment[RUN_PATH + 256];
    TRY(check_pointer(config, "config"));
    TRY(check_pointer(key, "key"));
    TRY(check_pointer(value, "value"));
    int length = snprintf(assignment, sizeof assignment, "%s=%s", key, value);
    if (length >= (int)sizeof assignment)
        FAIL(STATUS_USAGE, "%.*s: the value is too long", CUT(key, 80));
    return run_config_set(&config->run, assignment, "stn_config_set");
}

enum stn_status stn_config_set(struct stn_config *config, const char *key, const char *value)
{
    api_enter();
    return public_status(set(config, key, value));
}

static enum status print(const struct stn_config *config, char **text)
{
    TRY(check_pointer(config, "config"));
    TRY(check_pointer(text, "text"));
    struct run_config resolved = config->run;
    TRY(run_config_check(&resolved));
    return run_config_print(&resolved, text);
}

enum stn_status stn_config_print(const struct stn_config *config, char **text)
{
    api_enter();
    return public_status(print(config, text));
}
