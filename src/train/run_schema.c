// SPDX-License-Identifier: Apache-2.0
#include "train/run_schema.h"

// name, type, field, default, least, most, least (of a number) excluded, choices, may change between resumes, meaning
#define KEY(key, kind, member, text, low, high, above, words, change, about)                       \
    {                                                                                              \
        .name = (key), .start = (text), .choices = (words), .meaning = (about),                    \
        .offset = offsetof(struct run_config, member),                                             \
        .bytes = sizeof(((struct run_config *)0)->member), .least = (low), .most = (high),         \
        .type = (kind), .open = (above), .may_change = (change)                                    \
    }
#define TEXT_KEY(key, member, start, change, meaning)                                              \
    KEY(key, RUN_TEXT, member, start, 0, 0, false, NULL, change, meaning)
#define CHOICE(key, type, member, start, choices, change, meaning)                                 \
    KEY(key, type, member, start, 0, 0, false, choices, change, meaning)
#define INTEGER(key, member, start, least, most, change, meaning)                                  \
    KEY(key, RUN_INTEGER, member, start, least, most, false, NULL, change, meaning)
#define NUMBER(key, member, start, least, most, open, meaning)                                     \
    KEY(key, RUN_NUMBER, member, start, least, most, open, NULL, false, meaning)
// What is tried when a run has diverged or stands still; it may change when the run goes on.
#define RATE(key, member, start, least, most, meaning)                                             \
    KEY(key, RUN_NUMBER, member, start, least, most, false, NULL, FREE, meaning)
#define DROPOUT(key, member, start, meaning) NUMBER(key, member, start, 0, 0.99, false, meaning)

enum { FIXED = false, FREE = true };
// More steps than anybody runs; keeps products of two such numbers inside an int64_t's reach.
#define BIG 1e12

