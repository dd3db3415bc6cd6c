// SPDX-License-Identifier: Apache-2.0
// Sampling: what is kept, how often it is drawn, ties, penalty, and that a choice depends on seed and token
// number alone.
#include "base/philox.h"
#include "base/stable_math.h"
#include "infer/sampling.h"
#include "model/small_model.h"

#include <math.h>

static struct generate_options options(void)
{
    struct generate_options o;
    generate_defaults(&o);
    return o;
}

static int32_t choose(struct sampler *s, struct generate_options o, int64_t token,
                      const float *logits)
{
    float copy[512];
    int32_t id = -1;
    memcpy(copy, logits, (size_t)s->size * sizeof *logits);
    assert_ok(sampler_choose(s, &o, token, copy, &id));
    assert_in_range(id, 0, s->size - 1);
    return id;
}

static void greedy_takes_the_largest_and_of_equals_the_first(void **state)
{
    (void)state;
    struct sampler s;
    struct generate_options o = options();
    o.temperature = 0;
    assert_ok(sampler_create(5, &s));
    assert_int_equal(choose(&s, o, 0, (float[]){-3, -1, -2, -1, -9}), 1);
    assert_int_equal(choose(&s, o, 7, (float[]){2, 2, 2, 2, 2.5f}), 4);
    assert_int_equal(choose(&s, o, 7, (float[]){0, -0.0f, 0, 0, 0}), 0);
    sampler_release(&s);
}

// Frequencies of many draws lie within five deviations of the probabilities.
static void expect_frequencies(struct generate_options o, const float *logits, const double *wanted,
                               int size)
{
    enum { DRAWS = 20000 };
    struct sampler s;
    int seen[16] = {0};
    assert_ok(sampler_create(size, &s));
    for (int64_t i = 0; i < DRAWS; i++) seen[choose(&s, o, i, logits)]++;
    for (int i = 0; i < size; i++) {
        double deviation = sqrt(wanted[i] * (1 - wanted[i]) / DRAWS);
        if (fabs(seen[i] / (double)DRAWS - wanted[i]) > 5 * deviation)
            fail_msg("id %d came with frequency %g, wanted %g", i, seen[i] / (double)DRAWS,
                     wanted[i]);
    }
    sampler_release(&s);
}

static void draws_follow_the_probabilities(void **state)
{
    (void)state;
    const float logits[4] = {logf(0.4f), logf(0.1f), logf(0.3f), logf(0.2f)};
    struct generate_options o = options();
    expect_frequencies(o, logits, (double[]){0.4, 0.1, 0.3, 0.2}, 4);
    o.temperature = 0.5; // squares of the probabilities, which sum to 0.3
    expect_frequencies(o, logits, (double[]){0.16 / 0.3, 0.01 / 0.3, 0.09 / 0.3, 0.04 / 0.3}, 4);
    o = options();
    o.top_k = 2;
    expect_frequencies(o, logits, (double[]){4. / 7, 0, 3. / 7, 0}, 4);
    o = options();
    o.top_p = 0.65; // 0.4 + 0.3 reach it
    expect_frequencies(o, logits, (double[]){4. / 7, 0, 3. / 7, 0}, 4);
    o.top_p = 0.75;
    expect_frequencies(o, logits, (double[]){4. / 9, 0, 3. / 9, 2. / 9}, 4);
    o.top_k = 2; // of the two that top-k leaves the first has 4/7, less than 0.75
    expect_frequencies(o, logits, (double[]){4. / 7, 0, 3. / 7, 0}, 4);
    o.top_p = 0.5;
    expect_frequencies(o, logits, (double[]){1, 0, 0, 0}, 4);
    o = options();
    o.min_p = 0.45; // of 0.4: 0.18
    expect_frequencies(o, logits, (double[]){4. / 9, 0, 3. / 9, 2. / 9}, 4);
    o.min_p = 1;
    expect_frequencies(o, logits, (double[]){1, 0, 0, 0}, 4);
    o = options();
    o.top_p = 0;
    expect_frequencies(o, logits, (double[]){1, 0, 0, 0}, 4);
    o = options();
    o.temperature = 1e-30;
    expect_frequencies(o, logits, (double[]){1, 0, 0, 0}, 4);
}

