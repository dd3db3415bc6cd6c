// SPDX-License-Identifier: Apache-2.0
// Naive Bayes: the weights of a linear model of texts by one pass of counting (train.optimizer: count).
//
// Workers take micro-batches as they get free and count into one table of whole numbers; no order changes their sums, so any number of
// workers and processes has the same bits. The table lies where the weights will be: each count becomes the logarithm of its share.
// Sources: McCallum and Nigam 1998 (both event models); Manning, Raghavan and Schütze 2008, chapter 13 (smoothing).
#include "base/memory.h"
#include "base/stable_math.h"
#include "train/feed_examples.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(uint32_t) == sizeof(float), "a count lies where its weight will be");

struct counts {
    uint32_t *token;   // [vocabulary, classes] of a class's texts, with presence once a text
    uint32_t *example; // [classes]
    int64_t vocabulary, classes;
};

static void *place_of(const struct trainer *trainer, const char *name)
{
    int i = parameters_find(&trainer->parameters, name);
    INVARIANT(i >= 0, "%s is not there", name);
    return (float *)trainer->weights.data + trainer->parameters.list[i].offset;
}

static struct counts counts_of(const struct trainer *trainer)
{
    return (struct counts){.token = place_of(trainer, "linear.weight"),
                           .example = place_of(trainer, "linear.bias"),
                           .vocabulary = trainer->config.model.vocabulary,
                           .classes = trainer->config.model.classes};
}

// ---- counting ----

static void add_one(uint32_t *count) // NOLINT(readability-non-const-parameter): through an atomic
{
    atomic_fetch_add_explicit((_Atomic uint32_t *)count, 1, memory_order_relaxed);
}

static void count_rows(const struct counts *counts, const struct batch_inputs *in,
                       struct model_sizes sizes)
{
    for (int64_t row = 0; row < sizes.batch; row++) {
        int32_t class = in->labels[row];
        const int32_t *tokens = in->tokens + row * sizes.tokens;
        if (class < 0) continue;
        add_one(&counts->example[class]);
        for (int32_t t = 0; t < in->lengths[row]; t++)
            add_one(&counts->token[tokens[t] * counts->classes + class]);
    }
}

static int64_t batches_before(const struct trainer *trainer, int replica)
{
    return examples_of(trainer)->learned.buckets.micro_batches * replica / trainer->crew.replicas;
}

void worker_count(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    const struct share *share = &examples_of(trainer)->learned;
    const struct counts counts = counts_of(trainer);
    int64_t last = batches_before(trainer, trainer->crew.replica + 1);
    while (!trainer->stop.asked(trainer)) {
        int64_t m = atomic_fetch_add(&trainer->next_group, 1);
        if (m >= last) return;
        const struct batch_inputs *in = &worker->training[share->bucket[m]].inputs;
        fill_rows(trainer, share, m, false, in);
        count_rows(&counts, in, trainer->feed.shape[share->bucket[m]]);
    }
}

static enum status all_counted(struct trainer *trainer)
{
    if (atomic_load(&trainer->next_group) >= batches_before(trainer, trainer->crew.replica + 1))
        return STATUS_OK;
    FAIL(STATUS_INTERRUPTED,
         "stopped while the rows were counted: nothing is written, and the same "
         "command counts from the beginning");
}

enum { CHUNK = 8192 };

// Every process's counts become all processes'.
static enum status add_replicas(struct trainer *trainer)
{
    struct comm *net = trainer->crew.net;
    uint32_t *all = trainer->weights.data, other[CHUNK];
    int64_t elements = trainer->parameters.elements;
    if (!net) return STATUS_OK;
    for (int peer = 1; peer < net->size; peer++)
        for (int64_t i = 0; i < elements; i += CHUNK) {
            int64_t n = elements - i < CHUNK ? elements - i : CHUNK;
            size_t bytes = (size_t)n * sizeof *other;
            if (net->rank == peer) TRY(comm_send(net, all + i, bytes, 0));
            if (net->rank != 0) continue;
            TRY(comm_receive(net, other, bytes, peer));
            for (int64_t j = 0; j < n; j++) all[i + j] += other[j];
        }
    return crew_tell(trainer, all, (size_t)elements * sizeof *all);
}

// ---- from counts to weights ----

struct class
{
    double examples; // a class without any counts as half a one: its logarithm is a number
    double tokens;   // of all its examples
    double bias;
};

