// SPDX-License-Identifier: Apache-2.0
// Decoding with the cache gives what the whole sequence gives; generation keeps its promises about context,
// stops and bytes.
#include "base/cpu.h"
#include "infer/decoder.h"
#include "infer/generate.h"
#include "model/gpt2_plain.c"
#include "model/small_model.h"

enum { VOCABULARY = 256 };

static void make_model(int64_t vocabulary, int64_t context, struct loaded_model *model)
{
    struct tokenizer *tokenizer;
    assert_ok(tokenizer_byte_create(&tokenizer));
    struct model_config config = small_config(vocabulary, context, 24, 2, 3);
    small_model(config, 17, 0.6f, tokenizer, model);
}

static const struct backend *cpu_backend(void)
{
    const struct backend *backend;
    assert_ok(backend_find("cpu", &backend));
    return backend;
}

// ---- logits ----

static void keep_logits(void *context, int tag, const void *data)
{
    if (tag == 1) memcpy(*(float **)context, data, (size_t)VOCABULARY * 130 * sizeof(float));
}

// Logits of a whole sequence by the graph that training uses: its last hidden state times the table.
static void whole_sequence_logits(const struct loaded_model *model, const int32_t *ids,
                                  int64_t count, float *logits)
{
    struct training t;
    struct parameters parameters = model->parameters;
    memset(&t, 0, sizeof t);
    assert_ok(graph_create(&t.graph));
    struct shape shape = shape_of(2, INT64_C(1), count);
    struct model_inputs inputs = {.tokens = graph_input(t.graph, "tokens", I32, shape),
                                  .positions = graph_input(t.graph, "positions", I32, shape),
                                  .targets = graph_input(t.graph, "targets", I32, shape)};
    struct builder b = {.g = t.graph, .parameters = &parameters};
    struct value *loss = model->type->loss(&b, &model->config, inputs, 0);
    graph_yield(
        t.graph,
        op_linear(t.graph, loss->input[0], loss->input[1], NULL, ACTIVATION_NONE, LAYOUT_OUT_IN),
        1);
    assert_ok(program_create(cpu_backend(), t.graph, NULL, &t.program));
    assert_ok(program_prepare(t.program, model->weights.data, NULL));
    int32_t *tokens = program_input(t.program, inputs.tokens),
            *positions = program_input(t.program, inputs.positions);
    for (int64_t i = 0; i < count; i++) {
        tokens[i] = ids[i];
        positions[i] = (int32_t)i;
    }
    program_run(t.program, keep_logits, &logits);
    program_destroy(t.program);
    graph_destroy(t.graph);
}

static double largest_difference(const float *a, const float *b, int64_t count)
{
    double worst = 0;
    for (int64_t i = 0; i < count; i++) worst = fmax(worst, fabs((double)(a[i] - b[i])));
    return worst;
}

static void make_ids(int32_t *ids, int64_t count)
{
    struct philox_address at = {.seed = 8, .stream = philox_stream(PHILOX_TEST, 3)};
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)(philox_bits(at, (uint64_t)i) % VOCABULARY);
}

static void cached_logits_equal_those_of_the_whole_sequence(void **state)
{
    (void)state;
    enum { COUNT = 130 };
    struct loaded_model model;
    struct generator *generator;
    int32_t ids[COUNT];
    float *cached = calloc(COUNT * VOCABULARY, sizeof *cached),
          *whole = calloc(COUNT * VOCABULARY, sizeof *whole);
    make_ids(ids, COUNT);
    make_model(VOCABULARY, 140, &model);
    assert_ok(generator_create(&model, 1, &generator));
    assert_ok(generator_logits(generator, ids, COUNT, cached));
    whole_sequence_logits(&model, ids, COUNT, whole);
    double against_graph = largest_difference(cached, whole, COUNT * VOCABULARY), largest = 0;
    for (int i = 0; i < COUNT * VOCABULARY; i++) largest = fmax(largest, fabs((double)whole[i]));
    printf("# cached against whole sequence: %.2g of %.3g\n", against_graph, largest);
    assert_memory_equal(cached, whole, COUNT * VOCABULARY * sizeof *whole);

    // And against the oracle.
    struct plain_config plain = {.vocabulary = VOCABULARY,
                                 .context = 140,
                                 .width = 24,
                                 .layers = 2,
                                 .heads = 3,
                                 .hidden = 96,
                                 .bias = true,
                                 .epsilon = 1e-5};
    double *block = calloc((size_t)plain_count(&plain), sizeof *block), *next = block;
    double *logits = calloc(COUNT * VOCABULARY, sizeof *logits), against_oracle = 0;
    for (int p = 0; p < model.parameters.count; p++)
        for (int64_t i = 0; i < model.parameters.list[p].count; i++)
            *next++ = (double)((float *)model.weights.data)[model.parameters.list[p].offset + i];
    plain_step(&plain, block, ids, ids, 1, COUNT, NULL, logits);
    for (int i = 0; i < COUNT * VOCABULARY; i++)
        against_oracle = fmax(against_oracle, fabs((double)cached[i] - logits[i]));
    printf("# cached against oracle: %.2g\n", against_oracle);
    assert_true(against_oracle <= 1e-5 * largest);
    free(block);
    free(logits);
    free(cached);
    free(whole);
    generator_destroy(generator);
    small_model_release(&model);
}

