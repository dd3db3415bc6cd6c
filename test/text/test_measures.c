// SPDX-License-Identifier: Apache-2.0
// Measures against figures that sacrebleu 2.6, rouge_score 0.1.2, scikit-learn and NLTK gave for the same texts; sums that do not
// depend on order or workers; texts that are empty or no text. (test/interop/test_measures.sh compares 1,000 cases.)
#include "base/philox.h"
#include "text/answer.h"
#include "text/auc.h"
#include "text/bleu.h"
#include "text/bootstrap.h"
#include "text/chrf.h"
#include "text/confusion.h"
#include "text/distinct.h"
#include "text/perplexity.h"
#include "text/rouge.h"
#include "text/stemmer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

static struct measure_work *work;

static int start(void **state)
{
    (void)state;
    return measure_work_create(&work) != STATUS_OK;
}

static int finish(void **state)
{
    (void)state;
    measure_work_destroy(work);
    return 0;
}

#define assert_near(one, two) assert_float_equal((one), (two), 1e-6)

enum { LINES = 3 };
static const char *const hypotheses[LINES] = {
    "The cat sat on the mat, didn't it?", "It costs 1,000.50 dollars (approx.) & more-or-less 5-6.",
    "ÜBER die Brücke"};
static const char *const references[LINES][2] = {
    {"The cat was sitting on the mat, wasn't it?", "A cat sat on the mat."},
    {"It cost $1,000.50 & more or less 5-6.", "It costs 1,000.50 dollars, approx."},
    {"Über die Brücke gehen", "über die Brücke"}};

static void two_references(int line, struct text both[2])
{
    for (int r = 0; r < 2; r++) both[r] = text_of(references[line][r]);
}

// ---- BLEU ----
static double bleu_of(struct bleu_options options, int count)
{
    struct bleu_counts counts = {0};
    for (int i = LINES - 1; i >= 0; i--) {
        struct text both[2];
        two_references(i, both);
        assert_int_equal(bleu_add(work, &options, text_of(hypotheses[i]), both, count, &counts),
                         STATUS_OK);
    }
    return bleu_score(&options, &counts).score;
}

static void bleu_is_sacrebleus(void **state)
{
    (void)state;
    static const struct {
        struct bleu_options options;
        double one, two; // references
    } cases[] = {{{.tokenizer = BLEU_13A}, 26.587570, 47.624007},
                 {{.lower_case = true}, 29.278675, 50.428040},
                 {{.tokenizer = BLEU_NONE}, 13.825671, 30.956914},
                 {{.tokenizer = BLEU_CHAR}, 54.673428, 75.966501},
                 {{.tokenizer = BLEU_ZH}, 20.846722, 44.857113},
                 {{.smoothing = BLEU_SMOOTH_ADD_K}, 30.832947, 50.357394}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_near(bleu_of(cases[i].options, 1), cases[i].one);
        assert_near(bleu_of(cases[i].options, 2), cases[i].two);
    }
}

static double bleu_line(struct bleu_options options, const char *hypothesis, const char *reference)
{
    struct bleu_counts counts = {0};
    struct text right = text_of(reference);
    assert_int_equal(bleu_add(work, &options, text_of(hypothesis), &right, 1, &counts), STATUS_OK);
    return bleu_score(&options, &counts).score;
}

static void bleu_smooths_orders_without_matches(void **state)
{
    (void)state;
    static const struct {
        enum bleu_smoothing smoothing;
        double value, score;
    } cases[] = {{BLEU_SMOOTH_EXP, 0, 22.957488},     {BLEU_SMOOTH_FLOOR, 0, 12.209472},
                 {BLEU_SMOOTH_FLOOR, 0.5, 27.301209}, {BLEU_SMOOTH_ADD_K, 0, 35.930411},
                 {BLEU_SMOOTH_ADD_K, 2, 47.473621},   {BLEU_SMOOTH_NONE, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bleu_options options = {.smoothing = cases[i].smoothing,
                                       .smoothing_value = cases[i].value};
        assert_near(bleu_line(options, "a b c d e f", "a b x d e y"), cases[i].score);
    }
    assert_near(
        bleu_line((struct bleu_options){.effective_order = true}, "die Brücke", "über die Brücke"),
        60.653066);
    assert_near(bleu_line((struct bleu_options){0}, "", "a"), 0);
    assert_near(bleu_line((struct bleu_options){0}, "a", ""), 0);
}

static void bleu_reads_chinese(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"我今天去北京大学了。", "我今天去了北京大学。"},
                                           {"2020年，GDP增长3.5%", "2020年GDP增长了3.5%。"}};
    struct bleu_options options = {.tokenizer = BLEU_ZH};
    struct bleu_counts counts = {0};
    for (int i = 0; i < 2; i++) {
        struct text right = text_of(pairs[i][1]);
        assert_int_equal(bleu_add(work, &options, text_of(pairs[i][0]), &right, 1, &counts),
                         STATUS_OK);
    }
    assert_near(bleu_score(&options, &counts).score, 40.955225);
}

