// SPDX-License-Identifier: Apache-2.0
// Questions and their answers: every token knows its bytes, windows cover a long context, two places are the answer's text again; what
// does not fit is named.
#include "data/best_answer.h"
#include "data/row_tokenizer.h"
#include "text_files.h"

#include <math.h>

#define ARTICLE(title, context, answer, start)                                                     \
    "{\"title\": \"" title "\", \"paragraphs\": [{\"context\": \"" context                         \
    "\", \"qas\": [{\"id\": \"a\", \"question\": \"Wer?\", \"answers\": [{\"text\": \"" answer     \
    "\", \"answer_start\": " start "}]}, {\"id\": \"b\", \"question\": \"Was ist das?\", "         \
    "\"answers\": []}]}]}"
static const char *const ask = "{\"data\": [" ARTICLE(
    "A", "Die ÄRZTE (aus Berlin) spielen, İ Ὀδυσσεύς 水中。", "aus Berlin",
    "11") ", " ARTICLE("B",
                       "eins zwei "
                       "eins drei "
                       "vier eins",
                       "eins", "12") ", " ARTICLE("A", "anders", "fehlt", "0") "]}";

static struct tokenizer *tokenizer_of(const char *path, const struct tokenizer_training *training)
{
    struct tokenizer *tokenizer;
    struct rows_setup rows = answers_texts(path, false);
    assert_int_equal(rows_train_tokenizer(&rows, 1, training, &tokenizer), STATUS_OK);
    return tokenizer;
}

static const struct tokenizer_training words = {
    .words = true, .pattern = SPLIT_WORDS, .lower_case = true, .vocabulary = 12};
static const struct tokenizer_training spaced = {.words = true, .pattern = SPLIT_SPACES};
static const struct tokenizer_training pieces = {.pattern = SPLIT_GPT2, .vocabulary = 280};
static const struct tokenizer_training *const all[] = {&words, &spaced, &pieces, NULL};

static struct answers read_all(const char *path, const struct tokenizer *tokenizer, int64_t context)
{
    struct answers answers;
    struct answers_setup setup = {.path = path, .tokenizer = tokenizer, .context = context};
    assert_int_equal(answers_read(&setup, &answers), STATUS_OK);
    return answers;
}

static void assert_says(const struct answers *a, int64_t window, const char *expected)
{
    struct answer_span span = {a->windows.label[window], a->last[window], 0};
    struct text text = answers_text(a, &a->windows, window, span);
    assert_int_equal(text.bytes, strlen(expected));
    assert_memory_equal(text.at, expected, text.bytes);
}

// An answer that goes over lines is one, in what is learned and in what is measured.
static void answers_may_have_lines(void **state)
{
    (void)state;
    const char *path = put_text("lines.json", "{\"data\": [" ARTICLE("A", "eins zwei\\ndrei vier",
                                                                     "zwei\\ndrei", "5") "]}");
    struct tokenizer *tokenizer = tokenizer_of(path, &pieces);
    struct answers a = read_all(path, tokenizer, 40);
    struct answer_counts counts = {0};
    struct measure_work *work;
    assert_says(&a, 0, "zwei\ndrei");
    assert_int_equal(measure_work_create(&work), STATUS_OK);
    assert_int_equal(answers_score(&a, 0, (struct text){"zwei", 4}, ANSWER_SQUAD, work, &counts),
                     STATUS_OK);
    assert_true(answer_score(&counts).exact == 0);
    measure_work_destroy(work);
    answers_release(&a);
    tokenizer_destroy(tokenizer);
}

// Ids and answers do not make a Chinese paragraph an English one.
static void contexts_say_how_answers_count(void **state)
{
    (void)state;
    static char text[4096];
    int used = snprintf(text, sizeof text,
                        "{\"data\": [{\"title\": \"A\", \"paragraphs\": [{\"context\": "
                        "\"\xE4\xBD\xA0\xE5\xA5\xBD\", \"qas\": [");
    for (int i = 0; i < 20; i++)
        used += snprintf(text + used, sizeof text - (size_t)used,
                         "%s{\"id\": \"abcdef%d\", \"question\": \"x?\", \"answers\": "
                         "[{\"text\": \"\xE4\xBD\xA0\", \"answer_start\": 0}]}",
                         i ? ", " : "", i);
    snprintf(text + used, sizeof text - (size_t)used, "]}]}]}");
    const char *path = put_text("ids.json", text);
    struct tokenizer *tokenizer = tokenizer_of(path, &pieces);
    struct answers a = read_all(path, tokenizer, 40);
    assert_int_equal(answers_kind(&a), ANSWER_CMRC);
    answers_release(&a);
    tokenizer_destroy(tokenizer);
}