static void top_k_breaks_ties_by_id(void **state)
{
    (void)state;
    struct generate_options o = options();
    o.top_k = 3;
    expect_frequencies(o, (float[]){1, 2, 1, 1, 1},
                       (double[]){0.21194156, 0.5761169, 0.21194156, 0, 0}, 5);
}

// ---- against a sort ----

static int by_likelihood(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

// Sorts everything, cuts, draws in the order of ids.
static int32_t choose_by_sorting(const struct generate_options *o, int64_t token,
                                 const float *logits, int size)
{
    struct candidate all[512];
    bool keep[512] = {false};
    double most = -INFINITY, total = 0, sum = 0;
    for (int i = 0; i < size; i++) most = fmax(most, (double)logits[i]);
    for (int i = 0; i < size; i++) {
        all[i] = (struct candidate){stable_exp(((double)logits[i] - most) / o->temperature), i};
        total += all[i].weight;
    }
    qsort(all, (size_t)size, sizeof *all, by_likelihood);
    int kept = o->top_k > 0 && o->top_k < size ? (int)o->top_k : size;
    if (kept < size) total = 0;
    for (int i = 0; kept < size && i < kept; i++) total += all[i].weight;
    for (int i = 0; i < kept; i++) {
        keep[all[i].id] = all[i].weight >= o->min_p && all[i].weight > 0;
        sum += all[i].weight;
        if (o->top_p < 1 && sum >= o->top_p * total) break;
    }
    struct philox_address at = {
        .seed = o->seed, .stream = philox_stream(PHILOX_SAMPLE, 0), .step = (uint32_t)token};
    double uniform = philox_uniform(at, 0);
    int32_t chosen = -1;
    total = sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < size; i++) {
            double weight = stable_exp(((double)logits[i] - most) / o->temperature);
            if (!keep[i] || (pass && sum > uniform * total)) continue;
            *(pass ? &sum : &total) += weight;
            if (pass) chosen = i;
        }
    return chosen;
}

static void choices_equal_those_of_a_sort(void **state)
{
    (void)state;
    struct philox_address at = {.seed = 77, .stream = philox_stream(PHILOX_TEST, 0)};
    for (uint32_t round = 0; round < 3000; round++) {
        float logits[512];
        at.step = round;
        int size = 1 + (int)(philox_bits(at, 0) % (round % 2 ? 12 : 500));
        struct generate_options o = options();
        o.seed = round;
        o.temperature = 0.1 + 2 * philox_uniform(at, 10);
        if (round % 3) o.top_k = philox_bits(at, 1) % (uint32_t)(size + 2);
        if (round % 5) o.top_p = philox_uniform(at, 11);
        if (round % 7 == 0) o.min_p = philox_uniform(at, 12);
        // Few distinct values, so that ties are common.
        for (int i = 0; i < size; i++)
            logits[i] = (float)(philox_bits(at, (uint64_t)(100 + i)) % 16) / 4;
        struct sampler s;
        assert_ok(sampler_create(size, &s));
        assert_int_equal(choose(&s, o, round, logits), choose_by_sorting(&o, round, logits, size));
        sampler_release(&s);
    }
}

// ---- penalty, seeds, errors ----

static void penalty_makes_seen_ids_less_likely(void **state)
{
    (void)state;
    struct sampler s;
    struct generate_options o = options();
    o.temperature = 0;
    o.repetition_penalty = 2;
    assert_ok(sampler_create(3, &s));
    assert_int_equal(choose(&s, o, 0, (float[]){4, 3, 1}), 0);
    sampler_see(&s, 0);
    assert_int_equal(choose(&s, o, 0, (float[]){4, 3, 1}), 1);       // 4 / 2
    assert_int_equal(choose(&s, o, 0, (float[]){-1, -1.5f, -3}), 1); // -1 * 2
    float logits[3] = {4, -3, 1};
    int32_t id;
    sampler_see(&s, 1);
    assert_ok(sampler_choose(&s, &o, 0, logits, &id));
    assert_true(logits[0] == 2 && logits[1] == -6 && logits[2] == 1);
    sampler_start(&s);
    assert_int_equal(choose(&s, o, 0, (float[]){4, 3, 1}), 0);
    sampler_release(&s);
}

