// SPDX-License-Identifier: Apache-2.0
// A model that was taught to turn sources round says them back turned round: what is fed in training (the end before a target and
// behind it) is what the search feeds.
#include "infer/search.h"
#include "infer/task_model.h"

#include <math.h>

enum { LETTERS = 7, END = LETTERS, VOCABULARY = LETTERS + 3, ROWS = 24, LONGEST = 4, STEPS = 700 };

// Source number n: 1 to LONGEST letters, and the end.
static int source_of(int n, int32_t ids[LONGEST + 1])
{
    struct philox_address at = {.seed = 12, .stream = philox_stream(PHILOX_TEST, 7)};
    int count = 1 + (int)(philox_bits(at, (uint64_t)n * 8) % LONGEST);
    for (int t = 0; t < count; t++)
        ids[t] = (int32_t)(philox_bits(at, (uint64_t)(n * 8 + 1 + t)) % LETTERS);
    ids[count] = END;
    return count;
}

struct lesson {
    struct graph *g;
    struct program *program;
    struct model_inputs in;
    struct loaded_model *model;
    float *gradient, *mean, *square;
    float loss;
};

static void receive(void *context, int tag, const void *data)
{
    struct lesson *l = context;
    if (tag == LOSS_TAG) {
        l->loss = *(const float *)data;
        return;
    }
    const struct parameter *p = &l->model->parameters.list[tag];
    memcpy(l->gradient + p->offset, data, (size_t)p->count * sizeof(float));
}

static void lesson_create(struct loaded_model *model, struct lesson *l)
{
    const struct backend *backend;
    size_t n = (size_t)model->parameters.elements;
    *l = (struct lesson){.model = model};
    assert_ok(graph_create(&l->g));
    struct parameters parameters = model->parameters;
    struct builder b = {.g = l->g, .parameters = &parameters, .training = true};
    l->in = model_inputs_create(l->g, &model->config, TASK_TRANSLATE,
                                (struct model_sizes){ROWS, LONGEST + 1, LONGEST + 1});
    struct value *loss = model->type->loss(&b, &model->config, l->in, 0);
    graph_yield(l->g, loss, LOSS_TAG);
    backward(l->g, loss, model->parameters.count);
    assert_ok(backend_find("cpu", &backend));
    assert_ok(program_create(backend, l->g, NULL, &l->program));
    assert_ok(program_prepare(l->program, model->weights.data, NULL));
    l->gradient = calloc(n, sizeof(float));
    l->mean = calloc(n, sizeof(float));
    l->square = calloc(n, sizeof(float));
}

static void fill(struct lesson *l, int first)
{
    int32_t *source = program_input(l->program, l->in.source),
            *places = program_input(l->program, l->in.source_positions),
            *lengths = program_input(l->program, l->in.source_lengths),
            *tokens = program_input(l->program, l->in.tokens),
            *positions = program_input(l->program, l->in.positions),
            *targets = program_input(l->program, l->in.targets);
    for (int row = 0; row < ROWS; row++) {
        int32_t ids[LONGEST + 1] = {0};
        int count = source_of(first + row, ids), at = row * (LONGEST + 1);
        lengths[row] = count + 1;
        for (int t = 0; t <= LONGEST; t++) {
            source[at + t] = t <= count ? ids[t] : 0;
            places[at + t] = positions[at + t] = t;
            tokens[at + t] = t == 0 ? END : t <= count ? ids[count - t] : 0;
            targets[at + t] = t < count ? ids[count - 1 - t] : t == count ? END : -1;
        }
    }
}

// Adam. Source: Kingma and Ba 2014.
static void learn(struct lesson *l)
{
    float *w = l->model->weights.data;
    for (int step = 1; step <= STEPS; step++) {
        fill(l, step * ROWS);
        program_run(l->program, receive, l);
        float rate = 0.01f * (step < STEPS / 2 ? 1 : 0.2f);
        float correct1 = 1 - powf(0.9f, (float)step), correct2 = 1 - powf(0.98f, (float)step);
        for (int64_t i = 0; i < l->model->parameters.elements; i++) {
            float g = l->gradient[i] / ROWS;
            l->mean[i] += 0.1f * (g - l->mean[i]);
            l->square[i] += 0.02f * (g * g - l->square[i]);
            w[i] -= rate * (l->mean[i] / correct1) / (sqrtf(l->square[i] / correct2) + 1e-8f);
        }
    }
}

static void lesson_destroy(struct lesson *l)
{
    program_destroy(l->program);
    graph_destroy(l->g);
    free(l->gradient);
    free(l->mean);
    free(l->square);
}

// How many of 100 sources come back turned round; in *sum_p the scores.
static int right_answers(const struct loaded_model *model, int64_t beams, double *sum_p)
{
    struct search_options options;
    struct search *search;
    int right = 0;
    search_defaults(&options);
    options.beams = beams, options.length_penalty = 0;
    assert_ok(search_create(model, &options, &search));
    assert_int_equal(search_end(search), END);
    *sum_p = 0;
    for (int n = 0; n < 100; n++) {
        int32_t ids[LONGEST + 1];
        int count = source_of(1000000 + n, ids);
        struct search_result result;
        assert_ok(search_run(search, &(struct search_source){ids, count + 1, 0}, 1, &result));
        bool same = result.best[0].count == count;
        for (int t = 0; same && t < count; t++) same = result.best[0].ids[t] == ids[count - 1 - t];
        right += same;
        *sum_p += result.best[0].score;
        search_result_release(&result);
    }
    search_destroy(search);
    return right;
}

static void taught(const struct model_config *config)
{
    struct loaded_model model;
    struct lesson lesson;
    double greedy_sum, beam_sum;
    task_model(*config, 3, 0.1f, &model);
    lesson_create(&model, &lesson);
    learn(&lesson);
    int greedy = right_answers(&model, 1, &greedy_sum), beam = right_answers(&model, 4, &beam_sum);
    print_message("# %s: loss %.3f, %d of 100 right, %d with 4 beams; log p %.3f and %.3f\n",
                  model.config.type, (double)(lesson.loss / ROWS), greedy, beam, greedy_sum / 100,
                  beam_sum / 100);
    assert_true(greedy >= 90 && beam >= 90);
    assert_true(beam_sum >= greedy_sum - 1e-6);
    lesson_destroy(&lesson);
    small_model_release(&model);
}

static void a_transformer_turns_round(void **state)
{
    (void)state;
    taught(&(struct model_config){.type = "seq2seq",
                                  .vocabulary = VOCABULARY,
                                  .context = 8,
                                  .width = 24,
                                  .heads = 2,
                                  .layers = 1,
                                  .hidden = 48,
                                  .bias = true});
}

static void a_recurrent_model_turns_round(void **state)
{
    (void)state;
    taught(&(struct model_config){.type = "rnn_seq2seq",
                                  .vocabulary = VOCABULARY,
                                  .context = 8,
                                  .width = 24,
                                  .layers = 1,
                                  .bias = true,
                                  .rnn = CELL_LSTM});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transformer_turns_round),
        cmocka_unit_test(a_recurrent_model_turns_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
