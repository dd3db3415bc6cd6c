// SPDX-License-Identifier: Apache-2.0
// Every type of model on the CPU's kernels: the reference's loss; what padding holds changes no bit; scores can be built; a model comes
// back from its directory; what only a language model can do is refused by name; tokens beside sines. Gradients: test/double/test_models.c.
#include "infer/decoder.h"
#include "model/parts.h"
#include "model/small_model.h"
#include "model/task_cases.h"
#include "scratch.h"

#include <math.h>

struct rig {
    struct model_config config;
    const struct model_type *type;
    struct parameters parameters;
    struct block weights;
    struct graph *g;
    struct program *program;
    float *gradient;
    float loss;
    int additions; // op_add forward, and products that add
    int adding;
};

static void receive(void *context, int tag, const void *data)
{
    struct rig *rig = context;
    if (tag == LOSS_TAG) {
        rig->loss = *(const float *)data;
        return;
    }
    const struct parameter *p = &rig->parameters.list[tag];
    memcpy(rig->gradient + p->offset, data, (size_t)p->count * sizeof(float));
}

static void count_additions(struct rig *rig)
{
    for (int i = 0; i < rig->g->count; i++) {
        const struct value *v = rig->g->values[i];
        if (v->op == &add_op) rig->additions++;
        if (v->op == &linear_op && v->inputs == 4) rig->adding++;
    }
}

static void rig_create_with(struct rig *rig, int number, const char *backend_name, int32_t padding,
                            double residual_dropout)
{
    const struct backend *backend;
    const struct value *list[16];
    *rig = (struct rig){0};
    parameters_init(&rig->parameters);
    assert_ok(task_config(number, &rig->type, &rig->config));
    assert_ok(graph_create(&rig->g));
    rig->config.residual_dropout = residual_dropout;
    struct value *random = NULL;
    if (residual_dropout > 0) random = graph_input(rig->g, "random", U32, shape_of(1, INT64_C(4)));
    struct builder b = {
        .g = rig->g, .parameters = &rig->parameters, .random = random, .training = true};
    const struct model_sizes sizes = {TASK_BATCH, TASK_TOKENS, TASK_SOURCE};
    struct model_inputs in =
        model_inputs_create(rig->g, &rig->config, model_task_of(rig->type, &rig->config), sizes);
    struct value *loss = rig->type->loss(&b, &rig->config, in, 0);
    assert_int_equal(b.depth, 0);
    count_additions(rig);
    graph_yield(rig->g, loss, LOSS_TAG);
    backward(rig->g, loss, rig->parameters.count);
    rig->parameters.closed = true;
    assert_ok(backend_find(backend_name, &backend));
    assert_ok(program_create(backend, rig->g, NULL, &rig->program));
    assert_ok(
        block_create((size_t)rig->parameters.elements * sizeof(float), "weights", &rig->weights));
    small_weights(&rig->parameters, 9, 0.5f, rig->weights.data);
    rig->gradient = calloc((size_t)rig->parameters.elements, sizeof(float));
    assert_ok(program_prepare(rig->program, rig->weights.data, NULL));
    int inputs = task_inputs(&in, list);
    for (int i = 0; i < inputs; i++)
        task_fill(&rig->config, list[i], padding, program_input(rig->program, list[i]));
    if (random) memset(program_input(rig->program, random), 0, 4 * sizeof(uint32_t));
    program_run(rig->program, receive, rig);
}

static void rig_create(struct rig *rig, int number, const char *backend_name, int32_t padding)
{
    rig_create_with(rig, number, backend_name, padding, 0);
}

static void rig_destroy(struct rig *rig)
{
    program_destroy(rig->program);
    graph_destroy(rig->g);
    parameters_release(&rig->parameters);
    block_destroy(&rig->weights);
    free(rig->gradient);
}

static void kernels_give_the_references_loss(void **state)
{
    (void)state;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig cpu, reference;
        rig_create(&cpu, number, "cpu", 3);
        rig_create(&reference, number, "reference", 3);
        double off = fabs((double)(cpu.loss - reference.loss)) / fabs((double)reference.loss);
        print_message("# case %d, %s: loss %.6g, off by %.1e\n", number, cpu.config.type,
                      (double)cpu.loss, off);
        assert_true(off <= 1e-5);
        rig_destroy(&cpu);
        rig_destroy(&reference);
    }
}

