// SPDX-License-Identifier: Apache-2.0
// Run files: what is read, what is refused and how, what is resolved, and that printing reads back to the same bits.
#include "base/cpu.h"
#include "base/file.h"
#include "base/number.h"
#include "train/run_schema.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/stentor-run-XXXXXX";
static char path[64];

static void write_run(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static enum status read_text(struct run_config *config, const char *text)
{
    error_clear();
    run_config_defaults(config);
    write_run(text, strlen(text));
    return run_config_read(config, path);
}

static void design_example_works(void **state)
{
    (void)state;
    struct run_config c;
    assert_int_equal(
        read_text(
            &c, "task: lm                       # lm | classify | translate\n"
                "model: {type: gpt2, layers: 4, heads: 4, width: 128, context: 64, dropout: 0.0}\n"
                "data:  {train: input.txt, valid_fraction: 0.1, tokenizer: char}        # char\n"
                "train: {steps: 2000, batch: 12, micro_batch: 3, optimizer: adamw, learning_rate: "
                "1e-3, "
                "warmup: 100, schedule: cosine,\n"
                "        min_learning_rate: 1e-4, weight_decay: 0.1, clip: 1.0, seed: 1337, "
                "eval_every: 250, "
                "save_every: 500}\n"
                "parallel: {workers: 2, exchange: direct}\n"
                "out: runs/shakespeare\n"),
        STATUS_OK);
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_string_equal(c.data.train, "input.txt");
    assert_int_equal(c.steps, 2000);
    assert_int_equal(c.micro_batch, 3);
    assert_int_equal(c.leaves, 4);
    assert_true(c.schedule.learning_rate == 1e-3);
    assert_true(c.schedule.min_learning_rate == 1e-4);
    assert_int_equal(c.schedule.steps, 2000);
    assert_string_equal(c.optimizer.name, "adamw");
    assert_string_equal(c.precision, "float32");
    assert_string_equal(c.out, "runs/shakespeare");
    assert_int_equal(c.parallel.workers, 2);
    assert_int_equal(c.model.hidden, 512);
    assert_int_equal(c.model.activation, ACTIVATION_GELU_TANH);
}

static void json_is_read_too(void **state)
{
    (void)state;
    struct run_config c;
    assert_int_equal(read_text(&c, "{\"data\": {\"train\": \"a b.txt\"}, \"train\": {\"steps\": 7, "
                                   "\"nesterov\": false}, \"out\": \"\\u4f17声\"}"),
                     STATUS_OK);
    assert_string_equal(c.data.train, "a b.txt");
    assert_int_equal(c.steps, 7);
    assert_string_equal(c.out, "众声");
}

static void types_come_from_the_schema(void **state)
{
    (void)state;
    struct run_config c;
    // YAML alone would make a boolean, a number and a null of these texts.
    assert_int_equal(read_text(&c,
                               "data: {train: NO, field: 1e3, valid: ~}\n"
                               "train: {steps: 2e3, seed: 18446744073709551615, learning_rate: 1}\n"
                               "parallel: {memory_limit: 2Gi}\nmodel:\n"),
                     STATUS_OK);
    assert_string_equal(c.data.train, "NO");
    assert_string_equal(c.data.field, "1e3");
    assert_string_equal(c.data.valid, "");
    assert_int_equal(c.steps, 2000);
    assert_true(c.seed == UINT64_MAX);
    assert_true(c.schedule.learning_rate == 1.0);
    assert_true(c.parallel.memory_limit == 2147483648.0);
}

static void dropout_sets_those_not_set(void **state)
{
    (void)state;
    struct run_config c;
    assert_int_equal(
        read_text(&c, "model: {dropout: 0.2, attention_dropout: 0}\ndata: {train: x}\n"),
        STATUS_OK);
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_true(c.model.embedding_dropout == 0.2 && c.model.residual_dropout == 0.2);
    assert_true(c.model.attention_dropout == 0);
}

static void zeros_are_resolved(void **state)
{
    (void)state;
    static const int64_t expected[][3] = {// batch, micro_batch, leaves
                                          {1, 1, 1},  {7, 1, 7},    {8, 1, 8},  {12, 1, 8},
                                          {32, 4, 8}, {100, 10, 8}, {17, 1, 8}, {96, 12, 8}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct run_config c;
        char text[100];
        snprintf(text, sizeof text, "data: {train: x}\ntrain: {batch: %d}\n", (int)expected[i][0]);
        assert_int_equal(read_text(&c, text), STATUS_OK);
        assert_int_equal(run_config_check(&c), STATUS_OK);
        assert_int_equal(c.micro_batch, expected[i][1]);
        assert_int_equal(c.leaves, expected[i][2]);
        assert_true(c.parallel.workers >= 1 && c.parallel.workers <= c.leaves);
    }
    struct run_config c;
    assert_int_equal(
        read_text(&c, "data: {train: x}\ntrain: {optimizer: sgd, learning_rate: 0.5}\n"),
        STATUS_OK);
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_true(c.optimizer.weight_decay == 0 && c.schedule.min_learning_rate == 0.05);
    // Cuts go on as long as the run.
    assert_int_equal(read_text(&c, "data: {train: x}\ntrain: {schedule: step}\n"), STATUS_OK);
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_true(c.schedule.min_learning_rate == 0);
    assert_string_equal(c.out, "runs/run"); // of run.yaml
}

// ---- what is refused ----
struct refusal {
    const char *text, *message; // the message must hold this
};
static const struct refusal refusals[] = {
    {"train: {stepz: 5}\n", "run.yaml:1: train.stepz: unknown key; did you mean train.steps?"},
    {"\n\ntrain: {lr: 5}\n", "run.yaml:3: train.lr: unknown key"},
    {"model: {learning_rate: 1}\n", "did you mean train.learning_rate?"},
    {"trian: {steps: 5}\n", "trian: unknown key"},
    {"steps: 5\n", "did you mean train.steps?"},
    {"train.steps: 5\n", "write \"train: {steps: …}\""},
    {"train: {train.steps: 5}\n", "unknown key"},
    {"<<: {a: 1}\n", "unknown key"},
    {"train: {steps: many}\n", "train.steps: \"many\" is not a whole number"},
    {"train: {steps: 1.5}\n", "\"1.5\" is not a whole number"},
    {"train: {steps: 0o17}\n", "\"0o17\" is not a whole number"},
    {"train: {steps: 0x10}\n", "\"0x10\" is not a whole number"},
    {"train: {steps: 0}\n", "train.steps: 0 is out of range; it goes from 1 to"},
    {"train: {steps: -3}\n", "-3 is out of range"},
    {"train: {steps: 99999999999999999999}\n", "is not a whole number"},
    {"train: {steps: '200'}\n", "without quotes"},
    {"train: {steps: }\n", "the value is missing"},
    {"train: {steps: ~}\n", "the value is missing"},
    {"train: {steps: [1, 2]}\n", "a list cannot stand"},
    {"train: {steps: {a: 1}}\n", "a single value stands here"},
    {"train: 5\n", "train: a section holds keys"},
    {"train: [1]\n", "a list cannot stand"},
    {"train: {learning_rate: -1e-3}\n", "-1e-3 is out of range"},
    {"train: {learning_rate: nan}\n", "\"nan\" is not a number"},
    {"train: {learning_rate: .nan}\n", "\".nan\" is not a number"},
    {"train: {learning_rate: .inf}\n", "\".inf\" is not a number"},
    {"train: {learning_rate: 1e999}\n", "is not a number"},
    {"train: {learning_rate: fast}\n", "write it as 0.001 or 1e-3"},
    {"train: {beta1: 1}\n", "train.beta1: 1 is out of range"},
    {"train: {epsilon: 0}\n", "goes from 0 (not included)"},
    {"train: {nesterov: yes}\n", "\"yes\" is neither true nor false"},
    {"train: {seed: -1}\n", "\"-1\" is not a whole number from 0"},
    {"train: {optimizer: adamm}\n", "\"adamm\" is unknown; there is sgd | rmsprop | adam | adamw"},
    {"train: {schedule: cos}\n", "cosine"},
    {"model: {activation: swish}\n", "gelu_tanh | gelu | relu | silu | sigmoid | tanh"},
    {"model: {dropout: 1}\n", "model.dropout: 1 is out of range"},
    {"parallel: {exchange: pigeon}\n", "\"pigeon\" is unknown"},
    {"parallel: {memory_limit: lots}\n", "write 2000000000, 2G or 512Mi"},
    {"parallel: {memory_limit: 2Q}\n", "is not a number of bytes"},
    {"data: {valid_fraction: 1.0}\n", "it goes from 0 to 0.9"},
    {"task: fly\n", "task: \"fly\" is unknown"},
    // YAML that a run file does not take
    {"data: &a {train: x}\n", "an anchor (&name) cannot stand"},
    {"data: {train: &a x}\nout: *a\n", "an anchor (&name) cannot stand"},
    {"out: *a\n", "an alias (*name) cannot stand"},
    {"out: !!str x\n", "a tag (!name) cannot stand"},
    {"train: !t {steps: 1}\n", "a tag (!name) cannot stand"},
    {"%TAG ! tag:x,2000:\n---\nout: x\n", "%TAG"},
    {"out: a\nout: b\n", "run.yaml:2: out: the key stands there twice"},
    {"train: {steps: 1, steps: 2}\n", "train.steps: the key stands there twice"},
    {"train: {steps: 1}\ntrain: {batch: 2}\n", "run.yaml:2: train: the section stands there twice"},
    {"- a\n- b\n", "a list cannot stand"},
    {"just words\n", "a run file is one mapping"},
    {"out: a\n---\nout: b\n", "a second document"},
    {"? [a]\n: b\n", "a list cannot stand"},
    {"? {a: b}\n: c\n", "a key is a word"},
    {"train: {steps: 5\n", "this is not YAML"},
    {"train:\n\tsteps: 5\n", "this is not YAML"},
    {"out: \"a\n", "this is not YAML"},
    {"out: \"a\\0b\"\n", "the value holds a NUL byte"},
    {"out: \"a\\nb\"\n", "is a control character"},
    {"\"a\\0b\": 1\n", "a key holds a NUL byte"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1\n",
     "no key's name"},
};

static void bad_files_are_refused_with_file_line_and_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct run_config c, before;
        run_config_defaults(&before);
        enum status status = read_text(&c, refusals[i].text);
        if (status != STATUS_USAGE || !strstr(error_message(), refusals[i].message) ||
            !strstr(error_message(), "run.yaml:"))
            fail_msg("case %zu: %s-> %d: %s", i, refusals[i].text, (int)status, error_message());
        assert_memory_equal(&c, &before, sizeof c); // a refused file changes nothing
    }
    print_message("# %zu bad run files\n", sizeof refusals / sizeof *refusals);
}

