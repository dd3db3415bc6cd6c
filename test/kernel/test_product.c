// SPDX-License-Identifier: Apache-2.0
// The product equals its definition bit for bit: one fmaf per term, upwards in depth, on every instruction set, for any
// strides, sizes, and epilogue; and the definition is right against doubles.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const products[ISA_COUNT])(const struct product *, void *) = KERNEL_ROW(product);
static size_t (*const scratch_bytes[ISA_COUNT])(int64_t, int64_t,
                                                int64_t) = KERNEL_ROW(product_scratch_bytes);
static size_t (*const packed_bytes[ISA_COUNT])(int64_t, int64_t) = KERNEL_ROW(product_packed_bytes);
static void (*const packs[ISA_COUNT])(void *, const struct product *, int64_t,
                                      int64_t) = KERNEL_ROW(product_pack);

enum { GAP = 3 }; // floats behind each row of C that must stay as they are

struct size {
    int64_t rows, cols, depth;
};
// Around tiles (4, 6, 14 rows; 16, 32 columns), blocks of depth (256, 384), of rows (252, 336; more than two of them)
// and of columns (1,536).
static const struct size sizes[] = {
    {1, 1, 1},     {1, 1, 0},      {2, 5, 0},    {1, 7, 17},    {1, 33, 65},    {1, 65, 385},
    {2, 17, 31},   {3, 31, 33},    {2, 16, 16},  {3, 48, 9},    {4, 17, 65},    {5, 65, 17},
    {7, 1, 7},     {7, 7, 7},      {7, 33, 257}, {8, 32, 8},    {9, 15, 3},     {10, 64, 2},
    {11, 31, 31},  {12, 33, 12},   {13, 17, 65}, {14, 32, 384}, {15, 32, 385},  {16, 16, 256},
    {17, 31, 33},  {17, 65, 31},   {28, 96, 14}, {29, 47, 13},  {31, 17, 7},    {31, 33, 1},
    {33, 31, 17},  {33, 65, 769},  {1, 200, 70}, {2, 193, 66},  {5, 257, 33},   {65, 33, 31},
    {65, 1, 65},   {65, 65, 65},   {253, 18, 5}, {337, 33, 40}, {700, 35, 400}, {40, 700, 30},
    {256, 96, 96}, {674, 1545, 2},
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

enum layout { ROWS, COLUMNS, NEITHER, LAYOUTS };

// x [outer, inner] dense, laid out anew; strides of the two dimensions.
static const float *lay_out(const float *x, int64_t outer, int64_t inner, enum layout layout,
                            int64_t *outer_p, int64_t *inner_p)
{
    *outer_p = layout == ROWS ? inner + 1 : layout == COLUMNS ? 1 : 2 * inner + 1;
    *inner_p = layout == ROWS ? 1 : layout == COLUMNS ? outer + 2 : 2;
    int64_t count = outer && inner ? (outer - 1) * *outer_p + (inner - 1) * *inner_p + 1 : 0;
    float *y = floats(count);
    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < inner; j++) y[i * *outer_p + j * *inner_p] = x[i * inner + j];
    return y;
}

struct expected {
    float *c, *before; // [rows, cols] dense
};

// What the header of kernels.h says, one element at a time.
static struct expected define(const struct size *s, const float *a, const float *b, const float *c,
                              const float *bias, enum activation activation)
{
    struct expected e = {floats(s->rows * s->cols), floats(s->rows * s->cols)};
    for (int64_t i = 0; i < s->rows; i++) {
        for (int64_t j = 0; j < s->cols; j++) {
            float sum = c ? c[i * s->cols + j] : 0;
            double exact = (double)sum, size = fabs(exact);
            for (int64_t k = 0; k < s->depth; k++) {
                float u = a[i * s->depth + k], v = b[k * s->cols + j];
                sum = fmaf(u, v, sum);
                exact += (double)u * (double)v;
                size += fabs((double)u * (double)v);
            }
            if (fabs((double)sum - exact) > 1e-7 * (double)(s->depth + 1) * size)
                fail_msg("sum [%lld, %lld] is %.9g, in double %.9g", (long long)i, (long long)j,
                         (double)sum, exact);
            e.before[i * s->cols + j] = bias ? sum + bias[j] : sum;
        }
    }
    activation_generic(e.c, e.before, s->rows * s->cols, activation);
    return e;
}

