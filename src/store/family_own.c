// SPDX-License-Identifier: Apache-2.0
// The types of models that have a config.json of our own with the same keys: the model's settings under their names in the run file.
#include "store/family.h"
#include "store/internal.h"

#include <stddef.h>
#include <string.h>

enum kind {
    INTEGER,
    LATER_INTEGER,
    NUMBER,
    BOOLEAN,
    WORD
}; // LATER: earlier versions did not write it
struct own_key {
    const char *name;
    size_t offset;
    enum kind kind;
    double least, most;
    const char *const *words; // of an enum, by number
};

static const char *const activations[] = {"none", "gelu_tanh", "gelu", "relu",
                                          "silu", "sigmoid",   "tanh", NULL};
static const char *const cells[] = {"none", "lstm", "gru", "tanh", NULL};
static const char *const pools[] = {"mean", "max", "first", "last", "sum", NULL};
static const char *const losses[] = {"softmax", "binary",        "squared",
                                     "hinge",   "squared_hinge", NULL};

#define KEY(member, kind, low, high, list)                                                         \
    {#member, offsetof(struct model_config, member), kind, low, high, list},
// clang-format off
static const struct own_key keys[] = {
    KEY(vocabulary, INTEGER, 1, INT32_MAX, NULL)
    KEY(context, INTEGER, 1, 1 << 17, NULL)
    KEY(width, INTEGER, 1, 1 << 17, NULL)
    KEY(layers, INTEGER, 1, 1 << 12, NULL)
    KEY(heads, INTEGER, 1, 1 << 17, NULL)
    KEY(hidden, INTEGER, 1, 1 << 20, NULL)
    KEY(encoder_layers, INTEGER, 0, 1 << 12, NULL)
    KEY(source_vocabulary, INTEGER, 0, INT32_MAX, NULL)
    KEY(features, INTEGER, 0, 1 << 24, NULL)
    KEY(classes, INTEGER, 0, 1 << 20, NULL)
    KEY(ngrams, INTEGER, 0, 8, NULL)
    KEY(ngram_hash, INTEGER, 0, 1 << 24, NULL)
    KEY(embedding_dropout, NUMBER, 0, 1 - 0x1p-53, NULL)
    KEY(attention_dropout, NUMBER, 0, 1 - 0x1p-53, NULL)
    KEY(residual_dropout, NUMBER, 0, 1 - 0x1p-53, NULL)
    KEY(weight_drop, NUMBER, 0, 1 - 0x1p-53, NULL)
    KEY(norm_epsilon, NUMBER, 1e-30, 1, NULL)
    KEY(init_deviation, NUMBER, 1e-30, 10, NULL)
    KEY(activation, WORD, 0, 0, activations)
    KEY(rnn, WORD, 0, 0, cells)
    KEY(pool, WORD, 0, 0, pools)
    KEY(loss, WORD, 0, 0, losses)
    KEY(bias, BOOLEAN, 0, 0, NULL)
    KEY(post_norm, BOOLEAN, 0, 0, NULL)
    KEY(sinusoidal, BOOLEAN, 0, 0, NULL)
    KEY(presence, BOOLEAN, 0, 0, NULL)
    KEY(sentences, BOOLEAN, 0, 0, NULL)
    KEY(batch_norm, BOOLEAN, 0, 0, NULL)
    KEY(additive_attention, BOOLEAN, 0, 0, NULL)
    KEY(spans, BOOLEAN, 0, 0, NULL)
    KEY(matches, LATER_INTEGER, 0, 1024, NULL)
};
// clang-format on
enum { KEYS = sizeof keys / sizeof *keys };

static json_t *value_of(const struct own_key *key, const struct model_config *c)
{
    const char *at = (const char *)c + key->offset;
    switch (key->kind) {
    case INTEGER:
    case LATER_INTEGER:
        return json_integer(*(const int64_t *)at);
    case NUMBER:
        return json_real(*(const double *)at);
    case BOOLEAN:
        return json_boolean(*(const bool *)at);
    case WORD:
        return json_string(key->words[*(const int *)at]);
    }
    return NULL;
}

static bool own_write(json_t *root, const struct model_config *c)
{
    int bad = 0;
    for (int i = 0; i < KEYS; i++)
        bad |= json_object_set_new(root, keys[i].name, value_of(&keys[i], c));
    return !bad;
}

static enum status read_word(json_t *root, const char *path, const struct own_key *key,
                             int *value_p)
{
    const char *word;
    char word_shown[SHOWN];
    TRY(json_get_string(root, key->name, path, true, NULL, &word));
    for (int i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], word) != 0) continue;
        *value_p = i;
        return STATUS_OK;
    }
    FAIL(STATUS_UNSUPPORTED, "%s: \"%s\" is \"%s\", which is none that we know; \"%s\" is one",
         path, key->name, shown(word, word_shown, sizeof word_shown), key->words[1]);
}

