// SPDX-License-Identifier: Apache-2.0
// Fine-tuning: what a run takes over from a trained directory, what stays frozen to the bit, how fast layers learn; the same bits for any
// number of workers and replicas, resumed or not.
#include "op/op.h"
#include "replicas.h"
#include "store/safetensors.h"
#include "train/internal.h"

#include <math.h>

static char base[RUN_PATH]; // a trained model of small_run()

// What the test looks at, taken from a trainer while it is there.
struct look {
    int steps;
    float *weights, *state; // [elements] afterwards, state the optimizer's first
    double *rate;           // [parameters]
    struct parameters parameters;
    struct child_result result;
};

static void look_release(struct look *look)
{
    free(look->weights);
    free(look->state);
    free(look->rate);
    parameters_release(&look->parameters);
}

// Names, places and rates of the trainer's parameters.
static void copy_registry(const struct trainer *trainer, struct look *look)
{
    const struct parameters *from = &trainer->parameters;
    look->parameters = *from;
    look->parameters.list = calloc((size_t)from->count, sizeof *from->list);
    look->rate = calloc((size_t)from->count, sizeof *look->rate);
    assert_true(look->parameters.list && look->rate);
    for (int i = 0; i < from->count; i++) {
        look->parameters.list[i] = from->list[i];
        look->parameters.list[i].name = strdup(from->list[i].name);
        look->rate[i] = trainer->segment[i].rate;
    }
}

static struct look train(const struct run_config *config, int steps, const char *out)
{
    struct look look = {.steps = steps};
    struct trainer *trainer = NULL;
    struct step_report report;
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    for (int i = 0; i < steps && !status; i++) status = trainer_step(trainer, &report);
    if (!status && out) status = trainer_export(trainer, out);
    if (!status) status = trainer_digest(trainer, look.result.digest);
    if (status) {
        fill_failure(&look.result, status);
        error_clear();
    } else {
        size_t bytes = (size_t)trainer->parameters.elements * sizeof(float);
        look.weights = malloc(bytes);
        look.state = malloc(bytes);
        assert_true(look.weights && look.state);
        memcpy(look.weights, trainer->weights.data, bytes);
        if (trainer->states > 0) memcpy(look.state, trainer->state[0].data, bytes);
        copy_registry(trainer, &look);
    }
    trainer_destroy(trainer);
    return look;
}

static int train_base(void **state)
{
    if (make_folder(state)) return 1;
    snprintf(base, sizeof base, "%s/base/model", test_folder);
    struct run_config config = small_run("base");
    struct look look = train(&config, 5, base);
    if (look.result.status) fprintf(stderr, "%s\n", look.result.message);
    look_release(&look);
    return look.result.status != STATUS_OK;
}

static struct run_config tuned_run(const char *out)
{
    struct run_config config = small_run(out);
    snprintf(config.from, sizeof config.from, "%s", base);
    return config;
}

static const struct parameter *parameter_of(const struct look *look, const char *name)
{
    int i = parameters_find(&look->parameters, name);
    if (i < 0) fail_msg("there is no %s", name);
    return &look->parameters.list[i];
}

static int equal_elements(const struct look *a, const struct look *b, const char *name)
{
    const struct parameter *p = parameter_of(a, name), *q = parameter_of(b, name);
    int64_t n = p->count < q->count ? p->count : q->count, equal = 0;
    for (int64_t i = 0; i < n; i++)
        equal += !memcmp(&a->weights[p->offset + i], &b->weights[q->offset + i], sizeof(float));
    return (int)equal;
}