// `depth` flow mappings or lists, one inside the other.
static void nesting_and_size_are_bounded(void **state)
{
    (void)state;
    struct run_config c;
    static char bomb[2 << 20];
    for (int list = 0; list < 2; list++) {
        memset(bomb, list ? '[' : '{', 500000);
        bomb[500000] = 0;
        assert_int_equal(read_text(&c, bomb), STATUS_USAGE);
    }
    memset(bomb, '#', sizeof bomb - 1);
    assert_int_equal(read_text(&c, bomb), STATUS_INPUT); // more than 1 MiB
    error_clear();
    run_config_defaults(&c);
    write_run("out: a\0b\n", 9);
    assert_int_equal(run_config_read(&c, path), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "NUL"));
    error_clear();
    write_run("out: \xff\xfe\n", 8);
    assert_int_equal(run_config_read(&c, path), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "not UTF-8"));
    error_clear();
    assert_int_equal(run_config_read(&c, folder), STATUS_INPUT);
    error_clear();
    assert_int_equal(run_config_read(&c, "/nonexistent/run.yaml"), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "/nonexistent/run.yaml"));
    write_run("", 0);
    error_clear();
    assert_int_equal(run_config_read(&c, path), STATUS_OK); // nothing set
    assert_int_equal(run_config_check(&c), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "data.train"));
}

