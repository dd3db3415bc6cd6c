// SPDX-License-Identifier: Apache-2.0
// Cross-entropy with its output layer against a plain double definition, its gradients against
// differences of that, and rows in many chunks against rows in one; with products of bf16 and bf16x3, whose rows are summed by
// tiles of entries, the forms of all instruction sets, packed weights and several threads against each other.
#include "base/team.h"
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const kernels[ISA_COUNT])(const struct output_loss *, void *,
                                        const struct part *) = KERNEL_ROW(output_loss);
static size_t (*const scratch_bytes[ISA_COUNT])(int64_t, int64_t, int64_t,
                                                int) = KERNEL_ROW(output_loss_scratch_bytes);

static const int64_t sizes[][3] = {{1, 1, 1},    {1, 7, 2},     {7, 17, 31}, {17, 33, 65},
                                   {33, 16, 16}, {31, 65, 100}, {65, 1, 7}};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

// Sum of the rows' losses in double; losses may be NULL.
static double plain_loss(const struct output_loss *o, const double *x, const double *w,
                         double *losses)
{
    double *logits = malloc((size_t)o->vocabulary * sizeof *logits), total = 0,
           smoothing = (double)o->smoothing;
    for (int64_t r = 0; r < o->rows; r++) {
        double most = -HUGE_VAL, sum = 0, all = 0, loss = 0;
        for (int64_t v = 0; v < o->vocabulary; v++) {
            logits[v] = 0;
            for (int64_t c = 0; c < o->width; c++)
                logits[v] += x[r * o->width + c] * w[v * o->width + c];
            most = fmax(most, logits[v]);
        }
        for (int64_t v = 0; v < o->vocabulary; v++) sum += exp(logits[v] - most), all += logits[v];
        double log_sum = most + log(sum);
        if (o->targets[r] >= 0)
            loss = (1 - smoothing) * (log_sum - logits[o->targets[r]]) +
                   smoothing * (log_sum - all / (double)o->vocabulary);
        if (losses) losses[r] = loss;
        total += loss;
    }
    free(logits);
    return total;
}

static double slope(const struct output_loss *o, double *x, double *w, double *at)
{
    double before = *at, step = 1e-5;
    *at = before + step;
    double above = plain_loss(o, x, w, NULL);
    *at = before - step;
    double below = plain_loss(o, x, w, NULL);
    *at = before;
    return (above - below) / (2 * step);
}

static void check(const struct output_loss *o)
{
    int64_t nx = o->rows * o->width, nw = o->vocabulary * o->width;
    double *x = malloc((size_t)nx * sizeof *x), *w = malloc((size_t)nw * sizeof *w);
    double *losses = malloc((size_t)o->rows * sizeof *losses);
    for (int64_t i = 0; i < nx; i++) x[i] = (double)o->x[i];
    for (int64_t i = 0; i < nw; i++) w[i] = (double)o->w[i];
    double total = plain_loss(o, x, w, losses);
    assert_near((double)*o->loss, total, 2e-6, "loss", 0);
    for (int64_t r = 0; r < o->rows; r++) {
        assert_near((double)o->losses[r], losses[r], 2e-6, "losses", r);
        if (o->targets[r] >= 0) continue;
        assert_true(o->losses[r] == 0);
        for (int64_t c = 0; c < o->width; c++) assert_true(o->dx[r * o->width + c] == 0);
    }
    for (int64_t i = 0; i < nx; i += 1 + nx / 50)
        assert_near((double)o->dx[i], slope(o, x, w, x + i), 1e-5, "dx", i);
    for (int64_t i = 0; i < nw; i += 1 + nw / 50)
        assert_near((double)o->dw[i], slope(o, x, w, w + i), 1e-5, "dw", i);
    free(x), free(w), free(losses);
}

