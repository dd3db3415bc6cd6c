// SPDX-License-Identifier: Apache-2.0
// Resolves what a run file left open, and checks what must fit together.
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/numeric.h"
#include "data/best_answer.h"
#include "train/run_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE = RUN_PATH + 32 };

// Puts where a key was set before the message of a check that another room made; which key: the one that the message begins
// with, else `key`.
static enum status place_error(const struct run_config *config, const char *key, enum status status)
{
    char text[1024], place[PLACE], first[64];
    if (!status) return status;
    error_copy(text, sizeof text);
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, ":"), text);
    bool named = run_key_find(first) >= 0;
    run_key_place(config, named ? first : key, place);
    if (!place[0] && config->file[0]) snprintf(place, sizeof place, "%s: ", config->file);
    error_clear();
    FAIL(status, "%s%s%s%s", place, named ? "" : key, named ? "" : ": ", text);
}

static void resolve(double *value, double otherwise)
{
    if (*value < 0) *value = otherwise;
}

// What a task's models learn from, and what they are asked for.
static const struct {
    const char *name;
    enum model_tasks task;
} tasks[] = {
    {"lm", TASK_LM},
    {"mlm", TASK_MLM},
    {"classify", TASK_CLASSIFY},
    {"regress", TASK_REGRESS},
    {"translate", TASK_TRANSLATE},
    {"summarize", TASK_TRANSLATE},
    {"answer", TASK_ANSWER},
};

enum model_tasks run_task(const struct run_config *config)
{
    if (config->model.sentences) return TASK_REGRESS;
    size_t i = 0, count = sizeof tasks / sizeof *tasks;
    while (i < count && strcmp(config->task, tasks[i].name) != 0) i++;
    INVARIANT(i < count, "task %s was not checked", config->task);
    // Classes whose scores go against numbers have the inputs of a regression.
    bool labels = model_takes_labels(&config->model);
    return tasks[i].task == TASK_CLASSIFY && !labels ? TASK_REGRESS : tasks[i].task;
}

bool run_has_scores(const struct run_config *config)
{
    enum model_tasks task = run_task(config);
    return task == TASK_CLASSIFY || task == TASK_REGRESS || task == TASK_ANSWER;
}

bool run_has_rows(const struct run_config *config) { return strcmp(config->task, "lm") != 0; }

static unsigned asked_task(const struct run_config *config)
{
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (!strcmp(config->task, tasks[i].name)) return tasks[i].task;
    return 0;
}

// Whether a model of the type chooses the summary among a text's sentences: it scores texts, and writes none.
static bool chooses_sentences(const struct run_config *config, const struct model_type *type)
{
    return !strcmp(config->task, "summarize") && !(type->tasks & TASK_TRANSLATE) &&
           type->tasks & TASK_REGRESS && strcmp(type->name, "mlp") != 0;
}

static bool is_for_task(const struct run_config *config, const struct model_type *type)
{
    return type->tasks & asked_task(config) || chooses_sentences(config, type);
}

static enum status check_type(const struct run_config *config, const struct model_type *type)
{
    char names[160] = "";
    if (is_for_task(config, type)) return STATUS_OK;
    for (int i = 0; model_registry[i]; i++) {
        size_t used = strlen(names);
        if (is_for_task(config, model_registry[i]))
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                     model_registry[i]->name);
    }
    FAIL_KEY(config, "model.type", "%s is no model for task: %s; there are: %s", type->name,
             config->task, names);
}

static int word_number(const char *word, const char *const *words)
{
    int i = 0;
    while (words[i] && strcmp(words[i], word) != 0) i++;
    INVARIANT(words[i], "%s was not checked", word);
    return i;
}