const struct run_key run_schema[] = {
    CHOICE("task", RUN_CHOICE, task, "lm", "lm", FIXED,
           "what is learned: lm, the next token of a text"),

    TEXT_KEY("model.type", model.type, "gpt2", FIXED, "kind of model"),
    TEXT_KEY("model.from", from, "", FIXED,
             "model directory to start from: parameters of its names and shapes; none: initial "
             "weights"),
    INTEGER("model.layers", model.layers, "4", 1, 10000, FIXED, "Transformer layers"),
    INTEGER("model.heads", model.heads, "4", 1, 10000, FIXED, "attention heads; they divide width"),
    INTEGER("model.width", model.width, "128", 1, 1 << 20, FIXED,
            "numbers that stand for one token"),
    INTEGER("model.hidden", model.hidden, "0", 0, 1 << 22, FIXED,
            "width inside the feed-forward part; 0: 4 times width"),
    INTEGER("model.context", model.context, "64", 1, 1 << 24, FIXED,
            "tokens that the model sees at once"),
    INTEGER("model.vocabulary", vocabulary, "0", 0, INT32_MAX, FIXED,
            "rows of the token table, at least the tokenizer's ids; 0: as many"),
    DROPOUT("model.dropout", dropout, "0",
            "rate of the three dropouts that are not set themselves"),
    DROPOUT("model.embedding_dropout", model.embedding_dropout, "",
            "of token and position vectors"),
    DROPOUT("model.attention_dropout", model.attention_dropout, "", "of attention probabilities"),
    DROPOUT("model.residual_dropout", model.residual_dropout, "", "of what a layer adds"),
    CHOICE("model.activation", RUN_ENUM, model.activation, "gelu_tanh",
           "gelu_tanh | gelu | relu | silu", FIXED, "in the feed-forward part"),
    NUMBER("model.norm_epsilon", model.norm_epsilon, "1e-5", 0, 1, true,
           "added to variances in layer norms"),
    NUMBER("model.init_deviation", model.init_deviation, "0.02", 0, 100, true,
           "standard deviation of initial weights"),
    KEY("model.bias", RUN_BOOLEAN, model.bias, "true", 0, 0, false, NULL, FIXED,
        "biases in linear layers and norms"),
    CHOICE("model.rnn", RUN_ENUM, model.rnn, "lstm", "lstm | gru | tanh", FIXED,
           "cell of lstm_lm's recurrent layers"),
    KEY("model.tied", RUN_BOOLEAN, model.tied, "true", 0, 0, false, NULL, FIXED,
        "the output layer is the token table (lstm_lm lets choose)"),
    KEY("model.variational_dropout", RUN_BOOLEAN, model.variational_dropout, "false", 0, 0, false,
        NULL, FIXED, "lstm_lm: one mask for all positions of a sequence"),
    DROPOUT("model.weight_drop", model.weight_drop, "0",
            "lstm_lm: of recurrent weights, one mask for a step"),
    INTEGER("model.recompute_layers", model.recompute_layers, "0", 0, 10000, FREE,
            "first layers whose activations are computed twice instead of kept"),

    TEXT_KEY("data.train", data.train, "", FREE,
             "file or folder to learn from: text, .jsonl, .gz, .zst"),
    TEXT_KEY("data.valid", data.valid, "", FREE, "held-out file or folder; none: valid_fraction"),
    KEY("data.valid_fraction", RUN_NUMBER, data.valid_fraction, "0.1", 0, 0.9, false, NULL, FIXED,
        "share at the end of train that is held out"),
    TEXT_KEY("data.tokenizer", data.tokenizer, "char", FREE,
             "char, byte, word, or a folder or tokenizer.json: byte-level BPE, or one that stentor "
             "wrote"),
    TEXT_KEY("data.field", data.field, "text", FREE, "of .jsonl lines: the text"),
    TEXT_KEY("data.cache", data.cache, "", FREE,
             "folder for tokens that are kept; none: out/cache"),
    CHOICE("data.partition", RUN_CHOICE, data.partition, "contiguous",
           "contiguous | interleaved | length", FIXED,
           "which samples of a step share a leaf: as drawn, dealt out, by length"),

    INTEGER("train.steps", steps, "2000", 1, BIG, FREE, "updates of the weights"),
    INTEGER("train.batch", batch, "32", 1, 1 << 24, FIXED, "sequences in a step"),
    INTEGER("train.micro_batch", micro_batch, "0", 0, 1 << 24, FIXED,
            "sequences computed at once, divides batch; 0: chosen"),
    INTEGER("train.leaves", leaves, "0", 0, 4096, FIXED,
            "leaves of the batch tree, the most workers that share a step; 0: at most 8"),
    CHOICE("train.optimizer", RUN_TEXT, optimizer.name, "adamw", "sgd | rmsprop | adam | adamw",
           FIXED, "sgd, rmsprop, adam, adamw"),
    RATE("train.learning_rate", schedule.learning_rate, "1e-3", 0, 1e6, "the highest rate"),
    RATE("train.min_learning_rate", schedule.min_learning_rate, "", 0, 1e6,
         "where schedules end; a tenth of learning_rate"),
    KEY("train.layer_decay", RUN_NUMBER, layer_decay, "1", 0, 1, true, NULL, FREE,
        "rate of each layer beside the one above it: the head 1, embeddings last"),
    KEY("train.head_learning_rate", RUN_NUMBER, head_learning_rate, "1", 0, 1e6, true, NULL, FREE,
        "factor of the rate of what model.from does not have"),
    TEXT_KEY("train.freeze", freeze, "", FIXED,
             "patterns of names of parameters that stay as they are: \"*wte*, *.h.0.*\""),
    INTEGER("train.warmup", schedule.warmup, "100", 0, BIG, FREE, "steps in which the rate rises"),
    CHOICE("train.schedule", RUN_TEXT, schedule.name, "cosine",
           "constant | linear | cosine | inverse_sqrt | step | wsd | plateau", FIXED,
           "constant, linear, cosine, inverse_sqrt, step, wsd, plateau"),
    INTEGER(
        "train.decay_steps", schedule.decay_steps, "0", 0, BIG, FIXED,
        "linear, cosine: steps to the end of the decay (0: steps); wsd: its length (0: a tenth)"),
    INTEGER("train.step_size", schedule.step_size, "1000", 1, BIG, FIXED,
            "step: so many steps from cut to cut"),
    NUMBER("train.factor", schedule.factor, "0.1", 0, 1, true,
           "step, plateau: what the rate is multiplied by"),
    INTEGER("train.schedule_patience", schedule.patience, "10", 1, BIG, FIXED,
            "plateau: evaluations without improvement before a cut"),
    NUMBER("train.momentum", optimizer.momentum, "0", 0, 0.999999, false, "sgd, rmsprop"),
    KEY("train.nesterov", RUN_BOOLEAN, optimizer.nesterov, "false", 0, 0, false, NULL, FIXED,
        "sgd"),
    NUMBER("train.beta1", optimizer.beta1, "0.9", 0, 0.999999, false,
           "adam, adamw: smoothing of the mean"),
    NUMBER("train.beta2", optimizer.beta2, "0.99", 0, 0.99999999, false,
           "adam, adamw, rmsprop: smoothing of the square"),
    NUMBER("train.epsilon", optimizer.epsilon, "1e-8", 0, 1, true, "adam, adamw, rmsprop"),
    NUMBER("train.weight_decay", optimizer.weight_decay, "", 0, 1e3, false,
           "of matrices; adamw: 0.1, others: 0"),
    NUMBER("train.l1", optimizer.l1, "0", 0, 1e3, false, "times sign(w), added to the gradient"),
    NUMBER("train.l2", optimizer.l2, "0", 0, 1e3, false, "times w, added to the gradient"),
    RATE("train.clip", optimizer.clip, "1", 0, 1e6, "longest gradient (L2 norm); 0: any"),
    RATE("train.clip_infinity", optimizer.clip_infinity, "0", 0, 1e6,
         "largest magnitude in a gradient, which is scaled as a whole; 0: any"),
    RATE("train.clip_value", optimizer.clip_value, "0", 0, 1e6,
         "elements of the gradient are cut at this magnitude; 0: not"),
    KEY("train.label_smoothing", RUN_NUMBER, label_smoothing, "0", 0, 0.99, false, NULL, FIXED,
        "share of the target spread over all tokens"),
    KEY("train.seed", RUN_SEED, seed, "1337", 0, 0, false, NULL, FIXED, "of everything random"),
    INTEGER("train.eval_every", eval_every, "250", 0, BIG, FREE,
            "steps between evaluations; 0: at the end only"),
    INTEGER("train.eval_windows", eval_windows, "0", 0, BIG, FREE,
            "sequences of the held-out text that are used; 0: all"),
    INTEGER("train.save_every", save_every, "500", 0, BIG, FREE,
            "steps between checkpoints; 0: at the end only"),
    INTEGER("train.keep", keep, "2", 1, 1000, FREE, "newest checkpoints that are kept"),
    INTEGER("train.log_every", log_every, "10", 1, BIG, FREE,
            "steps between lines of log.jsonl and of plain progress"),
    INTEGER("train.patience", patience, "0", 0, BIG, FREE,
            "evaluations without improvement before the run stops; 0: never"),
    CHOICE("train.precision", RUN_CHOICE, precision, "float32", "float32 | bf16x3 | bf16 | auto",
           FIXED,
           "of products; auto: bf16 where there is AMX, else float32, decided when the run starts"),

    INTEGER("parallel.workers", parallel.workers, "0", 0, 1024, FREE,
            "workers of each process; 0: one for each core, at most one for each leaf"),
    INTEGER("parallel.threads", parallel.threads, "1", 0, 1024, FREE,
            "threads of each worker; 0: the cores shared out among the workers"),
    CHOICE("parallel.pin", RUN_CHOICE, parallel.pin, "auto", "auto | on | off", FREE,
           "ties each thread to a core: auto (where a launcher gave some of the cores), on, off"),
    CHOICE(
        "parallel.exchange", RUN_CHOICE, parallel.exchange, "direct",
        "direct | tree | ring | server | native | local-sgd | auto", FREE,
        "how gradients and weights travel between processes; auto: direct or tree, by measuring"),
    KEY("parallel.bucket_mb", RUN_NUMBER, parallel.bucket_mb, "25", 0.004096, 1e6, false, NULL,
        FREE, "million bytes of gradients that travel at once"),
    CHOICE("parallel.overlap", RUN_CHOICE, parallel.overlap, "auto", "auto | on | off", FREE,
           "gradients travel while others are computed: auto (between processes), on, off"),
    CHOICE("parallel.wire", RUN_CHOICE, parallel.wire, "float32", "float32 | bf16", FREE,
           "what gradients are rounded to on their way; bf16 is approximate"),
    INTEGER("parallel.servers", parallel.servers, "1", 1, 4096, FREE,
            "server: the first processes, which own all weights"),
    KEY("parallel.servers_compute", RUN_BOOLEAN, parallel.servers_compute, "true", 0, 0, false,
        NULL, FREE, "server: whether these compute leaves, too"),
    INTEGER(
        "parallel.staleness", parallel.staleness, "0", 0, 1000, FREE,
        "server: steps that a process may be ahead of the slowest; 0: all take each step together"),
    INTEGER("parallel.sync_every", parallel.sync_every, "50", 1, BIG, FREE,
            "local-sgd: steps that processes take alone before weights are averaged"),
    KEY("parallel.outer_learning_rate", RUN_NUMBER, parallel.outer_learning_rate, "0.7", 0, 10,
        true, NULL, FREE,
        "local-sgd: of the step from the old weights to the average; 1: all of it"),
    KEY("parallel.outer_momentum", RUN_NUMBER, parallel.outer_momentum, "0.9", 0, 0.999999, false,
        NULL, FREE, "local-sgd: Nesterov momentum of these steps; 0: plain averaging"),
    INTEGER("parallel.check_every", parallel.check_every, "1000", 0, BIG, FREE,
            "steps between comparisons of the processes' weights; 0: before checkpoints only"),
    KEY("parallel.peer_timeout", RUN_NUMBER, parallel.peer_timeout, "10", 0.5, 86400, false, NULL,
        FREE, "seconds after which a silent process counts as lost"),
    CHOICE("parallel.balance", RUN_CHOICE, parallel.balance, "none", "none | measured | random",
           FREE,
           "how leaves are shared out: none (equally), measured (by speed), random (for tests)"),
    INTEGER("parallel.balance_every", parallel.balance_every, "20", 1, BIG, FREE,
            "steps from one sharing out to the next"),
    KEY("parallel.memory_limit", RUN_BYTES, parallel.memory_limit, "0", 0, 1e18, false, NULL, FREE,
        "bytes that the run may take (2G, 512Mi); 0: what is free"),

    TEXT_KEY("out", out, "", FREE,
             "folder of the model, its log and checkpoints; none: runs/ and the run file's name"),
};
const char *const run_sections[] = {"model", "data", "train", "parallel", NULL};
const int run_schema_count = sizeof run_schema / sizeof *run_schema;
_Static_assert(sizeof run_schema / sizeof *run_schema <= RUN_KEYS, "RUN_KEYS is too small");
