// SPDX-License-Identifier: Apache-2.0
// The graph's GPT-2 against the hand-written one: the same loss and the same gradients to 1e-5, on every
// backend that computes.
#include "model/gpt2_plain.c"
#include "model/small_model.h"

struct setting {
    struct plain_config plain;
    int batch, length;
    int recompute;
};

static struct model_config config_of(const struct setting *s)
{
    struct model_config config = small_config(s->plain.vocabulary, s->plain.context, s->plain.width,
                                              s->plain.layers, s->plain.heads);
    config.hidden = s->plain.hidden;
    config.bias = s->plain.bias;
    config.norm_epsilon = s->plain.epsilon;
    config.recompute_layers = s->recompute;
    return config;
}

// The registry's block, parameter after parameter without padding, as the oracle has it.
static double *dense_of(const struct parameters *parameters, const float *block)
{
    double *dense = calloc((size_t)parameters_total(parameters), sizeof *dense), *next = dense;
    for (int p = 0; p < parameters->count; p++)
        for (int64_t i = 0; i < parameters->list[p].count; i++)
            *next++ = (double)block[parameters->list[p].offset + i];
    return dense;
}

// The largest difference in a parameter's gradient, relative to the largest entry of that gradient.
static double compare_gradients(const struct training *t, const double *dense, const char **where_p)
{
    double worst = 0;
    for (int p = 0; p < t->parameters->count; p++) {
        const struct parameter *parameter = &t->parameters->list[p];
        double difference = 0, largest = 0;
        for (int64_t i = 0; i < parameter->count; i++, dense++) {
            difference =
                fmax(difference, fabs((double)t->gradients[parameter->offset + i] - *dense));
            largest = fmax(largest, fabs(*dense));
        }
        if (difference / largest > worst) {
            worst = difference / largest;
            *where_p = parameter->name;
        }
    }
    return worst;
}

static void compare(const char *backend, const struct setting *s)
{
    struct model_config config = config_of(s);
    struct parameters parameters;
    struct training t;
    int count = s->batch * s->length, *tokens = calloc((size_t)count, sizeof *tokens),
        *targets = calloc((size_t)count, sizeof *targets);
    small_batch(11, s->plain.vocabulary, count, tokens, targets);
    parameters_init(&parameters);
    training_build(&config, &parameters, s->batch, s->length, s->plain.smoothing, false, &t);
    assert_int_equal(parameters_total(&parameters), plain_count(&s->plain));
    struct block weights;
    assert_ok(block_create((size_t)parameters.elements * sizeof(float), "weights", &weights));
    small_weights(&parameters, 9, 0.5f, weights.data);
    training_prepare(&t, backend, weights.data);
    double loss = training_run(&t, tokens, targets, 0);
    assert_int_equal(t.yields, parameters.count);

    double *plain = dense_of(&parameters, weights.data),
           *gradients = calloc((size_t)plain_count(&s->plain), sizeof *gradients);
    double wanted =
        plain_step(&s->plain, plain, tokens, targets, s->batch, s->length, gradients, NULL);
    const char *where = "none";
    double worst = compare_gradients(&t, gradients, &where);
    printf("# %s, width %d, %d tokens: loss %.9g, off by %.2g; gradients off by %.2g (%s)\n",
           backend, s->plain.width, count, wanted, fabs(loss - wanted) / wanted, worst, where);
    assert_true(fabs(loss - wanted) <= 1e-5 * wanted);
    assert_true(worst <= 1e-5);
    free(plain);
    free(gradients);
    free(tokens);
    free(targets);
    training_release(&t);
    parameters_release(&parameters);
    block_destroy(&weights);
}

static const struct setting settings[] = {
    {{.vocabulary = 11,
      .context = 8,
      .width = 12,
      .layers = 2,
      .heads = 3,
      .hidden = 20,
      .bias = true,
      .epsilon = 1e-5},
     2,
     7,
     0},
    {{.vocabulary = 33,
      .context = 17,
      .width = 20,
      .layers = 3,
      .heads = 4,
      .hidden = 80,
      .epsilon = 1e-5,
      .smoothing = 0.1},
     3,
     17,
     0},
    {{.vocabulary = 65,
      .context = 70,
      .width = 64,
      .layers = 2,
      .heads = 2,
      .hidden = 256,
      .bias = true,
      .epsilon = 1e-5},
     2,
     65,
     0},
    {{.vocabulary = 31,
      .context = 12,
      .width = 32,
      .layers = 3,
      .heads = 4,
      .hidden = 128,
      .bias = true,
      .epsilon = 1e-5},
     2,
     12,
     2},
};

static void reference_backend_agrees_with_oracle(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        compare("reference", &settings[i]);
}

static void cpu_backend_agrees_with_oracle(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) compare("cpu", &settings[i]);
}

