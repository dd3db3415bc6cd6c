// SPDX-License-Identifier: Apache-2.0
// Texts come back in their order with the same bits for any number of workers and any batch; blank ones stay blank; nothing hangs.
#include "infer/batches.h"
#include "infer/task_model.h"
#include "infer/translate.h"

enum { TEXTS = 61 };

// Bytes to bytes, or characters.
static void text_model(int number, struct tokenizer *tokenizer, struct loaded_model *model)
{
    struct model_config config = translators[number];
    config.vocabulary = tokenizer_size(tokenizer) + 3;
    config.source_vocabulary = 0;
    config.context = 40;
    task_model(config, 7, 1.2f, model);
    model->tokenizer = tokenizer;
}

static void byte_model(int number, struct loaded_model *model)
{
    struct tokenizer *tokenizer;
    assert_ok(tokenizer_byte_create(&tokenizer));
    text_model(number, tokenizer, model);
}

static void make_texts(char room[TEXTS][64], struct text texts[TEXTS], uint64_t numbers[TEXTS])
{
    for (int i = 0; i < TEXTS; i++) {
        int length = i * 37 % 50;
        for (int t = 0; t < length; t++) room[i][t] = (char)('a' + (i * 11 + t * t) % 26);
        if (i % 10 == 3) memset(room[i], ' ', 64), length = i % 20;
        texts[i] = (struct text){room[i], (size_t)length};
        numbers[i] = (uint64_t)i;
    }
}

static void run(const struct loaded_model *model, const struct search_options *options, int workers,
                struct translation translations[TEXTS])
{
    char room[TEXTS][64];
    struct text texts[TEXTS];
    uint64_t numbers[TEXTS];
    struct translator *translator;
    make_texts(room, texts, numbers);
    assert_ok(translator_create(model, options, workers, &translator));
    assert_ok(translator_run(translator, texts, numbers, TEXTS, translations));
    for (int i = 0; i < TEXTS; i++) {
        bool blank = text_strip(texts[i]).bytes == 0;
        assert_true(translations[i].done);
        assert_int_equal(translations[i].count, blank ? 0 : options->n_best);
        assert_int_equal(translations[i].left,
                         blank || texts[i].bytes < 40 ? 0 : texts[i].bytes - 39);
    }
    translator_destroy(translator);
}

static void release(struct translation translations[TEXTS])
{
    for (int i = 0; i < TEXTS; i++) translation_release(&translations[i]);
}

static void workers_and_batches_change_nothing(void **state)
{
    (void)state;
    static const int workers[] = {2, 3, 5, 1}, batches[] = {1, 7, 64, 32};
    for (int m = 0; m < TRANSLATORS; m++) {
        struct loaded_model model;
        struct search_options options;
        struct translation one[TEXTS], other[TEXTS];
        byte_model(m, &model);
        search_defaults(&options);
        options.beams = 3, options.n_best = 2, options.max_tokens = 9;
        run(&model, &options, 1, one);
        for (int k = 0; k < 4; k++) {
            options.batch = batches[k];
            run(&model, &options, workers[k], other);
            for (int i = 0; i < TEXTS; i++)
                for (int64_t h = 0; h < one[i].count; h++) {
                    struct candidate_text *a = &one[i].best[h], *b = &other[i].best[h];
                    assert_int_equal(a->text.bytes, b->text.bytes);
                    if (a->text.bytes) assert_memory_equal(a->text.at, b->text.at, a->text.bytes);
                    assert_true(a->score == b->score && a->log_probability == b->log_probability);
                    assert_int_equal(a->tokens, b->tokens);
                    for (size_t t = 0; t < a->text.bytes; t++)
                        assert_true(a->text.at[t] != '\n' && a->text.at[t] != '\r');
                }
            release(other);
        }
        release(one);
        small_model_release(&model);
    }
}