static enum status own_read(json_t *root, const char *path, struct model_config *c)
{
    for (int i = 0; i < KEYS; i++) {
        const struct own_key *key = &keys[i];
        char *at = (char *)c + key->offset;
        if (key->kind == INTEGER || key->kind == LATER_INTEGER)
            TRY(json_get_integer(root, key->name, path, key->kind == INTEGER, (int64_t)key->least,
                                 (int64_t)key->most, 0, (int64_t *)(void *)at));
        else if (key->kind == NUMBER)
            TRY(json_get_number(root, key->name, path, true, key->least, key->most, 0,
                                (double *)(void *)at));
        else if (key->kind == BOOLEAN)
            TRY(json_get_boolean(root, key->name, path, false, (bool *)at));
        else
            TRY(read_word(root, path, key, (int *)(void *)at));
    }
    if (c->ngrams > 1 && c->ngram_hash < 1)
        FAIL(
            STATUS_INPUT,
            "%s: \"ngrams\" is %lld, but \"ngram_hash\" leaves them no rows; it must be 1 at least",
            path, (long long)c->ngrams);
    if (c->features && strcmp(c->type, "mlp") != 0 && strcmp(c->type, "linear") != 0)
        FAIL(STATUS_INPUT,
             "%s: \"features\" is %lld, but %s reads texts, not numbers: it must be 0", path,
             (long long)c->features, c->type);
    return STATUS_OK;
}

static const struct own_key head[] = {KEY(pool, WORD, 0, 0, pools) KEY(loss, WORD, 0, 0, losses)};

bool family_write_head(json_t *object, const struct model_config *c)
{
    int bad = 0;
    for (int i = 0; i < 2; i++)
        bad |= json_object_set_new(object, head[i].name, value_of(&head[i], c));
    if (c->sentences) bad |= json_object_set_new(object, "sentences", json_true());
    return !bad;
}

enum status family_read_head(json_t *object, const char *path, struct model_config *c)
{
    for (int i = 0; i < 2; i++)
        if (json_object_get(object, head[i].name))
            TRY(read_word(object, path, &head[i], (int *)(void *)((char *)c + head[i].offset)));
    return object ? json_get_boolean(object, "sentences", path, false, &c->sentences) : STATUS_OK;
}

// At least the tables and one matrix of every layer: enough to refuse what the files cannot hold.
static unsigned __int128 own_count(const struct model_config *c)
{
    unsigned __int128 tables =
        (unsigned __int128)(c->vocabulary + c->source_vocabulary) * (unsigned __int128)c->width;
    return c->features ? (unsigned __int128)c->features : tables;
}

static bool own_no(const char *name)
{
    (void)name;
    return false;
}

#define OWN_FAMILY(name)                                                                           \
    const struct model_family name##_family = {.type = #name,                                      \
                                               .prefix = "",                                       \
                                               .write = own_write,                                 \
                                               .read = own_read,                                   \
                                               .count = own_count,                                 \
                                               .has_bias = own_no,                                 \
                                               .is_ignored = own_no,                               \
                                               .own_bias = true,                                   \
                                               .tied = "",                                         \
                                               .tied_to = ""};
OWN_FAMILY(encoder)
OWN_FAMILY(seq2seq)
OWN_FAMILY(rnn_seq2seq)
OWN_FAMILY(bag)
OWN_FAMILY(convolution)
OWN_FAMILY(mlp)
OWN_FAMILY(linear)