static void check_rows(const float *got, const float *want, const struct size *s, const char *what,
                       enum isa isa)
{
    static const unsigned char untouched[GAP * sizeof(float)] = {255, 255, 255, 255, 255, 255,
                                                                 255, 255, 255, 255, 255, 255};
    for (int64_t i = 0; i < s->rows; i++) {
        const float *row = got + i * (s->cols + GAP);
        for (int64_t j = 0; j < s->cols; j++) {
            if (memcmp(&row[j], &want[i * s->cols + j], sizeof *row) == 0) continue;
            fail_msg("%s [%lld, %lld] of %lld x %lld x %lld is %a, should be %a (%s)", what,
                     (long long)i, (long long)j, (long long)s->rows, (long long)s->cols,
                     (long long)s->depth, (double)row[j], (double)want[i * s->cols + j],
                     isa_name(isa));
        }
        if (i + 1 < s->rows) assert_memory_equal(row + s->cols, untouched, sizeof untouched);
    }
}

// p again with B packed in two parts, whole and as a product of the second part's columns.
static void check_packed(struct product p, const struct size *s, const float *start,
                         const struct expected *e, enum isa isa)
{
    int64_t half = s->cols / 2 / PRODUCT_PANEL * PRODUCT_PANEL;
    unsigned char *packed = scratch_of(packed_bytes[isa](s->cols, s->depth));
    packs[isa](packed, &p, half, s->cols - half);
    packs[isa](packed, &p, 0, half);
    p.b = NULL;
    for (int64_t first = 0; first <= half; first += half ? half : 1) {
        struct product part = p;
        part.packed = packed + packed_bytes[isa](first, s->depth);
        part.cols = s->cols - first;
        part.c = p.c + first;
        if (p.bias) part.bias = p.bias + first;
        if (p.before) part.before = p.before + first;
        for (int64_t i = 0; i < s->rows; i++)
            for (int64_t j = first; j < s->cols; j++)
                p.c[i * p.c_row + j] = p.accumulate ? start[i * s->cols + j] : NAN;
        products[isa](&part, scratch_of(scratch_bytes[isa](s->rows, part.cols, s->depth)));
        check_rows(p.c, e->c, s, "C with B packed", isa);
        if (p.before) check_rows(p.before, e->before, s, "before with B packed", isa);
    }
}

// One size, with operands laid out and options chosen by `number`.
static void check_size(const struct size *s, int number)
{
    enum layout a_layout = number % LAYOUTS, b_layout = number / 3 % LAYOUTS;
    bool accumulate = number & 1, has_bias = number & 2, has_before = number & 4;
    enum activation activation = number % 5;
    float *a = random_floats(s->rows * s->depth, 1, 1),
          *b = random_floats(s->depth * s->cols, 2, 1);
    float *start = random_floats(s->rows * s->cols, 3, 1), *bias = random_floats(s->cols, 4, 1);
    struct expected e =
        define(s, a, b, accumulate ? start : NULL, has_bias ? bias : NULL, activation);
    struct product p = {.rows = s->rows,
                        .cols = s->cols,
                        .depth = s->depth,
                        .accumulate = accumulate,
                        .bias = has_bias ? bias : NULL,
                        .activation = activation,
                        .c_row = s->cols + GAP};
    p.a = lay_out(a, s->rows, s->depth, a_layout, &p.a_row, &p.a_depth);
    p.b = lay_out(b, s->depth, s->cols, b_layout, &p.b_depth, &p.b_col);
    int64_t span = (s->rows - 1) * p.c_row + s->cols;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !products[isa]) continue;
        p.c = floats(span);
        p.before = has_before ? floats(span) : NULL;
        for (int64_t i = 0; accumulate && i < s->rows; i++)
            memcpy(p.c + i * p.c_row, start + i * s->cols, (size_t)s->cols * sizeof *start);
        products[isa](&p, scratch_of(scratch_bytes[isa](s->rows, s->cols, s->depth)));
        check_rows(p.c, e.c, s, "C", isa);
        if (has_before) check_rows(p.before, e.before, s, "before", isa);
        check_packed(p, s, start, &e, isa);
    }
    buffers_check_and_free();
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (int number = 0; number < 9; number++) check_size(&sizes[i], number + 9 * (i % 5));
}