// Of answers: a token has two scores, and the file names its columns itself.
static enum status check_spans(struct run_config *config)
{
    static const char *const others[] = {
        "data.header",          "data.text",         "data.pair",          "data.target",
        "data.features",        "data.train_pair",   "data.class_weights", "data.sampling",
        "data.ngrams",          "data.word_dropout", "data.swap",          "data.source_tokenizer",
        "train.label_smoothing"};
    struct model_config *model = &config->model;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!run_key_is_start(config, others[i]))
            FAIL_KEY(config, others[i], "task: answer reads questions and contexts; leave it out");
    if (strcmp(config->data.format, "auto") != 0 && strcmp(config->data.format, "squad") != 0)
        FAIL_KEY(config, "data.format", "%s; task: answer reads squad", config->data.format);
    if (strcmp(config->loss, "auto") != 0 && strcmp(config->loss, "softmax") != 0)
        FAIL_KEY(config, "model.loss", "%s; task: answer takes softmax", config->loss);
    if (model->classes && model->classes != 2)
        FAIL_KEY(config, "model.classes", "%lld; an answer has 2 scores, of its ends",
                 (long long)model->classes);
    if (model->context < ANSWERS_CONTEXT)
        FAIL_KEY(config, "model.context", "%lld leaves no place for a question and a context",
                 (long long)model->context);
    if (!strcmp(config->data.answer_goal, "f1") && config->data.answer_tokens > ANSWERS_LONGEST_F1)
        FAIL_KEY(config, "data.answer_tokens",
                 "%lld; data.answer_goal: f1 takes at most %d, whose square it costs",
                 (long long)config->data.answer_tokens, ANSWERS_LONGEST_F1);
    model->classes = 2;
    model->matches = config->matches ? ANSWERS_MATCHES : 0;
    return STATUS_OK;
}

// Of models that choose sentences: a sentence has one score, and nothing is written.
static enum status check_sentences(struct run_config *config)
{
    static const char *const others[] = {
        "data.pair",         "data.features",         "data.class_weights",
        "data.sampling",     "data.source_tokenizer", "train.label_smoothing",
        "train.measure_beam"};
    struct model_config *model = &config->model;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!run_key_is_start(config, others[i]))
            FAIL_KEY(
                config, others[i],
                "task: summarize with model.type: %s chooses sentences of a text; leave it out",
                model->type);
    if (model->loss != LOSS_BINARY && model->loss != LOSS_SQUARED)
        FAIL_KEY(config, "model.loss",
                 "%s is of classes; the worth of a sentence takes binary or "
                 "squared",
                 config->loss);
    if (model->classes > 1)
        FAIL_KEY(config, "model.classes", "%lld; a sentence has one score",
                 (long long)model->classes);
    model->classes = 1;
    return STATUS_OK;
}

// A task that only measures know: the others are models'.
enum { TASK_SENTENCES = 64 };
// What held-out data of a task can be worth besides their loss.
static const struct {
    const char *name, *of;
    unsigned tasks;
} measures[] = {
    {"accuracy", "classes", TASK_CLASSIFY},
    {"exact", "answers", TASK_ANSWER},
    {"f1", "classes and answers", TASK_CLASSIFY | TASK_ANSWER},
    {"auc", "classes", TASK_CLASSIFY},
    {"bleu", "texts that are written", TASK_TRANSLATE},
    {"chrf", "texts that are written", TASK_TRANSLATE},
    {"rouge1", "texts that are written or chosen", TASK_TRANSLATE | TASK_SENTENCES},
    {"rouge2", "texts that are written or chosen", TASK_TRANSLATE | TASK_SENTENCES},
    {"rougeL", "texts that are written or chosen", TASK_TRANSLATE | TASK_SENTENCES},
};
enum { MEASURES = sizeof measures / sizeof *measures };

double run_best(const struct run_config *config, double badness)
{
    return !strcmp(config->measure, "loss") ? badness : 1 - badness;
}

bool run_decodes(const struct run_config *config)
{
    if (config->model.sentences) return false;
    for (int i = 0; i < MEASURES; i++)
        if (!strcmp(config->measure, measures[i].name)) return measures[i].tasks & TASK_TRANSLATE;
    return false;
}

static enum status check_beam(const struct run_config *config)
{
    if (config->measure_beam > 1 && !config->model.sentences && !run_decodes(config))
        FAIL_KEY(config, "train.measure_beam",
                 "%lld, but train.measure: %s needs no text that the model writes; bleu, chrf and "
                 "rouge of translate and summarize do",
                 (long long)config->measure_beam, config->measure);
    return STATUS_OK;
}

static enum status check_measure(const struct run_config *config)
{
    char takes[128] = "loss";
    unsigned task = config->model.sentences ? TASK_SENTENCES : asked_task(config);
    int wanted = 0, last = -1;
    while (wanted < MEASURES && strcmp(config->measure, measures[wanted].name) != 0) wanted++;
    if (wanted == MEASURES || measures[wanted].tasks & task) return check_beam(config);
    for (int i = 0; i < MEASURES; i++)
        if (measures[i].tasks & task) last = i;
    for (int i = 0; i <= last; i++) {
        size_t used = strlen(takes);
        if (measures[i].tasks & task)
            snprintf(takes + used, sizeof takes - used, "%s%s", i == last ? " or " : ", ",
                     measures[i].name);
    }
    FAIL_KEY(config, "train.measure", "%s is of %s; task: %s takes %s", config->measure,
             measures[wanted].of, config->task, takes);
}