static const struct refusal unfit[] = {
    {"model: {heads: 3}\n", "run.yaml:2: model.heads: 3 does not divide model.width: 128"},
    {"train: {batch: 10, micro_batch: 4}\n",
     "train.batch: 10 is not a multiple of train.micro_batch 4; 12"},
    {"train: {batch: 8, micro_batch: 4, leaves: 3}\n", "train.leaves: 3 leaves cannot share 2"},
    {"train: {min_learning_rate: 1}\n", "train.min_learning_rate: 1 is above"},
    {"train: {nesterov: true, optimizer: sgd}\n", "train.nesterov: it needs train.momentum"},
    {"train: {nesterov: true, momentum: 0.9, optimizer: rmsprop}\n", "it is of sgd"},
    {"train: {momentum: 0.9}\n",
     "train.momentum: 0.9, but train.optimizer: adamw does not read it; it is of sgd, rmsprop"},
    {"train: {optimizer: sgd, beta1: 0.8}\n", "train.beta1: 0.8, but train.optimizer: sgd"},
    {"train: {smoothing: 2}\n", "train.smoothing: 2, but train.optimizer: adamw"},
    {"train: {factor: 0.5}\n", "train.factor: 0.5, but train.schedule: cosine does not read it"},
    {"train: {schedule: constant, decay_steps: 5}\n", "train.decay_steps: 5, but train.schedule"},
    {"train: {schedule: wsd, steps: 60, warmup: 20, decay_steps: 41}\n",
     "train.decay_steps: 41, but of 60 steps (train.steps) only 40 come after the warm-up"},
    {"train: {schedule: plateau, eval_every: 0}\n",
     "train.schedule: plateau needs evaluations on the way"},
    {"train: {patience: 2, eval_every: 0}\n", "train.patience: stopping early needs held-out"},
    {"model: {type: gtp2}\n", "gpt2"},
    {"model: {recompute_layers: 5}\n", "model.recompute_layers: 5 is more than model.layers 4"},
    {"train: {patience: 3}\n", "train.patience: stopping early needs held-out text"},
    {"train: {batch: 16777216, micro_batch: 16777216}\nmodel: {context: 1024}\n", "2147483647"},
    {"task: classify\nmodel: {type: bag, layers: 6}\n",
     "run.yaml:3: model.layers: 6, but model.type: bag does not read it; it is of gpt2, lstm_lm"},
    {"task: regress\nmodel: {type: mlp, attention_dropout: 0.1}\n",
     "model.attention_dropout: 0.1, but model.type: mlp does not read it; it is of gpt2, encoder"},
    {"model: {type: lstm_lm, heads: 2, rnn: gru}\n", "run.yaml:2: model.heads: 2, but model.type"},
};

