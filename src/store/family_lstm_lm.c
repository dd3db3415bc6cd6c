// SPDX-License-Identifier: Apache-2.0
// lstm_lm: a config.json of our own, since transformers has no such model; the tensors are those of PyTorch's nn.Embedding, nn.LSTM
// (GRU, RNN) and nn.Linear.
#include "store/family.h"
#include "store/internal.h"

#include <string.h>

static const int64_t MOST_WIDTH = 1 << 17, MOST_POSITIONS = 1 << 17, MOST_LAYERS = 1 << 12,
                     MOST_VOCABULARY = INT32_MAX;
static const char *const cells[CELL_COUNT] = {"", "lstm", "gru", "tanh"};

static bool lstm_write(json_t *root, const struct model_config *c)
{
    int bad = json_object_set_new(root, "vocab_size", json_integer(c->vocabulary));
    bad |= json_object_set_new(root, "max_position_embeddings", json_integer(c->context));
    bad |= json_object_set_new(root, "embedding_size", json_integer(c->width));
    bad |= json_object_set_new(root, "hidden_size", json_integer(c->hidden));
    bad |= json_object_set_new(root, "num_hidden_layers", json_integer(c->layers));
    bad |= json_object_set_new(root, "rnn", json_string(cells[c->rnn]));
    bad |= json_object_set_new(root, "bias", json_boolean(c->bias));
    bad |= json_object_set_new(root, "tie_word_embeddings", json_boolean(c->tied));
    bad |= json_object_set_new(root, "embedding_dropout", json_real(c->embedding_dropout));
    bad |= json_object_set_new(root, "dropout", json_real(c->residual_dropout));
    bad |= json_object_set_new(root, "variational_dropout", json_boolean(c->variational_dropout));
    bad |= json_object_set_new(root, "weight_drop", json_real(c->weight_drop));
    bad |= json_object_set_new(root, "initializer_range", json_real(c->init_deviation));
    if (c->classes) {
        bad |= json_object_set_new(root, "classes", json_integer(c->classes));
        bad |= !family_write_head(root, c);
    }
    return !bad;
}

static enum status read_cell(json_t *root, const char *path, struct model_config *c)
{
    const char *name;
    char name_shown[SHOWN];
    TRY(json_get_string(root, "rnn", path, true, NULL, &name));
    for (c->rnn = CELL_LSTM; c->rnn < CELL_COUNT; c->rnn++)
        if (strcmp(cells[c->rnn], name) == 0) return STATUS_OK;
    FAIL(STATUS_UNSUPPORTED, "%s: \"rnn\" is \"%s\"; lstm, gru and tanh are possible", path,
         shown(name, name_shown, sizeof name_shown));
}

static enum status lstm_read(json_t *root, const char *path, struct model_config *c)
{
    const double below_1 = 1 - 0x1p-53;
    TRY(json_get_integer(root, "vocab_size", path, true, 1, MOST_VOCABULARY, 0, &c->vocabulary));
    TRY(json_get_integer(root, "max_position_embeddings", path, true, 1, MOST_POSITIONS, 0,
                         &c->context));
    TRY(json_get_integer(root, "embedding_size", path, true, 1, MOST_WIDTH, 0, &c->width));
    TRY(json_get_integer(root, "hidden_size", path, true, 1, 8 * MOST_WIDTH, 0, &c->hidden));
    TRY(json_get_integer(root, "num_hidden_layers", path, true, 1, MOST_LAYERS, 0, &c->layers));
    TRY(read_cell(root, path, c));
    TRY(json_get_boolean(root, "bias", path, true, &c->bias));
    TRY(json_get_boolean(root, "tie_word_embeddings", path, true, &c->tied));
    TRY(json_get_number(root, "embedding_dropout", path, false, 0, below_1, 0,
                        &c->embedding_dropout));
    TRY(json_get_number(root, "dropout", path, false, 0, below_1, 0, &c->residual_dropout));
    TRY(json_get_boolean(root, "variational_dropout", path, false, &c->variational_dropout));
    TRY(json_get_number(root, "weight_drop", path, false, 0, below_1, 0, &c->weight_drop));
    TRY(json_get_number(root, "initializer_range", path, false, 1e-30, 10, 0.05,
                        &c->init_deviation));
    TRY(json_get_integer(root, "classes", path, false, 0, 1 << 20, 0, &c->classes));
    if (c->classes) TRY(family_read_head(root, path, c));
    return STATUS_OK;
}

static unsigned __int128 lstm_count(const struct model_config *c)
{
    unsigned __int128 in = (unsigned __int128)c->width,
                      total = in * (unsigned __int128)c->vocabulary;
    unsigned __int128 gates = (unsigned __int128)cell_gates(c->rnn);
    for (int64_t i = 0; i < c->layers; i++) {
        unsigned __int128 out =
            (unsigned __int128)(c->tied && i == c->layers - 1 ? c->width : c->hidden);
        total += gates * out * (in + out + (c->bias ? 2 : 0));
        in = out;
    }
    if (c->classes) return total + (in + 1) * (unsigned __int128)c->classes;
    return c->tied ? total : total + in * (unsigned __int128)c->vocabulary;
}

// Our own files say which biases there are.
static bool lstm_has_bias(const char *name)
{
    (void)name;
    return false;
}

static bool lstm_is_ignored(const char *name)
{
    (void)name;
    return false;
}

const struct model_family lstm_lm_family = {
    .type = "lstm_lm",
    .prefix = "",
    .write = lstm_write,
    .read = lstm_read,
    .count = lstm_count,
    .has_bias = lstm_has_bias,
    .is_ignored = lstm_is_ignored,
    .tied = "decoder.weight",
    .tied_to = "encoder.weight",
    .own_bias = true,
};
