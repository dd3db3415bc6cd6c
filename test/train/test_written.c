// SPDX-License-Identifier: Apache-2.0
// train.measure bleu, chrf, rouge: what the model writes for the held-out rows is worth the same bits for any number of workers, threads
// and processes, and as much as its exported directory's translations are.
#include "infer/translate.h"
#include "replicas.h"
#include "text/bleu.h"
#include "text/rouge.h"
#include "train/internal.h"

#include <math.h>

enum { ROWS = 90, HELD = 23 };
static char held_source[HELD][128], held_target[HELD][128];

// Numbers into words, the same words in Chinese, or the words backwards; some lines are empty.
static void write_pairs(const char *name, int rows, bool chinese, uint64_t seed)
{
    static const char *const from[] = {"one", "two", "three", "four", "five", "six"};
    static const char *const to[2][6] = {{"Eins", "zwei", "drei.", "vier", "fuenf,", "sechs"},
                                         {"一", "二", "三", "四", "五", "六"}};
    struct philox_address at = {seed, philox_stream(PHILOX_TEST, 21), 0, 0};
    char path[400];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < rows; i++) {
        char source[128] = "", target[128] = "";
        int words = i % 11 == 7 ? 0 : 1 + (int)(philox_bits(at, (uint64_t)(i * 16)) % 9);
        for (int w = 0; w < words; w++) {
            uint64_t k = philox_bits(at, (uint64_t)(i * 16 + w + 1)) % 6;
            size_t a = strlen(source), b = strlen(target);
            snprintf(source + a, sizeof source - a, "%s%s", w ? " " : "", from[k]);
            snprintf(target + b, sizeof target - b, "%s%s", w && !chinese ? " " : "",
                     to[chinese][k]);
        }
        if (i < HELD) snprintf(held_source[i], sizeof held_source[i], "%s", source);
        if (i < HELD) snprintf(held_target[i], sizeof held_target[i], "%s", target);
        fprintf(file, "%s\t%s\n", source, target);
    }
    assert_int_equal(fclose(file), 0);
}

static struct run_config pair_run(const char *out, const char *measure, bool chinese)
{
    struct run_config config = small_run(out);
    snprintf(config.task, sizeof config.task, "translate");
    snprintf(config.measure, sizeof config.measure, "%s", measure);
    snprintf(config.data.train, sizeof config.data.train, "%s/pairs.tsv", test_folder);
    snprintf(config.data.valid, sizeof config.data.valid, "%s/held.tsv", test_folder);
    snprintf(config.data.tokenizer, sizeof config.data.tokenizer, chinese ? "char" : "word");
    snprintf(config.data.source_tokenizer, sizeof config.data.source_tokenizer, "word");
    config.data.valid_fraction = 0;
    config.dropout = 0.1;
    config.steps = 60;
    config.schedule.learning_rate = 0.01;
    snprintf(config.model.type, sizeof config.model.type, "seq2seq");
    config.model.context = 24;
    return config;
}

struct figures {
    struct evaluation_report report[MOST_REPLICAS];
};

static void measure_run(const struct run_config *config, void *context, struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report step;
    struct figures *figures = context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    while (!status && trainer_position(trainer)->step < config->steps)
        status = trainer_step(trainer, &step);
    if (!status) status = trainer_measure(trainer, &figures->report[own_net->rank]);
    if (!status) status = trainer_export(trainer, config->out);
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

static double figure_of(const struct evaluation_report *report, const char *tag)
{
    for (int i = 0; i < report->measures; i++)
        if (!strcmp(report->measure[i].tag, tag)) return report->measure[i].value;
    fail_msg("there is no %s", tag);
    return 0;
}

// What the exported directory writes, scored by hand.
static double figure_by_hand(const struct run_config *config, bool chinese)
{
    struct loaded_model *model;
    struct translator *translator;
    struct search_options options;
    struct translation translations[HELD];
    struct text texts[HELD];
    uint64_t numbers[HELD];
    struct measure_work *work;
    struct bleu_counts bleu = {0};
    struct rouge_counts rouge = {0};
    const struct bleu_options plain = {0};
    const struct rouge_options characters = {.characters = true};
    search_defaults(&options);
    options.beams = config->measure_beam;
    assert_int_equal(model_directory_load(config->out, &model), STATUS_OK);
    assert_int_equal(translator_create(model, &options, 1, &translator), STATUS_OK);
    assert_int_equal(measure_work_create(&work), STATUS_OK);
    for (int i = 0; i < HELD; i++) texts[i] = text_of(held_source[i]), numbers[i] = (uint64_t)i;
    assert_int_equal(translator_run(translator, texts, numbers, HELD, translations), STATUS_OK);
    for (int i = 0; i < HELD; i++) {
        struct text text = {"", 0}, target = text_of(held_target[i]);
        if (translations[i].count) text = buffer_text(&translations[i].best[0].text);
        assert_int_equal(bleu_add(work, &plain, text, &target, 1, &bleu), STATUS_OK);
        assert_int_equal(rouge_add(work, &characters, text, &target, 1, &rouge), STATUS_OK);
        translation_release(&translations[i]);
    }
    measure_work_destroy(work);
    translator_destroy(translator);
    loaded_model_destroy(model);
    return chinese ? rouge_score(&rouge).f1[ROUGE_1] : bleu_score(&plain, &bleu).score;
}

static void figures_have_the_same_bits(const char *measure, int64_t beam, bool chinese)
{
    static const struct {
        int replicas, workers, threads;
    } row[] = {{1, 1, 1}, {1, 2, 1}, {1, 5, 1}, {1, 1, 3}, {2, 1, 1}, {3, 2, 1}};
    char tag[32];
    struct evaluation_report first = {0};
    snprintf(tag, sizeof tag, "val/%s", measure);
    write_pairs("pairs.tsv", ROWS, chinese, 3);
    write_pairs("held.tsv", HELD, chinese, 4);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct run_config config = pair_run("same", measure, chinese);
        struct child_result result[MOST_REPLICAS];
        static struct figures figures;
        memset(&figures, 0, sizeof figures);
        snprintf(config.out, sizeof config.out, "%s/%s%zu", test_folder, measure, i);
        config.parallel.workers = row[i].workers;
        config.parallel.threads = row[i].threads;
        config.measure_beam = beam;
        run_replicas(&config, row[i].replicas, NULL, measure_run, &figures, result);
        for (int r = 0; r < row[i].replicas; r++) {
            const struct evaluation_report *report = &figures.report[r];
            assert_fine(&result[r]);
            if (i == 0) first = *report;
            assert_int_equal(report->measures, first.measures);
            for (int m = 0; m < first.measures; m++)
                assert_memory_equal(&report->measure[m].value, &first.measure[m].value,
                                    sizeof(double));
            assert_true(report->badness == 1 - figure_of(report, tag));
        }
        if (i == 0 && (!strcmp(measure, "bleu") || !strcmp(measure, "rouge1")))
            assert_true(figure_by_hand(&config, chinese) == figure_of(&first, tag));
    }
    print_message("# %s %.6f\n", tag, figure_of(&first, tag));
    assert_true(figure_of(&first, tag) > 0);
}