static struct output_loss problem(int64_t rows, int64_t width, int64_t vocabulary, float smoothing,
                                  bool ignore)
{
    int32_t *targets = integers(rows);
    for (int64_t r = 0; r < rows; r++) {
        targets[r] = (int32_t)((uint64_t)(r * 7 + 3) % (uint64_t)vocabulary);
        if (ignore && r % 3 == 1) targets[r] = r % 2 ? -1 : -100;
    }
    return (struct output_loss){.rows = rows,
                                .width = width,
                                .vocabulary = vocabulary,
                                .x = random_floats(rows * width, 31, 1),
                                .w = random_floats(vocabulary * width, 32, 1),
                                .targets = targets,
                                .smoothing = smoothing,
                                .loss = floats(1)};
}

static void run(int64_t rows, int64_t width, int64_t vocabulary, float smoothing, bool ignore)
{
    struct output_loss o = problem(rows, width, vocabulary, smoothing, ignore), first = {.rows = 0};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !kernels[isa]) continue;
        o.loss = floats(1), o.losses = floats(rows), o.dx = floats(rows * width),
        o.dw = floats(vocabulary * width);
        void *scratch = scratch_of(scratch_bytes[isa](rows, width, vocabulary, 1));
        kernels[isa](&o, scratch, &part_whole);
        if (!first.rows) {
            first = o;
            check(&o);
        }
        assert_same_bits(first.loss, o.loss, 4, "loss", isa);
        assert_same_bits(first.losses, o.losses, (size_t)rows * 4, "losses", isa);
        assert_same_bits(first.dx, o.dx, (size_t)(rows * width) * 4, "dx", isa);
        assert_same_bits(first.dw, o.dw, (size_t)(vocabulary * width) * 4, "dw", isa);
        struct output_loss only = o; // the loss alone: the same bits
        only.loss = floats(1), only.losses = NULL, only.dx = only.dw = NULL;
        kernels[isa](&only, scratch, &part_whole);
        assert_same_bits(o.loss, only.loss, 4, "loss alone", isa);
    }
    buffers_check_and_free();
}

static void agrees_with_its_definition(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (int ignore = 0; ignore < 2; ignore++) {
            run(sizes[i][0], sizes[i][1], sizes[i][2], 0, ignore);
            run(sizes[i][0], sizes[i][1], sizes[i][2], 0.1f, ignore);
        }
}

// Heights of tiles from 1 on, and vocabularies that end inside, at and just after a block of entries.
static void every_number_of_rows_agrees(void **state)
{
    (void)state;
    static const int64_t vocabularies[] = {111, 224, 337};
    for (int64_t rows = 1; rows <= 17; rows++) run(rows, 33, vocabularies[rows % 3], 0, rows % 2);
    run(35, 20, 449, 0.1f, false);
    run(70, 49, 225, 0, true);
    run(97, 17, 113, 0, true); // two chunks
}

// A vocabulary so large that 50 rows are several chunks: row by row and the sum of the rows'
// products in order give the same.
static void chunks_change_no_bit(void **state)
{
    (void)state;
    enum { ROWS = 70, WIDTH = 3, VOCABULARY = 200003 };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !kernels[isa] || (isa == ISA_GENERIC && isa_available(ISA_AVX2)))
            continue;
        struct output_loss o = problem(ROWS, WIDTH, VOCABULARY, 0.1f, true), one = o;
        // Where x is 1, a row's dw is its gradient of the logits.
        for (int64_t r = 0; r < ROWS; r++) ((float *)o.x)[r * WIDTH + WIDTH - 1] = 1;
        o.losses = floats(ROWS), o.dx = floats(ROWS * WIDTH), o.dw = floats(VOCABULARY * WIDTH);
        size_t bytes = scratch_bytes[isa](ROWS, WIDTH, VOCABULARY, 1);
        assert_true(bytes < (size_t)ROWS * VOCABULARY * sizeof(float));
        void *scratch = scratch_of(bytes);
        kernels[isa](&o, scratch, &part_whole);
        float *dw = floats(VOCABULARY * WIDTH);
        one.rows = 1, one.dx = floats(WIDTH), one.dw = floats(VOCABULARY * WIDTH),
        one.losses = floats(1);
        memset(dw, 0, (size_t)(VOCABULARY * WIDTH) * sizeof *dw);
        for (int64_t r = 0; r < ROWS; r++) {
            one.x = o.x + r * WIDTH, one.targets = o.targets + r;
            kernels[isa](&one, scratch, &part_whole);
            assert_memory_equal(one.dx, o.dx + r * WIDTH, WIDTH * sizeof(float));
            assert_memory_equal(one.losses, o.losses + r, sizeof(float));
            for (int64_t v = 0; v < VOCABULARY; v++)
                for (int64_t c = 0; c < WIDTH; c++)
                    dw[v * WIDTH + c] =
                        fmaf(one.dw[v * WIDTH + WIDTH - 1], one.x[c], dw[v * WIDTH + c]);
        }
        for (int64_t i = 0; i < VOCABULARY * WIDTH; i++)
            if (dw[i] != o.dw[i])
                fail_msg("dw %lld: %a in chunks, %a row by row", (long long)i, (double)o.dw[i],
                         (double)dw[i]);
        buffers_check_and_free();
    }
}