static void signatures_say_everything(void **state)
{
    (void)state;
    char signature[160];
    struct bleu_options options = {.smoothing = BLEU_SMOOTH_FLOOR, .lower_case = true};
    bleu_signature(&options, 2, signature);
    assert_string_equal(
        signature,
        "nrefs:2|case:lc|eff:no|tok:13a|smooth:floor[0.10]|version:stentor-" STENTOR_VERSION);
    chrf_signature(&(struct chrf_options){.words = 2}, 1, signature);
    assert_string_equal(
        signature,
        "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:stentor-" STENTOR_VERSION);
    enum bleu_tokenizer tokenizer = BLEU_NONE;
    assert_false(bleu_tokenizer_find("intl", &tokenizer));
    assert_int_equal(tokenizer, BLEU_NONE);
    assert_true(bleu_tokenizer_find("zh", &tokenizer));
    assert_int_equal(tokenizer, BLEU_ZH);
}

// ---- chrF ----
static void chrf_is_sacrebleus(void **state)
{
    (void)state;
    static const struct {
        struct chrf_options options;
        double one, two;
    } cases[] = {{{.words = 0}, 49.481769, 72.830763},
                 {{.words = 2}, 48.823126, 69.479607},
                 {{.lower_case = true}, 54.589889, 79.870109},
                 {{.spaces = true}, 55.848685, 74.944072},
                 {{.epsilon = true, .words = 2}, 48.784060, 69.429478},
                 {{.beta = 1}, 48.353913, 63.231350}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int count = 1; count <= 2; count++) {
            struct chrf_counts counts = {.matches = {0}};
            for (int line = 0; line < LINES; line++) {
                struct text both[2];
                two_references(line, both);
                assert_int_equal(chrf_add(work, &cases[i].options, text_of(hypotheses[line]), both,
                                          count, &counts),
                                 STATUS_OK);
            }
            assert_near(chrf_score(&cases[i].options, &counts),
                        count == 1 ? cases[i].one : cases[i].two);
        }
    }
}

// ---- ROUGE ----
static void rouge_is_rouge_scores(void **state)
{
    (void)state;
    static const char hypothesis[] =
        "The quick brown foxes were running.\nA dog is generalizing happily.";
    static const char reference[] =
        "A quick brown fox runs away.\nThe dogs generalized; happy dogs.";
    static const struct {
        struct rouge_options options;
        const char *hypothesis, *reference;
        double f1[ROUGE_TYPES];
    } cases[] = {{{.stem = false}, hypothesis, reference, {0.363636, 0.1, 0.181818, 0.363636}},
                 {{.stem = true}, hypothesis, reference, {0.727273, 0.2, 0.545455, 0.727273}},
                 {{.characters = true},
                  "分布式的深度学习\n训练方法",
                  "深度学习的\n分布式训练",
                  {0.909091, 0.6, 0.545455, 0.818182}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rouge_counts counts = {0};
        struct text right[2] = {text_of("nothing"), text_of(cases[i].reference)};
        assert_int_equal(
            rouge_add(work, &cases[i].options, text_of(cases[i].hypothesis), right, 2, &counts),
            STATUS_OK);
        for (int type = 0; type < ROUGE_TYPES; type++)
            assert_near(rouge_score(&counts).f1[type], cases[i].f1[type]);
        assert_int_equal(rouge_add(work, &cases[i].options, text_of(""), right, 2, &counts),
                         STATUS_OK);
        assert_near(rouge_score(&counts).f1[0], cases[i].f1[0] / 2);
    }
}

static void words_are_stemmed_as_nltk_does(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"dying", "die"},
                                           {"skies", "sky"},
                                           {"flies", "fli"},
                                           {"ties", "tie"},
                                           {"agreed", "agre"},
                                           {"feed", "feed"},
                                           {"spied", "spi"},
                                           {"died", "die"},
                                           {"happily", "happili"},
                                           {"enjoy", "enjoy"},
                                           {"hopping", "hop"},
                                           {"falling", "fall"},
                                           {"filing", "file"},
                                           {"rationally", "ration"},
                                           {"hopefully", "hope"},
                                           {"apologi", "apolog"},
                                           {"logi", "logi"},
                                           {"controlling", "control"},
                                           {"replacement", "replac"},
                                           {"adoption", "adopt"},
                                           {"syzygy", "syzygi"},
                                           {"rate", "rate"},
                                           {"cease", "ceas"},
                                           {"generalizations", "gener"},
                                           {"us", "us"},
                                           {"yyyed", "yy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char word[32];
        snprintf(word, sizeof word, "%s", pairs[i][0]);
        word[porter_stem(word, strlen(word))] = 0;
        assert_string_equal(word, pairs[i][1]);
    }
}