// Recomputed activations are the same activations: with dropout on, too, since masks are counted and not drawn.
static void recompute_changes_no_bit(void **state)
{
    (void)state;
    enum { BATCH = 2, TOKENS = 9 };
    int tokens[BATCH * TOKENS], targets[BATCH * TOKENS];
    struct parameters parameters;
    struct training t[3];
    float *weights = NULL;
    small_batch(21, 31, BATCH * TOKENS, tokens, targets);
    parameters_init(&parameters);
    for (int i = 0; i < 3; i++) {
        struct model_config config = small_config(31, 16, 32, 3, 4);
        config.embedding_dropout = config.attention_dropout = config.residual_dropout = 0.1;
        config.recompute_layers = (int[]){0, 1, 3}[i];
        training_build(&config, &parameters, BATCH, TOKENS, 0, true, &t[i]);
        if (!weights) weights = aligned_alloc(64, (size_t)(parameters.elements + 16) / 16 * 64);
        if (i == 0) small_weights(&parameters, 4, 0.2f, weights);
        training_prepare(&t[i], "cpu", weights);
        training_run(&t[i], tokens, targets, 5);
        printf("# recompute %d layers: loss %.9g, arena %zu bytes\n", (int)config.recompute_layers,
               t[i].loss, program_arena_bytes(t[i].program));
        assert_memory_equal(t[i].gradients, t[0].gradients,
                            (size_t)parameters.elements * sizeof(float));
        assert_true(t[i].loss == t[0].loss);
    }
    assert_true(program_arena_bytes(t[2].program) < program_arena_bytes(t[0].program));
    for (int i = 0; i < 3; i++) training_release(&t[i]);
    free(weights);
    parameters_release(&parameters);
}

static void dropout_depends_on_the_step_alone(void **state)
{
    (void)state;
    int tokens[8], targets[8];
    struct parameters parameters;
    struct training t;
    struct model_config config = small_config(13, 8, 16, 1, 2);
    config.embedding_dropout = config.attention_dropout = config.residual_dropout = 0.5;
    small_batch(2, 13, 8, tokens, targets);
    parameters_init(&parameters);
    training_build(&config, &parameters, 1, 8, 0, true, &t);
    // One for the embedding, one for each head, two for the residual stream.
    float *weights = aligned_alloc(64, (size_t)(parameters.elements + 16) / 16 * 64);
    small_weights(&parameters, 4, 0.5f, weights);
    training_prepare(&t, "cpu", weights);
    double first = training_run(&t, tokens, targets, 1),
           other = training_run(&t, tokens, targets, 2);
    assert_true(first != other);
    assert_true(training_run(&t, tokens, targets, 1) == first);
    training_release(&t);
    free(weights);
    parameters_release(&parameters);
}

// ---- names and initial weights ----

static void names_and_order_are_hugging_faces(void **state)
{
    (void)state;
    static const char *const names[] = {
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "transformer.h.0.ln_1.weight",
        "transformer.h.0.ln_1.bias",
        "transformer.h.0.attn.c_attn.weight",
        "transformer.h.0.attn.c_attn.bias",
        "transformer.h.0.attn.c_proj.weight",
        "transformer.h.0.attn.c_proj.bias",
        "transformer.h.0.ln_2.weight",
        "transformer.h.0.ln_2.bias",
        "transformer.h.0.mlp.c_fc.weight",
        "transformer.h.0.mlp.c_fc.bias",
        "transformer.h.0.mlp.c_proj.weight",
        "transformer.h.0.mlp.c_proj.bias",
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
    };
    struct model_config config = small_config(7, 5, 8, 1, 2);
    struct loaded_model model;
    small_model(config, 1, 0, NULL, &model);
    assert_int_equal(model.parameters.count, sizeof names / sizeof *names);
    for (int i = 0; i < model.parameters.count; i++)
        assert_string_equal(model.parameters.list[i].name, names[i]);
    struct shape attention = model.parameters.list[4].shape, up = model.parameters.list[10].shape;
    assert_true(shape_equal(attention, shape_of(2, INT64_C(8), INT64_C(24))));
    assert_true(shape_equal(up, shape_of(2, INT64_C(8), INT64_C(32))));
    assert_true(model.parameters.list[0].decay && !model.parameters.list[3].decay);
    small_model_release(&model);
}

static double deviation_of(const struct loaded_model *model, const char *name, double *mean_p)
{
    int index = parameters_find(&model->parameters, name);
    assert_true(index >= 0);
    const struct parameter *p = &model->parameters.list[index];
    const float *w = (const float *)model->weights.data + p->offset;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < p->count; i++) sum += (double)w[i];
    for (int64_t i = 0; i < p->count; i++) squares += pow((double)w[i] - sum / (double)p->count, 2);
    *mean_p = sum / (double)p->count;
    return sqrt(squares / (double)p->count);
}

static void initial_weights_are_gpt2s(void **state)
{
    (void)state;
    struct loaded_model model;
    double mean;
    small_model(small_config(256, 64, 128, 4, 4), 1337, 0, NULL, &model);
    // 16384 to 65536 elements: the deviation is known to within a percent, the mean to within a hundredth of it.
    assert_float_equal(deviation_of(&model, "transformer.h.2.attn.c_attn.weight", &mean), 0.02,
                       0.0004);
    assert_float_equal(mean, 0, 0.0004);
    assert_float_equal(deviation_of(&model, "transformer.h.2.attn.c_proj.weight", &mean), 0.01,
                       0.0003);
    assert_float_equal(deviation_of(&model, "transformer.h.0.mlp.c_proj.weight", &mean), 0.01,
                       0.0002);
    assert_float_equal(deviation_of(&model, "transformer.wte.weight", &mean), 0.02, 0.0004);
    assert_float_equal(deviation_of(&model, "transformer.ln_f.weight", &mean), 0, 0);
    assert_float_equal(mean, 1, 0);
    assert_float_equal(deviation_of(&model, "transformer.h.3.mlp.c_fc.bias", &mean), 0, 0);
    assert_float_equal(mean, 0, 0);
    small_model_release(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_backend_agrees_with_oracle),
        cmocka_unit_test(cpu_backend_agrees_with_oracle),
        cmocka_unit_test(recompute_changes_no_bit),
        cmocka_unit_test(dropout_depends_on_the_step_alone),
        cmocka_unit_test(names_and_order_are_hugging_faces),
        cmocka_unit_test(initial_weights_are_gpt2s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