static void what_must_fit_together_is_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        struct run_config c;
        char text[400];
        snprintf(text, sizeof text, "data: {train: x, valid_fraction: %s}\n%s",
                 strstr(unfit[i].text, "patience") ? "0" : "0.1", unfit[i].text);
        assert_int_equal(read_text(&c, text), STATUS_OK);
        enum status status = run_config_check(&c);
        if (status != STATUS_USAGE || !strstr(error_message(), unfit[i].message) ||
            !strstr(error_message(), "run.yaml"))
            fail_msg("case %zu: %s-> %d: %s", i, unfit[i].text, (int)status, error_message());
    }
}

// ---- precision ----
static void auto_is_decided_by_the_processor(void **state)
{
    (void)state;
    struct run_config c;
    const char *wanted = isa_available(ISA_AMX) ? "bf16" : "float32";
    assert_int_equal(read_text(&c, "data: {train: x}\ntrain: {precision: auto}\n"), STATUS_OK);
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_string_equal(c.precision, wanted);
    assert_string_equal(precision_name(run_precision(&c)), wanted);
    setenv("STENTOR_ISA", "generic", 1);
    snprintf(c.precision, sizeof c.precision, "auto");
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_string_equal(c.precision, "float32");
    unsetenv("STENTOR_ISA");
}

