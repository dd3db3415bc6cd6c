// SPDX-License-Identifier: Apache-2.0
// Gradients go through buffers, tree and slices as in a step, for many numbers of workers and borders: the weights that come
// out are those of a plain computation of the definition, bit for bit.
#include "base/philox.h"
#include "parallel/exchange.h"
#include "parallel/slices.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ELEMENTS = 5072, MOST_WORKERS = 9 };
// Two parameters with padding between and behind them: [0, 3001), [3008, 5061).
static const struct segment segments[2] = {{0, 3001, true, 1, SEGMENT_LEARNS},
                                           {3008, 5061, false, 1, SEGMENT_LEARNS}};
// The same block with parts that do not learn: frozen ones side by side, a statistic between others, over a border of chunks.
static const struct segment mixed[6] = {
    {0, 1001, true, 1, SEGMENT_LEARNS},        {1008, 1500, true, 1, SEGMENT_FROZEN},
    {1504, 3001, true, 1, SEGMENT_FROZEN},     {3008, 4000, false, 0.25, SEGMENT_LEARNS},
    {4000, 4500, false, 1, SEGMENT_STATISTIC}, {4512, 5061, false, 1, SEGMENT_LEARNS}};
static const struct segment *parts = segments;
static int part_count = 2;
static const struct optimizer_config adam = {
    .name = "adamw", .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .clip = 1};

static void draw_gradient(int64_t micro_batch, float *g)
{
    struct philox_address at = {11, philox_stream(PHILOX_TEST, 3), 0, (uint32_t)micro_batch};
    memset(g, 0, ELEMENTS * sizeof *g);
    for (int s = 0; s < part_count; s++)
        for (int64_t i = parts[s].first; i < parts[s].last; i++)
            g[i] = (float)((philox_uniform(at, (uint64_t)i) - 0.5) * 20);
}

static void draw_weights(float *w)
{
    memset(w, 0, ELEMENTS * sizeof *w);
    for (int s = 0; s < part_count; s++)
        for (int64_t i = parts[s].first; i < parts[s].last; i++)
            w[i] = 0.01f * (float)(i % 97) - 0.5f;
}

// The definition: leaves in order of micro-batches, then the tree.
static void add_arrays(float *y, const float *a, const float *b)
{
    for (int64_t i = 0; i < ELEMENTS; i++) y[i] = a[i] + b[i];
}

static void plain_node(int64_t micro_batches, int leaves, int level, int index, float *sum)
{
    float *other = calloc(ELEMENTS, sizeof *other);
    if (level == 0) {
        int64_t first, last;
        leaf_micro_batches(micro_batches, leaves, index, &first, &last);
        draw_gradient(first, sum);
        for (int64_t m = first + 1; m < last; m++) {
            draw_gradient(m, other);
            add_arrays(sum, sum, other);
        }
    } else {
        plain_node(micro_batches, leaves, level - 1, 2 * index, sum);
        if ((2 * index + 1) << (level - 1) < leaves) {
            plain_node(micro_batches, leaves, level - 1, 2 * index + 1, other);
            add_arrays(sum, sum, other);
        }
    }
    free(other);
}

struct result {
    float weights[ELEMENTS], state[2][ELEMENTS];
    struct gradient_size size;
};

static void plain_step(int64_t micro_batches, int leaves, double scale, struct result *result)
{
    static float sum[ELEMENTS];
    int level = 0;
    while (1 << level < leaves) level++;
    memset(result, 0, sizeof *result);
    plain_node(micro_batches, leaves, level, 0, sum);
    long double squares = 0;
    for (int i = 0; i < ELEMENTS; i++)
        squares += ((long double)sum[i] * scale) * ((long double)sum[i] * scale);
    result->size.norm = (double)sqrtl(squares);
    draw_weights(result->weights);
}

// Every weight is told of once, in pieces gone over upwards, when it is new.
static void note_written(void *context, const struct weights_written *written)
{
    unsigned char *times = context;
    assert_true(written->first <= written->from && written->from < written->to);
    assert_true(written->to <= written->last && written->last <= ELEMENTS);
    for (int64_t i = written->from; i < written->to; i++) times[i]++;
}