const char *const run_pools[] = {"mean", "max", "first", "last", "sum", NULL};

// The losses and pools of run files; auto is each task's own.
static enum status check_scores(struct run_config *config)
{
    static const char *const losses[] = {"softmax", "binary",        "squared",
                                         "hinge",   "squared_hinge", NULL};
    struct model_config *model = &config->model;
    bool regress = !strcmp(config->task, "regress"), classify = !strcmp(config->task, "classify");
    const char *loss = config->loss, *pool = config->pool;
    if (!strcmp(loss, "auto")) loss = regress ? "squared" : model->sentences ? "binary" : "softmax";
    if (regress && strcmp(loss, "squared") != 0)
        FAIL_KEY(config, "model.loss", "%s is of classes; task: regress takes squared", loss);
    model->loss = (enum score_loss)word_number(loss, losses);
    if (!strcmp(pool, "auto")) pool = !strcmp(model->type, "linear") ? "sum" : "mean";
    model->pool = (enum pool)word_number(pool, run_pools);
    model->spans = !strcmp(config->task, "answer");
    if (model->spans) return check_spans(config);
    if (model->sentences) return check_sentences(config);
    if (!regress && !classify && model->classes)
        FAIL_KEY(config, "model.classes", "task: %s has no classes", config->task);
    if (regress && model->classes > 1)
        FAIL_KEY(config, "model.classes", "%lld; task: regress learns one number",
                 (long long)model->classes);
    if (regress) model->classes = 1;
    return STATUS_OK;
}

static enum status check_model(struct run_config *config)
{
    struct model_config *model = &config->model;
    TRY(run_take_sizes(config));
    resolve(&model->embedding_dropout, config->dropout);
    resolve(&model->attention_dropout, config->dropout);
    resolve(&model->residual_dropout, config->dropout);
    const struct model_type *type;
    TRY(place_error(config, "model.type", model_find(model->type, &type)));
    TRY(check_type(config, type));
    resolve(&model->init_deviation, type->init_deviation > 0 ? type->init_deviation : 0.02);
    TRY(run_check_readers(config));
    model->sentences = chooses_sentences(config, type);
    TRY(check_scores(config));
    TRY(check_measure(config));
    if (!model->tied && !run_key_is_of_type("model.tied", type->name))
        FAIL_KEY(config, "model.tied", "false, but the output layer of %s is its token table",
                 type->name);
    if (model->recompute_layers > model->layers)
        FAIL_KEY(config, "model.recompute_layers", "%lld is more than model.layers %lld",
                 (long long)model->recompute_layers, (long long)model->layers);
    // What is taken from the data comes later; any will do to resolve and check the rest.
    struct model_config trial = *model;
    if (!trial.vocabulary) trial.vocabulary = config->vocabulary ? config->vocabulary : 256;
    if (!trial.classes && !strcmp(config->task, "classify")) trial.classes = 2;
    if (!trial.features && config->data.features[0]) trial.features = 1;
    TRY(place_error(config, "model", type->validate(&trial)));
    trial.vocabulary = model->vocabulary;
    trial.classes = model->classes;
    trial.features = model->features;
    trial.loss = model->loss;
    *model = trial;
    return STATUS_OK;
}

static enum status check_carry(const struct run_config *config)
{
    const struct model_type *type;
    if (!config->data.carry) return STATUS_OK;
    TRY(model_find(config->model.type, &type));
    if (strcmp(config->task, "lm") != 0 || !type->carried)
        FAIL_KEY(config, "data.carry", "%s with task: %s carries no state; lstm_lm with lm does",
                 type->name, config->task);
    if (strcmp(config->data.partition, "contiguous") != 0)
        FAIL_KEY(config, "data.partition", "%s, but with data.carry each row is its stream's",
                 config->data.partition);
    if (config->replicas > 1 && strcmp(config->parallel.balance, "none") != 0)
        FAIL_KEY(config, "parallel.balance",
                 "%s moves rows from process to process, and data.carry keeps their states where "
                 "they are; leave it at none",
                 config->parallel.balance);
    return STATUS_OK;
}