static void greedy_bleu(void **state)
{
    (void)state;
    figures_have_the_same_bits("bleu", 1, false);
}

static void chrf_by_beams(void **state)
{
    (void)state;
    figures_have_the_same_bits("chrf", 3, false);
}

static void rouge_of_chinese(void **state)
{
    (void)state;
    figures_have_the_same_bits("rouge1", 1, true);
}

// The wish comes when the loss is known and texts are to be decoded, to all replicas.
static void stop_decoding(const struct run_config *config, void *context,
                          struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct evaluation_report report = {0};
    (void)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    if (!status) status = trainer_evaluate(trainer, &report.loss, &report.targets);
    train_request_stop();
    if (!status) status = trainer->feed.kind->measure(trainer, &report);
    if (status) fill_failure(result, status);
    result->loss = trainer && trainer->crew.agreed;
    trainer_destroy(trainer);
}

static void decoding_is_given_up(void **state)
{
    (void)state;
    write_pairs("pairs.tsv", ROWS, false, 3);
    write_pairs("held.tsv", HELD, false, 4);
    for (int replicas = 1; replicas <= 3; replicas++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = pair_run("stopped", "bleu", false);
        config.parallel.workers = 2;
        snprintf(config.out, sizeof config.out, "%s/stopped%d", test_folder, replicas);
        run_replicas(&config, replicas, NULL, stop_decoding, NULL, result);
        train_forget_stop();
        for (int r = 0; r < replicas; r++) {
            assert_int_equal(result[r].status, STATUS_INTERRUPTED);
            assert_non_null(strstr(result[r].message, "stopped while texts were decoded"));
            assert_int_equal(result[r].loss, replicas > 1);
        }
    }
}

// Its memory is taken once, and it writes with the weights as they are.
static void the_translator_stays(void **state)
{
    (void)state;
    struct run_config config = pair_run("stays", "bleu", false);
    struct trainer *trainer = NULL;
    struct step_report step;
    struct evaluation_report report;
    size_t bytes[3];
    write_pairs("pairs.tsv", ROWS, false, 3);
    write_pairs("held.tsv", HELD, false, 4);
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    bytes[0] = block_total_bytes();
    assert_int_equal(trainer_measure(trainer, &report), STATUS_OK);
    bytes[1] = block_total_bytes();
    for (int i = 0; i < config.steps; i++)
        assert_int_equal(trainer_step(trainer, &step), STATUS_OK);
    assert_int_equal(trainer_measure(trainer, &report), STATUS_OK);
    bytes[2] = block_total_bytes();
    assert_true(bytes[1] > bytes[0]);
    assert_int_equal(bytes[2], bytes[1]);
    assert_int_equal(trainer_export(trainer, config.out), STATUS_OK);
    assert_true(figure_by_hand(&config, false) == figure_of(&report, "val/bleu"));
    trainer_destroy(trainer);
}

static void what_cannot_be_decoded_is_refused_at_the_start(void **state)
{
    (void)state;
    struct run_config config = pair_run("refused", "bleu", false);
    struct trainer *trainer = NULL;
    write_pairs("pairs.tsv", ROWS, false, 3);
    write_pairs("held.tsv", HELD, false, 4);
    config.vocabulary = 200; // more than the tokenizer's and the specials
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_UNSUPPORTED);
    assert_non_null(strstr(error_message(), "do not belong to a model of"));
    error_clear();
    config = pair_run("refused", "bleu", false);
    snprintf(config.task, sizeof config.task, "lm");
    snprintf(config.model.type, sizeof config.model.type, "gpt2");
    assert_int_equal(run_config_check(&config), STATUS_USAGE);
    error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_bleu),
        cmocka_unit_test(chrf_by_beams),
        cmocka_unit_test(rouge_of_chinese),
        cmocka_unit_test(decoding_is_given_up),
        cmocka_unit_test(the_translator_stays),
        cmocka_unit_test(what_cannot_be_decoded_is_refused_at_the_start),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