static void bad_numbers_show(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !kernels[isa]) continue;
        struct output_loss o = problem(5, 8, 33, 0, false);
        void *scratch = scratch_of(scratch_bytes[isa](5, 8, 33, 1));
        float *x = floats(40), large[8] = {1e4f, 1e4f, 1e4f};
        memcpy(x, o.x, 40 * sizeof *x);
        o.x = x, o.losses = floats(5);
        memcpy(x + 8, large, sizeof large);
        kernels[isa](&o, scratch, &part_whole);
        assert_true(isfinite(*o.loss)); // large logits
        x[3] = NAN;
        kernels[isa](&o, scratch, &part_whole);
        assert_true(isnan(o.losses[0]) && isfinite(o.losses[1]) && isnan(*o.loss));
        x[3] = 0;
        ((int32_t *)o.targets)[2] = 33; // beyond the vocabulary
        kernels[isa](&o, scratch, &part_whole);
        assert_true(isnan(o.losses[2]) && isnan(*o.loss));
        buffers_check_and_free();
    }
}

struct float_run {
    enum isa isa;
    const struct output_loss *o;
    void *scratch;
};
static void run_float_part(void *context, const struct part *part)
{
    const struct float_run *run = context;
    kernels[run->isa](run->o, run->scratch, part);
}

// Of three threads, some have no columns of dx or no entries.
static void threads_change_no_bit(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    static const int64_t several[][3] = {{9, 40, 5}, {35, 100, 700}, {100, 17, 256}};
    struct team *team = NULL;
    const struct team_options options = {.threads = THREADS, .crowded = true};
    assert_int_equal(team_create(&options, &team), STATUS_OK);
    for (size_t i = 0; i < sizeof several / sizeof *several; i++) {
        int64_t rows = several[i][0], width = several[i][1], vocabulary = several[i][2];
        for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
            if (!isa_available(isa) || !kernels[isa]) continue;
            struct output_loss o = problem(rows, width, vocabulary, 0.1f, true), shared = o;
            o.losses = floats(rows), shared.losses = floats(rows), shared.loss = floats(1);
            o.dx = floats(rows * width), shared.dx = floats(rows * width);
            o.dw = floats(vocabulary * width), shared.dw = floats(vocabulary * width);
            kernels[isa](&o, scratch_of(scratch_bytes[isa](rows, width, vocabulary, 1)),
                         &part_whole);
            void *scratch = scratch_of(scratch_bytes[isa](rows, width, vocabulary, THREADS));
            team_run(team, run_float_part, &(struct float_run){isa, &shared, scratch});
            assert_same_bits(o.loss, shared.loss, 4, "loss", isa);
            assert_same_bits(o.losses, shared.losses, (size_t)rows * 4, "losses", isa);
            assert_same_bits(o.dx, shared.dx, (size_t)(rows * width) * 4, "dx", isa);
            assert_same_bits(o.dw, shared.dw, (size_t)(vocabulary * width) * 4, "dw", isa);
            buffers_check_and_free();
        }
    }
    team_destroy(team);
}