// A rate so small that nothing is dropped or scaled still stands between a layer's part and the addition; without it, the
// part's last product adds.
static void products_add_residuals_with_the_same_bits(void **state)
{
    (void)state;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig apart, fused;
        rig_create_with(&apart, number, "cpu", 3, 1e-12);
        rig_create_with(&fused, number, "cpu", 3, 0);
        bool transformer =
            strcmp(fused.config.type, "encoder") == 0 || strcmp(fused.config.type, "seq2seq") == 0;
        int parts = 2 * (int)fused.config.layers; // attention and feed-forward
        if (strcmp(fused.config.type, "seq2seq") == 0)
            parts += (int)fused.config.layers + 2 * (int)fused.config.encoder_layers;
        if (transformer) assert_int_equal(fused.adding, parts);
        assert_int_equal(apart.adding, 0);
        assert_int_equal(apart.additions, fused.additions + fused.adding);
        assert_memory_equal(&apart.loss, &fused.loss, sizeof fused.loss);
        assert_memory_equal(apart.gradient, fused.gradient,
                            (size_t)fused.parameters.elements * sizeof *fused.gradient);
        rig_destroy(&apart);
        rig_destroy(&fused);
    }
}

// Convolutions see the token behind the end of a text, as the header of the file says.
static void padding_changes_no_bit(void **state)
{
    (void)state;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig a, b;
        rig_create(&a, number, "cpu", 3);
        rig_create(&b, number, "cpu", 5);
        if (strcmp(a.config.type, "convolution") != 0)
            assert_memory_equal(&a.loss, &b.loss, sizeof a.loss);
        rig_destroy(&a);
        rig_destroy(&b);
    }
}

static void models_come_back_from_their_directories(void **state)
{
    (void)state;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig rig;
        struct loaded_model *back;
        const char *folder = scratch_path("model");
        rig_create(&rig, number, "cpu", 3);
        assert_ok(
            model_directory_save(folder, &rig.config, &rig.parameters, rig.weights.data, NULL));
        assert_ok(model_directory_load(folder, &back));
        assert_string_equal(back->config.type, rig.config.type);
        assert_int_equal(back->config.classes, rig.config.classes);
        assert_int_equal(back->config.loss, rig.config.loss);
        assert_int_equal(back->config.pool, rig.config.pool);
        assert_int_equal(back->config.features, rig.config.features);
        assert_int_equal(back->config.post_norm, rig.config.post_norm);
        assert_int_equal(back->config.batch_norm, rig.config.batch_norm);
        assert_int_equal(back->parameters.count, rig.parameters.count);
        assert_memory_equal(back->weights.data, rig.weights.data,
                            (size_t)rig.parameters.elements * sizeof(float));
        loaded_model_destroy(back);
        rig_destroy(&rig);
        assert_ok(directory_remove(folder));
    }
}

static void scores_have_their_shape(void **state)
{
    (void)state;
    int built = 0;
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig rig;
        struct graph *g;
        rig_create(&rig, number, "cpu", 3);
        enum model_tasks task = model_task_of(rig.type, &rig.config);
        if (rig.type->scores && task != TASK_MLM && task != TASK_LM) {
            assert_ok(graph_create(&g));
            struct builder b = {.g = g, .parameters = &rig.parameters};
            const struct model_sizes sizes = {TASK_BATCH, TASK_TOKENS, TASK_SOURCE};
            struct value *scores =
                rig.type->scores(&b, &rig.config, model_inputs_create(g, &rig.config, task, sizes));
            assert_ok(graph_status(g));
            struct shape wanted =
                task == TASK_TRANSLATE
                    ? shape_of(3, (int64_t)TASK_BATCH, (int64_t)TASK_TOKENS, rig.config.vocabulary)
                : task == TASK_ANSWER
                    ? shape_of(3, (int64_t)TASK_BATCH, (int64_t)TASK_TOKENS, INT64_C(2))
                    : shape_of(2, (int64_t)TASK_BATCH, rig.config.classes);
            assert_true(shape_equal(scores->shape, wanted));
            graph_destroy(g);
            built++;
        }
        rig_destroy(&rig);
    }
    assert_true(built >= 18);
}