static void auto_keeps_what_a_run_began_with(void **state)
{
    (void)state;
    struct run_config c;
    char out[300], file[400];
    snprintf(out, sizeof out, "%s/begun", folder);
    snprintf(file, sizeof file, "%s/checkpoints", out);
    assert_int_equal(mkdir(out, 0777) | mkdir(file, 0777), 0);
    snprintf(file, sizeof file, "%s/run.yaml", out);
    FILE *earlier = fopen(file, "w");
    assert_non_null(earlier);
    fputs("data: {train: x}\ntrain: {precision: bf16x3}\n", earlier);
    fclose(earlier);
    assert_int_equal(read_text(&c, "data: {train: x}\ntrain: {precision: auto}\n"), STATUS_OK);
    snprintf(c.out, sizeof c.out, "%s", out);
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_string_equal(c.precision, "bf16x3");
    // What cannot be read decides nothing.
    earlier = fopen(file, "w");
    assert_non_null(earlier);
    fputs("train: {precision: bf17}\n", earlier);
    fclose(earlier);
    snprintf(c.precision, sizeof c.precision, "auto");
    assert_int_equal(run_config_check(&c), STATUS_OK);
    assert_string_equal(c.precision, isa_available(ISA_AMX) ? "bf16" : "float32");
    remove(file);
}

// ---- precedence ----
static void later_sources_win(void **state)
{
    (void)state;
    struct run_config c;
    assert_int_equal(read_text(&c, "train: {learning_rate: 0.5, batch: 4, steps: 9}\n"), STATUS_OK);
    setenv("STENTOR_TRAIN_LEARNING_RATE", "0.25", 1);
    setenv("STENTOR_TRAIN_BATCH", "6", 1);
    setenv("STENTOR_ISA", "generic", 1); // not a key, and not ours to refuse
    assert_int_equal(run_config_environment(&c), STATUS_OK);
    assert_int_equal(run_config_set(&c, "train.batch=8", "--set"), STATUS_OK);
    assert_int_equal(run_config_set(&c, "out=a=b", "--set"), STATUS_OK);
    unsetenv("STENTOR_TRAIN_LEARNING_RATE");
    unsetenv("STENTOR_TRAIN_BATCH");
    unsetenv("STENTOR_ISA");
    assert_true(c.schedule.learning_rate == 0.25);
    assert_int_equal(c.batch, 8);
    assert_int_equal(c.steps, 9);
    assert_string_equal(c.out, "a=b");
}

static void bad_settings_name_their_origin(void **state)
{
    (void)state;
    static const struct refusal sets[] = {
        {"train.steps", "--set: \"train.steps\" is not key=value"},
        {"=5", "is not key=value"},
        {"", "is not key=value"},
        {"train.stps=5", "did you mean train.steps?"},
        {"train=5", "train is a section"},
        {"train.steps=", "the value is missing"},
        {"train.steps=1e400", "is not a whole number"},
        {"out=\xff", "is not UTF-8"},
        {"zzzzzzzz=1", "`stentor train --help` lists the keys"},
    };
    struct run_config c, before;
    run_config_defaults(&c);
    before = c;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        error_clear();
        enum status status = run_config_set(&c, sets[i].text, "--set");
        if (status != STATUS_USAGE || !strstr(error_message(), sets[i].message) ||
            !strstr(error_message(), "--set"))
            fail_msg("%s -> %d: %s", sets[i].text, (int)status, error_message());
        assert_memory_equal(&c, &before, sizeof c);
    }
    static const struct refusal variables[] = {
        {"STENTOR_TRAIN_STEPS", "STENTOR_TRAIN_STEPS: train.steps: \"soon\""},
        {"STENTOR_TRAIN_STEPZ", "did you mean STENTOR_TRAIN_STEPS?"},
        {"STENTOR_MODEL_XYZZY", "there is no key model.xyzzy"},
    };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        error_clear();
        setenv(variables[i].text, "soon", 1);
        enum status status = run_config_environment(&c);
        unsetenv(variables[i].text);
        if (status != STATUS_USAGE || !strstr(error_message(), variables[i].message))
            fail_msg("%s -> %d: %s", variables[i].text, (int)status, error_message());
        assert_memory_equal(&c, &before, sizeof c);
    }
}