static bool is_seen(const struct counts *counts, int64_t token)
{
    const uint32_t *count = counts->token + token * counts->classes;
    for (int64_t c = 0; c < counts->classes; c++)
        if (count[c]) return true;
    return false;
}

static int64_t add_tokens(const struct counts *counts, struct class *class)
{
    int64_t seen = 0;
    for (int64_t token = 0; token < counts->vocabulary; token++) {
        seen += is_seen(counts, token);
        for (int64_t c = 0; c < counts->classes; c++)
            class[c].tokens += (double)counts->token[token * counts->classes + c];
    }
    return seen;
}

// The shares of classes, weighted where the run file asks for it.
static double set_priors(const struct trainer *trainer, const struct counts *counts,
                         struct class *class)
{
    const float *weight = examples_of(trainer)->class_weight;
    double all = 0, examples = 0;
    for (int64_t c = 0; c < counts->classes; c++) {
        class[c].examples = counts->example[c] ? (double)counts->example[c] : 0.5;
        class[c].bias = class[c].examples * (weight && weight[c] > 0 ? (double)weight[c] : 1);
        all += class[c].bias;
        examples += (double)counts->example[c];
    }
    for (int64_t c = 0; c < counts->classes; c++)
        class[c].bias = stable_log(class[c].bias) - stable_log(all);
    return examples;
}

// What a token says for a class. With presence also that a text is without it says something: that goes into the bias.
static double weight_of(const struct run_config *config, double count, double seen,
                        struct class *class)
{
    double more = config->smoothing;
    if (!config->model.presence)
        return stable_log(count + more) - stable_log(class->tokens + more * seen);
    double without = stable_log(class->examples - count + more);
    class->bias += without - stable_log(class->examples + 2 * more);
    return stable_log(count + more) - without;
}

// Tokens that were never seen say nothing of any class: their weights stay 0. Sets the mean of -log p(text, class), which is what
// counting without smoothing makes least.
static double write_weights(const struct trainer *trainer, const struct counts *counts,
                            struct class *class)
{
    float *weight = place_of(trainer, "linear.weight"), *bias = place_of(trainer, "linear.bias");
    double seen = (double)add_tokens(counts, class), sum = 0;
    double examples = set_priors(trainer, counts, class);
    for (int64_t token = 0; token < counts->vocabulary; token++) {
        if (!is_seen(counts, token)) continue;
        for (int64_t c = 0; c < counts->classes; c++) {
            int64_t at = token * counts->classes + c;
            double count = (double)counts->token[at];
            double w = weight_of(&trainer->config, count, seen, &class[c]);
            weight[at] = (float)w;
            sum += count * w;
        }
    }
    for (int64_t c = 0; c < counts->classes; c++) {
        sum += (double)counts->example[c] * class[c].bias;
        bias[c] = (float)class[c].bias;
    }
    return -sum / examples;
}

static enum status settle(struct trainer *trainer, double *loss_p)
{
    struct counts counts = counts_of(trainer);
    struct class *class = NULL;
    TRY(memory_allocate((size_t)counts.classes, sizeof *class, "the classes", &class));
    *loss_p = write_weights(trainer, &counts, class);
    free(class);
    return STATUS_OK;
}

enum status count_step(struct trainer *trainer, struct step_report *report_p)
{
    double start = monotonic_seconds(), loss = 0;
    size_t bytes = (size_t)trainer->parameters.elements * sizeof(float);
    trainer->feed.kind->begin(trainer);
    memset(trainer->weights.data, 0, bytes);
    atomic_store(&trainer->next_group, batches_before(trainer, trainer->crew.replica));
    enum status status = workers_run(trainer, TASK_COUNT);
    if (!status) status = all_counted(trainer);
    status = crew_agree(trainer, status);
    if (!status) status = add_replicas(trainer);
    if (!status) status = settle(trainer, &loss);
    TRY(crew_fail(trainer, status));
    trainer->packed_stale = true;
    trainer->position.step++;
    trainer->position.samples += trainer->config.batch;
    double seconds = monotonic_seconds() - start;
    *report_p = (struct step_report){.step = trainer->position.step,
                                     .loss = loss,
                                     .tokens = examples_of(trainer)->learned.count,
                                     .seconds = seconds,
                                     .compute_seconds = seconds};
    return STATUS_OK;
}
