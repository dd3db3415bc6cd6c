// SPDX-License-Identifier: Apache-2.0
// A search with kept keys and states gives what a slow one gives that computes the whole target anew for every token; a source's
// result is its own, whatever it is batched with and whichever instruction set computes; it always ends.
#include "infer/beams.h"
#include "infer/task_model.h"

#include <math.h>

enum { SOURCES = 9, SOURCE_ROOM = 8 };

// Sources of 1 to 7 ids and their end.
static void make_sources(const struct loaded_model *model, int32_t ids[SOURCES][SOURCE_ROOM],
                         struct search_source sources[SOURCES])
{
    const struct model_config *c = &model->config;
    int32_t end = (int32_t)(c->source_vocabulary ? c->source_vocabulary : c->vocabulary) - 3;
    struct philox_address at = {.seed = 3, .stream = philox_stream(PHILOX_TEST, 1)};
    for (int i = 0; i < SOURCES; i++) {
        int count = i * 5 % 8;
        for (int t = 0; t < count; t++)
            ids[i][t] = (int32_t)(philox_bits(at, (uint64_t)(i * 100 + t)) % (uint32_t)end);
        ids[i][count] = end;
        sources[i] = (struct search_source){ids[i], count + 1, (uint64_t)i};
    }
}

// ---- the slow search ----
struct slow {
    struct graph *g;
    struct program *program;
    struct model_inputs in;
    int64_t tokens;
    float *logs; // [tokens, vocabulary]
};

static void keep_logs(void *context, int tag, const void *data)
{
    struct slow *slow = context;
    (void)tag;
    memcpy(slow->logs, data, (size_t)(slow->tokens * TASK_VOCABULARY) * sizeof(float));
}

static void slow_create(const struct loaded_model *model, const struct search_source *source,
                        struct slow *slow)
{
    const struct backend *backend;
    *slow = (struct slow){.tokens = model->config.context};
    assert_ok(graph_create(&slow->g));
    slow->in = model_inputs_create(slow->g, &model->config, TASK_TRANSLATE,
                                   (struct model_sizes){1, slow->tokens, source->count});
    struct parameters parameters = model->parameters;
    struct builder b = {.g = slow->g, .parameters = &parameters};
    graph_yield(slow->g, op_log_softmax(slow->g, model->type->scores(&b, &model->config, slow->in)),
                0);
    assert_ok(backend_find("cpu", &backend));
    assert_ok(program_create(backend, slow->g, NULL, &slow->program));
    assert_ok(program_prepare(slow->program, model->weights.data, NULL));
    slow->logs = calloc((size_t)(slow->tokens * TASK_VOCABULARY), sizeof(float));
    memcpy(program_input(slow->program, slow->in.source), source->ids,
           (size_t)source->count * sizeof(int32_t));
    for (int64_t i = 0; i < source->count; i++)
        ((int32_t *)program_input(slow->program, slow->in.source_positions))[i] = (int32_t)i;
    *(int32_t *)program_input(slow->program, slow->in.source_lengths) = (int32_t)source->count;
}

// What may follow the end mark and `count` ids: [vocabulary].
static const float *slow_logs(struct slow *slow, const int32_t *ids, int64_t count)
{
    int32_t *tokens = program_input(slow->program, slow->in.tokens);
    int32_t *positions = program_input(slow->program, slow->in.positions);
    for (int64_t t = 0; t < slow->tokens; t++) {
        tokens[t] = t == 0 ? TASK_END : t <= count ? ids[t - 1] : 5;
        positions[t] = (int32_t)t;
    }
    program_run(slow->program, keep_logs, slow);
    return slow->logs + count * TASK_VOCABULARY;
}

static void slow_destroy(struct slow *slow)
{
    program_destroy(slow->program);
    graph_destroy(slow->g);
    free(slow->logs);
}

struct path {
    int32_t ids[TASK_CONTEXT];
    int count, beam;
    int32_t last;
    double sum, score;
};

static int by_sum(const void *a, const void *b)
{
    const struct path *p = a, *q = b;
    if (p->sum != q->sum) return p->sum > q->sum ? -1 : 1;
    return p->beam != q->beam ? p->beam - q->beam : p->last - q->last;
}

