// SPDX-License-Identifier: Apache-2.0
// Optimizer state lies with its owners; checkpoints and digests want it in one order. Replica 0 asks for it piece by piece, so it
// needs no more memory than anybody; the others answer until they are told that it is done.
#include "base/sha256.h"
#include "train/internal.h"

#include <stdlib.h>
#include <string.h>

enum order { ORDER_GET, ORDER_PUT, ORDER_COMMIT, ORDER_END };

// What replica 0 asks of another: elements [first, first + n) of a state, to be sent or to come.
struct request {
    int64_t order, state, first, n;
};

struct asking {
    struct trainer *trainer;
    float *piece; // [CHECKPOINT_PIECE]
};

static float *state_of(const struct trainer *trainer, int64_t state)
{
    return state < trainer->states ? trainer->state[state].data : trainer->outer.data;
}

// Whose states are whole everywhere in a run whose replicas update for themselves; what they make of averages is shared out.
bool state_is_shared(const struct trainer *trainer, int state)
{
    return trainer->travel && (!trainer->local || state == trainer->states);
}

// ---- replica 0 ----
static enum status move(const struct asking *asking, enum order order, int owner,
                        const struct request *request, float *data)
{
    struct comm *net = asking->trainer->crew.net;
    struct request asked = *request;
    size_t bytes = (size_t)request->n * sizeof *data;
    asked.order = (int64_t)order;
    if (owner == 0) {
        float *own = state_of(asking->trainer, request->state) + request->first;
        memcpy(order == ORDER_GET ? data : own, order == ORDER_GET ? own : data, bytes);
        return STATUS_OK;
    }
    TRY(comm_send(net, &asked, sizeof asked, owner));
    return order == ORDER_GET ? comm_receive(net, data, bytes, owner)
                              : comm_send(net, data, bytes, owner);
}

// Brings elements [first, first + n) of a state to `data`, or takes them from there, to and from whoever owns them.
static enum status move_all(const struct asking *asking, enum order order, int state, int64_t first,
                            int64_t n, float *data)
{
    const struct travel *travel = asking->trainer->travel;
    for (int b = 0; b < travel_buckets(travel); b++) {
        int64_t from, to;
        travel_bucket(travel, b, &from, &to);
        if (from >= first + n || to <= first) continue;
        for (int r = 0; r < asking->trainer->crew.replicas; r++) {
            travel_owned(travel, b, r, &from, &to);
            if (from < first) from = first;
            if (to > first + n) to = first + n;
            if (from >= to) continue;
            const struct request request = {.state = state, .first = from, .n = to - from};
            TRY(move(asking, order, r, &request, data + (from - first)));
        }
    }
    return STATUS_OK;
}

static enum status get_piece(void *context, int state, int64_t first, int64_t n,
                             const float **data_p)
{
    const struct asking *asking = context;
    TRY(move_all(asking, ORDER_GET, state, first, n, asking->piece));
    *data_p = asking->piece;
    return STATUS_OK;
}

static enum status put_piece(void *context, int state, int64_t first, int64_t n, const float *data)
{
    const struct asking *asking = context;
    memcpy(asking->piece, data, (size_t)n * sizeof *data);
    return move_all(asking, ORDER_PUT, state, first, n, asking->piece);
}

static enum status tell_all(const struct trainer *trainer, enum order order)
{
    const struct request request = {.order = (int64_t)order};
    for (int r = 1; r < trainer->crew.replicas; r++)
        TRY(comm_send(trainer->crew.net, &request, sizeof request, r));
    return STATUS_OK;
}

// All are there, and agree that this state of the run is to stay.
static enum status commit(void *context)
{
    const struct asking *asking = context;
    TRY(tell_all(asking->trainer, ORDER_COMMIT));
    return comm_barrier(asking->trainer->crew.net);
}

// ---- the others ----
static enum status answer(const struct trainer *trainer)
{
    struct comm *net = trainer->crew.net;
    for (;;) {
        struct request request;
        TRY(comm_receive(net, &request, sizeof request, 0));
        if (request.order == ORDER_END) return STATUS_OK;
        if (request.order == ORDER_COMMIT) {
            TRY(comm_barrier(net));
            continue;
        }
        float *data = state_of(trainer, request.state) + request.first;
        size_t bytes = (size_t)request.n * sizeof *data;
        if (request.order == ORDER_GET)
            TRY(comm_send(net, data, bytes, 0));
        else
            TRY(comm_receive(net, data, bytes, 0));
    }
}

// ---- together ----
enum status state_collect(struct trainer *trainer, state_work work, void *context)
{
    struct asking asking = {.trainer = trainer};
    const struct checkpoint_stream stream = {&asking, get_piece, put_piece, commit};
    if (!trainer->crew.net) return work(trainer, NULL, context);
    TRY(serve_meet(trainer));
    if (!crew_speaks(trainer)) return crew_agree(trainer, answer(trainer));
    enum status status =
        memory_allocate(CHECKPOINT_PIECE, sizeof(float), "a piece of a checkpoint", &asking.piece);
    if (!status) status = work(trainer, &stream, context);
    // Told also when it failed. Whoever cannot be told finds out in crew_agree.
    enum status told = tell_all(trainer, ORDER_END);
    if (!status) status = told;
    free(asking.piece);
    return crew_agree(trainer, status);
}

// ---- the digest ----
static enum status hash_state(struct trainer *trainer, const struct checkpoint_stream *stream,
                              int state, struct sha256 *hash)
{
    const struct parameters *parameters = &trainer->parameters;
    for (int i = 0; i < parameters->count; i++) {
        int64_t offset = parameters->list[i].offset, count = parameters->list[i].count;
        for (int64_t first = 0; first < count; first += CHECKPOINT_PIECE) {
            int64_t n = count - first < CHECKPOINT_PIECE ? count - first : CHECKPOINT_PIECE;
            const float *data = state < 0 ? trainer->weights.data : state_of(trainer, state);
            data += offset + first;
            if (state >= 0 && stream && state_is_shared(trainer, state))
                TRY(stream->get(stream->context, state, offset + first, n, &data));
            sha256_add(hash, data, (size_t)n * sizeof *data);
        }
    }
    return STATUS_OK;
}

static enum status take_digest(struct trainer *trainer, const struct checkpoint_stream *stream,
                               void *context)
{
    struct sha256 hash;
    sha256_start(&hash);
    TRY(hash_state(trainer, stream, -1, &hash));
    for (int i = 0; i < trainer->states; i++) TRY(hash_state(trainer, stream, i, &hash));
    sha256_finish(&hash, context);
    return STATUS_OK;
}

enum status trainer_digest(struct trainer *trainer, char digest[65])
{
    char text[65] = "";
    enum status status = state_collect(trainer, take_digest, text);
    if (!status) status = crew_tell(trainer, text, sizeof text);
    TRY(crew_fail(trainer, status));
    memcpy(digest, text, sizeof text);
    return STATUS_OK;
}