static void chunks_equal_single_steps_bit_for_bit(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    struct loaded_model model;
    struct decoder chunked, single;
    int32_t ids[COUNT];
    float *some = calloc(COUNT * VOCABULARY, sizeof *some),
          *all = calloc(COUNT * VOCABULARY, sizeof *all);
    make_ids(ids, COUNT);
    make_model(VOCABULARY, 150, &model); // two chunks of 64, then single steps
    assert_ok(decoder_create(&model, cpu_backend(), 2, &chunked));
    assert_ok(decoder_create(&model, cpu_backend(), 1, &single));
    for (int64_t i = 0; i < COUNT; i++) decoder_append(&single, ids + i, 1, some + i * VOCABULARY);
    for (int64_t first = 1; first < COUNT; first += 13) { // chunks that begin anywhere
        decoder_start(&chunked);
        decoder_append(&chunked, ids, first, all);
        decoder_append(&chunked, ids + first, COUNT - first, all + first * VOCABULARY);
        assert_memory_equal(all, some, COUNT * VOCABULARY * sizeof *all);
        assert_memory_equal(chunked.logits, some + (COUNT - 1) * VOCABULARY,
                            VOCABULARY * sizeof *all);
    }
    decoder_release(&chunked);
    decoder_release(&single);
    free(some);
    free(all);
    small_model_release(&model);
}

// After a full context comes the last half of it with the new id behind it, from position 0.
static void a_full_context_keeps_its_last_half(void **state)
{
    (void)state;
    static const int64_t contexts[] = {1, 2, 7, 20};
    for (int i = 0; i < 4; i++) {
        int64_t context = contexts[i], keep = context / 2;
        struct loaded_model model;
        struct decoder full, fresh;
        int32_t ids[21];
        make_ids(ids, 21);
        make_model(VOCABULARY, context, &model);
        assert_ok(decoder_create(&model, cpu_backend(), 1, &full));
        assert_ok(decoder_create(&model, cpu_backend(), 1, &fresh));
        decoder_append(&full, ids, context, NULL);
        decoder_append(&full, ids + context, 1, NULL);
        decoder_append(&fresh, ids + context - keep, keep + 1, NULL);
        assert_memory_equal(full.logits, fresh.logits, VOCABULARY * sizeof(float));
        assert_int_equal(full.filled, keep + 1);
        for (int k = 0; k < 100; k++)
            decoder_append(&full, ids + k % 21, 1, NULL); // many times over
        assert_in_range(full.filled, 1, context);
        decoder_release(&full);
        decoder_release(&fresh);
        small_model_release(&model);
    }
}

static void wrong_ids_and_counts_are_refused(void **state)
{
    (void)state;
    struct loaded_model model;
    struct generator *generator;
    float logits[9 * VOCABULARY];
    make_model(VOCABULARY, 8, &model);
    assert_ok(generator_create(&model, 1, &generator));
    error_clear();
    assert_int_equal(generator_logits(generator, (int32_t[]){1, 256}, 2, logits), STATUS_USAGE);
    assert_string_equal(error_message(),
                        "id 256 at place 1 is not in the model's vocabulary of 256");
    error_clear();
    assert_int_equal(generator_logits(generator, (int32_t[]){-1}, 1, logits), STATUS_USAGE);
    error_clear();
    assert_int_equal(generator_logits(generator, (int32_t[9]){0}, 9, logits), STATUS_USAGE);
    assert_string_equal(error_message(), "9 ids do not fit: the model takes 1 to 8");
    error_clear();
    assert_int_equal(generator_logits(generator, (int32_t[9]){0}, 0, logits), STATUS_USAGE);
    error_clear();
    generator_destroy(generator);
    small_model_release(&model);
}

// ---- text ----