static void suggestions_are_near(void **state)
{
    (void)state;
    static const char *const pair[][2] = {
        {"train.setps", "train.steps"},
        {"train.learningrate", "train.learning_rate"},
        {"trian.steps", "train.steps"},
        {"train.batch_size", NULL},
        {"model.n_layers", "model.layers"},
        {"data.tokeniser", "data.tokenizer"},
        {"parallel.worker", "parallel.workers"},
        {"train.beta3", "train.beta1"},
        {"xyzzy", NULL},
        {"trainer", "train"},
        {"modle", "model"},
        {"trian.setps", "train.steps"},
        {"train.droput", "model.dropout"},
        {"train.label_smothing", "train.label_smoothing"},
    };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        const char *nearest = run_key_nearest(pair[i][0]);
        if (!pair[i][1]) continue;
        if (!nearest || strcmp(nearest, pair[i][1]) != 0)
            fail_msg("%s -> %s, not %s", pair[i][0], nearest ? nearest : "nothing", pair[i][1]);
    }
    assert_null(run_key_nearest("xyzzyxyzzy"));
}

// Run files of 0.1.0 name the keys of all types, as they were resolved for all: such a file is still read.
static void a_file_of_all_types_is_read(void **state)
{
    (void)state;
    struct run_config c;
    const char *text = "data: {train: x}\ntask: classify\nmodel: {type: bag, layers: 4, heads: 4, "
                       "hidden: 512, attention_dropout: 0.1, rnn: lstm, batch_norm: false}\n";
    assert_int_equal(read_text(&c, text), STATUS_OK);
    if (run_config_check(&c)) fail_msg("%s", error_message());
}

// What a type says that it reads are keys, and those of its own sizes are among them.
static void types_read_keys_that_there_are(void **state)
{
    (void)state;
    for (int i = 0; model_registry[i]; i++) {
        const char *at = model_registry[i]->reads;
        for (int length; *at; at += length + strspn(at + length, ", ")) {
            char key[64];
            length = (int)strcspn(at, ",");
            bool whole = memchr(at, '.', (size_t)length) != NULL;
            snprintf(key, sizeof key, "%s%.*s", whole ? "" : "model.", length, at);
            if (run_key_find(key) < 0) fail_msg("%s: %s", model_registry[i]->name, key);
            assert_true(run_key_is_of_type(key, model_registry[i]->name));
        }
        assert_true(run_key_is_of_type("train.steps", model_registry[i]->name));
        assert_true(run_key_is_of_type("model.classes", model_registry[i]->name));
    }
    assert_false(run_key_is_of_type("model.heads", "bag"));
    assert_false(run_key_is_of_type("data.ngrams", "gpt2"));
}

// ---- printing ----
static void assert_round_trip(const struct run_config *c)
{
    char *text, *again;
    struct run_config read;
    assert_int_equal(run_config_print(c, &text), STATUS_OK);
    write_run(text, strlen(text));
    error_clear();
    run_config_defaults(&read);
    if (run_config_read(&read, path)) fail_msg("%s\n%s", error_message(), text);
    for (int i = 0; i < run_schema_count; i++)
        if (run_key_is_of_type(run_schema[i].name, c->model.type) &&
            memcmp((const char *)c + run_schema[i].offset,
                   (const char *)&read + run_schema[i].offset, run_schema[i].bytes) != 0)
            fail_msg("%s changed in a round trip:\n%s", run_schema[i].name, text);
    if (run_config_check(&read)) fail_msg("%s", error_message());
    assert_int_equal(run_config_print(&read, &again), STATUS_OK);
    assert_string_equal(text, again);
    assert_int_equal(run_config_hash(c, 1, 2), run_config_hash(&read, 1, 2));
    free(text);
    free(again);
}

// A printed file holds what the type reads and nothing else, so that it is read again.
static void keys_of_other_types_are_not_printed(void **state)
{
    (void)state;
    static const char *const types[][3] = {
        // with the task, and a key of others
        {"gpt2", "lm", "  rnn: "},
        {"lstm_lm", "lm", "  heads: "},
        {"encoder", "classify", "  recompute_layers: "},
        {"seq2seq", "translate", "  pool: "},
        {"rnn_seq2seq", "translate", "  heads: "},
        {"bag", "classify", "  layers: "},
        {"convolution", "classify", "  layers: "},
        {"linear", "classify", "  init_deviation: "},
        {"mlp", "classify", "  width: "},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct run_config c;
        char text[200], *printed;
        snprintf(text, sizeof text, "data: {train: x}\ntask: %s\nmodel: {type: %s}\n", types[i][1],
                 types[i][0]);
        assert_int_equal(read_text(&c, text), STATUS_OK);
        if (run_config_check(&c)) fail_msg("%s", error_message());
        assert_int_equal(run_config_print(&c, &printed), STATUS_OK);
        if (strstr(printed, types[i][2])) fail_msg("%s prints %s", types[i][0], types[i][2]);
        free(printed);
        assert_round_trip(&c);
    }
}