static void real_step(const struct optimizer_config *optimizer, enum isa isa, int64_t micro_batches,
                      int leaves, int workers, const int *border, double scale,
                      struct result *result)
{
    struct gradients gradients[MOST_WORKERS];
    const struct gradients *all[MOST_WORKERS];
    float *g = calloc(ELEMENTS, sizeof *g);
    memset(result, 0, sizeof *result);
    draw_weights(result->weights);
    for (int r = 0; r < workers; r++) {
        int first = border[r], last = border[r + 1];
        int buffers = run_buffers(first, last, micro_batches > leaves);
        assert_int_equal(gradients_create(&gradients[r], ELEMENTS, buffers, isa), STATUS_OK);
        all[r] = &gradients[r];
        // What an earlier step left behind must not show, except where no gradient ever lies.
        for (int b = 0; b < buffers; b++)
            draw_gradient(1000 + b, gradients_buffer(&gradients[r], b));
        for (int leaf = first; leaf < last; leaf++) {
            int64_t from, to;
            leaf_micro_batches(micro_batches, leaves, leaf, &from, &to);
            for (int64_t m = from; m < to; m++) {
                draw_gradient(m, g);
                gradients_begin(&gradients[r], first, last, leaf, m - from, to - from);
                // As a backward pass: the last parameter first, each by itself; what is first in its sum may be written in place.
                for (int s = part_count - 1; s >= 0; s--) {
                    int64_t offset = parts[s].first, n = parts[s].last - offset;
                    if (parts[s].kind == SEGMENT_FROZEN) continue;
                    float *source = gradients_place(&gradients[r], offset);
                    if (source && (leaf + s) % 3)
                        memcpy(source, g + offset, (size_t)n * sizeof *g);
                    else
                        source = g + offset;
                    gradients_add(&gradients[r], offset, source, n);
                }
            }
        }
    }
    struct exchange_setup setup = {
        .elements = ELEMENTS,
        .workers = workers,
        .leaves = leaves,
        .isa = isa,
        .optimizer = *optimizer,
        .weights = result->weights,
        .state = {result->state[0], result->state[1]},
        .segment = parts,
        .segments = part_count,
    };
    static unsigned char times[ELEMENTS];
    memset(times, 0, sizeof times);
    if (workers % 2) setup.written = note_written, setup.context = times;
    struct exchange *exchange = NULL;
    assert_int_equal(exchange_create(&setup, &exchange), STATUS_OK);
    exchange_route(exchange, border, all);
    for (int r = 0; r < workers; r++) exchange_reduce(exchange, r, scale);
    result->size = exchange_measure(exchange, scale);
    const struct optimizer_step step = {
        .step = 1,
        .learning_rate = 0.125,
        .gradient_scale = scale * clip_factor(optimizer, result->size.norm, result->size.largest),
        .statistic_rate = 0.3,
    };
    for (int r = 0; r < workers; r++) exchange_update(exchange, r, &step);
    exchange_destroy(exchange);
    for (int i = 0; setup.written && i < setup.segments; i++)
        for (int64_t e = setup.segment[i].first; e < setup.segment[i].last; e++)
            if (setup.segment[i].kind == SEGMENT_LEARNS) times[e]--;
    for (int64_t e = 0; e < ELEMENTS; e++) assert_int_equal(times[e], 0);
    for (int r = 0; r < workers; r++) gradients_release(&gradients[r]);
    free(g);
}

static void the_sum_is_the_definition(void **state)
{
    (void)state;
    static struct result plain, real;
    static float sum[ELEMENTS];
    const struct optimizer_config sgd = {.name = "sgd"};
    int border[2] = {0, 5};
    plain_step(13, 5, 1, &plain);
    plain_node(13, 5, 3, 0, sum);
    real_step(&sgd, ISA_GENERIC, 13, 5, 1, border, 1, &real);
    assert_true(fabs(real.size.norm - plain.size.norm) < 1e-12 * plain.size.norm);
    // 0.125 is a power of two: w - 0.125 g has one rounding, as an fma or not.
    for (int i = 0; i < ELEMENTS; i++)
        assert_true(real.weights[i] == plain.weights[i] - 0.125f * sum[i]);
}