// However many are right, each counts.
static void all_answers_count(void **state)
{
    (void)state;
    enum { ANSWERS = 200 };
    static char text[ANSWERS * 40 + 400];
    int used = snprintf(text, sizeof text,
                        "{\"data\": [{\"title\": \"A\", \"paragraphs\": [{\"context\": \"n0\", "
                        "\"qas\": [{\"id\": \"a\", \"question\": \"Wer?\", \"answers\": [");
    for (int i = 0; i < ANSWERS; i++)
        used += snprintf(text + used, sizeof text - (size_t)used,
                         "%s{\"text\": \"n%d\", \"answer_start\": 0}", i ? ", " : "", i);
    snprintf(text + used, sizeof text - (size_t)used, "]}]}]}]}");
    const char *path = put_text("many.json", text);
    struct tokenizer *tokenizer = tokenizer_of(path, &pieces);
    struct answers a = read_all(path, tokenizer, 40);
    struct measure_work *work;
    assert_int_equal(measure_work_create(&work), STATUS_OK);
    for (int i = 0; i <= ANSWERS; i++) {
        char word[16];
        struct answer_counts counts = {0};
        int bytes = snprintf(word, sizeof word, "n%d", i);
        assert_int_equal(
            answers_score(&a, 0, (struct text){word, (size_t)bytes}, ANSWER_SQUAD, work, &counts),
            STATUS_OK);
        assert_int_equal(counts.exact, i < ANSWERS);
    }
    measure_work_destroy(work);
    answers_release(&a);
    tokenizer_destroy(tokenizer);
}

// Spans of whole words, small letters that take other numbers of bytes, parts of characters.
static void places_are_texts(void **state)
{
    (void)state;
    const char *path = put_text("ask.json", ask);
    for (int i = 0; i < 4; i++) {
        struct tokenizer *tokenizer = tokenizer_of(path, all[i]);
        struct answers a = read_all(path, tokenizer, 400);
        assert_int_equal(a.count, 6);
        assert_int_equal(a.windows.count, 6);
        assert_int_equal(a.lost, 1);
        assert_true(a.question[4].lost && !a.question[5].lost);
        assert_true(a.question[0].article == a.question[4].article);
        assert_true(a.question[0].article != a.question[2].article);
        assert_says(&a, 0, i == 1 ? "(aus Berlin)" : "aus Berlin");
        assert_says(&a, 1, "");
        // The nearest to character 12, which is none of the three.
        assert_true(
            a.offset[a.windows.place[5] - answers_base(&a.windows, 2) + a.windows.label[2]].from <=
            10);
        assert_says(&a, 2, "eins");
        // All tokens: the context without what stands at its ends.
        int64_t count, base = answers_base(&a.windows, 0);
        (void)example_text(&a.windows, 0, 1, &count);
        struct answer_span span = {(int32_t)base, (int32_t)(base + count - 1), 0};
        struct text text = answers_text(&a, &a.windows, 0, span);
        assert_int_equal(text.bytes, a.question[0].context_bytes);
        if (i == 0) {
            // "i̇" is one character in the text.
            span.first = span.last = (int32_t)base + 8;
            text = answers_text(&a, &a.windows, 0, span);
            assert_int_equal(text.bytes, strlen("İ"));
            assert_memory_equal(text.at, "İ", text.bytes);
        }
        answers_release(&a);
        tokenizer_destroy(tokenizer);
    }
}

// Every token of a context stands in a window, and each window that holds the whole answer asks for it.
static void windows_overlap(void **state)
{
    (void)state;
    const char *path = put_text("ask.json", ask);
    struct tokenizer *tokenizer = tokenizer_of(path, NULL);
    for (int64_t context = ANSWERS_CONTEXT; context < 60; context += 3) {
        struct answers a = read_all(path, tokenizer, context);
        for (int64_t q = 0; q < a.count; q++) {
            const struct question *question = &a.question[q];
            uint32_t reached = 0;
            int asked = 0;
            for (int64_t w = question->first_window; w < question->first_window + question->windows;
                 w++) {
                int64_t count, base = answers_base(&a.windows, w);
                int64_t at = a.windows.place[2 * w + 1];
                (void)example_text(&a.windows, w, 1, &count);
                assert_int_equal(a.asked[w], q);
                assert_in_range(count, 1, context - base);
                assert_true(a.offset[at].from <= reached);
                reached = a.offset[at + count - 1].to;
                asked += a.windows.label[w] > 0;
                if (a.windows.label[w]) assert_says(&a, w, q == 0 ? "aus Berlin" : "eins");
            }
            assert_int_equal(reached, question->context_bytes);
            assert_true(asked <= 1 || question->windows > 1);
            if (context == 58) assert_int_equal(asked > 0, q == 0 || q == 2);
        }
        answers_release(&a);
    }
    tokenizer_destroy(tokenizer);
}

