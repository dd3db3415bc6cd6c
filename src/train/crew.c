// SPDX-License-Identifier: Apache-2.0
// How replicas find together: one run file for all, who has how many workers, who shares cores, whether all read the same text.
//
// What decides arithmetic is replica 0's; how much of its machine a replica uses is its own. All numbers are shared, so that
// all come to the same verdict without another message.
#include "base/affinity.h"
#include "base/cpu.h"
#include "base/machine.h"
#include "comm/agree.h"
#include "train/internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

bool crew_speaks(const struct trainer *trainer) { return trainer->crew.replica == 0; }

enum status crew_agree(struct trainer *trainer, enum status status)
{
    struct crew *crew = &trainer->crew;
    if (!crew->net) return status;
    status = comm_agree(crew->net, status);
    // Only a lost peer can come as a surprise to the others.
    if (status && status != STATUS_PEER) crew->agreed = true;
    return status;
}

enum status crew_fail(struct trainer *trainer, enum status status)
{
    struct crew *crew = &trainer->crew;
    if (status && crew->net && !crew->agreed) comm_abandon(crew->net);
    return status;
}

enum status crew_tell(struct trainer *trainer, void *data, size_t bytes)
{
    struct crew *crew = &trainer->crew;
    if (!crew->net) return STATUS_OK;
    crew->offset[0] = 0;
    for (int r = 1; r <= crew->replicas; r++) crew->offset[r] = bytes;
    TRY(comm_share(crew->net, data, crew->offset));
    return STATUS_OK;
}

enum status crew_share_wishes(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    uint64_t *wishes = trainer->agreement.record, own = train_stop_requested(trainer);
    TRY(comm_gather(crew->net, &own, sizeof own, wishes));
    for (int r = 0; r < crew->replicas; r++) crew->stops |= wishes[r] != 0;
    return STATUS_OK;
}

// ---- one run file ----
enum status crew_take_config(struct trainer *trainer)
{
    struct run_config own = trainer->config, *config = &trainer->config;
    uint64_t program = XXH3_64bits(STENTOR_VERSION, sizeof STENTOR_VERSION) ^ sizeof own;
    uint64_t other = program;
    TRY(crew_tell(trainer, &other, sizeof other));
    // Before a struct of another layout is read.
    enum status status = STATUS_OK;
    if (other != program)
        status = error_at(STATUS_USAGE, __FILE__, __LINE__,
                          "another stentor than process 0's runs here (this is %s); install one "
                          "version on all hosts",
                          STENTOR_VERSION);
    TRY(crew_agree(trainer, status));
    TRY(crew_tell(trainer, config, sizeof *config));
    config->parallel.workers = own.parallel.workers;
    config->parallel.threads = own.parallel.threads;
    memcpy(config->parallel.pin, own.parallel.pin, sizeof own.parallel.pin);
    config->parallel.memory_limit = own.parallel.memory_limit;
    config->cores = own.cores;
    config->chosen.workers = own.chosen.workers;
    config->chosen.threads = own.chosen.threads;
    return STATUS_OK;
}

// ---- who is where ----
// What two replicas have alike that may use the same cores of the same host.
static uint64_t place_of(void)
{
    enum { MOST = 4096 };
    int core[MOST];
    int cores = affinity_cores(MOST, core);
    return XXH3_64bits_withSeed(core, (size_t)cores * sizeof *core, machine_hash());
}

// How many replicas share this one's cores, itself counted, and how many of them come before it.
static enum status count_sharers(struct comm *net, int *sharers_p, int *share_p)
{
    uint64_t *place = NULL, own = place_of();
    int sharers = 0, share = 0;
    TRY(memory_allocate((size_t)net->size, sizeof *place, "the processes", &place));
    enum status status = comm_gather(net, &own, sizeof own, place);
    for (int r = 0; r < net->size && !status; r++) {
        sharers += place[r] == own;
        share += place[r] == own && r < net->rank;
    }
    free(place);
    if (status) return status;
    *sharers_p = sharers;
    *share_p = share;
    return STATUS_OK;
}