static void workers_borders_and_instruction_sets_change_no_bit(void **state)
{
    (void)state;
    static struct result wanted, got;
    for (int round = 0; round < 40; round++) {
        struct philox_address at = {5, philox_stream(PHILOX_TEST, 4), (uint32_t)round, 0};
        int leaves = 1 + (int)(philox_bits(at, 0) % 12);
        int64_t micro_batches = leaves + philox_bits(at, 1) % 10;
        int border[MOST_WORKERS + 1] = {0, leaves};
        real_step(&adam, ISA_GENERIC, micro_batches, leaves, 1, border, 0.01, &wanted);
        assert_true(isfinite(wanted.size.norm) && wanted.size.norm > 0);
        for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++) {
            if (!isa_available(isa)) continue;
            int workers = 1 + (int)(philox_bits(at, 2 + isa) % MOST_WORKERS);
            borders_random(3, round, leaves, workers, border);
            real_step(&adam, isa, micro_batches, leaves, workers, border, 0.01, &got);
            assert_memory_equal(&got, &wanted, sizeof got);
        }
    }
}

// Frozen elements keep their bits and no state, a statistic goes its part of the way, and neither is in the norm; the others learn with
// their factor. The same bits for any workers, borders and instruction set.
static void what_does_not_learn_is_apart(void **state)
{
    (void)state;
    static struct result wanted, got;
    static float sum[ELEMENTS], before[ELEMENTS];
    const struct optimizer_config sgd = {.name = "sgd"};
    parts = mixed, part_count = 6;
    draw_weights(before);
    for (int round = 0; round < 12; round++) {
        int border[MOST_WORKERS + 1] = {0, 5};
        const struct optimizer_config *optimizer = round % 2 ? &adam : &sgd;
        real_step(optimizer, ISA_GENERIC, 13, 5, 1, border, 0.5, &wanted);
        for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++) {
            if (!isa_available(isa)) continue;
            int workers = 2 + round / 2 % 4;
            borders_random(3, round, 5, workers, border);
            real_step(optimizer, isa, 13, 5, workers, border, 0.5, &got);
            assert_memory_equal(&got, &wanted, sizeof got);
        }
        for (int i = 1008; i < 3001; i++)
            assert_true(wanted.weights[i] == before[i] && wanted.state[0][i] == 0);
    }
    int border[2] = {0, 5};
    real_step(&sgd, ISA_GENERIC, 13, 5, 1, border, 0.5, &wanted);
    plain_node(13, 5, 3, 0, sum);
    long double squares = 0;
    for (int i = 0; i < ELEMENTS; i++) {
        bool learns = i < 1001 || (i >= 3008 && i < 4000) || i >= 4512;
        if (learns) squares += (long double)sum[i] * sum[i] / 4;
        float moved = 0.3f * sum[i], quarter = i >= 3008 && i < 4000 ? 0.25f : 1;
        if (i >= 4000 && i < 4500) assert_true(wanted.weights[i] == before[i] - moved);
        if (learns) assert_true(wanted.weights[i] == before[i] - 0.125f * quarter * 0.5f * sum[i]);
    }
    assert_true(fabs(wanted.size.norm - (double)sqrtl(squares)) < 1e-12 * wanted.size.norm);
    parts = segments, part_count = 2;
}

static void padding_stays_zero(void **state)
{
    (void)state;
    static struct result result;
    int border[4] = {0, 1, 3, 4};
    real_step(&adam, ISA_GENERIC, 9, 4, 3, border, 1, &result);
    for (int i = 3001; i < 3008; i++)
        assert_true(result.weights[i] == 0 && result.state[0][i] == 0 && result.state[1][i] == 0);
    for (int i = 5061; i < ELEMENTS; i++)
        assert_true(result.weights[i] == 0 && result.state[0][i] == 0);
}

