// SPDX-License-Identifier: Apache-2.0
// A model of the kind that Llama is, from modules: RMS norm, attention with fewer heads of keys than
// of queries, a gated MLP; over padded sequences, causal and not. It learns, its kernels agree with
// the definitions and with every instruction set, and what the padding holds changes no bit.
#include "base/cpu.h"
#include "model/small_model.h"

#include <math.h>

enum { BATCH = 3, TOKENS = 21, VOCABULARY = 13, WIDTH = 24, HEADS = 4, KV_HEADS = 2, HIDDEN = 40 };
static const int32_t lengths_of[BATCH] = {21, 8, 1};

struct model {
    struct parameters parameters;
    struct graph *g;
    struct program *program;
    struct value *ids, *targets, *lengths;
    float *weights, *gradients;
    float loss;
};

static void receive(void *context, int tag, const void *data)
{
    struct model *m = context;
    if (tag == LOSS_TAG) {
        m->loss = *(const float *)data;
        return;
    }
    const struct parameter *p = &m->parameters.list[tag];
    memcpy(m->gradients + p->offset, data, (size_t)p->count * sizeof(float));
}

static struct value *layer(struct builder *b, struct value *x, struct value *lengths,
                           bool bidirectional)
{
    struct attention_module attention = {.qkv = "qkv",
                                         .out = "o_proj",
                                         .deviation = 0.2,
                                         .out_deviation = 0.1,
                                         .heads = HEADS,
                                         .kv_heads = KV_HEADS,
                                         .bidirectional = bidirectional,
                                         .lengths = lengths};
    x = op_add(b->g, x, nn_attention(b, nn_rms_norm(b, x, "norm_1", 1e-6), &attention));
    struct value *y =
        nn_gated_mlp(b, nn_rms_norm(b, x, "norm_2", 1e-6), "mlp", HIDDEN, false, 0.2, 0.1);
    return op_add(b->g, x, y);
}

// `shift` is added to the tokens that are padding.
static void model_create(struct model *m, const char *backend_name, bool bidirectional, int shift)
{
    const struct backend *backend;
    memset(m, 0, sizeof *m);
    parameters_init(&m->parameters);
    assert_ok(graph_create(&m->g));
    struct builder b = {.g = m->g, .parameters = &m->parameters};
    m->ids = graph_input(m->g, "ids", I32, shape_of(2, BATCH, TOKENS));
    m->targets = graph_input(m->g, "targets", I32, shape_of(2, BATCH, TOKENS));
    m->lengths = graph_input(m->g, "lengths", I32, shape_of(1, BATCH));
    struct value *table = nn_embedding_table(&b, "table", VOCABULARY, WIDTH, 0.3);
    struct value *x = op_embedding(m->g, table, m->ids);
    for (int i = 0; i < 2; i++) {
        prefix_push(&b, "h.%d", i);
        x = layer(&b, x, m->lengths, bidirectional);
        prefix_pop(&b);
    }
    x = nn_rms_norm(&b, x, "norm", 1e-6);
    struct value *loss = op_output_loss(m->g, x, table, m->targets, 0);
    graph_yield(m->g, loss, LOSS_TAG);
    backward(m->g, loss, m->parameters.count);
    assert_ok(graph_status(m->g));
    assert_ok(backend_find(backend_name, &backend));
    assert_ok(program_create(backend, m->g, NULL, &m->program));
    assert_ok(plan_verify(program_plan(m->program)));
    size_t elements = (size_t)m->parameters.elements;
    m->weights = calloc(elements, sizeof *m->weights);
    m->gradients = calloc(elements, sizeof *m->gradients);
    parameters_initialise(&m->parameters, 7, m->weights);
    assert_ok(program_prepare(m->program, m->weights, NULL));
    int32_t *ids = program_input(m->program, m->ids),
            *targets = program_input(m->program, m->targets);
    memcpy(program_input(m->program, m->lengths), lengths_of, sizeof lengths_of);
    for (int s = 0; s < BATCH; s++)
        for (int i = 0; i < TOKENS; i++) {
            bool there = i < lengths_of[s];
            ids[s * TOKENS + i] = (i * i + 3 * s + (there ? 0 : shift)) % VOCABULARY;
            targets[s * TOKENS + i] = there ? (7 * i + s) % VOCABULARY : -1;
        }
}

