// SPDX-License-Identifier: Apache-2.0
// Fine-tuning: what is frozen, and how fast each parameter learns. Where the weights come from: tuning_start.c.
//
// Layer-wise rates: Howard and Ruder 2018, arXiv:1801.06146, section 3.2; Clark et al. 2020, arXiv:2003.10555, appendix B.
#include "op/op.h"
#include "train/internal.h"
#include "train/run_schema.h"

#include <stdlib.h>
#include <string.h>

enum { HUGE = 2 << 20, SMALL = 4 << 10 }; // bytes of a page

// ---- frozen ----

// Whether `name` has the form of a pattern of `length` bytes: * stands for any characters, ? for one.
static bool has_form(const char *pattern, size_t length, const char *name)
{
    size_t star = SIZE_MAX, p = 0;
    const char *kept = name;
    while (*name) {
        if (p < length && pattern[p] == '*') {
            star = p++;
            kept = name;
        } else if (p < length && (pattern[p] == '?' || pattern[p] == *name)) {
            p++;
            name++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            name = ++kept;
        } else {
            return false;
        }
    }
    while (p < length && pattern[p] == '*') p++;
    return p == length;
}

static enum status fail_by_pattern(const struct run_config *config,
                                   const struct parameters *parameters, const char *pattern,
                                   int length)
{
    char place[RUN_PATH + 32];
    int last = parameters->count - 1, second = last > 1 ? last / 2 : 0;
    FAIL(STATUS_USAGE,
         "%strain.freeze: the pattern \"%.*s\" matches no parameter; the %d names go from %s over "
         "%s to %s (* stands for any characters, ? for one)",
         run_key_place(config, "train.freeze", place), length, pattern, parameters->count,
         parameters->list[0].name, parameters->list[second].name, parameters->list[last].name);
}

enum status tuning_freeze(const struct run_config *config, struct parameters *parameters)
{
    static const char blanks[] = ", \t";
    int learning = 0;
    if (!config->freeze[0]) return STATUS_OK;
    if (!parameters->closed) TRY(model_declare(&config->model, parameters));
    for (const char *at = config->freeze + strspn(config->freeze, blanks); *at;) {
        size_t length = strcspn(at, blanks);
        bool found = false;
        for (int i = 0; i < parameters->count; i++) {
            if (!has_form(at, length, parameters->list[i].name)) continue;
            parameters->list[i].frozen = found = true;
        }
        if (!found) return fail_by_pattern(config, parameters, at, (int)length);
        at += length + strspn(at + length, blanks);
    }
    for (int i = 0; i < parameters->count; i++)
        learning += !parameters->list[i].frozen && !parameters->list[i].running;
    char place[RUN_PATH + 32];
    if (learning == 0)
        FAIL(STATUS_USAGE, "%strain.freeze: \"%.*s\" freezes every parameter; nothing would learn",
             run_key_place(config, "train.freeze", place), CUT(config->freeze, 200));
    return STATUS_OK;
}

size_t tuning_touched(const struct parameters *parameters, int buffers)
{
    // Of a large block memory comes in huge pages (base/memory.h).
    size_t model = (size_t)parameters->elements * sizeof(float), touched = 0, next = 0;
    size_t end = model * (size_t)buffers;
    const size_t page = end >= (size_t)2 * HUGE ? HUGE : SMALL;
    for (int b = 0; b < buffers; b++)
        for (int i = 0; i < parameters->count; i++) {
            const struct parameter *p = &parameters->list[i];
            if (p->frozen) continue;
            size_t first = (size_t)b * model + (size_t)p->offset * sizeof(float);
            size_t last = (first + (size_t)p->count * sizeof(float) + page - 1) / page;
            first /= page;
            if (first < next) first = next;
            if (last <= first) continue;
            touched += (last * page < end ? last * page : end) - first * page;
            next = last;
        }
    return touched;
}

// ---- layers ----

static int number_of(const char *digits, size_t count)
{
    int number = 0;
    for (size_t i = 0; i < count && i < 6; i++) number = 10 * number + (digits[i] - '0');
    return number;
}