// ---- classification ----
static void classes_are_scored_as_scikit_learn_does(void **state)
{
    (void)state;
    static const int truth[] = {0, 0, 1, 1, 2, 2, 2, 0}, guess[] = {0, 1, 1, 1, 2, 0, 2, 0};
    struct confusion one, two;
    assert_int_equal(confusion_create(4, &one), STATUS_OK);
    assert_int_equal(confusion_create(4, &two), STATUS_OK);
    for (int i = 0; i < 8; i++) confusion_add(i % 2 ? &one : &two, truth[i], guess[i]);
    confusion_merge(&one, &two);
    struct confusion_score score = confusion_score(&one);
    assert_near(score.accuracy, 0.75);
    assert_near(score.macro.precision, 0.7777777777777777); // over three: the fourth does not occur
    assert_near(score.macro.f1, 0.7555555555555555);
    assert_near(score.weighted.precision, 0.7916666666666666);
    assert_int_equal(score.weighted.support, 8);
    assert_near(confusion_class(&one, 1).f1, 0.8);
    assert_near(confusion_class(&one, 3).f1, 0);
    confusion_release(&one);
    confusion_release(&two);
    // Of very many classes there is no matrix, which would take gigabytes; scores are there.
    assert_int_equal(confusion_create(100000, &one), STATUS_OK);
    assert_null(one.count);
    for (int i = 0; i < 100000; i++) confusion_add(&one, i, i < 25000 ? i + 1 : i);
    score = confusion_score(&one);
    assert_near(score.accuracy, 0.75);
    assert_near(confusion_class(&one, 25000).precision, 0.5);
    assert_near(confusion_class(&one, 25000).recall, 1);
    confusion_release(&one);
    assert_int_equal(confusion_create(0, &one), STATUS_USAGE);
    error_clear();
}

static void ties_count_half_in_the_area(void **state)
{
    (void)state;
    static const double scores[] = {.1, .4, .35, .8, .35, .9};
    static const int labels[] = {0, 0, 1, 1, 0, 1};
    struct auc one = {0}, two = {0};
    for (int i = 0; i < 6; i++)
        assert_int_equal(auc_add(i % 2 ? &one : &two, scores[i], labels[i]), STATUS_OK);
    assert_int_equal(auc_merge(&one, &two), STATUS_OK);
    assert_near(auc_score(&one), 0.8333333333333333);
    assert_int_equal(auc_add(&one, (double)NAN, true), STATUS_INPUT);
    error_clear();
    auc_release(&one);
    assert_true(isnan(auc_score(&one)));
    auc_release(&two);
}