static void the_largest_is_found_and_nan_is_not_lost(void **state)
{
    (void)state;
    struct optimizer_config config = adam;
    config.clip_infinity = 1;
    for (int place = 0; place < ELEMENTS; place += 497) {
        struct gradients gradients;
        static float w[ELEMENTS], s0[ELEMENTS], s1[ELEMENTS], g[ELEMENTS];
        const struct gradients *all[3] = {&gradients, &gradients, &gradients};
        int border[4] = {0, 1, 1, 1};
        const struct exchange_setup setup = {.elements = ELEMENTS,
                                             .workers = 3,
                                             .leaves = 1,
                                             .isa = ISA_GENERIC,
                                             .optimizer = config,
                                             .weights = w,
                                             .state = {s0, s1}};
        struct exchange *exchange = NULL;
        assert_int_equal(gradients_create(&gradients, ELEMENTS, 1, ISA_GENERIC), STATUS_OK);
        assert_int_equal(exchange_create(&setup, &exchange), STATUS_OK);
        for (int i = 0; i < ELEMENTS; i++) g[i] = 0.5f;
        g[place] = -7;
        gradients_begin(&gradients, 0, 1, 0, 0, 1);
        gradients_add(&gradients, 0, g, ELEMENTS);
        exchange_route(exchange, border, all);
        for (int r = 0; r < 3; r++) exchange_reduce(exchange, r, 0.5);
        assert_true(exchange_measure(exchange, 0.5).largest == 3.5);
        g[place] = NAN;
        gradients_begin(&gradients, 0, 1, 0, 0, 1);
        gradients_add(&gradients, 0, g, ELEMENTS);
        for (int r = 0; r < 3; r++) exchange_reduce(exchange, r, 0.5);
        assert_true(isnan(exchange_measure(exchange, 0.5).norm));
        assert_true(isnan(exchange_measure(exchange, 0.5).largest));
        exchange_destroy(exchange);
        gradients_release(&gradients);
    }
}

static void traffic_counts_each_array(void **state)
{
    (void)state;
    // Workers of one leaf each: arrays of the reduction, and of the update (gradients, weights and state read and written).
    static const struct {
        const char *optimizer;
        int workers, clipped_infinity, reduce, update;
    } cases[] = {{"sgd", 1, 0, 1, 3},   {"adamw", 1, 0, 1, 7}, {"adamw", 2, 0, 2, 8},
                 {"adamw", 2, 1, 3, 7}, {"adamw", 4, 0, 5, 7}, {"sgd", 3, 0, 4, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        static float block[3][ELEMENTS];
        struct gradients gradients[4];
        const struct gradients *all[4];
        const int border[5] = {0, 1, 2, 3, 4};
        bool moments = !strcmp(cases[c].optimizer, "adamw");
        struct exchange_setup setup = {
            .elements = ELEMENTS,
            .workers = cases[c].workers,
            .leaves = cases[c].workers,
            .isa = ISA_GENERIC,
            .weights = block[0],
            .state = {moments ? block[1] : NULL, moments ? block[2] : NULL},
            .segment = segments,
            .segments = 2};
        setup.optimizer.clip_infinity = cases[c].clipped_infinity;
        struct exchange *exchange = NULL;
        for (int r = 0; r < setup.workers; r++) {
            assert_int_equal(gradients_create(&gradients[r], ELEMENTS, 1, ISA_GENERIC), STATUS_OK);
            all[r] = &gradients[r];
        }
        assert_int_equal(exchange_create(&setup, &exchange), STATUS_OK);
        exchange_route(exchange, border, all);
        struct exchange_traffic traffic = exchange_traffic(exchange);
        assert_true(traffic.reduce == 4.0 * ELEMENTS * cases[c].reduce);
        assert_true(traffic.update == 4.0 * ELEMENTS * cases[c].update);
        exchange_destroy(exchange);
        for (int r = 0; r < setup.workers; r++) gradients_release(&gradients[r]);
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_the_definition),
        cmocka_unit_test(workers_borders_and_instruction_sets_change_no_bit),
        cmocka_unit_test(what_does_not_learn_is_apart),
        cmocka_unit_test(padding_stays_zero),
        cmocka_unit_test(the_largest_is_found_and_nan_is_not_lost),
        cmocka_unit_test(traffic_counts_each_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