static bool is_set(const struct run_config *config, const char *key)
{
    return config->origin[run_key_find(key)] != RUN_DEFAULT && !run_key_is_start(config, key);
}

// What only rows of examples have is an error where there are none, and the other way round.
static enum status check_rows(const struct run_config *config)
{
    static const char *const own[] = {
        "data.format",        "data.header",        "data.text",          "data.pair",
        "data.target",        "data.features",      "data.train_pair",    "data.valid_pair",
        "data.buckets",       "data.class_weights", "data.sampling",      "data.ngrams",
        "data.ngram_hash",    "data.word_dropout",  "data.swap",          "data.mask",
        "data.unknown",       "data.mask_rate",     "data.answer_tokens", "data.source_tokenizer",
        "train.batch_tokens", "train.folds",        "train.fold",         "train.measure",
        "train.measure_beam"};
    static const char *const running[] = {"data.partition", "data.field", "data.cache"};
    static const char *const of_texts[] = {
        "model.presence",  "data.tokenizer",    "data.text", "data.ngrams", "data.buckets",
        "data.ngram_hash", "data.word_dropout", "data.swap", "data.mask",   "data.unknown"};
    bool rows = run_has_rows(config);
    for (size_t i = 0; i < sizeof own / sizeof *own && !rows; i++)
        if (is_set(config, own[i]))
            FAIL_KEY(config, own[i], "it is of rows of examples, and task: lm reads running text");
    for (size_t i = 0; i < sizeof running / sizeof *running && rows; i++)
        if (is_set(config, running[i]))
            FAIL_KEY(config, running[i], "it is of running text, and task: %s reads rows",
                     config->task);
    if (!rows) return STATUS_OK;
    if (config->data.valid_pair[0] && !config->data.valid[0])
        FAIL_KEY(config, "data.valid_pair", "there is no data.valid beside it");
    if (config->data.train_pair[0] && config->data.valid[0] && !config->data.valid_pair[0])
        FAIL_KEY(config, "data.valid",
                 "data.train has a data.train_pair; data.valid_pair is missing");
    if (config->folds == 1 || (config->folds && config->fold >= config->folds))
        FAIL_KEY(config, "train.folds", "fold %lld of %lld; folds are 2 or more, counted from 0",
                 (long long)config->fold, (long long)config->folds);
    if (config->folds && config->data.valid[0])
        FAIL_KEY(config, "train.folds",
                 "folds hold out a part of data.train; leave out data.valid");
    for (size_t i = 0; config->data.features[0] && i < sizeof of_texts / sizeof *of_texts; i++)
        if (is_set(config, of_texts[i]))
            FAIL_KEY(config, of_texts[i], "it is of texts, and data.features are numbers");
    return STATUS_OK;
}

// The largest divisor of batch that is at most an eighth of it: small enough for the workers, large
// enough for the kernels.
static int64_t choose_micro_batch(int64_t batch)
{
    int64_t micro = batch / 8 < 1 ? 1 : batch / 8;
    while (batch % micro) micro--;
    return micro;
}

// Batch norm takes its statistics of a micro-batch, and one row has none: the least divisor that is enough for a mean.
static int64_t choose_normed(int64_t batch)
{
    enum { ENOUGH = 8 };
    int64_t micro = batch / 8 < ENOUGH ? ENOUGH : batch / 8;
    while (micro < batch && batch % micro) micro++;
    return micro < batch ? micro : batch;
}