struct heard {
    uint8_t text[4096];
    size_t bytes;
    int pieces, most;
};

static bool hear(void *context, const uint8_t *text, size_t bytes)
{
    struct heard *heard = context;
    assert_true(heard->bytes + bytes < sizeof heard->text);
    memcpy(heard->text + heard->bytes, text, bytes);
    heard->bytes += bytes;
    return ++heard->pieces != heard->most;
}

static struct generate_options options(void)
{
    struct generate_options o;
    generate_defaults(&o);
    o.max_tokens = 120;
    o.seed = 5;
    return o;
}

static struct generate_result generate(struct generator *generator, const char *prompt,
                                       const struct generate_options *o, struct heard *heard)
{
    struct generate_result result;
    *heard = (struct heard){0};
    assert_ok(
        generator_run(generator, (const uint8_t *)prompt, strlen(prompt), o, hear, heard, &result));
    return result;
}

static void expect_same(const struct heard *a, const struct heard *b)
{
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->text, b->text, a->bytes);
}

static void every_instruction_set_writes_the_same_text(void **state)
{
    (void)state;
    struct heard first = {0}, heard;
    struct loaded_model model;
    struct generate_options o = options();
    const char *kept = getenv("STENTOR_ISA");
    int tried = 0;
    o.top_k = 100;
    o.top_p = 0.9;
    make_model(VOCABULARY, 40, &model);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        struct generator *generator;
        if (!isa_available((enum isa)isa)) continue;
        setenv("STENTOR_ISA", isa_name((enum isa)isa), 1);
        assert_ok(generator_create(&model, 1, &generator));
        struct generate_result result = generate(generator, "Sing", &o, tried ? &heard : &first);
        assert_int_equal(result.tokens, 120);
        assert_false(result.stopped);
        if (tried++) expect_same(&heard, &first);
        generator_destroy(generator);
    }
    printf("# %d instruction sets\n", tried);
    assert_true(first.bytes > 100);
    if (kept)
        setenv("STENTOR_ISA", kept, 1);
    else
        unsetenv("STENTOR_ISA");
    small_model_release(&model);
}

static void a_run_depends_on_prompt_seed_and_options_alone(void **state)
{
    (void)state;
    struct heard first, heard;
    struct loaded_model model;
    struct generator *generator;
    struct generate_options o = options();
    make_model(VOCABULARY, 40, &model);
    assert_ok(generator_create(&model, 1, &generator));
    generate(generator, "Sing", &o, &first);
    generate(generator, "another prompt in between", &o, &heard);
    generate(generator, "Sing", &o, &heard);
    expect_same(&heard, &first);
    o.seed++;
    generate(generator, "Sing", &o, &heard);
    assert_true(heard.bytes != first.bytes || memcmp(heard.text, first.text, first.bytes) != 0);
    // An empty prompt is a newline; a long one is its end.
    generate(generator, "", &o, &first);
    generate(generator, "\n", &o, &heard);
    expect_same(&heard, &first);
    generate(generator, "this part is forgotten: 0123456789012345678901234567890123456789", &o,
             &first);
    generate(generator, "0123456789012345678901234567890123456789", &o, &heard);
    expect_same(&heard, &first);
    generator_destroy(generator);
    small_model_release(&model);
}

static void generation_stops_where_it_should(void **state)
{
    (void)state;
    struct heard whole, heard;
    struct loaded_model model;
    struct generator *generator;
    struct generate_options o = options();
    make_model(128, 40, &model); // only ASCII bytes can be drawn
    assert_ok(generator_create(&model, 1, &generator));
    assert_int_equal(generate(generator, "Sing", &o, &whole).tokens, 120);
    assert_int_equal(whole.bytes, 120);
    char stop[4] = {0};
    int at = 30; // three bytes that come for the first time at `at`, none of them NUL
    while (memchr(whole.text + at, 0, 3) || memmem(whole.text, (size_t)at + 2, whole.text + at, 3))
        at++;
    memcpy(stop, whole.text + at, 3);
    o.stop = (const char *const[]){"never, never", stop, NULL};
    struct generate_result result = generate(generator, "Sing", &o, &heard);
    assert_true(result.stopped);
    assert_int_equal(result.tokens, at + 3);
    assert_int_equal(heard.bytes, at);
    assert_memory_equal(heard.text, whole.text, at);
    // The listener may stop it, too.
    heard = (struct heard){.most = 10};
    o.stop = NULL;
    assert_ok(generator_run(generator, (const uint8_t *)"Sing", 4, &o, hear, &heard, &result));
    assert_int_equal(result.tokens, 10);
    assert_false(result.stopped);
    o.max_tokens = 0;
    assert_int_equal(generate(generator, "Sing", &o, &heard).tokens, 0);
    assert_int_equal(heard.bytes, 0);
    // A prompt with ids that the model lacks.
    error_clear();
    assert_int_equal(
        generator_run(generator, (const uint8_t *)"\xFF", 1, &o, hear, &heard, &result),
        STATUS_USAGE);
    assert_non_null(strstr(error_message(), "id 255 at place 0"));
    error_clear();
    generator_destroy(generator);
    small_model_release(&model);
}