static void weights_are_taken_over(void **state)
{
    (void)state;
    struct run_config config = tuned_run("taken"), plain = small_run("plain");
    struct look again = train(&config, 0, NULL), fresh = train(&plain, 0, NULL);
    struct look trained = train(&plain, 5, NULL);
    assert_fine(&again.result);
    size_t bytes = (size_t)again.parameters.elements * sizeof(float);
    assert_memory_equal(again.weights, trained.weights, bytes);
    assert_memory_not_equal(again.weights, fresh.weights, bytes);
    look_release(&again);

    // A longer table of tokens, a shorter one of positions, a third layer: what both have is copied, the rest is as without model.from.
    config.vocabulary = 60;
    config.model.context = 8;
    config.model.layers = 3;
    plain.vocabulary = 60;
    plain.model.context = 8;
    plain.model.layers = 3;
    struct look larger = train(&config, 0, NULL), initial = train(&plain, 0, NULL);
    assert_fine(&larger.result);
    int rows = (int)parameter_of(&trained, "transformer.wte.weight")->shape.size[0];
    assert_true(rows < 60);
    assert_int_equal(equal_elements(&larger, &trained, "transformer.wte.weight"), rows * 32);
    const struct parameter *table = parameter_of(&larger, "transformer.wte.weight");
    assert_memory_equal(larger.weights + table->offset + rows * 32,
                        initial.weights + table->offset + rows * 32,
                        (size_t)(60 - rows) * 32 * sizeof(float));
    assert_int_equal(equal_elements(&larger, &trained, "transformer.wpe.weight"), 8 * 32);
    assert_int_equal(equal_elements(&larger, &trained, "transformer.h.1.mlp.c_fc.weight"),
                     32 * 128);
    assert_int_equal(equal_elements(&larger, &initial, "transformer.h.2.mlp.c_fc.weight"),
                     32 * 128);
    look_release(&larger);
    look_release(&initial);
    look_release(&fresh);
    look_release(&trained);
}

// What is not set is the directory's.
static void sizes_are_taken_over(void **state)
{
    (void)state;
    struct run_config config = tuned_run("named"), open = tuned_run("open"), schema;
    run_config_defaults(&schema);
    struct look named = train(&config, 2, NULL);
    open.model.layers = schema.model.layers;
    open.model.heads = schema.model.heads;
    open.model.width = schema.model.width;
    open.model.context = schema.model.context;
    struct look taken = train(&open, 2, NULL);
    assert_fine(&named.result);
    assert_fine(&taken.result);
    assert_int_equal(named.parameters.elements, taken.parameters.elements);
    assert_memory_equal(named.weights, taken.weights,
                        (size_t)named.parameters.elements * sizeof(float));
    look_release(&taken);
    look_release(&named);
}

// A model of another type takes the vectors of tokens, and their width.
static void vectors_go_to_another_type(void **state)
{
    (void)state;
    struct run_config gpt2 = tuned_run("gpt2"), lstm = tuned_run("lstm"), schema;
    run_config_defaults(&schema);
    snprintf(lstm.model.type, sizeof lstm.model.type, "lstm_lm");
    lstm.model.width = schema.model.width;
    struct look there = train(&gpt2, 0, NULL), here = train(&lstm, 0, NULL);
    assert_fine(&there.result);
    assert_fine(&here.result);
    const struct parameter *p = parameter_of(&there, "transformer.wte.weight");
    const struct parameter *q = parameter_of(&here, "encoder.weight");
    assert_int_equal(q->shape.size[1], 32);
    assert_int_equal(p->count, q->count);
    assert_memory_equal(there.weights + p->offset, here.weights + q->offset,
                        (size_t)p->count * sizeof(float));
    look_release(&here);
    look_release(&there);
}

// A text of other characters, some of which the base knows by other ids.
static void write_other_text(struct run_config *config)
{
    snprintf(config->data.train, sizeof config->data.train, "%s/other.txt", test_folder);
    snprintf(config->data.cache, sizeof config->data.cache, "%s/other-cache", test_folder);
    FILE *file = fopen(config->data.train, "w");
    assert_non_null(file);
    for (int i = 0; i < 600; i++) fprintf(file, "%d 的 all of the ~ men\n", i);
    assert_int_equal(fclose(file), 0);
}

// The id of `in` with the bytes of an id of `of`, or -1.
static int32_t same_token(const struct tokenizer *in, const struct tokenizer *of, int32_t id)
{
    size_t bytes = 0, others = 0;
    const uint8_t *piece = tokenizer_piece(of, id, &bytes);
    for (int32_t i = 0; i < tokenizer_size(in); i++) {
        const uint8_t *other = tokenizer_piece(in, i, &others);
        if (bytes == others && memcmp(piece, other, bytes) == 0) return i;
    }
    return -1;
}