// The number of the layer that a parameter belongs to, -1: none. Layers whose names have the first *stack_p bytes in common stand
// on each other: "transformer.h.3.ln_1.bias" is 3 of "transformer.h.", "rnn.weight_hh_l1_reverse" 1 of "rnn.".
static int layer_of(const char *name, size_t *stack_p)
{
    for (const char *part = name; *part;) {
        size_t length = strcspn(part, "."), digits = strspn(part, "0123456789");
        if (length > 0 && digits == length) {
            *stack_p = (size_t)(part - name);
            return number_of(part, digits);
        }
        part += length + (part[length] == '.');
    }
    const char *point = strrchr(name, '.'), *part = point ? point + 1 : name;
    for (const char *at = strstr(part, "_l"); at; at = strstr(at + 1, "_l")) {
        size_t digits = strspn(at + 2, "0123456789");
        const char *rest = at + 2 + digits;
        if (digits == 0 || (*rest && strcmp(rest, "_reverse") != 0)) continue;
        *stack_p = (size_t)(part - name);
        return number_of(at + 2, digits);
    }
    return -1;
}

// How many steps of the ladder parameter i lies below the head: its stack's top layer 1. 0 for what is in no layer.
static int depth_of(const struct parameters *parameters, int i)
{
    size_t stack = 0, other = 0;
    const char *name = parameters->list[i].name;
    int layer = layer_of(name, &stack), top = layer;
    if (layer < 0) return 0;
    for (int j = 0; j < parameters->count; j++) {
        int beside = layer_of(parameters->list[j].name, &other);
        bool same = other == stack && strncmp(name, parameters->list[j].name, stack) == 0;
        if (beside > top && same) top = beside;
    }
    return top - layer + 1;
}

// Marks the tables that ids are looked up in.
static void mark_tables(const struct graph *g, bool *is_table)
{
    for (int i = 0; i < g->count; i++) {
        const struct value *v = g->values[i];
        if (v->op == &embedding_op && v->input[0]->parameter >= 0)
            is_table[v->input[0]->parameter] = true;
    }
}

static enum status set_layer_rates(struct trainer *trainer)
{
    const struct parameters *parameters = &trainer->parameters;
    double factor = trainer->config.layer_decay;
    bool *is_table;
    int deepest = 0;
    if (factor == 1) return STATUS_OK;
    TRY(memory_allocate((size_t)parameters->count, sizeof *is_table, "tables", &is_table));
    mark_tables(trainer->training_graph[0].g, is_table);
    for (int i = 0; i < parameters->count; i++) {
        int depth = depth_of(parameters, i);
        if (depth > deepest) deepest = depth;
    }
    for (int i = 0; i < parameters->count; i++) {
        int depth = is_table[i] ? deepest + 1 : depth_of(parameters, i);
        double rate = 1;
        for (int d = 0; d < depth; d++)
            rate *= factor; // the same bits everywhere, which pow is not
        trainer->segment[i].rate = rate;
    }
    free(is_table);
    return STATUS_OK;
}

enum status tuning_segments(struct trainer *trainer)
{
    for (int i = 0; i < trainer->parameters.count; i++) {
        const struct parameter *p = &trainer->parameters.list[i];
        // A push is a gradient; what a statistic goes is not.
        if (p->running && !p->frozen && trainer->config.parallel.staleness > 0)
            FAIL(STATUS_USAGE,
                 "parallel.staleness: %lld, but %s is a running statistic, which servers update in "
                 "step only; set it to 0",
                 (long long)trainer->config.parallel.staleness, p->name);
        trainer->segment[i] = (struct segment){
            .first = p->offset,
            .last = p->offset + p->count,
            .decay = p->decay,
            .rate = 1,
            .kind = p->frozen    ? SEGMENT_FROZEN
                    : p->running ? SEGMENT_STATISTIC
                                 : SEGMENT_LEARNS,
        };
    }
    return set_layer_rates(trainer);
}
