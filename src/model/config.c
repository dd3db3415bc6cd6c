// SPDX-License-Identifier: Apache-2.0
// What every configuration of a Transformer must keep to, whatever its type.
#include "model/model.h"

// Bounds keep every product of sizes inside 64 bits and every element inside a Philox block counter
// (base/philox.h, op_attention).
static const int64_t MOST_POSITIONS = 1 << 17, MOST_WIDTH = 1 << 17, MOST_LAYERS = 1 << 12;
static const int64_t MOST_VOCABULARY = INT32_MAX, MOST_ELEMENTS = INT64_C(1) << 40;

static enum status check_range(const char *key, int64_t value, int64_t most)
{
    if (value >= 1 && value <= most) return STATUS_OK;
    FAIL(STATUS_USAGE, "model.%s: %lld is out of range; it must be 1 to %lld", key,
         (long long)value, (long long)most);
}

static enum status check_rate(const char *key, double rate)
{
    if (rate >= 0 && rate < 1) return STATUS_OK; // false for NaN
    FAIL(STATUS_USAGE, "model.%s: %g is not a rate; it must be at least 0 and less than 1", key,
         rate);
}

static enum status check_positive(const char *key, double value, double most)
{
    if (value >= 1e-30 && value <= most) return STATUS_OK;
    FAIL(STATUS_USAGE, "model.%s: %g is out of range; it must be 1e-30 to %g", key, value, most);
}

// Heads share the width equally; the message offers the divisors next to what was asked for.
static enum status check_heads(int64_t heads, int64_t width)
{
    if (width % heads == 0) return STATUS_OK;
    int64_t below = heads, above = heads;
    while (width % below) below--;
    while (above < width && width % above) above++;
    if (above > width)
        FAIL(STATUS_USAGE, "model.heads: %lld is more than model.width: %lld; try %lld",
             (long long)heads, (long long)width, (long long)(width % 64 ? 1 : width / 64));
    FAIL(STATUS_USAGE, "model.heads: %lld does not divide model.width: %lld; try %lld or %lld",
         (long long)heads, (long long)width, (long long)below, (long long)above);
}

static enum status check_elements(const struct model_config *c)
{
    int64_t layer = c->width * (4 * c->width + 2 * c->hidden) + c->hidden + 9 * c->width;
    int64_t elements = (c->vocabulary + c->context + 2) * c->width + c->layers * layer;
    if (elements > MOST_ELEMENTS)
        FAIL(STATUS_USAGE,
             "model: %.3g parameters (model.width: %lld, model.layers: %lld, model.hidden: %lld, a "
             "vocabulary of %lld) are more than the most, %.3g; make width or layers smaller",
             (double)elements, (long long)c->width, (long long)c->layers, (long long)c->hidden,
             (long long)c->vocabulary, (double)MOST_ELEMENTS);
    if (1 + c->layers * (c->heads + 2) >= INT64_C(1) << 24)
        FAIL(STATUS_USAGE,
             "model.layers: %lld with model.heads: %lld are too many to draw dropout for",
             (long long)c->layers, (long long)c->heads);
    return STATUS_OK;
}

static enum status check_numbers(const struct model_config *c)
{
    TRY(check_rate("embedding_dropout", c->embedding_dropout));
    TRY(check_rate("attention_dropout", c->attention_dropout));
    TRY(check_rate("residual_dropout", c->residual_dropout));
    TRY(check_positive("norm_epsilon", c->norm_epsilon, 1));
    TRY(check_positive("init_deviation", c->init_deviation, 10));
    if (c->activation < ACTIVATION_GELU_TANH || c->activation >= ACTIVATION_COUNT)
        FAIL(STATUS_USAGE, "model.activation: %d is none that we know", (int)c->activation);
    if (c->recompute_layers < 0 || c->recompute_layers > c->layers)
        FAIL(STATUS_USAGE,
             "model.recompute_layers: %lld is out of range; it must be 0 to model.layers: %lld",
             (long long)c->recompute_layers, (long long)c->layers);
    return STATUS_OK;
}

enum status model_config_check(const struct model_config *c)
{
    const struct {
        const char *key;
        int64_t value, most;
    } sizes[] = {
        {"vocabulary", c->vocabulary, MOST_VOCABULARY},
        {"context", c->context, MOST_POSITIONS},
        {"width", c->width, MOST_WIDTH},
        {"layers", c->layers, MOST_LAYERS},
        {"heads", c->heads, MOST_WIDTH},
        {"hidden", c->hidden, 8 * MOST_WIDTH},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        TRY(check_range(sizes[i].key, sizes[i].value, sizes[i].most));
    TRY(check_heads(c->heads, c->width));
    TRY(check_elements(c));
    return check_numbers(c);
}