static void model_destroy(struct model *m)
{
    program_destroy(m->program);
    graph_destroy(m->g);
    parameters_release(&m->parameters);
    free(m->weights);
    free(m->gradients);
}

static void model_step(struct model *m, float rate)
{
    program_run(m->program, receive, m);
    for (int64_t i = 0; i < m->parameters.elements; i++) m->weights[i] -= rate * m->gradients[i];
}

static void it_learns(void **state)
{
    (void)state;
    for (int bidirectional = 0; bidirectional < 2; bidirectional++) {
        struct model m;
        model_create(&m, "cpu", bidirectional != 0, 0);
        model_step(&m, 0);
        float first = m.loss;
        for (int i = 0; i < 60; i++) model_step(&m, 0.02f);
        print_message("# loss %.3f -> %.3f\n", (double)first, (double)m.loss);
        assert_true(m.loss < 0.25f * first);
        model_destroy(&m);
    }
}

static void kernels_agree_with_the_definitions(void **state)
{
    (void)state;
    for (int bidirectional = 0; bidirectional < 2; bidirectional++) {
        struct model fast, plain;
        model_create(&fast, "cpu", bidirectional != 0, 0);
        model_create(&plain, "reference", bidirectional != 0, 0);
        program_run(fast.program, receive, &fast);
        program_run(plain.program, receive, &plain);
        assert_true(fabsf(fast.loss - plain.loss) < 1e-5f * plain.loss);
        float largest = 0, worst = 0;
        for (int64_t i = 0; i < fast.parameters.elements; i++) {
            largest = fmaxf(largest, fabsf(plain.gradients[i]));
            worst = fmaxf(worst, fabsf(fast.gradients[i] - plain.gradients[i]));
        }
        assert_true(largest > 0.1f && worst < 1e-5f * largest);
        model_destroy(&fast);
        model_destroy(&plain);
    }
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    struct model first;
    const char *chosen = getenv("STENTOR_ISA");
    setenv("STENTOR_ISA", "generic", 1);
    model_create(&first, "cpu", false, 0);
    for (int i = 0; i < 3; i++) model_step(&first, 0.01f);
    for (enum isa isa = ISA_GENERIC + 1; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa)) continue;
        struct model other;
        setenv("STENTOR_ISA", isa_name(isa), 1);
        model_create(&other, "cpu", false, 0);
        for (int i = 0; i < 3; i++) model_step(&other, 0.01f);
        assert_memory_equal(first.weights, other.weights,
                            (size_t)first.parameters.elements * sizeof(float));
        model_destroy(&other);
    }
    if (chosen)
        setenv("STENTOR_ISA", chosen, 1);
    else
        unsetenv("STENTOR_ISA");
    model_destroy(&first);
}

static void padding_changes_no_bit(void **state)
{
    (void)state;
    for (int bidirectional = 0; bidirectional < 2; bidirectional++) {
        struct model one, other;
        model_create(&one, "cpu", bidirectional != 0, 0);
        model_create(&other, "cpu", bidirectional != 0, 5);
        for (int i = 0; i < 3; i++) {
            model_step(&one, 0.01f);
            model_step(&other, 0.01f);
        }
        assert_memory_equal(&one.loss, &other.loss, sizeof one.loss);
        assert_memory_equal(one.weights, other.weights,
                            (size_t)one.parameters.elements * sizeof(float));
        model_destroy(&one);
        model_destroy(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns),
        cmocka_unit_test(kernels_agree_with_the_definitions),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(padding_changes_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