// As search.h says, word for word. Returns the hypotheses, best first, of which there may be more than beams.
static int slow_search(struct slow *slow, int beams, double penalty, int most, struct path *found)
{
    struct path live[8] = {{.count = 0}}, all[8 * TASK_VOCABULARY];
    int alive = 1, finished = 0;
    for (int step = 0; alive > 0 && finished < beams; step++) {
        int n = 0, next = 0;
        for (int k = 0; k < alive; k++) {
            const float *logs = slow_logs(slow, live[k].ids, step);
            for (int32_t id = step == most ? TASK_END : 0; id <= TASK_END; id++) {
                all[n] = live[k];
                all[n].beam = k, all[n].last = id;
                all[n++].sum += (double)logs[id];
            }
        }
        qsort(all, (size_t)n, sizeof *all, by_sum);
        for (int rank = 0; rank < n && rank < 2 * beams; rank++) {
            struct path path = all[rank];
            if (path.last != TASK_END) {
                if (next == beams) continue;
                path.ids[path.count++] = path.last;
                live[next++] = path;
            } else if (rank < beams) {
                path.score = path.sum / pow(step + 1, penalty);
                int at = finished++;
                for (; at > 0 && found[at - 1].score < path.score; at--) found[at] = found[at - 1];
                found[at] = path;
            }
        }
        alive = next;
    }
    return finished < beams ? finished : beams;
}

static int most_for(const struct search_source *source)
{
    int most = 2 * ((int)source->count - 1) + 10;
    return most < TASK_CONTEXT - 1 ? most : TASK_CONTEXT - 1;
}

static void compare(const struct search_result *result, const struct path *found, int count)
{
    assert_int_equal(result->count, count);
    for (int h = 0; h < count; h++) {
        assert_int_equal(result->best[h].count, found[h].count);
        assert_memory_equal(result->best[h].ids, found[h].ids,
                            (size_t)found[h].count * sizeof(int32_t));
        assert_true(result->best[h].log_probability == found[h].sum);
        assert_true(fabs(result->best[h].score - found[h].score) <= 1e-12);
    }
}

static int compare_all(const struct loaded_model *model, int beams, double penalty)
{
    struct search_options options;
    struct search *search;
    struct search_source sources[SOURCES];
    struct search_result results[SOURCES];
    int32_t ids[SOURCES][SOURCE_ROOM];
    int tokens = 0;
    search_defaults(&options);
    options.beams = options.n_best = beams, options.length_penalty = penalty;
    assert_ok(search_create(model, &options, &search));
    assert_int_equal(search_end(search), TASK_END);
    make_sources(model, ids, sources);
    assert_ok(search_run(search, sources, SOURCES, results));
    for (int i = 0; i < SOURCES; i++) {
        struct slow slow;
        struct path found[16];
        slow_create(model, &sources[i], &slow);
        int count = slow_search(&slow, beams, penalty, most_for(&sources[i]), found);
        compare(&results[i], found, count);
        tokens += (int)results[i].best[0].count;
        search_result_release(&results[i]);
        slow_destroy(&slow);
    }
    search_destroy(search);
    return tokens;
}

static void the_search_equals_a_slow_one_to_the_bit(void **state)
{
    (void)state;
    static const int widths[] = {1, 2, 3, 5};
    static const double penalties[] = {1, 0, 0.6, -1};
    for (int m = 0; m < TRANSLATORS; m++) {
        struct loaded_model model;
        int tokens = 0;
        task_model(translators[m], 20 + (uint64_t)m, 1.6f, &model);
        for (int i = 0; i < 4; i++) tokens += compare_all(&model, widths[i], penalties[i]);
        print_message("# %s %d: %d tokens in %d best hypotheses\n", model.config.type, m, tokens,
                      4 * SOURCES);
        assert_true(tokens > 4 * SOURCES);
        small_model_release(&model);
    }
}

// ---- what a result may depend on ----
static void same(const struct search_result *a, const struct search_result *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t h = 0; h < a->count; h++) {
        const struct hypothesis *x = &a->best[h], *y = &b->best[h];
        assert_int_equal(x->count, y->count);
        assert_memory_equal(x->ids, y->ids, (size_t)x->count * sizeof *x->ids);
        assert_true(x->log_probability == y->log_probability && x->score == y->score);
        assert_int_equal(x->cut, y->cut);
    }
}

static void run_all(const struct loaded_model *model, const struct search_options *options,
                    int together, struct search_result results[SOURCES])
{
    struct search *search;
    struct search_source sources[SOURCES];
    int32_t ids[SOURCES][SOURCE_ROOM];
    make_sources(model, ids, sources);
    assert_ok(search_create(model, options, &search));
    for (int i = 0; i < SOURCES; i += together) {
        int n = SOURCES - i < together ? SOURCES - i : together;
        assert_ok(search_run(search, sources + i, n, results + i));
    }
    search_destroy(search);
}

static void release_all(struct search_result results[SOURCES])
{
    for (int i = 0; i < SOURCES; i++) search_result_release(&results[i]);
}

