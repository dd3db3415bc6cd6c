// SPDX-License-Identifier: Apache-2.0
#include "api/status.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

const char *stn_version(void) { return STENTOR_VERSION; }
const char *stn_error(void) { return error_message(); }
void stn_free(void *text) { free(text); }

static pthread_once_t quiet_once = PTHREAD_ONCE_INIT;
// A library is silent about what goes well, until it is asked.
static void quiet(void) { log_set_level(LOG_WARNING); }

void stn_set_verbosity(int level)
{
    pthread_once(&quiet_once, quiet);
    log_set_level(level <= 0 ? LOG_QUIET : level == 1 ? LOG_WARNING : LOG_INFO);
}

void api_enter(void)
{
    pthread_once(&quiet_once, quiet);
    error_clear();
}

enum stn_status public_status(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return STN_OK;
    case STATUS_USAGE:
        return STN_USAGE;
    case STATUS_INPUT:
        return STN_INPUT;
    case STATUS_MEMORY:
        return STN_MEMORY;
    case STATUS_DISK:
        return STN_DISK;
    case STATUS_PEER:
        return STN_PEER;
    case STATUS_INTERRUPTED:
        return STN_INTERRUPTED;
    case STATUS_SHAPE:
    case STATUS_UNSUPPORTED:
    case STATUS_DIVERGED:
        return STN_FAILED;
    }
    return STN_FAILED;
}
