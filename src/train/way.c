// SPDX-License-Identifier: Apache-2.0
// Which way slices travel in a run, and with what: the run file's words turned into parallel/travel.h's.
#include "parallel/slices.h"
#include "train/internal.h"

#include <string.h>

const char *run_way(const struct run_config *config, const struct crew *crew)
{
    const char *exchange = config->parallel.exchange;
    if (!crew->net) return NULL;
    // By measuring one of the exact ways is taken; until then it is the one that serves any net.
    return strcmp(exchange, "auto") == 0 ? "direct" : exchange;
}

struct travel_setup run_travel(const struct run_config *config, const struct crew *crew,
                               int64_t elements, enum isa isa)
{
    int64_t bucket = (int64_t)(config->parallel.bucket_mb * 1e6 / sizeof(float));
    bool server = strcmp(config->parallel.exchange, "server") == 0;
    bucket = bucket / SLICE_GRAIN * SLICE_GRAIN;
    if (bucket < SLICE_GRAIN) bucket = SLICE_GRAIN;
    return (struct travel_setup){
        .net = crew->net,
        .elements = elements,
        .leaves = (int)config->leaves,
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
    return way ? travel_exactness_of(way, setup.wire) : EXACTNESS_EXACT;
}

const char *trainer_exactness(const struct trainer *trainer)
{
    return exactness_name(run_exactness(&trainer->config, &trainer->crew));
}