static void batches_and_instruction_sets_change_no_bit(void **state)
{
    (void)state;
    for (int m = 0; m < TRANSLATORS; m++)
        for (int draws = 0; draws < 2; draws++) {
            struct loaded_model model;
            struct search_options options;
            struct search_result alone[SOURCES], other[SOURCES];
            task_model(translators[m], 40 + (uint64_t)m, 1.6f, &model);
            search_defaults(&options);
            options.draws = draws, options.n_best = 3, options.beams = 4;
            options.sampling.seed = 5;
            run_all(&model, &options, 1, alone);
            for (int together = 2; together <= SOURCES; together += 7 - 3 * draws) {
                run_all(&model, &options, together, other);
                for (int i = 0; i < SOURCES; i++) same(&alone[i], &other[i]);
                release_all(other);
            }
            setenv("STENTOR_ISA", "generic", 1);
            run_all(&model, &options, SOURCES, other);
            unsetenv("STENTOR_ISA");
            for (int i = 0; i < SOURCES; i++) same(&alone[i], &other[i]);
            release_all(other);
            release_all(alone);
            small_model_release(&model);
        }
}

static void draws_differ_by_seed_and_place_and_score_themselves(void **state)
{
    (void)state;
    struct loaded_model model;
    struct search_options options;
    struct search_result one[SOURCES], two[SOURCES];
    struct search_source sources[SOURCES];
    struct slow slow;
    int32_t ids[SOURCES][SOURCE_ROOM];
    int differ = 0, inside = 0;
    task_model(translators[0], 60, 1.6f, &model);
    make_sources(&model, ids, sources);
    search_defaults(&options);
    options.draws = true, options.n_best = 4, options.length_penalty = 0;
    run_all(&model, &options, SOURCES, one);
    options.sampling.seed = 1;
    run_all(&model, &options, SOURCES, two);
    for (int i = 0; i < SOURCES; i++)
        for (int h = 0; h < 4; h++) {
            struct hypothesis *a = &one[i].best[h], *b = &two[i].best[h], *first = one[i].best;
            differ += a->log_probability != b->log_probability;
            inside += a->log_probability != first->log_probability;
        }
    assert_true(differ > 4 * SOURCES / 2);
    assert_true(inside > 3 * SOURCES / 2);
    for (int i = 0; i < SOURCES; i++) {
        slow_create(&model, &sources[i], &slow);
        for (int h = 0; h < 4; h++) {
            struct hypothesis *a = &one[i].best[h];
            double sum = 0;
            for (int64_t t = 0; t <= a->count; t++)
                sum += (double)slow_logs(&slow, a->ids, t)[t < a->count ? a->ids[t] : TASK_END];
            assert_true(sum == a->log_probability && a->score == sum);
            assert_int_equal(a->cut, a->count == most_for(&sources[i]));
        }
        slow_destroy(&slow);
    }
    release_all(one);
    release_all(two);
    small_model_release(&model);
}

// ---- ends and errors ----
static void it_ends_at_the_most_tokens(void **state)
{
    (void)state;
    for (int m = 0; m < TRANSLATORS; m += 2) {
        struct loaded_model model;
        struct search_options options;
        struct search_result results[SOURCES];
        task_model(translators[m], 70, 0.3f, &model);
        // The end's row is turned away from every state that is met: a model that never ends.
        int table = parameters_find(&model.parameters, "shared.weight");
        float *w = (float *)model.weights.data + model.parameters.list[table].offset;
        for (int64_t j = 0; j < model.config.width; j++) w[TASK_END * model.config.width + j] = 0;
        search_defaults(&options);
        options.max_tokens = 4;
        for (int beams = 1; beams <= 5; beams += 4) {
            options.beams = beams;
            run_all(&model, &options, SOURCES, results);
            for (int i = 0; i < SOURCES; i++) {
                assert_true(results[i].best[0].count <= 4);
                assert_int_equal(results[i].best[0].cut, results[i].best[0].count == 4);
            }
            release_all(results);
        }
        options.max_tokens = 1000000; // more than the context
        run_all(&model, &options, SOURCES, results);
        for (int i = 0; i < SOURCES; i++)
            assert_in_range(results[i].best[0].count, 0, TASK_CONTEXT - 1);
        release_all(results);
        small_model_release(&model);
    }
}

static void damaged_weights_are_an_error(void **state)
{
    (void)state;
    for (int draws = 0; draws < 2; draws++) {
        struct loaded_model model;
        struct search_options options;
        struct search *search;
        struct search_result result;
        int32_t ids[] = {1, TASK_END};
        struct search_source source = {ids, 2, 0};
        task_model(translators[0], 80, 1, &model);
        int table = parameters_find(&model.parameters, "shared.weight");
        ((float *)model.weights.data)[model.parameters.list[table].offset] = NAN;
        search_defaults(&options);
        options.draws = draws;
        assert_ok(search_create(&model, &options, &search));
        ids[0] = 0;
        assert_int_equal(search_run(search, &source, 1, &result), STATUS_DIVERGED);
        error_clear();
        search_destroy(search);
        small_model_release(&model);
    }
}