// The F1 by places that [from, to] has in the mean over all spans of at most `longest` of `count` places, by its definition.
static double expected_f1(const float *scores, int64_t count, int64_t longest, int64_t from,
                          int64_t to)
{
    double sum = 0, total = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = i; j < count && j < i + longest; j++) {
            double odds = exp((double)scores[2 * i] + (double)scores[2 * j + 1]);
            int64_t first = i > from ? i : from, last = j < to ? j : to;
            int64_t common = last < first ? 0 : last - first + 1;
            total += odds;
            sum += odds * 2 * (double)common / (double)(j - i + 1 + to - from + 1);
        }
    return sum / total;
}

static void for_f1_the_span_that_shares_most_is_chosen(void **state)
{
    (void)state;
    const char *path = put_text("ask.json", ask);
    struct tokenizer *tokenizer = tokenizer_of(path, &spaced);
    struct answers a = read_all(path, tokenizer, 40);
    int64_t base = answers_base(&a.windows, 2); // six places
    uint32_t random = 1;
    int longer = 0;
    for (int turn = 0; turn < 200; turn++) {
        struct answer_choice choice = {ANSWER_F1, 1 + turn % 7};
        double scratch[3 * 40], most = 0, sharp = turn % 5;
        float scores[80];
        assert_true(answer_scratch(&choice, 40) <= sizeof scratch / sizeof *scratch);
        for (int i = 0; i < 80; i++) {
            random = random * 1664525 + 1013904223;
            scores[i] = (float)(sharp * (double)(random >> 8) / (1 << 24));
        }
        struct answer_span best = answers_best(&a.windows, 2, scores, &choice, scratch);
        choice.goal = ANSWER_EXACT;
        struct answer_span likely = answers_best(&a.windows, 2, scores, &choice, NULL);
        longer += best.last - best.first > likely.last - likely.first;
        assert_float_equal(best.score, likely.score, 0);
        assert_true(best.first >= base && best.first <= best.last && best.last < base + 6);
        assert_true(best.last - best.first < choice.longest);
        const float *own = scores + 2 * base;
        for (int64_t i = 0; i < 6; i++)
            for (int64_t j = i; j < 6 && j < i + choice.longest; j++)
                most = fmax(most, expected_f1(own, 6, choice.longest, i, j));
        assert_float_equal(expected_f1(own, 6, choice.longest, best.first - base, best.last - base),
                           most, 1e-12);
    }
    assert_true(longer > 50);
    // A model that is sure has one answer; where no odds can be known, the likeliest one stays.
    float scores[80] = {0};
    double scratch[3 * 40];
    struct answer_choice choice = {ANSWER_F1, 30};
    scores[2 * (base + 2)] = scores[2 * (base + 3) + 1] = 50;
    struct answer_span span = answers_best(&a.windows, 2, scores, &choice, scratch);
    assert_int_equal(span.first, base + 2);
    assert_int_equal(span.last, base + 3);
    scores[2 * (base + 5)] = scores[2 * base + 1] = 3000; // which are no answer together
    span = answers_best(&a.windows, 2, scores, &choice, scratch);
    assert_int_equal(span.first, base);
    assert_int_equal(span.last, base);
    scores[2 * (base + 1)] = NAN;
    span = answers_best(&a.windows, 2, scores, &choice, scratch);
    assert_true(span.first >= base && span.last < base + 6);
    answers_release(&a);
    tokenizer_destroy(tokenizer);
}

static void the_best_span_ends_behind_its_begin(void **state)
{
    (void)state;
    const char *path = put_text("ask.json", ask);
    struct tokenizer *tokenizer = tokenizer_of(path, &spaced);
    struct answers a = read_all(path, tokenizer, 40);
    int64_t base = answers_base(&a.windows, 2); // eins zwei eins drei vier eins
    float scores[80] = {0};
    scores[0] = 9, scores[1] = 8;                            // no answer
    scores[2] = 99, scores[3] = 99;                          // a question's token
    scores[2 * (base + 3)] = 5, scores[2 * base + 1] = 7;    // ends before it begins
    scores[2 * (base + 5) + 1] = 2, scores[2 * base] = 1.5F; // 5 tokens apart
    struct answer_choice choice = {ANSWER_EXACT, 30};
    struct answer_span span = answers_best(&a.windows, 2, scores, &choice, NULL);
    assert_int_equal(span.first, base);
    assert_int_equal(span.last, base);
    assert_float_equal(span.score, 8.5F - 17, 0);
    scores[2 * base + 1] = 0;
    span = answers_best(&a.windows, 2, scores, &choice, NULL);
    assert_int_equal(span.first, base + 3);
    assert_int_equal(span.last, base + 5);
    choice.longest = 2;
    assert_int_equal(answers_best(&a.windows, 2, scores, &choice, NULL).last, base + 3);
    struct answer_counts counts = {0};
    struct measure_work *work;
    assert_int_equal(measure_work_create(&work), STATUS_OK);
    assert_int_equal(answers_kind(&a), ANSWER_SQUAD);
    struct text text = {"the AUS berlin.", 15};
    assert_int_equal(answers_score(&a, 0, text, ANSWER_SQUAD, work, &counts), STATUS_OK);
    assert_int_equal(counts.exact, 1);
    measure_work_destroy(work);
    answers_release(&a);
    tokenizer_destroy(tokenizer);
}