// With another tokenizer a row goes where its token is; a token that the directory lacks starts as without it.
static void rows_follow_their_tokens(void **state)
{
    (void)state;
    struct run_config config = tuned_run("follow"), plain = small_run("follow-not");
    struct run_config first = tuned_run("first");
    char exported[RUN_PATH];
    snprintf(exported, sizeof exported, "%s/follow/model", test_folder);
    write_other_text(&config);
    write_other_text(&plain);
    struct look taken = train(&config, 0, exported), fresh = train(&plain, 0, NULL);
    struct look there = train(&first, 0, NULL);
    assert_fine(&taken.result);
    assert_fine(&there.result);
    struct tokenizer *mine, *other;
    assert_int_equal(tokenizer_load(exported, &mine), STATUS_OK);
    assert_int_equal(tokenizer_load(base, &other), STATUS_OK);
    const char *name = "transformer.wte.weight";
    const float *rows = taken.weights + parameter_of(&taken, name)->offset;
    const float *rows_there = there.weights + parameter_of(&there, name)->offset;
    const float *rows_fresh = fresh.weights + parameter_of(&fresh, name)->offset;
    int moved = 0, new = 0;
    for (int32_t id = 0; id < tokenizer_size(mine); id++) {
        int32_t from = same_token(other, mine, id);
        moved += from >= 0 && from != id;
        new += from < 0;
        const float *right = from < 0 ? rows_fresh + id * 32 : rows_there + from * 32;
        assert_memory_equal(rows + id * 32, right, 32 * sizeof(float));
    }
    assert_true(moved > 3 && new > 1); // the test's texts are not alike
    tokenizer_destroy(mine);
    tokenizer_destroy(other);
    look_release(&taken);
    look_release(&fresh);
    look_release(&there);
}

static void frozen_ones_keep_their_bits(void **state)
{
    (void)state;
    char digest[65] = "";
    struct run_config start = tuned_run("start");
    struct look before = train(&start, 0, NULL);
    for (int workers = 1; workers <= 5; workers++) {
        struct run_config config = tuned_run("frozen");
        config.parallel.workers = workers < 5 ? workers : 2;
        config.parallel.threads = workers < 5 ? 1 : 3;
        config.model.recompute_layers = workers % 3;
        snprintf(config.freeze, sizeof config.freeze, " *.wte.*,transformer.h.0.*, *ln_?.bias ");
        struct look after = train(&config, 4, NULL);
        assert_fine(&after.result);
        if (workers == 1) memcpy(digest, after.result.digest, sizeof digest);
        assert_string_equal(after.result.digest, digest);
        for (int i = 0; i < after.parameters.count; i++) {
            const struct parameter *p = &after.parameters.list[i];
            bool frozen = strstr(p->name, "wte") || strstr(p->name, "h.0.") ||
                          (strstr(p->name, "ln_") && strstr(p->name, ".bias"));
            int equal = equal_elements(&before, &after, p->name);
            assert_int_equal(p->frozen, frozen);
            if (frozen ? equal < p->count : equal > p->count / 2)
                fail_msg("%s: %d of %d are as before", p->name, equal, (int)p->count);
            for (int64_t k = 0; frozen && k < p->count; k++)
                assert_true(after.state[p->offset + k] == 0);
        }
        look_release(&after);
    }
    look_release(&before);
}

// The norm is that of what learns: with clipping, frozen parameters change nothing for the others.
static void a_frozen_body_needs_less(void **state)
{
    (void)state;
    struct trainer *trainer[2] = {NULL};
    for (int frozen = 0; frozen < 2; frozen++) {
        struct run_config config = tuned_run(frozen ? "less" : "more");
        if (frozen) snprintf(config.freeze, sizeof config.freeze, "*w?e*, *.h.*");
        assert_int_equal(trainer_create(&config, NULL, &trainer[frozen]), STATUS_OK);
    }
    struct memory_report all = trainer_memory(trainer[0]), few = trainer_memory(trainer[1]);
    assert_true(trainer_cost(trainer[1]).flops < 0.8 * trainer_cost(trainer[0]).flops);
    assert_true(few.activations < all.activations);
    assert_true(few.gradients < all.gradients / 10 && few.optimizer_state < all.gradients / 10);
    for (int i = 0; i < 2; i++) trainer_destroy(trainer[i]);
}