static void refuse(const struct loaded_model *model, struct search_options options,
                   const char *message)
{
    struct search *search;
    assert_int_equal(search_create(model, &options, &search), STATUS_USAGE);
    assert_string_equal(error_message(), message);
    error_clear();
}

static void bad_options_and_sources_are_refused(void **state)
{
    (void)state;
    struct loaded_model model, speaker;
    struct search_options o, defaults;
    struct search *search;
    struct search_result result;
    int32_t ids[TASK_CONTEXT + 1] = {0};
    task_model(translators[1], 90, 1, &model);
    search_defaults(&defaults);
    o = defaults, o.beams = 0;
    refuse(&model, o, "beam: 0 is out of range; it must be 1 to 1024");
    o = defaults, o.n_best = 6;
    refuse(&model, o, "n-best: 6 is out of range; it must be 1 to 5");
    o = defaults, o.length_penalty = NAN;
    refuse(&model, o, "length-penalty: nan is out of range; it must be -10 to 10");
    o = defaults, o.draws = true, o.sampling.temperature = 0;
    refuse(&model, o, "temperature: 0 draws nothing; a search needs none");
    assert_ok(search_create(&model, &defaults, &search));
    assert_int_equal(search_source_end(search), 6);
    struct search_source source = {ids, 0, 0};
    assert_int_equal(search_run(search, &source, 1, &result), STATUS_USAGE);
    assert_string_equal(error_message(), "a source of 0 ids; the model takes 1 to 24");
    source.count = TASK_CONTEXT + 1;
    assert_int_equal(search_run(search, &source, 1, &result), STATUS_USAGE);
    source.count = 2, ids[1] = 9;
    error_clear();
    assert_int_equal(search_run(search, &source, 1, &result), STATUS_USAGE);
    assert_string_equal(error_message(), "id 9 at place 1 is not in the source vocabulary of 9");
    error_clear();
    search_destroy(search);
    small_model_release(&model);
    small_model(small_config(20, 8, 8, 1, 2), 1, 1, NULL, &speaker);
    assert_int_equal(search_create(&speaker, &defaults, &search), STATUS_UNSUPPORTED);
    error_clear();
    small_model_release(&speaker);
}

// ---- beams by themselves ----
static void equal_continuations_go_by_beam_and_id(void **state)
{
    (void)state;
    struct beams beams;
    struct search_result result;
    const float flat[] = {-1, -1, -1, -1, -1}, ends[] = {-3, -2, -2, -3, -1};
    int32_t parents[2], tokens[2];
    assert_ok(beams_create(2, 4, 1, false, &beams));
    beams_start(&beams, 3);
    beams_offer(&beams, 0, flat, 4);
    assert_ok(beams_advance(&beams, 4, parents, tokens)); // 0 and 1; the end came too late
    assert_int_equal(beams.alive, 2);
    assert_int_equal(tokens[0], 0);
    assert_int_equal(tokens[1], 1);
    beams_offer(&beams, 0, ends, 4);
    beams_offer(&beams, 1, ends, 4);
    assert_ok(beams_advance(&beams, 4, parents, tokens)); // both end first
    assert_true(beams.done);
    assert_ok(beams_take(&beams, 5, &result));
    assert_int_equal(result.count, 2);
    assert_int_equal(result.best[0].ids[0], 0);
    assert_int_equal(result.best[1].ids[0], 1);
    assert_true(result.best[0].log_probability == -2 && result.best[0].score == -1);
    search_result_release(&result);
    beams_start(&beams, 0); // no room for anything but the end
    beams_offer(&beams, 0, flat, 4);
    assert_ok(beams_advance(&beams, 4, parents, tokens));
    assert_true(beams.done && beams.found == 1 && beams.finished[0].cut);
    beams_release(&beams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_equals_a_slow_one_to_the_bit),
        cmocka_unit_test(batches_and_instruction_sets_change_no_bit),
        cmocka_unit_test(draws_differ_by_seed_and_place_and_score_themselves),
        cmocka_unit_test(it_ends_at_the_most_tokens),
        cmocka_unit_test(damaged_weights_are_an_error),
        cmocka_unit_test(bad_options_and_sources_are_refused),
        cmocka_unit_test(equal_continuations_go_by_beam_and_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