static void characters_that_the_tokenizer_lacks_are_left_out(void **state)
{
    (void)state;
    struct char_set *set;
    struct tokenizer *tokenizer;
    struct loaded_model model;
    struct search_options options;
    struct translator *translator;
    struct translation known, unknown;
    uint64_t number = 0;
    assert_ok(char_set_create(&set));
    char_set_add(set, (const uint8_t *)"abc 中文", 10);
    assert_ok(tokenizer_char_create(set, &tokenizer));
    char_set_destroy(set);
    text_model(0, tokenizer, &model);
    search_defaults(&options);
    assert_ok(translator_create(&model, &options, 1, &translator));
    assert_ok(translator_run(translator, &(struct text){"a文b", 5}, &number, 1, &known));
    assert_ok(translator_run(translator, &(struct text){"xa文国b", 9}, &number, 1, &unknown));
    assert_int_equal(known.unknown, 0);
    assert_int_equal(unknown.unknown, 2);
    assert_int_equal(unknown.tokens, 4);
    assert_true(known.best[0].log_probability == unknown.best[0].log_probability);
    translation_release(&known);
    translation_release(&unknown);
    assert_ok(translator_run(translator, &(struct text){"国国", 6}, &number, 1, &unknown));
    assert_int_equal(unknown.count, 1); // an end alone is a source, too
    translation_release(&unknown);
    translator_destroy(translator);
    small_model_release(&model);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct loaded_model model;
    struct search_options options;
    struct translator *translator;
    struct translation translations[TEXTS];
    char room[TEXTS][64];
    struct text texts[TEXTS];
    uint64_t numbers[TEXTS];
    search_defaults(&options);
    byte_model(0, &model);
    model.config.vocabulary++; // not the tokenizer's
    assert_int_equal(translator_create(&model, &options, 2, &translator), STATUS_UNSUPPORTED);
    error_clear();
    model.config.vocabulary--;
    struct tokenizer *tokenizer = model.tokenizer;
    model.tokenizer = NULL;
    assert_int_equal(translator_create(&model, &options, 2, &translator), STATUS_UNSUPPORTED);
    error_clear();
    model.tokenizer = tokenizer;
    // Stopped before it began: texts without anything are done, no other.
    make_texts(room, texts, numbers);
    assert_ok(translator_create(&model, &options, 2, &translator));
    translator_stop(translator);
    assert_ok(translator_run(translator, texts, numbers, TEXTS, translations));
    for (int i = 0; i < TEXTS; i++)
        assert_int_equal(translations[i].done, text_strip(texts[i]).bytes == 0);
    release(translations);
    translator_destroy(translator);
    for (int64_t i = 0; i < model.parameters.elements; i++)
        ((float *)model.weights.data)[i] = __builtin_nanf("");
    assert_ok(translator_create(&model, &options, 3, &translator));
    assert_int_equal(translator_run(translator, texts, numbers, TEXTS, translations),
                     STATUS_DIVERGED);
    error_clear();
    release(translations);
    translator_destroy(translator);
    small_model_release(&model);
}

// ---- batches by themselves ----
struct seen {
    int64_t batch_of[100], rank_of[100];
    _Atomic int64_t batches, calls;
    int64_t fails;
};

static enum status note(void *context, int worker, const int64_t *members, int64_t count)
{
    struct seen *seen = context;
    (void)worker;
    atomic_fetch_add(&seen->calls, 1);
    for (int64_t i = 0; i < count; i++) {
        if (seen->fails && members[i] % 10 == 9)
            FAIL(STATUS_INPUT, "input %lld", (long long)members[i]);
        seen->batch_of[members[i]] = members[0];
        seen->rank_of[members[i]] = i;
    }
    return STATUS_OK;
}

static void batches_are_of_like_length_and_fixed(void **state)
{
    (void)state;
    int64_t lengths[100];
    struct seen one = {.fails = 0}, three = {.fails = 0}, failing = {.fails = 1};
    struct team *team;
    for (int64_t i = 0; i < 100; i++) lengths[i] = i % 7 == 6 ? -1 : i * 31 % 50;
    const struct batches batches = {lengths, 100, 8, NULL};
    assert_ok(team_create(&(struct team_options){.threads = 3}, &team));
    assert_ok(batches_run(&batches, NULL, note, &one));
    assert_ok(batches_run(&batches, team, note, &three));
    assert_int_equal(one.calls, 11); // 86 inputs
    assert_memory_equal(one.batch_of, three.batch_of, sizeof one.batch_of);
    assert_memory_equal(one.rank_of, three.rank_of, sizeof one.rank_of);
    for (int64_t i = 0; i < 100; i++)
        for (int64_t k = 0; k < 100; k++)
            if (one.batch_of[i] == one.batch_of[k] && one.rank_of[i] < one.rank_of[k])
                assert_true(lengths[i] > lengths[k] || (lengths[i] == lengths[k] && i < k));
    assert_int_equal(batches_run(&batches, team, note, &failing), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "input "));
    error_clear();
    team_destroy(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_and_batches_change_nothing),
        cmocka_unit_test(characters_that_the_tokenizer_lacks_are_left_out),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(batches_are_of_like_length_and_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