static void refused(const char *text, const char *message)
{
    struct answers answers;
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_byte_create(&tokenizer), STATUS_OK);
    struct answers_setup setup = {
        .path = put_text("bad.json", text), .tokenizer = tokenizer, .context = 20};
    error_clear();
    assert_int_equal(answers_read(&setup, &answers), STATUS_INPUT);
    if (!strstr(error_message(), message)) fail_msg("%s, not: %s", error_message(), message);
    tokenizer_destroy(tokenizer);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    refused("{\"data\": []}", "has no questions");
    refused("{\"data\": [" ARTICLE("A", "kurz", "kurz", "5") "]}",
            "bad.json question 1: answer_start is 5, which is no place in the context");
    refused("{\"data\": [" ARTICLE("A", "kurz", "kurz", "-1") "]}", "answer_start is -1");
    refused("{\"data\": [" ARTICLE("A", "kurz", "kurz", "\"1\"") "]}", "answer_start");
    refused("[]", "bad.json");
}

// Made by hand: a question of four tokens, one of them twice, one that the context is full of. Every token of the context is a letter, a
// capital, a digit or a mark with a space before it, in turn; every third mark ends a sentence.
static void places_know_how_they_match(void **state)
{
    (void)state;
    enum { TOKENS = 48, ASKED = 5, COUNT = 38 };
    int32_t ids[ASKED + COUNT] = {7, 8, 7, 9, 3}, matches[TOKENS], asked[1] = {0};
    int64_t place[] = {0, ASKED, ASKED + COUNT};
    struct offset offset[ASKED + COUNT] = {{0, 0}};
    char text[] = "\u00e9 \u00c9 7 , \u3002";
    const struct offset written[] = {{0, 2}, {2, 5}, {5, 7}, {7, 9}, {9, 13}};
    struct question question = {.context_bytes = sizeof text - 1};
    for (int i = 0; i < COUNT; i++) ids[ASKED + i] = i % 4 == 3 ? 3 : 20 + i;
    for (int i = 0; i < COUNT; i++) offset[ASKED + i] = written[i % 12 == 11 ? 4 : i % 4];
    // Sentences end behind places 11, 23 and 35. 7 at places 2 and 4, 8 at 10 and 16, 9 at 36 of the context; 3 at nine of them.
    ids[ASKED + 2] = ids[ASKED + 4] = 7;
    ids[ASKED + 10] = ids[ASKED + 16] = 8;
    ids[ASKED + 36] = 9;
    struct examples windows = {.texts = 2, .count = 1, .ids = ids, .place = place};
    struct answers answers = {.offset = offset,
                              .asked = asked,
                              .question = &question,
                              .count = 1,
                              .text = {.at = text, .bytes = sizeof text - 1}};
    answers_matches(&answers, &windows, 0, TOKENS, matches);
    for (int i = 0; i < ASKED + 2; i++) assert_int_equal(matches[i], 0);
    for (int i = ASKED + 2 + COUNT; i < TOKENS; i++) assert_int_equal(matches[i], 0);
    for (int i = 0; i < COUNT; i++) {
        // Of 7, 8 and 9 there are two in the first sentence, which are the most.
        int level = i < 12 ? 7 : i < 24 ? 3 : i < 36 ? 0 : 3;
        bool same = i == 2 || i == 4 || i == 10 || i == 16 || i == 36 || i % 4 == 3;
        assert_int_equal(matches[ASKED + 2 + i], 1 + (level * 2 + same) * 4 + i % 4);
        assert_true(matches[ASKED + 2 + i] < ANSWERS_MATCHES);
    }
    answers_matches(&answers, &windows, -1, TOKENS, matches);
    for (int i = 0; i < TOKENS; i++) assert_int_equal(matches[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_may_have_lines, clear),
        cmocka_unit_test_setup(contexts_say_how_answers_count, clear),
        cmocka_unit_test_setup(all_answers_count, clear),
        cmocka_unit_test_setup(places_are_texts, clear),
        cmocka_unit_test_setup(windows_overlap, clear),
        cmocka_unit_test_setup(places_know_how_they_match, clear),
        cmocka_unit_test_setup(the_best_span_ends_behind_its_begin, clear),
        cmocka_unit_test_setup(for_f1_the_span_that_shares_most_is_chosen, clear),
        cmocka_unit_test_setup(what_does_not_fit_is_named, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
