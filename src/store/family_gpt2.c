// SPDX-License-Identifier: Apache-2.0
// GPT-2 as transformers writes it. Source: transformers, configuration_gpt2.py and modeling_gpt2.py.
#include "store/family.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

static const int64_t MOST_WIDTH = 1 << 17, MOST_POSITIONS = 1 << 17, MOST_LAYERS = 1 << 12,
                     MOST_VOCABULARY = INT32_MAX;

// The first name of each is the one that is written.
static const struct {
    const char *name;
    enum activation activation;
} activations[] = {
    {"gelu_new", ACTIVATION_GELU_TANH}, {"gelu", ACTIVATION_GELU},
    {"relu", ACTIVATION_RELU},          {"silu", ACTIVATION_SILU},
    {"swish", ACTIVATION_SILU},         {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

// ---- writing ----
static const char *activation_name(enum activation activation)
{
    for (int i = 0; i < ACTIVATIONS; i++)
        if (activations[i].activation == activation) return activations[i].name;
    return "gelu_new";
}

// With a head over classes: GPT2ForSequenceClassification, its classes by number, and in our own object what it has no key for.
static bool write_head(json_t *root, const struct model_config *c)
{
    const char *kind = c->loss == LOSS_SQUARED  ? "regression"
                       : c->loss == LOSS_BINARY ? "multi_label_classification"
                                                : "single_label_classification";
    json_t *names = json_object(), *numbers = json_object(), *own = json_object();
    int bad = !names || !numbers || !own;
    for (int64_t i = 0; i < c->classes && !bad; i++) {
        char number[24], name[32];
        snprintf(number, sizeof number, "%lld", (long long)i);
        snprintf(name, sizeof name, "LABEL_%lld", (long long)i);
        bad |= json_object_set_new(names, number, json_string(name));
        bad |= json_object_set_new(numbers, name, json_integer(i));
    }
    bad |= json_object_set_new(root, "architectures",
                               json_pack("[s]", "GPT2ForSequenceClassification"));
    bad |= json_object_set_new(root, "id2label", names);
    bad |= json_object_set_new(root, "label2id", numbers);
    bad |= json_object_set_new(root, "problem_type", json_string(kind));
    bad |= json_object_set_new(root, "pad_token_id", json_null());
    bad |= !own || !family_write_head(own, c);
    return !(bad | json_object_set_new(root, "stentor", own));
}

static bool gpt2_write(json_t *root, const struct model_config *c)
{
    int64_t hidden = c->hidden ? c->hidden : 4 * c->width;
    int bad = json_object_set_new(root, "vocab_size", json_integer(c->vocabulary));
    bad |= json_object_set_new(root, "n_positions", json_integer(c->context));
    bad |= json_object_set_new(root, "n_embd", json_integer(c->width));
    bad |= json_object_set_new(root, "n_layer", json_integer(c->layers));
    bad |= json_object_set_new(root, "n_head", json_integer(c->heads));
    bad |= json_object_set_new(root, "n_inner",
                               hidden == 4 * c->width ? json_null() : json_integer(hidden));
    bad |= json_object_set_new(root, "activation_function",
                               json_string(activation_name(c->activation)));
    bad |= json_object_set_new(root, "embd_pdrop", json_real(c->embedding_dropout));
    bad |= json_object_set_new(root, "attn_pdrop", json_real(c->attention_dropout));
    bad |= json_object_set_new(root, "resid_pdrop", json_real(c->residual_dropout));
    bad |= json_object_set_new(root, "layer_norm_epsilon", json_real(c->norm_epsilon));
    bad |= json_object_set_new(root, "initializer_range", json_real(c->init_deviation));
    bad |= json_object_set_new(root, "scale_attn_weights", json_true());
    bad |= json_object_set_new(root, "scale_attn_by_inverse_layer_idx", json_false());
    bad |= json_object_set_new(root, "reorder_and_upcast_attn", json_false());
    bad |= json_object_set_new(root, "tie_word_embeddings", json_true());
    bad |= json_object_set_new(root, "use_cache", json_true());
    bad |= json_object_set_new(root, "bos_token_id", json_null());
    bad |= json_object_set_new(root, "eos_token_id", json_null());
    if (c->classes) bad |= !write_head(root, c);
    return !bad;
}

// ---- reading ----
// Under its own name or the general one that transformers takes as well.
static enum status read_size(json_t *root, const char *path, const char *key, const char *alias,
                             int64_t most, int64_t *size_p)
{
    const char *name = json_object_get(root, key) || !json_object_get(root, alias) ? key : alias;
    return json_get_integer(root, name, path, true, 1, most, 0, size_p);
}

static enum status read_sizes(json_t *root, const char *path, struct model_config *c)
{
    TRY(read_size(root, path, "vocab_size", "vocab_size", MOST_VOCABULARY, &c->vocabulary));
    TRY(read_size(root, path, "n_positions", "max_position_embeddings", MOST_POSITIONS,
                  &c->context));
    TRY(read_size(root, path, "n_embd", "hidden_size", MOST_WIDTH, &c->width));
    TRY(read_size(root, path, "n_layer", "num_hidden_layers", MOST_LAYERS, &c->layers));
    TRY(read_size(root, path, "n_head", "num_attention_heads", MOST_WIDTH, &c->heads));
    TRY(json_get_integer(root, "n_inner", path, false, 1, 8 * MOST_WIDTH, 4 * c->width,
                         &c->hidden));
    if (c->width % c->heads)
        FAIL(STATUS_INPUT, "%s: \"n_head\" is %lld, which does not divide \"n_embd\", %lld", path,
             (long long)c->heads, (long long)c->width);
    return STATUS_OK;
}

static enum status read_activation(json_t *root, const char *path, struct model_config *c)
{
    const char *name;
    char name_shown[SHOWN];
    TRY(json_get_string(root, "activation_function", path, false, "gelu_new", &name));
    for (int i = 0; i < ACTIVATIONS; i++) {
        if (strcmp(activations[i].name, name) != 0) continue;
        c->activation = activations[i].activation;
        return STATUS_OK;
    }
    FAIL(STATUS_UNSUPPORTED,
         "%s: \"activation_function\" is \"%s\"; gelu_new, gelu, relu and silu are possible", path,
         shown(name, name_shown, sizeof name_shown));
}

// A switch that only one position of is built here.
static enum status read_switch(json_t *root, const char *path, const char *key, bool wanted)
{
    bool value;
    TRY(json_get_boolean(root, key, path, wanted, &value));
    if (value == wanted) return STATUS_OK;
    FAIL(STATUS_UNSUPPORTED, "%s: \"%s\" is %s; only %s is supported", path, key,
         value ? "true" : "false", wanted ? "true" : "false");
}

static enum status read_switches(json_t *root, const char *path)
{
    TRY(read_switch(root, path, "scale_attn_weights", true));
    TRY(read_switch(root, path, "scale_attn_by_inverse_layer_idx", false));
    TRY(read_switch(root, path, "add_cross_attention", false));
    return read_switch(root, path, "tie_word_embeddings", true);
}

// Hugging Face's default, 50256, stands in files of models with a smaller vocabulary too, so it is no sign of damage.
static enum status check_token(json_t *object, const char *path, const char *key,
                               const struct model_config *c)
{
    int64_t id;
    TRY(json_get_integer(object, key, path, false, 0, INT32_MAX, 0, &id));
    if (id < c->vocabulary || id == 50256) return STATUS_OK;
    FAIL(STATUS_INPUT, "%s: \"%s\" is %lld, beyond the vocabulary of %lld", path, key,
         (long long)id, (long long)c->vocabulary);
}

// One id or a list of them.
static enum status check_tokens(json_t *root, const char *path, const char *key,
                                const struct model_config *c)
{
    json_t *list = json_object_get(root, key), *id;
    size_t i;
    if (!json_is_array(list)) return check_token(root, path, key, c);
    enum status status = STATUS_OK;
    json_array_foreach(list, i, id)
    {
        json_t *one = json_pack("{s:O}", key, id);
        status =
            one ? check_token(one, path, key, c)
                : error_at(STATUS_MEMORY, __FILE__, __LINE__, "not enough memory to read %s", path);
        json_decref(one);
        if (status) break;
    }
    return status;
}

// As transformers: two classes unless id2label or num_labels says how many, and numbers are learned by a single score.
static enum status read_head(json_t *root, const char *path, struct model_config *c)
{
    const char *name = json_string_value(json_array_get(json_object_get(root, "architectures"), 0));
    const char *kind;
    char kind_shown[SHOWN];
    if (!name || strcmp(name, "GPT2ForSequenceClassification") != 0) return STATUS_OK;
    json_t *names = json_object_get(root, "id2label");
    int64_t named = names ? (int64_t)json_object_size(names) : 2;
    TRY(json_get_integer(root, "num_labels", path, false, 1, 1 << 20, named, &c->classes));
    if (c->classes < 1 || c->classes > 1 << 20)
        FAIL(STATUS_INPUT, "%s: \"id2label\" names %lld classes; 1 to %d are possible", path,
             (long long)c->classes, 1 << 20);
    TRY(json_get_string(root, "problem_type", path, false,
                        c->classes == 1 ? "regression" : "single_label_classification", &kind));
    c->pool = POOL_LAST;
    if (strcmp(kind, "regression") == 0)
        c->loss = LOSS_SQUARED;
    else if (strcmp(kind, "multi_label_classification") == 0)
        c->loss = LOSS_BINARY;
    else if (strcmp(kind, "single_label_classification") == 0)
        c->loss = LOSS_SOFTMAX;
    else
        FAIL(STATUS_UNSUPPORTED,
             "%s: \"problem_type\" is \"%s\"; regression, single_label_classification and "
             "multi_label_classification are possible",
             path, shown(kind, kind_shown, sizeof kind_shown));
    return family_read_head(json_object_get(root, "stentor"), path, c);
}

static enum status gpt2_read(json_t *root, const char *path, struct model_config *c)
{
    const double below_1 = 1 - 0x1p-53;
    TRY(read_sizes(root, path, c));
    TRY(read_activation(root, path, c));
    TRY(json_get_number(root, "embd_pdrop", path, false, 0, below_1, 0.1, &c->embedding_dropout));
    TRY(json_get_number(root, "attn_pdrop", path, false, 0, below_1, 0.1, &c->attention_dropout));
    TRY(json_get_number(root, "resid_pdrop", path, false, 0, below_1, 0.1, &c->residual_dropout));
    TRY(json_get_number(root, "layer_norm_epsilon", path, false, 1e-30, 1, 1e-5, &c->norm_epsilon));
    TRY(json_get_number(root, "initializer_range", path, false, 1e-30, 10, 0.02,
                        &c->init_deviation));
    TRY(read_switches(root, path));
    TRY(read_head(root, path, c));
    TRY(check_tokens(root, path, "bos_token_id", c));
    return check_tokens(root, path, "eos_token_id", c);
}

// ---- tensors ----
static unsigned __int128 gpt2_count(const struct model_config *c)
{
    unsigned __int128 width = (unsigned __int128)c->width, hidden = (unsigned __int128)c->hidden;
    // ln_1, ln_2, c_attn, c_proj, c_fc, c_proj; the final norm; both tables.
    unsigned __int128 layer = 2 * width + 4 * width * width + 2 * width * hidden;
    unsigned __int128 biases = c->bias ? 2 * width + 4 * width + hidden + width : 0;
    unsigned __int128 tables =
        ((unsigned __int128)c->vocabulary + (unsigned __int128)c->context) * width;
    return tables + (unsigned __int128)c->layers * (layer + biases) + (c->bias ? 2 : 1) * width +
           (unsigned __int128)c->classes * width;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static bool gpt2_has_bias(const char *name)
{
    return ends_in(name, ".weight") && !ends_in(name, ".wte.weight") &&
           !ends_in(name, ".wpe.weight") && strcmp(name, "score.weight") != 0;
}

// Buffers of the causal mask in older files.
static bool gpt2_is_ignored(const char *name)
{
    return ends_in(name, ".attn.bias") || ends_in(name, ".attn.masked_bias");
}

const struct model_family gpt2_family = {
    .type = "gpt2",
    .prefix = "transformer.",
    .write = gpt2_write,
    .read = gpt2_read,
    .count = gpt2_count,
    .has_bias = gpt2_has_bias,
    .is_ignored = gpt2_is_ignored,
    .tied = "lm_head.weight",
    .tied_to = "transformer.wte.weight",
};