static void seed_and_token_decide(void **state)
{
    (void)state;
    struct sampler s;
    struct generate_options o = options();
    float logits[100] = {0};
    int same_seed = 0, other_seed = 0, other_token = 0;
    assert_ok(sampler_create(100, &s));
    for (int64_t i = 0; i < 200; i++) {
        o.seed = 1;
        int32_t id = choose(&s, o, i, logits);
        same_seed += id == choose(&s, o, i, logits);
        other_token += id == choose(&s, o, i + (INT64_C(1) << 32), logits);
        o.seed = 2;
        other_seed += id == choose(&s, o, i, logits);
    }
    assert_int_equal(same_seed, 200);
    assert_in_range(other_seed, 0, 12);
    assert_in_range(other_token, 0, 12);
    sampler_release(&s);
}

static void logits_that_are_not_finite_are_an_error(void **state)
{
    (void)state;
    struct sampler s;
    struct generate_options o = options();
    int32_t id = -7;
    assert_ok(sampler_create(3, &s));
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        error_clear();
        assert_int_equal(sampler_choose(&s, &o, 0, (float[]){1, 2, bad[i]}, &id), STATUS_DIVERGED);
        assert_non_null(strstr(error_message(), "for id 2"));
        assert_int_equal(id, -7);
    }
    error_clear();
    sampler_release(&s);
}

// ---- options ----

static void refuse(struct generate_options o, const char *part)
{
    error_clear();
    assert_int_equal(generate_check(&o), STATUS_USAGE);
    if (!strstr(error_message(), part)) fail_msg("\"%s\" lacks \"%s\"", error_message(), part);
    error_clear();
}

#define REFUSE(field, value, part)                                                                 \
    do {                                                                                           \
        struct generate_options o_ = options();                                                    \
        o_.field = value;                                                                          \
        refuse(o_, part);                                                                          \
    } while (0)

static void wrong_options_are_named(void **state)
{
    (void)state;
    struct generate_options o = options();
    assert_ok(generate_check(&o));
    REFUSE(max_tokens, -1, "max_tokens: -1 is out of range; it must be 0 to 1000000000");
    REFUSE(temperature, -0.1, "temperature: -0.1");
    REFUSE(temperature, NAN, "temperature: ");
    REFUSE(temperature, INFINITY, "temperature: inf");
    REFUSE(top_k, -1, "top_k: -1");
    REFUSE(top_p, 1.01, "top_p: 1.01 is out of range; it must be 0 to 1");
    REFUSE(min_p, -1, "min_p: -1");
    REFUSE(min_p, NAN, "min_p: ");
    REFUSE(repetition_penalty, 0, "repetition_penalty: 0");
    const char *const stop[] = {"fine", "", NULL};
    REFUSE(stop, stop, "stop: string 2 is empty");
    static char text[5000];
    memset(text, 'a', sizeof text - 1);
    const char *const longer[] = {text, NULL};
    REFUSE(stop, longer, "stop: string 1 is longer than 4096 bytes");
    const char *many[66] = {NULL};
    for (int i = 0; i < 65; i++) many[i] = "x";
    REFUSE(stop, many, "more than 64 stop strings");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_largest_and_of_equals_the_first),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(top_k_breaks_ties_by_id),
        cmocka_unit_test(choices_equal_those_of_a_sort),
        cmocka_unit_test(penalty_makes_seen_ids_less_likely),
        cmocka_unit_test(seed_and_token_decide),
        cmocka_unit_test(logits_that_are_not_finite_are_an_error),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