enum status run_check_batch(struct run_config *config)
{
    bool normed = config->model.batch_norm;
    if (!config->micro_batch)
        config->micro_batch = config->chosen.micro_batch =
            normed ? choose_normed(config->batch) : choose_micro_batch(config->batch);
    if (normed && config->micro_batch == 1)
        FAIL_KEY(config, config->batch == 1 ? "train.batch" : "train.micro_batch",
                 "1, but model.batch_norm takes mean and variance of a micro-batch, and one row "
                 "has none; take 8 or more");
    if (config->batch % config->micro_batch)
        FAIL_KEY(config, "train.batch",
                 "%lld is not a multiple of train.micro_batch %lld; %lld would be",
                 (long long)config->batch, (long long)config->micro_batch,
                 (long long)((config->batch / config->micro_batch + 1) * config->micro_batch));
    int64_t micro_batches = config->batch / config->micro_batch;
    if (!config->leaves)
        config->leaves = config->chosen.leaves = micro_batches < 8 ? micro_batches : 8;
    if (config->leaves > micro_batches)
        FAIL_KEY(config, "train.leaves",
                 "%lld leaves cannot share %lld micro-batches (train.batch / train.micro_batch); "
                 "at most %lld can",
                 (long long)config->leaves, (long long)micro_batches, (long long)micro_batches);
    // Positions of a micro-batch and of a step are counted in 32 bits by kernels and random
    // addresses.
    if (config->micro_batch * config->model.context > INT32_MAX)
        FAIL_KEY(config, "train.micro_batch",
                 "%lld sequences of %lld tokens are more than 2147483647",
                 (long long)config->micro_batch, (long long)config->model.context);
    return STATUS_OK;
}

bool run_counts(const struct run_config *config)
{
    return !strcmp(config->optimizer.name, "count");
}

// Counts are the weights of one kind of model.
static enum status check_count(struct run_config *config)
{
    const struct model_config *model = &config->model;
    const char *exchange = config->parallel.exchange;
    bool linear = !strcmp(model->type, "linear") && !config->data.features[0];
    if (!run_counts(config)) return STATUS_OK;
    if (!linear || strcmp(config->task, "classify") != 0 || model->loss != LOSS_SOFTMAX ||
        model->pool != POOL_SUM || !model->bias)
        FAIL_KEY(config, "train.optimizer",
                 "count is naive Bayes: task: classify, model.type: linear over texts with "
                 "model.loss: softmax, model.pool: sum and model.bias: true");
    if (config->from[0] || config->freeze[0])
        FAIL_KEY(config, config->from[0] ? "model.from" : "train.freeze",
                 "train.optimizer: count makes all weights anew; leave it out");
    if (!strcmp(exchange, "local-sgd") || config->parallel.staleness > 0)
        FAIL_KEY(config, "train.optimizer",
                 "count adds up all processes' counts; with it leave parallel.exchange and "
                 "parallel.staleness out");
    if (config->steps != 1 && config->origin[run_key_find("train.steps")] != RUN_DEFAULT)
        FAIL_KEY(config, "train.steps", "%lld, but train.optimizer: count takes 1; leave it out",
                 (long long)config->steps);
    config->steps = 1;
    return STATUS_OK;
}

static enum status check_optimizer(struct run_config *config)
{
    const struct optimizer *optimizer;
    TRY(place_error(config, "train.optimizer", optimizer_find(config->optimizer.name, &optimizer)));
    TRY(place_error(config, "train.schedule", schedule_check(config->schedule.name)));
    TRY(check_count(config));
    struct schedule_config *schedule = &config->schedule;
    schedule->steps = config->steps;
    // Those that end somewhere end at a tenth; the others fall as long as the run lasts.
    bool ends = !strcmp(schedule->name, "linear") || !strcmp(schedule->name, "cosine") ||
                !strcmp(schedule->name, "wsd");
    resolve(&schedule->min_learning_rate, ends ? schedule->learning_rate / 10 : 0);
    resolve(&config->optimizer.weight_decay, !strcmp(config->optimizer.name, "adamw") ? 0.1 : 0);
    if (!strcmp(schedule->name, "wsd") && schedule->decay_steps > 0 &&
        schedule->decay_steps > config->steps - schedule->warmup)
        FAIL_KEY(
            config, "train.decay_steps",
            "%lld, but of %lld steps (train.steps) only %lld come after the warm-up",
            (long long)schedule->decay_steps, (long long)config->steps,
            (long long)(config->steps > schedule->warmup ? config->steps - schedule->warmup : 0));
    if (schedule->min_learning_rate > schedule->learning_rate)
        FAIL_KEY(config, "train.min_learning_rate", "%g is above train.learning_rate %g",
                 schedule->min_learning_rate, schedule->learning_rate);
    if (config->head_learning_rate != 1 && !config->from[0])
        FAIL_KEY(config, "train.head_learning_rate",
                 "%g, but without model.from everything is new; set train.learning_rate",
                 config->head_learning_rate);
    if (config->optimizer.nesterov && config->optimizer.momentum <= 0)
        FAIL_KEY(config, "train.nesterov", "it needs train.momentum above 0, such as 0.9");
    return STATUS_OK;
}