static double rate_of(const struct look *look, const char *name)
{
    return look->rate[parameter_of(look, name) - look->parameters.list];
}

static void layers_learn_at_their_own_rates(void **state)
{
    (void)state;
    char digest[65] = "";
    for (int workers = 1; workers <= 4; workers++) {
        struct run_config config = tuned_run("layers");
        config.layer_decay = 0.5;
        config.head_learning_rate = 3;
        config.model.layers = 3;
        config.parallel.workers = workers;
        struct look look = train(&config, 3, NULL);
        assert_fine(&look.result);
        if (workers == 1) memcpy(digest, look.result.digest, sizeof digest);
        assert_string_equal(look.result.digest, digest);
        assert_true(rate_of(&look, "transformer.ln_f.weight") == 1);
        assert_true(rate_of(&look, "transformer.h.2.ln_1.bias") == 1.5); // new
        assert_true(rate_of(&look, "transformer.h.1.ln_1.bias") == 0.25);
        assert_true(rate_of(&look, "transformer.h.0.mlp.c_fc.weight") == 0.125);
        assert_true(rate_of(&look, "transformer.wte.weight") == 0.0625);
        assert_true(rate_of(&look, "transformer.wpe.weight") == 0.0625);
        look_release(&look);
    }
    // One step of plain SGD goes as far as its factor says.
    struct run_config config = small_run("far");
    snprintf(config.model.type, sizeof config.model.type, "lstm_lm");
    snprintf(config.optimizer.name, sizeof config.optimizer.name, "sgd");
    config.schedule.warmup = 0;
    config.schedule.learning_rate = 1;
    struct look start = train(&config, 0, NULL), full = train(&config, 1, NULL);
    config.layer_decay = 0.25;
    struct look half = train(&config, 1, NULL);
    assert_fine(&half.result);
    const char *const name[] = {"encoder.weight", "rnn.weight_hh_l0", "rnn.bias_ih_l1"};
    const double factor[] = {1. / 64, 1. / 16, 0.25};
    for (int i = 0; i < 3; i++) {
        const struct parameter *p = parameter_of(&full, name[i]);
        assert_true(rate_of(&half, name[i]) == factor[i]);
        for (int64_t k = p->offset; k < p->offset + p->count; k++) {
            double whole = (double)full.weights[k] - (double)start.weights[k];
            double part = (double)half.weights[k] - (double)start.weights[k];
            assert_true(fabs(part - factor[i] * whole) <= 1e-6 * fabs(whole) + 1e-7);
        }
    }
    look_release(&start);
    look_release(&full);
    look_release(&half);
}

static struct run_config everything(const char *out)
{
    struct run_config config = tuned_run(out);
    config.vocabulary = 60;
    config.model.layers = 3;
    config.layer_decay = 0.8;
    config.head_learning_rate = 2;
    config.steps = 6;
    snprintf(config.freeze, sizeof config.freeze, "*wpe*, *.h.0.*");
    return config;
}

static void resumed_with_the_same_bits(void **state)
{
    (void)state;
    struct run_config config = everything("resumed"), whole = everything("whole");
    struct child_result expected = in_child(NULL, train_steps, &whole, NULL), result = {0};
    assert_fine(&expected);
    for (int64_t step = 1; step <= 6; step++) {
        struct portion part = {.stop = step};
        config.parallel.workers = 1 + step * 5 % 4;
        result = in_child(NULL, train_steps, &config, &part);
        assert_fine(&result);
    }
    assert_string_equal(result.digest, expected.digest);
    // The weights are the checkpoint's; the directory is read again only for what is new in it.
    snprintf(config.from, sizeof config.from, "%s/absent", test_folder);
    result = in_child(NULL, train_steps, &config, &(struct portion){.stop = 6});
    assert_int_equal(result.status, STATUS_USAGE);
    assert_non_null(strstr(result.message, "model.from"));
    config = everything("resumed");
    snprintf(config.freeze, sizeof config.freeze, "*wpe*");
    result = in_child(NULL, train_steps, &config, &(struct portion){.stop = 6});
    assert_int_equal(result.status, STATUS_USAGE);
    assert_non_null(strstr(result.message, "train.freeze"));
}

