// SPDX-License-Identifier: Apache-2.0
// Which way slices travel in a run, and with what: the run file's words turned into parallel/travel.h's.
#include "parallel/slices.h"
#include "train/internal.h"

#include <string.h>

bool run_is_local(const struct run_config *config, const struct crew *crew)
{
    return crew->net && strcmp(config->parallel.exchange, "local-sgd") == 0;
}

bool run_is_stale(const struct run_config *config, const struct crew *crew)
{
    return crew->net && config->parallel.staleness > 0 &&
           strcmp(config->parallel.exchange, "server") == 0;
}

int replicas_that_serve_only(const struct run_config *config, const struct crew *crew)
{
    bool server = strcmp(config->parallel.exchange, "server") == 0;
    return server && crew->net && !config->parallel.servers_compute ? (int)config->parallel.servers
                                                                    : 0;
}

const char *run_way(const struct run_config *config, const struct crew *crew)
{
    const char *exchange = config->parallel.exchange;
    if (!crew->net) return NULL;
    // Of auto until one has been chosen by measuring. Averages travel this way, too.
    if (strcmp(exchange, "auto") == 0 || run_is_local(config, crew)) return "direct";
    return exchange;
}

struct travel_setup run_travel(const struct run_config *config, const struct crew *crew,
                               int64_t elements, enum isa isa)
{
    int64_t bucket = (int64_t)(config->parallel.bucket_mb * 1e6 / sizeof(float));
    bool server = strcmp(config->parallel.exchange, "server") == 0;
    bucket = bucket / SLICE_GRAIN * SLICE_GRAIN;
    if (bucket < SLICE_GRAIN) bucket = SLICE_GRAIN;
    // What a server updates is one piece.
    if (run_is_stale(config, crew))
        bucket = (elements + SLICE_GRAIN - 1) / SLICE_GRAIN * SLICE_GRAIN;
    return (struct travel_setup){
        .net = crew->net,
        .elements = elements,
        // Averages are sums of one array from every replica.
        .leaves = run_is_local(config, crew) ? crew->replicas : (int)config->leaves,
        .isa = isa,
        .bucket = bucket,
        .servers = server ? (int)config->parallel.servers : 0,
        .wire = strcmp(config->parallel.wire, "bf16") == 0 ? WIRE_BF16 : WIRE_FLOAT32,
    };
}

enum exactness run_exactness(const struct run_config *config, const struct crew *crew)
{
    const char *way = run_way(config, crew);
    struct travel_setup setup = run_travel(config, crew, SLICE_GRAIN, ISA_GENERIC);
    if (run_is_local(config, crew) || run_is_stale(config, crew)) return EXACTNESS_APPROXIMATE;
    enum exactness exactness = way ? travel_exactness_of(way, setup.wire) : EXACTNESS_EXACT;
    // Where sums follow the borders between workers, they follow the clock, too.
    bool moves = !strcmp(config->parallel.balance, "measured");
    return moves && exactness == EXACTNESS_SAME_WORKERS ? EXACTNESS_APPROXIMATE : exactness;
}

const char *trainer_exactness(const struct trainer *trainer)
{
    return exactness_name(run_exactness(&trainer->config, &trainer->crew));
}

struct crew_report trainer_crew(const struct trainer *trainer)
{
    const char *asked = trainer->config.parallel.exchange;
    bool chosen = trainer->chosen && strcmp(asked, "auto") == 0;
    return (struct crew_report){
        .replicas = trainer->crew.replicas,
        .workers = trainer->crew.all,
        .exchange = chosen ? trainer->chosen : asked,
        .overlaps = trainer->overlap && overlap_is_on(trainer->overlap),
    };
}