// The table's rows behind the tokenizer's last id mean nothing and are never drawn.
static void padded_vocabularies_are_not_drawn_from(void **state)
{
    (void)state;
    struct heard heard;
    struct loaded_model model;
    struct generator *generator;
    struct generate_options o = options();
    make_model(5000, 16, &model);
    o.temperature = 10;
    assert_ok(generator_create(&model, 1, &generator));
    assert_int_equal(generate(generator, "a", &o, &heard).tokens, 120);
    generator_destroy(generator);
    tokenizer_destroy(model.tokenizer);
    model.tokenizer = NULL;
    assert_ok(generator_create(&model, 1, &generator));
    error_clear();
    assert_int_equal(generator_run(generator, (const uint8_t *)"a", 1, &o, hear, &heard, NULL),
                     STATUS_UNSUPPORTED);
    error_clear();
    generator_destroy(generator);
    small_model_release(&model);
}

static void greedy_repeats_itself_less_with_a_penalty(void **state)
{
    (void)state;
    struct heard heard;
    struct loaded_model model;
    struct generator *generator;
    struct generate_options o = options();
    int distinct[2] = {0, 0};
    o.temperature = 0;
    make_model(128, 40, &model);
    assert_ok(generator_create(&model, 1, &generator));
    for (int penalised = 0; penalised < 2; penalised++) {
        bool seen[128] = {false};
        o.repetition_penalty = penalised ? 1.5 : 1;
        generate(generator, "Sing", &o, &heard);
        for (size_t i = 0; i < heard.bytes; i++) {
            distinct[penalised] += !seen[heard.text[i]];
            seen[heard.text[i]] = true;
        }
    }
    printf("# distinct bytes: %d without, %d with penalty\n", distinct[0], distinct[1]);
    assert_true(distinct[1] > distinct[0]);
    generator_destroy(generator);
    small_model_release(&model);
}

static void tokens_take_no_allocation(void **state)
{
    (void)state;
    struct heard heard;
    struct loaded_model model;
    struct generator *generator;
    struct generate_options o = options();
    uint64_t used[2];
    make_model(VOCABULARY, 32, &model);
    assert_ok(generator_create(&model, 1, &generator));
    for (int i = 0; i < 2; i++) {
        uint64_t before = memory_allocations();
        o.max_tokens = i ? 200 : 2;
        generate(generator, "a", &o, &heard);
        used[i] = memory_allocations() - before;
    }
    assert_int_equal(used[0], used[1]);
    generator_destroy(generator);
    small_model_release(&model);
}

static void damaged_weights_are_an_error(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct loaded_model model;
    struct generator *generator;
    struct generate_options o = options();
    make_model(VOCABULARY, 32, &model);
    float *weights = model.weights.data;
    weights[model.parameters.list[parameters_find(&model.parameters, "transformer.ln_f.bias")]
                .offset] = NAN;
    assert_ok(generator_create(&model, 1, &generator));
    error_clear();
    assert_int_equal(generator_run(generator, (const uint8_t *)"a", 1, &o, hear, &heard, NULL),
                     STATUS_DIVERGED);
    assert_int_equal(heard.bytes, 0);
    error_clear();
    generator_destroy(generator);
    small_model_release(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cached_logits_equal_those_of_the_whole_sequence),
        cmocka_unit_test(chunks_equal_single_steps_bit_for_bit),
        cmocka_unit_test(a_full_context_keeps_its_last_half),
        cmocka_unit_test(wrong_ids_and_counts_are_refused),
        cmocka_unit_test(every_instruction_set_writes_the_same_text),
        cmocka_unit_test(a_run_depends_on_prompt_seed_and_options_alone),
        cmocka_unit_test(generation_stops_where_it_should),
        cmocka_unit_test(padded_vocabularies_are_not_drawn_from),
        cmocka_unit_test(greedy_repeats_itself_less_with_a_penalty),
        cmocka_unit_test(tokens_take_no_allocation),
        cmocka_unit_test(damaged_weights_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