static void replicas_start_alike(void **state)
{
    (void)state;
    static const char *const exchange[] = {"direct", "tree", "server"};
    struct run_config whole = everything("alone");
    struct child_result expected = in_child(NULL, train_steps, &whole, NULL);
    assert_fine(&expected);
    for (int i = 0; i < 6; i++) {
        struct run_config config = everything("replicas");
        struct child_result result[MOST_REPLICAS] = {{0}};
        int replicas = 2 + i % 2;
        config.parallel.workers = 2;
        config.parallel.bucket_mb = 0.02;
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", exchange[i / 2]);
        snprintf(config.parallel.overlap, sizeof config.parallel.overlap, i % 2 ? "on" : "off");
        run_replicas(&config, replicas, NULL, replica_steps, NULL, result);
        for (int r = 0; r < replicas; r++) {
            assert_fine(&result[r]);
            assert_string_equal(result[r].digest, expected.digest);
        }
    }
}

// Replicas that update for themselves use gradient buffers for their averages: nothing of it may show in the norm.
static void frozen_where_replicas_are_averaged(void **state)
{
    (void)state;
    struct run_config config = everything("averaged");
    struct child_result result[MOST_REPLICAS] = {{0}};
    snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "local-sgd");
    config.parallel.sync_every = 2;
    config.schedule.learning_rate = 1e-4;
    config.parallel.outer_learning_rate = 1;
    config.parallel.outer_momentum = 0;
    run_replicas(&config, 2, NULL, replica_steps, NULL, result);
    for (int r = 0; r < 2; r++) assert_fine(&result[r]);
    assert_string_equal(result[0].digest, result[1].digest);
}

// An evaluation computes the body once, for its loss and for its scores.
static void scores_are_computed_once(void **state)
{
    (void)state;
    struct run_config config = small_run("scores");
    struct parameters parameters;
    struct model_graph training, evaluation;
    int attentions = 0;
    snprintf(config.task, sizeof config.task, "classify");
    config.data.header = true;
    assert_int_equal(run_config_check(&config), STATUS_OK);
    config.model.vocabulary = 30;
    config.model.classes = 3;
    parameters_init(&parameters);
    struct model_sizes sizes = feed_typical(&config);
    assert_int_equal(training_graph(&config, sizes, &parameters, &training), STATUS_OK);
    assert_int_equal(evaluation_graph(&config, sizes, &parameters, &evaluation), STATUS_OK);
    for (int i = 0; i < evaluation.g->count; i++)
        attentions += evaluation.g->values[i]->op &&
                      strcmp(evaluation.g->values[i]->op->name, "attention") == 0;
    assert_int_equal(attentions, config.model.layers);
    graph_destroy(training.g);
    graph_destroy(evaluation.g);
    parameters_release(&parameters);
}