// ---- answers ----
static void answers_are_judged(void **state)
{
    (void)state;
    static const struct {
        enum answer_kind kind;
        const char *prediction, *answers[2];
        double exact, f1;
    } cases[] = {
        {ANSWER_SQUAD, "the Denver Broncos!", {"Denver Broncos", "Carolina"}, 100, 100},
        {ANSWER_SQUAD, "Denver's team", {"an Denver team", "x"}, 0, 50},
        {ANSWER_SQUAD, "in 1990 in May", {"In May", "May 1990"}, 0, 200.0 / 3},
        {ANSWER_SQUAD, "“the” king", {"king", "the"}, 0, 50}, // curly quotes stay as words
        {ANSWER_SQUAD, "the", {"a", "x"}, 100, 100},          // nothing is left of either
        {ANSWER_SQUAD, "the", {"x", "y"}, 0, 0},
        {ANSWER_SQUAD, "x", {"the", "an"}, 0, 0},
        {ANSWER_CMRC, "《红楼梦》", {"红楼梦", "西游记"}, 100, 100},
        {ANSWER_CMRC, "北京大学", {"北京师范大学", "清华大学"}, 0, 50},
        {ANSWER_CMRC, "2008年OPEN杯", {"2008年", "年open杯"}, 0, 100 * 2.0 * 3 / 7},
        {ANSWER_CMRC, "", {"一", "二"}, 0, 0},
        {ANSWER_CMRC, "《》", {"，", "二"}, 100, 0}, // its script has no F1 of nothing
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer_counts counts = {0};
        struct text right[2] = {text_of(cases[i].answers[0]), text_of(cases[i].answers[1])};
        assert_int_equal(
            answer_add(work, cases[i].kind, text_of(cases[i].prediction), right, 2, &counts),
            STATUS_OK);
        struct answer_score score = answer_score(&counts);
        if (fabs(score.f1 - cases[i].f1) > 1e-6) print_error("case %zu: %f\n", i, score.f1);
        assert_near(score.exact, cases[i].exact);
        assert_near(score.f1, cases[i].f1);
    }
}

// ---- variety, perplexity ----
static void kinds_of_ngrams_are_counted_once(void **state)
{
    (void)state;
    struct distinct one, two;
    distinct_init(&one, 2, false);
    distinct_init(&two, 2, false);
    assert_near(distinct_score(&one), 0);
    assert_int_equal(distinct_add(&one, text_of("a b a b a")), STATUS_OK); // ab ba ab ba
    assert_int_equal(distinct_add(&two, text_of(" b  a\nc")), STATUS_OK);  // ba ac
    assert_int_equal(distinct_add(&two, text_of("a")), STATUS_OK);
    assert_int_equal(distinct_merge(&one, &two), STATUS_OK);
    assert_near(distinct_score(&one), 3.0 / 6);
    distinct_release(&one);
    distinct_release(&two);
    distinct_init(&one, 1, true);
    assert_int_equal(distinct_add(&one, text_of("春江潮水连海平，海上明月共潮生")), STATUS_OK);
    assert_near(distinct_score(&one), 13.0 / 15);
    distinct_release(&one);
}

static void perplexity_is_the_same_in_any_order(void **state)
{
    (void)state;
    struct perplexity_counts one = {0}, two = {0}, part[3] = {{0}};
    assert_true(isnan(perplexity_score(&one)));
    for (int i = 0; i < 300; i++) {
        double loss = 0.1 + philox_uniform((struct philox_address){.seed = 1}, (uint64_t)i);
        assert_int_equal(perplexity_add(&one, loss, 2, 3), STATUS_OK);
        assert_int_equal(perplexity_add(&part[i * 7 % 3], loss, 2, 3), STATUS_OK);
    }
    for (int i = 2; i >= 0; i--) counts_add(&two, &part[i], sizeof two);
    assert_memory_equal(&one, &two, sizeof one);
    struct perplexity_counts plain = {0};
    assert_int_equal(perplexity_add(&plain, 10 * log(7), 10, 20), STATUS_OK);
    assert_near(perplexity_score(&plain), 7);
    assert_near(perplexity_bits_per_byte(&plain), log2(7) / 2);
    assert_int_equal(perplexity_add(&plain, (double)INFINITY, 1, 1), STATUS_DIVERGED);
    error_clear();
}

// ---- intervals ----
static double score_bleu(const void *context, const void *counts)
{
    return bleu_score(context, counts).score;
}

static void intervals_are_the_same_for_any_threads(void **state)
{
    (void)state;
    struct bleu_options options = {0};
    struct bleu_counts rows[60] = {{0}}, sum = {0};
    for (int i = 0; i < 60; i++) {
        struct text both[2];
        two_references(i % LINES, both);
        assert_int_equal(
            bleu_add(work, &options, text_of(hypotheses[(i / 2) % LINES]), both, 2, &rows[i]),
            STATUS_OK);
        counts_add(&sum, &rows[i], sizeof sum);
    }
    struct interval first = {0}, again;
    for (int threads = 1; threads <= 5; threads += 2) {
        struct team *team;
        assert_int_equal(
            team_create(&(struct team_options){.threads = threads, .crowded = true}, &team),
            STATUS_OK);
        struct bootstrap_options how = {.draws = 200, .team = team};
        assert_int_equal(bootstrap(rows, 60, sizeof *rows, score_bleu, &options, &how, &again),
                         STATUS_OK);
        if (threads == 1) first = again;
        assert_memory_equal(&first, &again, sizeof first);
        team_destroy(team);
    }
    double whole = bleu_score(&options, &sum).score;
    assert_true(first.low < whole && whole < first.high && fabs(first.mean - whole) < 3);
    struct bootstrap_options other = {.draws = 200, .seed = 1};
    assert_int_equal(bootstrap(rows, 60, sizeof *rows, score_bleu, &options, &other, &again),
                     STATUS_OK);
    assert_true(again.mean != first.mean);
    assert_int_equal(bootstrap(rows, 0, sizeof *rows, score_bleu, &options, &other, &again),
                     STATUS_USAGE);
    error_clear();
}