enum status trainer_cores(struct comm *net, int64_t *cores_p)
{
    int sharers, share;
    TRY(count_sharers(net, &sharers, &share));
    int cores = cpu_cores() / sharers;
    *cores_p = cores < 1 ? 1 : cores;
    return STATUS_OK;
}

struct member {
    uint64_t machine;
    int64_t workers;
};

static enum status count_workers(struct trainer *trainer, struct member *member)
{
    struct crew *crew = &trainer->crew;
    const struct member own = {machine_hash(), trainer->config.parallel.workers};
    TRY(comm_gather(crew->net, &own, sizeof own, member));
    TRY(count_sharers(crew->net, &crew->sharers, &crew->share));
    for (int r = 0; r < crew->replicas; r++) {
        crew->base[r + 1] = crew->base[r] + (int)member[r].workers;
        crew->local += member[r].machine == own.machine;
        crew->neighbour += member[r].machine == own.machine && r < crew->replica;
    }
    return STATUS_OK;
}

enum status crew_check_leaves(const struct run_config *config, const struct crew *crew)
{
    bool stale = run_is_stale(config, crew);
    int computing = crew->replicas - replicas_that_serve_only(config, crew);
    if ((!run_is_local(config, crew) && !stale) || config->leaves >= computing) return STATUS_OK;
    FAIL(STATUS_USAGE,
         "train.leaves: %lld leaves cannot be shared out to %d processes; with %s each needs one "
         "or more",
         (long long)config->leaves, computing, stale ? "parallel.staleness" : "local-sgd");
}

// Dedicated servers compute nothing; somebody must.
enum status crew_check_servers(const struct run_config *config, int replicas, bool *dedicated_p)
{
    *dedicated_p = false;
    if (strcmp(config->parallel.exchange, "server") != 0 || replicas == 1) return STATUS_OK;
    if (config->parallel.servers > replicas)
        FAIL(STATUS_USAGE, "parallel.servers: %lld servers among %d processes; it must be 1 to %d",
             (long long)config->parallel.servers, replicas, replicas);
    if (config->parallel.servers_compute) return STATUS_OK;
    if (config->parallel.servers == replicas)
        FAIL(STATUS_USAGE,
             "parallel.servers: all %d processes serve and none computes; set it to %d or less, or "
             "parallel.servers_compute to true",
             replicas, replicas - 1);
    *dedicated_p = true;
    return STATUS_OK;
}

enum status crew_join(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    struct member *member = NULL;
    size_t replicas = (size_t)crew->replicas;
    crew->base = arena_take(trainer->tables, (replicas + 1) * sizeof *crew->base);
    if (!crew->base)
        return error_at(STATUS_MEMORY, __FILE__, __LINE__,
                        "not enough memory for a table of %d processes", crew->replicas);
    crew->base[1] = trainer->workers;
    crew->sharers = 1;
    crew->local = crew->net ? 0 : 1;
    if (crew->net) {
        TRY(memory_allocate(replicas, sizeof *member, "the processes", &member));
        enum status status = count_workers(trainer, member);
        free(member);
        if (status) return status;
    }
    crew->all = crew->base[crew->replicas];
    crew->first = crew->base[crew->replica];
    bool dedicated;
    TRY(crew_check_servers(&trainer->config, crew->replicas, &dedicated));
    crew->idle = dedicated ? crew->base[trainer->config.parallel.servers] : 0;
    return crew_check_leaves(&trainer->config, crew);
}

// ---- one text ----
enum status crew_same_text(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    const struct tokenizer *tokenizer = trainer->tokenizer;
    uint64_t own[2] = {tokenizer ? tokenizer_hash(tokenizer) : 0, trainer->feed.hash}, first[2];
    if (!crew->net) return STATUS_OK;
    own[1] ^= trainer->feed.held_out_hash * 31;
    memcpy(first, own, sizeof first);
    TRY(crew_tell(trainer, first, sizeof first));
    enum status status = STATUS_OK;
    if (memcmp(first, own, sizeof first) != 0)
        status =
            error_at(STATUS_INPUT, __FILE__, __LINE__,
                     "data.train: %s holds another %s here than for process 0; give all "
                     "processes the same files",
                     trainer->config.data.train, first[0] != own[0] ? "tokenizer's text" : "text");
    return crew_agree(trainer, status);
}