// 0 times infinity, infinities and NaNs go where they belong, and only there.
static void spreads_nan_and_infinity(void **state)
{
    (void)state;
    enum { N = 21 };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !products[isa]) continue;
        float *a = random_floats(N * N, 5, 1), *b = random_floats(N * N, 6, 1), *c = floats(N * N);
        a[3 * N + 4] = NAN;
        b[7 * N + 20] = INFINITY;
        a[9 * N + 7] = 0;
        struct product p = {.rows = N,
                            .cols = N,
                            .depth = N,
                            .a = a,
                            .a_row = N,
                            .a_depth = 1,
                            .b = b,
                            .b_depth = N,
                            .b_col = 1,
                            .c = c,
                            .c_row = N};
        products[isa](&p, scratch_of(scratch_bytes[isa](N, N, N)));
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                bool nan = i == 3 || (i == 9 && j == 20), infinite = j == 20 && !nan;
                assert_int_equal(isnan(c[i * N + j]) != 0, nan);
                assert_int_equal(isinf(c[i * N + j]) != 0, infinite);
            }
        }
        buffers_check_and_free();
    }
}

// 1 + 2^-23 and nearly half a unit more, as (1 + 2^-23) (1 - 2^-23) 2^-24: a double takes the sum for the middle between two
// floats, and its rounding to float would go up.
static void rounds_once(void **state)
{
    (void)state;
    enum { N = 64 };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !products[isa]) continue;
        for (int64_t rows = 1; rows < 4; rows++) {
            float *a = floats(rows * 2), *b = floats(2 * N), *c = floats(rows * N);
            for (int64_t i = 0; i < rows; i++) a[2 * i] = 1 + 0x1p-23f, a[2 * i + 1] = 1 + 0x1p-23f;
            for (int j = 0; j < N; j++)
                b[j] = 1, b[N + j] = (1 - 0x1p-23f) * (j & 1 ? 0x1p-24f : 0x1p-25f);
            struct product p = {.rows = rows,
                                .cols = N,
                                .depth = 2,
                                .a = a,
                                .a_row = 2,
                                .a_depth = 1,
                                .b = b,
                                .b_depth = N,
                                .b_col = 1,
                                .c = c,
                                .c_row = N};
            products[isa](&p, scratch_of(scratch_bytes[isa](rows, N, 2)));
            for (int64_t i = 0; i < rows * N; i++) assert_true(c[i] == 1 + 0x1p-23f);
            buffers_check_and_free();
        }
    }
}

// A residual is what add() of it and of the product gives, whatever the shape and the epilogue before it.
static void a_residual_is_an_addition(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
            if (!isa_available(isa) || !products[isa]) continue;
            const struct size *s = &sizes[i];
            int64_t n = s->rows * s->cols;
            struct product p = {.rows = s->rows,
                                .cols = s->cols,
                                .depth = s->depth,
                                .a = random_floats(s->rows * s->depth, 21, 1),
                                .a_row = s->depth,
                                .a_depth = 1,
                                .b = random_floats(s->depth * s->cols, 22, 1),
                                .b_depth = i % 2 ? 1 : s->cols,
                                .b_col = i % 2 ? s->depth : 1,
                                .c = floats(n),
                                .c_row = s->cols,
                                .bias = i % 3 ? random_floats(s->cols, 23, 1) : NULL,
                                .activation = i % 4 == 3 ? ACTIVATION_GELU : ACTIVATION_NONE};
            float *sum = floats(n), *residual = random_floats(n, 24, 1);
            void *scratch = scratch_of(scratch_bytes[isa](s->rows, s->cols, s->depth));
            products[isa](&p, scratch);
            add_generic(sum, residual, p.c, n);
            p.residual = residual;
            p.c = floats(n);
            products[isa](&p, scratch);
            assert_same_bits(sum, p.c, (size_t)n * 4, "with a residual", isa);
            buffers_check_and_free();
        }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(a_residual_is_an_addition),
        cmocka_unit_test(spreads_nan_and_infinity),
        cmocka_unit_test(rounds_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