// ---- bf16 and bf16x3 ----
static const struct form {
    const char *name;
    enum isa isa; // that the machine must have
    bool split;
    void (*run)(const struct output_loss *, void *, const struct part *);
    size_t (*scratch_bytes)(int64_t, int64_t, int64_t, int);
    void (*pack)(void *, const struct product *, int64_t, int64_t);
    size_t (*packed_bytes)(int64_t, int64_t);
} forms[] = {
#define FORM(set, kind, isa, split)                                                                \
    {                                                                                              \
#        kind "_" #        isa, set, split, output_loss_##kind##_##isa,                            \
            output_loss_##kind##_scratch_bytes_##isa, product_##kind##_pack_##isa,                 \
            product_##kind##_packed_bytes_##isa                                                    \
    }
#define FORMS_OF(set, isa) FORM(set, bf16, isa, false), FORM(set, bf16x3, isa, true)
    FORMS_OF(ISA_GENERIC, generic),
#if defined(__x86_64__)
    FORMS_OF(ISA_AVX2, avx2),
    FORMS_OF(ISA_AVX512, avx512),
#elif defined(__aarch64__)
    FORMS_OF(ISA_NEON, neon),
#endif
#if defined(HAVE_AMX)
    FORMS_OF(ISA_AMX, amx),
#endif
};
enum { FORMS = sizeof forms / sizeof *forms, THREADS = 3 };

static void *packed_table(const struct form *form, const struct output_loss *o, bool across)
{
    struct product p = {.cols = across ? o->vocabulary : o->width,
                        .depth = across ? o->width : o->vocabulary,
                        .b = o->w,
                        .b_depth = across ? 1 : o->width,
                        .b_col = across ? o->width : 1};
    void *packed = scratch_of(form->packed_bytes(p.cols, p.depth));
    form->pack(packed, &p, 0, p.cols);
    return packed;
}

struct shared_run {
    const struct form *form;
    const struct output_loss *o;
    void *scratch;
};
static void run_part(void *context, const struct part *part)
{
    const struct shared_run *run = context;
    run->form->run(run->o, run->scratch, part);
}

static void assert_same_results(const struct output_loss *a, const struct output_loss *b,
                                const char *what, enum isa isa)
{
    assert_same_bits(a->loss, b->loss, 4, what, isa);
    assert_same_bits(a->losses, b->losses, (size_t)a->rows * 4, what, isa);
    if (!a->dx || !b->dx) return;
    assert_same_bits(a->dx, b->dx, (size_t)(a->rows * a->width) * 4, what, isa);
    assert_same_bits(a->dw, b->dw, (size_t)(a->vocabulary * a->width) * 4, what, isa);
}

static struct output_loss with_outputs(struct output_loss o, bool gradients)
{
    o.loss = floats(1), o.losses = floats(o.rows);
    if (gradients) o.dx = floats(o.rows * o.width), o.dw = floats(o.vocabulary * o.width);
    return o;
}

// Of the losses alone; test/backend compares gradients with the reference.
static void check_losses(const struct output_loss *o, double tolerance)
{
    int64_t nx = o->rows * o->width, nw = o->vocabulary * o->width;
    double *x = malloc((size_t)nx * sizeof *x), *w = malloc((size_t)nw * sizeof *w);
    double *losses = malloc((size_t)o->rows * sizeof *losses);
    for (int64_t i = 0; i < nx; i++) x[i] = (double)o->x[i];
    for (int64_t i = 0; i < nw; i++) w[i] = (double)o->w[i];
    assert_near((double)*o->loss, plain_loss(o, x, w, losses), tolerance, "loss", 0);
    for (int64_t r = 0; r < o->rows; r++)
        assert_near((double)o->losses[r], losses[r], tolerance, "losses", r);
    free(x), free(w), free(losses);
}

