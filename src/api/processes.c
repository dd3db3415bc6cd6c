// SPDX-License-Identifier: Apache-2.0
#include "api/processes.h"

#include "api/status.h"
#include "comm/identity.h"

static struct comm *net;
static bool joined, taken;

struct comm *api_net(void) { return net; }

enum status api_net_take(struct comm **net_p)
{
    if (net && taken)
        FAIL(STATUS_USAGE,
             "the processes share one trainer at a time; destroy the other one before");
    taken = net != NULL;
    *net_p = net;
    return STATUS_OK;
}

void api_net_give_back(void) { taken = false; }

static enum status join(int *process, int *processes)
{
    struct identity identity;
    if (joined) FAIL(STATUS_USAGE, "stn_join has been called before; once is enough");
    TRY(identity_find(&identity));
    TRY(identity_join(&identity, &net));
    joined = true;
    if (process) *process = net ? net->rank : 0;
    if (processes) *processes = net ? net->size : 1;
    return STATUS_OK;
}

enum stn_status stn_join(int *process, int *processes)
{
    api_enter();
    return public_status(join(process, processes));
}

void stn_leave(void)
{
    if (net) comm_destroy(&net, 1);
    net = NULL;
}
