// SPDX-License-Identifier: Apache-2.0
// Configurations: what is 0 is filled, what is wrong is refused with key, value and what would be right.
#include "model/small_model.h"

#include <math.h>

static enum status validate(struct model_config *config)
{
    const struct model_type *type;
    assert_ok(model_find("gpt2", &type));
    return type->validate(config);
}

static struct model_config base(void)
{
    return (struct model_config){.type = "gpt2",
                                 .vocabulary = 65,
                                 .context = 64,
                                 .width = 128,
                                 .layers = 4,
                                 .heads = 4,
                                 .bias = true};
}

static void what_is_zero_is_filled(void **state)
{
    (void)state;
    struct model_config config = {.type = "gpt2", .vocabulary = 50257, .bias = true};
    assert_ok(validate(&config));
    assert_int_equal(config.context, 1024);
    assert_int_equal(config.width, 768);
    assert_int_equal(config.layers, 12);
    assert_int_equal(config.heads, 12);
    assert_int_equal(config.hidden, 3072);
    assert_int_equal(config.activation, ACTIVATION_GELU_TANH);
    assert_true(config.norm_epsilon == 1e-5 && config.init_deviation == 0.02);
}

static void refuse(struct model_config config, const char *part)
{
    struct model_config before = config;
    error_clear();
    assert_int_equal(validate(&config), STATUS_USAGE);
    if (!strstr(error_message(), part)) fail_msg("\"%s\" lacks \"%s\"", error_message(), part);
    assert_memory_equal(&config, &before, sizeof config);
    error_clear();
}

static struct model_config with(size_t offset, int64_t value)
{
    struct model_config config = base();
    memcpy((char *)&config + offset, &value, sizeof value);
    return config;
}

static struct model_config with_number(size_t offset, double value)
{
    struct model_config config = base();
    memcpy((char *)&config + offset, &value, sizeof value);
    return config;
}
#define WITH(field, value)        with(offsetof(struct model_config, field), value)
#define WITH_NUMBER(field, value) with_number(offsetof(struct model_config, field), value)

static void wrong_integers_are_named(void **state)
{
    (void)state;
    refuse(WITH(heads, 5), "model.heads: 5 does not divide model.width: 128; try 4 or 8");
    refuse(WITH(heads, 200), "model.heads: 200 is more than model.width: 128");
    refuse(WITH(heads, -1), "model.heads: -1 is out of range; it must be 1 to 131072");
    refuse(WITH(vocabulary, 0), "model.vocabulary: 0 is out of range");
    refuse(WITH(vocabulary, INT64_MAX), "model.vocabulary: 9223372036854775807");
    refuse(WITH(context, -64), "model.context: -64 is out of range");
    refuse(WITH(context, 131073), "model.context: 131073");
    refuse(WITH(width, INT64_MIN), "model.width: -9223372036854775808");
    refuse(WITH(width, INT64_MAX), "model.width: 9223372036854775807");
    refuse(WITH(layers, 4097), "model.layers: 4097 is out of range; it must be 1 to 4096");
    refuse(WITH(hidden, -1), "model.hidden: -1");
    refuse(WITH(hidden, INT64_MAX), "model.hidden: 9223372036854775807");
    refuse(WITH(recompute_layers, 5),
           "model.recompute_layers: 5 is out of range; it must be 0 to model.layers: 4");
    refuse(WITH(recompute_layers, -1), "model.recompute_layers: -1");
}

static void too_many_parameters_are_refused(void **state)
{
    (void)state;
    struct model_config config = base();
    config.width = 131072;
    config.layers = 4096;
    refuse(config, "parameters (model.width: 131072, model.layers: 4096");
    config = base();
    config.vocabulary = INT32_MAX;
    config.width = 1024;
    refuse(config, "a vocabulary of 2147483647");
    config = base();
    config.layers = 4096;
    config.width = config.heads = 4096;
    refuse(config, "to draw dropout for");
    config = base();
    config.vocabulary = 50257;
    config.width = 12288;
    config.layers = 96;
    config.heads = 96;
    assert_ok(validate(&config)); // GPT-3's size is known to fit
}

static void wrong_numbers_are_named(void **state)
{
    (void)state;
    refuse(WITH_NUMBER(embedding_dropout, 1), "model.embedding_dropout: 1 is not a rate");
    refuse(WITH_NUMBER(attention_dropout, -0.1), "model.attention_dropout: -0.1");
    refuse(WITH_NUMBER(residual_dropout, NAN), "model.residual_dropout: ");
    refuse(WITH_NUMBER(norm_epsilon, -1e-5), "model.norm_epsilon: -1e-05");
    refuse(WITH_NUMBER(norm_epsilon, NAN), "model.norm_epsilon");
    refuse(WITH_NUMBER(init_deviation, INFINITY), "model.init_deviation: inf");
    struct model_config config = base();
    config.activation = (enum activation)77;
    refuse(config, "model.activation: 77");
}

static void unknown_types_are_refused(void **state)
{
    (void)state;
    const struct model_type *type = NULL;
    error_clear();
    assert_int_equal(model_find("gtp2", &type), STATUS_USAGE);
    assert_string_equal(
        error_message(),
        "model.type: there is no model \"gtp2\" (did you mean \"gpt2\"?); there are: gpt2, "
        "lstm_lm, encoder, seq2seq, rnn_seq2seq, bag, convolution, mlp, linear");
    assert_null(type);
    error_clear();
    assert_int_equal(model_find("transformer-of-dreams", &type), STATUS_USAGE);
    assert_string_equal(error_message(),
                        "model.type: there is no model \"transformer-of-dreams\"; there are: gpt2, "
                        "lstm_lm, encoder, seq2seq, rnn_seq2seq, bag, convolution, mlp, linear");
    error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_zero_is_filled),
        cmocka_unit_test(wrong_integers_are_named),
        cmocka_unit_test(too_many_parameters_are_refused),
        cmocka_unit_test(wrong_numbers_are_named),
        cmocka_unit_test(unknown_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