static void only_language_models_continue_a_text(void **state)
{
    (void)state;
    const struct backend *backend;
    assert_ok(backend_find("cpu", &backend));
    for (int number = 0; number < TASK_CASES; number++) {
        struct rig rig;
        struct decoder decoder;
        rig_create(&rig, number, "cpu", 3);
        assert_int_equal(rig.type->decode != NULL, (rig.type->tasks & TASK_LM) != 0);
        struct loaded_model model = {
            .config = rig.config, .type = rig.type, .parameters = rig.parameters};
        if (!rig.type->decode || rig.config.classes) {
            assert_int_equal(decoder_create(&model, backend, 1, &decoder), STATUS_UNSUPPORTED);
            assert_true(error_says("does not continue a text"));
        }
        rig_destroy(&rig);
    }
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct model_config config;
        const char *words;
    } bad[] = {
        {{.type = "bag"}, "model.classes: 0 is out of range"},
        {{.type = "encoder", .pool = POOL_MAX}, "model.pool"},
        {{.type = "gpt2", .classes = 2, .pool = POOL_FIRST}, "model.pool: gpt2"},
        {{.type = "lstm_lm", .classes = 2, .pool = POOL_FIRST}, "model.pool: lstm_lm"},
        {{.type = "lstm_lm", .classes = -2}, "model.classes: -2"},
        {{.type = "encoder", .classes = 2, .loss = 77}, "model.loss: 77"},
        {{.type = "seq2seq", .encoder_layers = -1}, "model.encoder_layers: -1"},
        {{.type = "seq2seq", .source_vocabulary = -5}, "model.source_vocabulary: -5"},
        {{.type = "rnn_seq2seq", .width = 7}, "model.width: 7 is odd"},
        {{.type = "convolution", .classes = 2, .context = 4}, "model.context: 4"},
        {{.type = "mlp", .features = -1}, "model.features: -1"},
        {{.type = "linear", .features = -2}, "model.features: -2"},
        {{.type = "linear", .pool = POOL_MAX}, "model.pool: linear"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct model_type *type;
        struct model_config config = bad[i].config;
        config.vocabulary = 10;
        assert_ok(model_find(config.type, &type));
        assert_int_equal(type->validate(&config), STATUS_USAGE);
        assert_true(error_says(bad[i].words));
    }
}

static void keep(void *context, int tag, const void *data)
{
    memcpy(context, data, 6 * sizeof(float));
    assert_int_equal(tag, 7);
}

// Section 3.4 of Vaswani et al. 2017: the token's row times the root of the width, and the sines of its place.
static void tokens_are_as_large_as_sines(void **state)
{
    (void)state;
    enum { WIDTH = 6 };
    const struct model_config config = {.width = WIDTH, .context = 9, .sinusoidal = true};
    struct parameters parameters;
    struct graph *g;
    struct program *program;
    const struct backend *backend;
    float weights[3 * WIDTH + 16], x[WIDTH];
    parameters_init(&parameters);
    assert_ok(graph_create(&g));
    struct builder b = {.g = g, .parameters = &parameters};
    struct value *table = nn_embedding_table(&b, "tokens", 3, WIDTH, 1);
    struct value *token = graph_input(g, "token", I32, shape_of(1, INT64_C(1)));
    struct value *place = graph_input(g, "place", I32, shape_of(1, INT64_C(1)));
    graph_yield(g, parts_embed(&b, &config, table, "positions", token, place), 7);
    assert_ok(backend_find("cpu", &backend));
    assert_ok(program_create(backend, g, NULL, &program));
    for (int i = 0; i < 3 * WIDTH; i++) weights[i] = (float)i / 8;
    assert_ok(program_prepare(program, weights, NULL));
    *(int32_t *)program_input(program, token) = 2;
    *(int32_t *)program_input(program, place) = 5;
    program_run(program, keep, x);
    for (int i = 0; i < WIDTH; i++) {
        double angle = 5 * pow(10000, -(double)(i - i % 2) / WIDTH);
        double right = (2 * WIDTH + i) / 8.0 * sqrt(WIDTH) + (i % 2 ? cos(angle) : sin(angle));
        assert_true(fabs((double)x[i] - right) < 1e-5);
    }
    program_destroy(program);
    graph_destroy(g);
    parameters_release(&parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_give_the_references_loss),
        cmocka_unit_test(products_add_residuals_with_the_same_bits),
        cmocka_unit_test(padding_changes_no_bit),
        cmocka_unit_test(models_come_back_from_their_directories),
        cmocka_unit_test(scores_have_their_shape),
        cmocka_unit_test(only_language_models_continue_a_text),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(tokens_are_as_large_as_sines),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return scratch_remove() || failed;
}