static void assert_refused(const struct run_config *config, const char *a, const char *b)
{
    struct look look = train(config, 0, NULL);
    if (look.result.status == STATUS_OK) fail_msg("not refused: %s", a);
    if (!strstr(look.result.message, a) || !strstr(look.result.message, b))
        fail_msg("says: %s", look.result.message);
    look_release(&look);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct run_config config = tuned_run("refused");
    snprintf(config.freeze, sizeof config.freeze, "*.h.*, *atention*");
    assert_refused(&config, "\"*atention*\" matches no parameter", "transformer.wte.weight");
    snprintf(config.freeze, sizeof config.freeze, "*");
    assert_refused(&config, "freezes every parameter", "train.freeze");

    config = tuned_run("refused");
    config.model.width = 48;
    assert_refused(&config, "model.width: 48, but the model of model.from: ", " has 32; leave it");
    config = tuned_run("refused");
    config.model.heads = 1;
    assert_refused(&config, "model.heads: 1, but the model of model.from: ", " has 2; leave it");
    config = tuned_run("refused");
    config.model.activation = ACTIVATION_RELU;
    assert_refused(&config, "model.activation: relu, but", "has gelu_tanh");
    config = tuned_run("refused");
    snprintf(config.model.type, sizeof config.model.type, "lstm_lm");
    config.model.width = 48;
    assert_refused(&config, "model.width: 48, but the model of model.from: ", " has 32; leave it");
    snprintf(config.from, sizeof config.from, "%s/absent", test_folder);
    assert_refused(&config, "absent", "model directory");
    snprintf(config.from, sizeof config.from, "%s", test_folder);
    assert_refused(&config, test_folder, "config.json");

    config = small_run("refused");
    config.head_learning_rate = 10;
    assert_refused(&config, "train.head_learning_rate", "model.from");
}

// Writes a number into a copy of the base's model.
static void poison(const char *directory, const char *tensor, int64_t element, float number)
{
    char command[3 * RUN_PATH], path[RUN_PATH + 32];
    struct safetensors *file;
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", directory, base, directory);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    assert_int_equal(safetensors_open(path, &file), STATUS_OK);
    const struct tensor_entry *entry = safetensors_find(file, tensor);
    assert_non_null(entry);
    long at = (long)(file->data_start + entry->begin) + (long)element * (long)sizeof number;
    safetensors_close(file);
    FILE *written = fopen(path, "r+b");
    assert_non_null(written);
    assert_int_equal(fseek(written, at, SEEK_SET), 0);
    assert_int_equal(fwrite(&number, sizeof number, 1, written), 1);
    assert_int_equal(fclose(written), 0);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    struct run_config config = tuned_run("poisoned");
    snprintf(config.from, sizeof config.from, "%s/poisoned-model", test_folder);
    poison(config.from, "transformer.h.1.mlp.c_fc.weight", 7 * 4 * 32 + 5, NAN);
    assert_refused(&config, "model.safetensors: tensor transformer.h.1.mlp.c_fc.weight is nan",
                   "at [7, 5]");
    poison(config.from, "transformer.ln_f.bias", 31, -INFINITY);
    assert_refused(&config, "tensor transformer.ln_f.bias is -inf at [31]", "finite numbers");
    // Also where rows go to other places: the newline is in both texts, the comma in the base's.
    poison(config.from, "transformer.wte.weight", 3, NAN);
    write_other_text(&config);
    assert_refused(&config, "tensor transformer.wte.weight is nan", "at [0, 3]");
    config = tuned_run("poisoned");
    snprintf(config.from, sizeof config.from, "%s/poisoned-model", test_folder);
    // What is not taken is not looked at.
    poison(config.from, "transformer.wte.weight", 2 * 32 + 3, NAN);
    write_other_text(&config);
    struct look without = train(&config, 1, NULL);
    if (without.result.status) fail_msg("%s", without.result.message);
    look_release(&without);
    config = tuned_run("poisoned");
    snprintf(config.from, sizeof config.from, "%s/poisoned-model", test_folder);
    poison(config.from, "transformer.wpe.weight", 15 * 32, INFINITY);
    config.model.context = 12;
    struct look look = train(&config, 1, NULL);
    if (look.result.status) fail_msg("%s", look.result.message);
    look_release(&look);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_taken_over),
        cmocka_unit_test(sizes_are_taken_over),
        cmocka_unit_test(vectors_go_to_another_type),
        cmocka_unit_test(rows_follow_their_tokens),
        cmocka_unit_test(frozen_ones_keep_their_bits),
        cmocka_unit_test(a_frozen_body_needs_less),
        cmocka_unit_test(layers_learn_at_their_own_rates),
        cmocka_unit_test(resumed_with_the_same_bits),
        cmocka_unit_test(replicas_start_alike),
        cmocka_unit_test(frozen_where_replicas_are_averaged),
        cmocka_unit_test(scores_are_computed_once),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(numbers_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, train_base, remove_folder);
}