// ---- what is no text ----
static void bytes_that_are_no_text_are_compared_as_they_are(void **state)
{
    (void)state;
    static const char bytes[] = "\xFF\xC3 a\0b \xE4\xBD . \xF0\x9F\x98 \xC3\x9C";
    struct text strange = {bytes, sizeof bytes - 1};
    struct bleu_counts bleu = {0};
    struct rouge_counts rouge = {0};
    struct chrf_counts chrf = {.matches = {0}};
    struct answer_counts answers = {0};
    struct bleu_options options = {.lower_case = true};
    struct rouge_options by_characters = {.characters = true};
    struct chrf_options spaced = {.spaces = true, .words = 2, .lower_case = true};
    for (int tokenizer = 0; tokenizer < BLEU_TOKENIZERS; tokenizer++) {
        options.tokenizer = (enum bleu_tokenizer)tokenizer;
        assert_int_equal(bleu_add(work, &options, strange, &strange, 1, &bleu), STATUS_OK);
    }
    assert_near(bleu_score(&options, &bleu).score, 100);
    assert_int_equal(rouge_add(work, &by_characters, strange, &strange, 1, &rouge), STATUS_OK);
    assert_near(rouge_score(&rouge).f1[ROUGE_LSUM], 1);
    assert_int_equal(chrf_add(work, &spaced, strange, &strange, 1, &chrf), STATUS_OK);
    assert_near(chrf_score(&spaced, &chrf), 100);
    for (int kind = 0; kind < 2; kind++)
        assert_int_equal(answer_add(work, (enum answer_kind)kind, strange, &strange, 1, &answers),
                         STATUS_OK);
    assert_near(answer_score(&answers).f1, 100);
    assert_int_equal(bleu_add(work, &options, strange, NULL, 0, &bleu), STATUS_USAGE);
    error_clear();
}

static void small_letters_are_pythons(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"ÀÉÎ ÖŸ ẞ", "àéî öÿ ß"},
                                           {"İI", "i̇i"},
                                           {"ΟΔΥΣΣΕΥΣ ΣΑΣ.", "οδυσσευς σας."},
                                           {"Σ 'Σ' ΑΣ’Α", "σ 'σ' ασ’α"},
                                           {"ȺȾ ǅ Ⅷ Ａ 𐐀", "ⱥⱦ ǆ ⅷ ａ 𐐨"},
                                           {"中文 abc", "中文 abc"},
                                           {"ΑΣⒶ", "ασⓐ"},
                                           {"ⅧΣ ªΣ", "ⅷς ªς"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buffer lower = {0};
        assert_int_equal(buffer_add_lower(&lower, text_of(pairs[i][0])), STATUS_OK);
        assert_int_equal(lower.bytes, strlen(pairs[i][1]));
        assert_memory_equal(lower.at, pairs[i][1], lower.bytes);
        buffer_release(&lower);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bleu_is_sacrebleus),
        cmocka_unit_test(bleu_smooths_orders_without_matches),
        cmocka_unit_test(bleu_reads_chinese),
        cmocka_unit_test(signatures_say_everything),
        cmocka_unit_test(chrf_is_sacrebleus),
        cmocka_unit_test(rouge_is_rouge_scores),
        cmocka_unit_test(words_are_stemmed_as_nltk_does),
        cmocka_unit_test(classes_are_scored_as_scikit_learn_does),
        cmocka_unit_test(ties_count_half_in_the_area),
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(kinds_of_ngrams_are_counted_once),
        cmocka_unit_test(perplexity_is_the_same_in_any_order),
        cmocka_unit_test(intervals_are_the_same_for_any_threads),
        cmocka_unit_test(bytes_that_are_no_text_are_compared_as_they_are),
        cmocka_unit_test(small_letters_are_pythons),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