// What waits for evaluations needs some.
static enum status check_waiting(const struct run_config *config)
{
    bool cuts = !strcmp(config->schedule.name, "plateau");
    const char *key = config->patience ? "train.patience" : "train.schedule";
    const char *what = config->patience ? "stopping early" : "plateau";
    if (!config->patience && !cuts) return STATUS_OK;
    if (!config->data.valid[0] && !run_holds_out_of_train(config))
        FAIL_KEY(config, key, "%s needs held-out text: data.valid or data.valid_fraction", what);
    if (config->eval_every == 0)
        FAIL_KEY(config, key,
                 "%s needs evaluations on the way, but train.eval_every is 0, which is one at the "
                 "end",
                 what);
    return STATUS_OK;
}

// "runs/" and the run file's name without folder and ending.
static void choose_out(struct run_config *config)
{
    const char *slash = strrchr(config->file, '/');
    const char *name = slash ? slash + 1 : config->file;
    const char *point = strrchr(name, '.');
    int length = (int)(point && point > name ? (size_t)(point - name) : strlen(name));
    if (!length) name = "run", length = 3;
    snprintf(config->out, sizeof config->out, "runs/%.*s",
             length < RUN_PATH - 6 ? length : RUN_PATH - 6, name);
}

// auto: what the run in `out` that this one goes on from began with; else what this processor gains from.
static enum status resolve_precision(struct run_config *config)
{
    char path[RUN_PATH + 16], checkpoints[RUN_PATH + 16];
    struct run_config *earlier;
    enum isa isa;
    TRY(isa_choose(&isa));
    TRY(path_join(path, sizeof path, config->out, "run.yaml"));
    TRY(path_join(checkpoints, sizeof checkpoints, config->out, "checkpoints"));
    snprintf(config->precision, sizeof config->precision, "%s",
             precision_name(isa == ISA_AMX ? PRECISION_BF16 : PRECISION_FLOAT32));
    if (!file_exists(path) || !directory_exists(checkpoints)) return STATUS_OK;
    TRY(memory_allocate(1, sizeof *earlier, "an earlier run's settings", &earlier));
    run_config_defaults(earlier);
    if (run_config_read(earlier, path) == STATUS_OK && strcmp(earlier->precision, "auto") != 0)
        snprintf(config->precision, sizeof config->precision, "%s", earlier->precision);
    error_clear(); // what cannot be read is no run of ours: resuming says why
    free(earlier);
    return STATUS_OK;
}

enum precision run_precision(const struct run_config *config)
{
    enum precision precision = PRECISION_FLOAT32;
    INVARIANT(precision_find(config->precision, &precision), "train.precision %s was not checked",
              config->precision);
    return precision;
}

enum status run_config_check(struct run_config *config)
{
    if (!config->out[0]) choose_out(config);
    TRY(check_model(config));
    TRY(check_rows(config));
    TRY(check_carry(config));
    TRY(run_check_batch(config));
    TRY(check_optimizer(config));
    if (!config->data.train[0])
        FAIL(STATUS_USAGE,
             "%s%sdata.train: the file or folder to learn from is missing; add \"data: {train: "
             "FILE}\"",
             config->file, config->file[0] ? ": " : "");
    if (!config->data.field[0])
        FAIL_KEY(config, "data.field", "the name is empty; \"text\" is usual");
    if (!config->data.tokenizer[0])
        FAIL_KEY(config, "data.tokenizer",
                 "the name is empty; write char, byte, word, bpe or a folder");
    TRY(check_waiting(config));
    if (!strcmp(config->precision, "auto")) TRY(resolve_precision(config));
    return run_check_parallel(config);
}

static void open_chosen(int64_t *value, int64_t chosen)
{
    if (*value == chosen) *value = 0;
}

void run_config_reopen(struct run_config *config)
{
    open_chosen(&config->micro_batch, config->chosen.micro_batch);
    open_chosen(&config->leaves, config->chosen.leaves);
    open_chosen(&config->parallel.workers, config->chosen.workers);
    open_chosen(&config->parallel.threads, config->chosen.threads);
}

bool run_holds_out_of_train(const struct run_config *config)
{
    return !config->data.valid[0] && (config->folds || config->data.valid_fraction > 0);
}

int64_t run_held_out_start(const struct run_config *config, int64_t count)
{
    return (int64_t)((double)count * (1.0 - config->data.valid_fraction));
}