static void printing_round_trips(void **state)
{
    (void)state;
    static const char *const names[] = {
        "x",
        "a b",
        "- x",
        "no: thing",
        "#x",
        "a #b",
        "'q'",
        "\"q\"",
        "null",
        "~",
        "12",
        "1e3",
        "true",
        "{a}",
        "[b]",
        "*c",
        "&d",
        "!e",
        "%f",
        "@g",
        "`h`",
        "众声/文本.txt",
        "é",
        "\\back\\slash",
        " lead",
        "trail ",
        "a,b",
        "-",
        "--",
        "?",
        ":",
        "😀",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "\xef\xbb\xbfx",
        "=",
        "<<",
        "/abs/olute.txt",
        "a:b",
        "0x10",
    };
    struct run_config c;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char assignment[200];
        assert_int_equal(read_text(&c, "data: {train: x}\n"), STATUS_OK);
        snprintf(assignment, sizeof assignment, "data.train=%s", names[i]);
        if (run_config_set(&c, assignment, "--set")) fail_msg("%s", error_message());
        snprintf(assignment, sizeof assignment, "out=%s", names[i]);
        if (run_config_set(&c, assignment, "--set")) fail_msg("%s", error_message());
        assert_int_equal(run_config_check(&c), STATUS_OK);
        assert_round_trip(&c);
    }
    static const char *const rates[] = {"0.1",
                                        "1e-3",
                                        "3.3333333333333333e-4",
                                        "0.00012345678901234567",
                                        "5e-324",
                                        "0.30000000000000004",
                                        "1"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        char assignment[200];
        assert_int_equal(
            read_text(&c, "data: {train: x}\nparallel: {memory_limit: 123456789012}\n"), STATUS_OK);
        snprintf(assignment, sizeof assignment, "train.learning_rate=%s", rates[i]);
        assert_int_equal(run_config_set(&c, assignment, "--set"), STATUS_OK);
        assert_int_equal(run_config_check(&c), STATUS_OK);
        assert_round_trip(&c);
    }
}

static void types_choose_their_initial_deviation(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double deviation;
    } run[] = {
        {"data: {train: x}\n", 0.02},
        {"data: {train: x}\nmodel: {type: lstm_lm}\n", 0.1},
        {"data: {train: x}\ntask: classify\nmodel: {type: bag}\n", 0.1},
        {"data: {train: x}\ntask: classify\nmodel: {type: convolution}\n", 0.1},
        {"data: {train: x}\ntask: translate\nmodel: {type: rnn_seq2seq}\n", 0.3},
        {"data: {train: x}\ntask: translate\nmodel: {type: rnn_seq2seq, init_deviation: 0.1}\n",
         0.1},
    };
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
        struct run_config c;
        assert_int_equal(read_text(&c, run[i].text), STATUS_OK);
        assert_int_equal(run_config_check(&c), STATUS_OK);
        assert_true(c.model.init_deviation == run[i].deviation);
    }
}

static void threads_are_bounded_by_cores(void **state)
{
    (void)state;
    struct run_config config;
    run_config_defaults(&config);
    snprintf(config.data.train, sizeof config.data.train, "input.txt");
    config.cores = 2;
    config.parallel.workers = 1;
    config.parallel.threads = 32;
    assert_int_equal(run_config_check(&config), STATUS_OK);
    config.parallel.threads = 33;
    assert_int_equal(run_config_check(&config), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "parallel.threads: 33 of a worker on 2 cores"));
    assert_non_null(strstr(error_message(), "at most 32 may be"));
    error_clear();
}