static void run_forms(const int64_t size[3], float smoothing, struct team *team)
{
    struct output_loss first[2];
    bool tried[2] = {false, false};
    struct output_loss problem_of = problem(size[0], size[1], size[2], smoothing, smoothing > 0);
    for (int f = 0; f < FORMS; f++) {
        const struct form *form = &forms[f];
        if (!isa_available(form->isa)) continue;
        struct output_loss o = with_outputs(problem_of, true);
        void *scratch = scratch_of(form->scratch_bytes(size[0], size[1], size[2], THREADS));
        form->run(&o, scratch, &part_whole);
        if (!tried[form->split]) {
            first[form->split] = o;
            tried[form->split] = true;
            check_losses(&o, form->split ? 1e-5 : 1e-2);
        }
        assert_same_results(&first[form->split], &o, form->name, form->isa);
        struct output_loss again = with_outputs(problem_of, true);
        again.packed_across = packed_table(form, &o, true);
        again.packed = packed_table(form, &o, false);
        again.w = NULL;
        form->run(&again, scratch, &part_whole);
        assert_same_results(&o, &again, "with packed weights", form->isa);
        struct output_loss shared = with_outputs(again, true);
        team_run(team, run_part, &(struct shared_run){form, &shared, scratch});
        assert_same_results(&o, &shared, "on 3 threads", form->isa);
        struct output_loss only = with_outputs(problem_of, false);
        form->run(&only, scratch, &part_whole);
        assert_same_results(&o, &only, "loss alone", form->isa);
    }
    buffers_check_and_free();
}

// Vocabularies of several tiles, rows of several chunks.
static void bf16_forms_give_the_same_bits(void **state)
{
    (void)state;
    static const int64_t several[][3] = {{7, 17, 31}, {33, 40, 300}, {70, 33, 1025}, {970, 5, 515}};
    struct team *team = NULL;
    const struct team_options options = {.threads = THREADS, .crowded = true};
    assert_int_equal(team_create(&options, &team), STATUS_OK);
    for (size_t i = 0; i < sizeof several / sizeof *several; i++) {
        run_forms(several[i], 0, team);
        run_forms(several[i], 0.1f, team);
    }
    team_destroy(team);
}

// The largest logit is in the last tile, far above the others; then all are far below 0.
static void sums_follow_the_largest_logit(void **state)
{
    (void)state;
    enum { ROWS = 3, VOCABULARY = 600 };
    for (int f = 0; f < FORMS; f++) {
        if (!isa_available(forms[f].isa)) continue;
        struct output_loss o = with_outputs(problem(ROWS, 1, VOCABULARY, 0, false), true);
        float *x = floats(ROWS), *w = floats(VOCABULARY);
        for (int64_t v = 0; v < VOCABULARY; v++) w[v] = v < 599 ? -2.0f : 98.0f;
        x[0] = 1, x[1] = 100, x[2] = -1;
        o.x = x, o.w = w;
        void *scratch = scratch_of(forms[f].scratch_bytes(ROWS, 1, VOCABULARY, 1));
        forms[f].run(&o, scratch, &part_whole);
        check_losses(&o, 1e-5);
        assert_true(isfinite(*o.loss));
        o.targets = (const int32_t[]){VOCABULARY, 0, -1};
        forms[f].run(&o, scratch, &part_whole);
        assert_true(isnan(o.losses[0]) && isfinite(o.losses[1]) && o.losses[2] == 0);
        x[1] = NAN;
        forms[f].run(&o, scratch, &part_whole);
        assert_true(isnan(o.losses[1]) && o.losses[2] == 0);
        buffers_check_and_free();
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_its_definition),
        cmocka_unit_test(every_number_of_rows_agrees),
        cmocka_unit_test(chunks_change_no_bit),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(bad_numbers_show),
        cmocka_unit_test(bf16_forms_give_the_same_bits),
        cmocka_unit_test(sums_follow_the_largest_logit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