// Every key's values in turn: its default, and something else.
static void hash_counts_what_must_not_change(void **state)
{
    (void)state;
    struct run_config base;
    assert_int_equal(read_text(&base, "data: {train: x}\n"), STATUS_OK);
    assert_int_equal(run_config_check(&base), STATUS_OK);
    uint64_t hash = run_config_hash(&base, 1, 2);
    assert_true(hash != run_config_hash(&base, 1, 3) && hash != run_config_hash(&base, 3, 2));
    static const char *const free_keys[] = {"train.steps=5",
                                            "train.eval_every=7",
                                            "train.save_every=7",
                                            "train.log_every=3",
                                            "parallel.workers=3",
                                            "out=elsewhere",
                                            "data.train=y",
                                            "data.cache=z",
                                            "train.patience=4",
                                            "train.keep=5",
                                            "parallel.balance=random",
                                            "model.recompute_layers=1",
                                            "train.learning_rate=0.5",
                                            "train.clip=0.5",
                                            "train.warmup=7"};
    static const char *const fixed_keys[] = {"model.layers=3",
                                             "model.dropout=0.5",
                                             "train.batch=16",
                                             "train.micro_batch=2",
                                             "train.leaves=4",
                                             "train.seed=1",
                                             "train.weight_decay=0",
                                             "train.beta2=0.5",
                                             "train.optimizer=sgd",
                                             "train.schedule=linear",
                                             "train.label_smoothing=0.1",
                                             "train.precision=bf16",
                                             "model.bias=false",
                                             "data.valid_fraction=0.2"};
    for (int fixed = 0; fixed < 2; fixed++) {
        size_t count =
            fixed ? sizeof fixed_keys / sizeof *fixed_keys : sizeof free_keys / sizeof *free_keys;
        for (size_t i = 0; i < count; i++) {
            const char *assignment = fixed ? fixed_keys[i] : free_keys[i];
            struct run_config c;
            assert_int_equal(read_text(&c, "data: {train: x}\n"), STATUS_OK);
            assert_int_equal(run_config_set(&c, assignment, "--set"), STATUS_OK);
            assert_int_equal(run_config_check(&c), STATUS_OK);
            bool changed = run_config_hash(&c, 1, 2) != hash;
            if (changed != (bool)fixed) fail_msg("%s: changed %d", assignment, changed);
        }
    }
}

static void numbers_read_and_print_exactly(void **state)
{
    (void)state;
    double value;
    static const char *const bad[] = {"",    " 1",    "1 ",  "+",   ".",     "e5",    "1e",
                                      "1e+", "0x1p3", "nan", "inf", "1e309", "1_000", "1,5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (number_parse(bad[i], &value)) fail_msg("\"%s\" was taken", bad[i]);
    uint64_t random = 88172645463325252u;
    char text[NUMBER_TEXT];
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        double x;
        memcpy(&x, &random, sizeof x);
        if (!isfinite(x)) continue;
        assert_true(number_parse(number_print(x, text), &value));
        assert_memory_equal(&x, &value, sizeof x);
    }
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/run.yaml", folder);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    return directory_remove(folder) != STATUS_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(design_example_works),
        cmocka_unit_test(json_is_read_too),
        cmocka_unit_test(types_come_from_the_schema),
        cmocka_unit_test(dropout_sets_those_not_set),
        cmocka_unit_test(zeros_are_resolved),
        cmocka_unit_test(bad_files_are_refused_with_file_line_and_key),
        cmocka_unit_test(nesting_and_size_are_bounded),
        cmocka_unit_test(what_must_fit_together_is_checked),
        cmocka_unit_test(auto_is_decided_by_the_processor),
        cmocka_unit_test(auto_keeps_what_a_run_began_with),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(bad_settings_name_their_origin),
        cmocka_unit_test(suggestions_are_near),
        cmocka_unit_test(a_file_of_all_types_is_read),
        cmocka_unit_test(types_read_keys_that_there_are),
        cmocka_unit_test(keys_of_other_types_are_not_printed),
        cmocka_unit_test(printing_round_trips),
        cmocka_unit_test(types_choose_their_initial_deviation),
        cmocka_unit_test(threads_are_bounded_by_cores),
        cmocka_unit_test(hash_counts_what_must_not_change),
        cmocka_unit_test(numbers_read_and_print_exactly),
    };
    return cmocka_run_group_tests_name("run_config", tests, setup, teardown);
}
