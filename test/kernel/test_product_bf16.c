// SPDX-License-Identifier: Apache-2.0
// bf16 and bf16x3 products equal their definition bit for bit, on every instruction set and with AMX's kernels over tiles that
// are defined in plain C, for any strides, sizes and epilogue; and they are as near to the product in double as is said.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

// AMX's kernels a second time, as <name>_defined, over tiles_defined.h and the lanes of any processor.
#define DEFINED(type, name, ...) type name##_defined(__VA_ARGS__);
DEFINED(void, product_bf16, const struct product *p, void *scratch)
DEFINED(size_t, product_bf16_scratch_bytes, int64_t rows, int64_t cols, int64_t depth)
DEFINED(size_t, product_bf16_packed_bytes, int64_t cols, int64_t depth)
DEFINED(void, product_bf16_pack, void *packed, const struct product *p, int64_t first_col,
        int64_t cols)
DEFINED(void, product_bf16x3, const struct product *p, void *scratch)
DEFINED(size_t, product_bf16x3_scratch_bytes, int64_t rows, int64_t cols, int64_t depth)
DEFINED(size_t, product_bf16x3_packed_bytes, int64_t cols, int64_t depth)
DEFINED(void, product_bf16x3_pack, void *packed, const struct product *p, int64_t first_col,
        int64_t cols)
DEFINED(void, product_bf16_pack_range, void *packed, const struct product *p, int64_t first,
        int64_t last)
DEFINED(void, product_bf16x3_pack_range, void *packed, const struct product *p, int64_t first,
        int64_t last)
#include "kernel/tiles_defined.h"
#define LANES_generic 1
#define LANES_ISA     defined
#include "kernel/cpu/amx/product_bf16.c"

// ---- all forms of both products ----
enum { BF16, BF16X3, KINDS };
static const char *const kind_names[KINDS] = {"bf16", "bf16x3"};
struct form {
    const char *name;
    enum isa isa; // that the machine must have
    struct {
        void (*run)(const struct product *p, void *scratch);
        size_t (*scratch_bytes)(int64_t rows, int64_t cols, int64_t depth);
        size_t (*packed_bytes)(int64_t cols, int64_t depth);
        void (*pack)(void *packed, const struct product *p, int64_t first_col, int64_t cols);
        void (*pack_range)(void *packed, const struct product *p, int64_t first, int64_t last);
    } kind[KINDS];
};
#define FORM(name, isa)                                                                            \
    {                                                                                              \
#        name, isa,                                                                                \
        {                                                                                          \
            {product_bf16_##name, product_bf16_scratch_bytes_##name,                               \
             product_bf16_packed_bytes_##name, product_bf16_pack_##name,                           \
             product_bf16_pack_range_##name},                                                      \
            {                                                                                      \
                product_bf16x3_##name, product_bf16x3_scratch_bytes_##name,                        \
                    product_bf16x3_packed_bytes_##name, product_bf16x3_pack_##name,                \
                    product_bf16x3_pack_range_##name                                               \
            }                                                                                      \
        }                                                                                          \
    }
static const struct form forms[] = {
    FORM(generic, ISA_GENERIC), FORM(defined, ISA_GENERIC),
#if defined(__x86_64__)
    FORM(avx2, ISA_AVX2),       FORM(avx512, ISA_AVX512),
#elif defined(__aarch64__)
    FORM(neon, ISA_NEON),
#endif
#if defined(HAVE_AMX)
    FORM(amx, ISA_AMX),
#endif
};
enum { FORMS = sizeof forms / sizeof *forms };
static struct {
    const struct form *form;
    int kind;
} tried; // for messages
static void run_form(const struct form *form, int kind, const struct product *p)
{
    tried.form = form, tried.kind = kind;
    form->kind[kind].run(p, scratch_of(form->kind[kind].scratch_bytes(p->rows, p->cols, p->depth)));
}

// ---- the definition ----
static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
// To the nearest of the two bf16 around x, in double; of two equally near ones the even.
static float rounded(float x)
{
    if (isnan(x) || isinf(x)) return x;
    if (fabsf(x) < 0x1p-126f) return copysignf(0, x);
    uint32_t down = to_bits(x) & 0xffff0000, up = down + 0x10000;
    double low = fabs((double)from_bits(down)), high = low + ldexp(1, ilogb(low) - 7);
    double size = fabs((double)x);
    bool take_low = size - low < high - size || (size - low == high - size && !(down & 0x10000));
    return from_bits(take_low ? down : up);
}
static void split(float x, float *high_p, float *low_p)
{
    *high_p = rounded(x);
    if (isinf(*high_p)) *high_p = isinf(x) ? copysignf(1, x) : from_bits(to_bits(x) & 0xffff0000);
    *low_p = rounded(x - *high_p);
}

// Lines of `depth` terms, filled up with zeros to whole blocks, in parts.
struct parts {
    float *high, *low;
    int64_t padded;
};
static struct parts take_apart(int kind, const float *x, int64_t lines, int64_t depth)
{
    int64_t padded = (depth + 31) / 32 * 32;
    struct parts y = {floats(lines * padded), floats(lines * padded), padded};
    for (int64_t i = 0; i < lines; i++) {
        for (int64_t k = 0; k < padded; k++) {
            float *high = &y.high[i * padded + k], *low = &y.low[i * padded + k];
            *high = *low = 0;
            if (k < depth && kind == BF16) *high = rounded(x[i * depth + k]);
            if (k < depth && kind == BF16X3) split(x[i * depth + k], high, low);
        }
    }
    return y;
}

static float block_sum(const float *a, const float *b)
{
    float even = 0, odd = 0;
    for (int k = 0; k < 32; k += 2) {
        even = fmaf(a[k], b[k], even);
        odd = fmaf(a[k + 1], b[k + 1], odd);
    }
    return even + odd;
}
// Row i of A times column j of B, added to `start`.
static float define(int kind, const struct parts *a, int64_t i, const struct parts *b, int64_t j,
                    float start)
{
    float c = start;
    const float *ah = a->high + i * a->padded, *bh = b->high + j * b->padded;
    const float *al = a->low + i * a->padded, *bl = b->low + j * b->padded;
    for (int64_t k = 0; k < a->padded; k += 32) {
        if (kind == BF16X3) c += block_sum(ah + k, bl + k);
        c += block_sum(ah + k, bh + k);
        if (kind == BF16X3) c += block_sum(al + k, bh + k);
    }
    return c;
}

// ---- sizes, strides, epilogues ----
enum { GAP = 3 }; // floats behind each row of C that must stay as they are
struct size {
    int64_t rows, cols, depth;
};
// Around tiles (16 rows and columns, 32 terms; 2, 3, 6 rows), blocks of depth (128, 256, 512) and of rows (192, 512).
static const struct size sizes[] = {
    {1, 1, 1},     {1, 1, 0},    {2, 5, 0},     {1, 7, 17},    {1, 33, 65},  {2, 17, 31},
    {3, 31, 33},   {4, 17, 65},  {7, 1, 7},     {7, 7, 7},     {7, 33, 257}, {8, 32, 8},
    {16, 16, 32},  {16, 32, 64}, {17, 31, 33},  {17, 65, 31},  {31, 17, 7},  {31, 33, 1},
    {32, 32, 512}, {33, 31, 17}, {33, 65, 129}, {33, 34, 513}, {65, 33, 31}, {65, 1, 65},
    {65, 65, 65},  {5, 200, 66}, {193, 18, 5},  {513, 17, 34}, {40, 300, 3}, {33, 49, 769},
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

static void check_rows(const float *got, const float *want, const struct size *s, const char *what)
{
    static const unsigned char untouched[GAP * sizeof(float)] = {255, 255, 255, 255, 255, 255,
                                                                 255, 255, 255, 255, 255, 255};
    for (int64_t i = 0; i < s->rows; i++) {
        const float *row = got + i * (s->cols + GAP);
        for (int64_t j = 0; j < s->cols; j++) {
            if (memcmp(&row[j], &want[i * s->cols + j], sizeof *row) == 0) continue;
            fail_msg("%s [%lld, %lld] of %lld x %lld x %lld is %a, should be %a (%s, %s)", what,
                     (long long)i, (long long)j, (long long)s->rows, (long long)s->cols,
                     (long long)s->depth, (double)row[j], (double)want[i * s->cols + j],
                     kind_names[tried.kind], tried.form->name);
        }
        if (i + 1 < s->rows) assert_memory_equal(row + s->cols, untouched, sizeof untouched);
    }
}

struct operands {
    float *a, *b, *start, *bias; // dense; b [cols, depth]
    float *c, *before;           // expected
};
static struct operands make_operands(const struct size *s, int kind, bool accumulate, bool has_bias,
                                     enum activation activation)
{
    struct operands o = {.a = random_floats(s->rows * s->depth, 1, 1),
                         .b = random_floats(s->depth * s->cols, 2, 1),
                         .start = random_floats(s->rows * s->cols, 3, 1),
                         .bias = random_floats(s->cols, 4, 1),
                         .c = floats(s->rows * s->cols),
                         .before = floats(s->rows * s->cols)};
    struct parts a = take_apart(kind, o.a, s->rows, s->depth);
    struct parts b = take_apart(kind, o.b, s->cols, s->depth);
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->cols; j++) {
            int64_t at = i * s->cols + j;
            float c = define(kind, &a, i, &b, j, accumulate ? o.start[at] : 0);
            o.before[at] = has_bias ? c + o.bias[j] : c;
        }
    activation_generic(o.c, o.before, s->rows * s->cols, activation);
    return o;
}

static void fill_c(const struct product *p, const struct operands *o)
{
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->cols; j++)
            p->c[i * p->c_row + j] = p->accumulate ? o->start[i * p->cols + j] : NAN;
}

// p with B packed in two parts, whole and as a product of the second part's columns.
static void check_packed(const struct form *form, int kind, struct product p, const struct size *s,
                         const struct operands *o)
{
    size_t (*bytes)(int64_t, int64_t) = form->kind[kind].packed_bytes;
    int64_t half = s->cols / 2 / PRODUCT_PANEL * PRODUCT_PANEL;
    unsigned char *packed = scratch_of(bytes(s->cols, s->depth));
    form->kind[kind].pack(packed, &p, half, s->cols - half);
    form->kind[kind].pack(packed, &p, 0, half);
    p.b = NULL;
    for (int64_t first = 0; first <= half; first += half ? half : 1) {
        struct product part = p;
        fill_c(&p, o);
        if (first) run_form(form, kind, &(struct product){.rows = 0}), part.c += first;
        part.packed = packed + bytes(first, s->depth);
        part.cols = s->cols - first;
        if (p.bias) part.bias = p.bias + first;
        if (p.before) part.before = p.before + first;
        for (int64_t i = 0; first && i < s->rows; i++)
            memcpy(p.c + i * p.c_row, o->c + i * s->cols, (size_t)first * sizeof *o->c);
        run_form(form, kind, &part);
        check_rows(p.c, o->c, s, "C with B packed");
        if (p.before) check_rows(p.before, o->before, s, "before with B packed");
    }
}

// One size, with operands laid out and options chosen by `number`.
static void check_size(const struct size *s, int number, int kind)
{
    enum layout a_layout = number % LAYOUTS, b_layout = number / 3 % LAYOUTS;
    bool has_bias = number & 2, has_before = number & 4;
    struct product p = {.rows = s->rows,
                        .cols = s->cols,
                        .depth = s->depth,
                        .accumulate = number & 1,
                        .activation = (enum activation)(number % 5),
                        .c_row = s->cols + GAP};
    struct operands o = make_operands(s, kind, p.accumulate, has_bias, p.activation);
    p.bias = has_bias ? o.bias : NULL;
    p.a = lay_out(o.a, s->rows, s->depth, a_layout, &p.a_row, &p.a_depth);
    p.b = lay_out(o.b, s->cols, s->depth, b_layout, &p.b_col, &p.b_depth);
    int64_t span = (s->rows - 1) * p.c_row + s->cols;
    for (int f = 0; f < FORMS; f++) {
        if (!isa_available(forms[f].isa)) continue;
        p.c = floats(span);
        p.before = has_before ? floats(span) : NULL;
        fill_c(&p, &o);
        run_form(&forms[f], kind, &p);
        check_rows(p.c, o.c, s, "C");
        if (has_before) check_rows(p.before, o.before, s, "before");
        check_packed(&forms[f], kind, p, s, &o);
    }
    buffers_check_and_free();
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (int number = 0; number < 9; number += 1 + (sizes[i].rows > 100))
            for (int kind = 0; kind < KINDS; kind++)
                check_size(&sizes[i], number + 9 * (i % 5), kind);
}

// A depth that is cut at whole blocks and accumulated: the same bits. The output layer's chunks rest on it.
static void depth_may_be_cut_between_blocks(void **state)
{
    (void)state;
    enum { N = 37, DEPTH = 203 };
    float *a = random_floats(N * DEPTH, 9, 1), *b = random_floats(N * DEPTH, 10, 1);
    float *whole = floats(N * N), *parts = floats(N * N);
    for (int f = 0; f < FORMS; f++) {
        for (int kind = 0; kind < KINDS && isa_available(forms[f].isa); kind++) {
            struct product p = {.rows = N,
                                .cols = N,
                                .depth = DEPTH,
                                .a = a,
                                .a_row = 1,
                                .a_depth = N,
                                .b = b,
                                .b_depth = N,
                                .b_col = 1,
                                .c = whole,
                                .c_row = N};
            run_form(&forms[f], kind, &p);
            p.c = parts;
            for (int64_t k = 0; k < DEPTH; k += 96) {
                p.depth = DEPTH - k < 96 ? DEPTH - k : 96;
                p.a = a + k * N, p.b = b + k * N;
                p.accumulate = k > 0;
                run_form(&forms[f], kind, &p);
            }
            assert_memory_equal(parts, whole, N * N * sizeof *whole);
            // The same out of one packed B.
            void *packed = scratch_of(forms[f].kind[kind].packed_bytes(N, DEPTH));
            p.depth = DEPTH, p.b = b;
            forms[f].kind[kind].pack(packed, &p, 0, N);
            memset(parts, 0xFF, N * N * sizeof *parts);
            p.b = NULL, p.packed = packed, p.packed_depth = DEPTH;
            for (int64_t k = 0; k < DEPTH; k += 96) {
                p.depth = DEPTH - k < 96 ? DEPTH - k : 96;
                p.a = a + k * N, p.packed_first = k;
                p.accumulate = k > 0;
                run_form(&forms[f], kind, &p);
            }
            assert_memory_equal(parts, whole, N * N * sizeof *whole);
        }
    }
    buffers_check_and_free();
}

// Ranges of B written in any cuts, over what a fill of other numbers left: the bytes of one fill.
static void ranges_write_what_a_fill_writes(void **state)
{
    (void)state;
    static const struct {
        int64_t cols, depth;
    } shapes[] = {{1, 1}, {17, 33}, {16, 64}, {50, 7}, {96, 70}, {3, 200}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int f = 0; f < FORMS; f++)
            for (int turn = 0; turn < 2 * KINDS && isa_available(forms[f].isa); turn++) {
                int kind = turn / 2;
                struct product p = {.cols = shapes[s].cols, .depth = shapes[s].depth};
                int64_t all = p.cols * p.depth;
                p.b_col = turn % 2 ? p.depth : 1;
                p.b_depth = turn % 2 ? 1 : p.cols;
                size_t bytes = forms[f].kind[kind].packed_bytes(p.cols, p.depth);
                unsigned char *whole = scratch_of(bytes), *ranges = scratch_of(bytes);
                p.b = random_floats(all, 51, 1);
                forms[f].kind[kind].pack(ranges, &p, 0, p.cols);
                p.b = random_floats(all, 52, 1);
                forms[f].kind[kind].pack(whole, &p, 0, p.cols);
                int64_t lengths[] = {1, 3 * product_bf16_band(&p), 5, product_bf16_band(&p) + 2};
                for (int64_t i = 0, at = 0, n; at < all; at += n) {
                    n = lengths[i++ % 4];
                    if (n > all - at) n = all - at;
                    forms[f].kind[kind].pack_range(ranges, &p, at, at + n);
                }
                assert_memory_equal(ranges, whole, bytes);
                buffers_check_and_free();
            }
}

// ---- accuracy ----
static struct product square(const float *a, const float *b, float *c, int64_t n, int64_t depth)
{
    return (struct product){.rows = n,
                            .cols = n,
                            .depth = depth,
                            .a = a,
                            .a_row = depth,
                            .a_depth = 1,
                            .b = b,
                            .b_depth = 1,
                            .b_col = depth,
                            .c = c,
                            .c_row = n};
}

// Root mean square of the error over that of the product in double.
static double relative_error(int kind, int64_t depth)
{
    enum { N = 48 };
    float *a = random_floats(N * depth, 7, 1), *b = random_floats(N * depth, 8, 1);
    float *c = floats(N * N);
    struct product p = square(a, b, c, N, depth);
    double error = 0, size = 0;
    run_form(&forms[0], kind, &p);
    for (int64_t i = 0; i < N; i++) {
        for (int64_t j = 0; j < N; j++) {
            double exact = 0;
            for (int64_t k = 0; k < depth; k++)
                exact += (double)a[i * depth + k] * (double)b[j * depth + k];
            error += ((double)c[i * N + j] - exact) * ((double)c[i * N + j] - exact);
            size += exact * exact;
        }
    }
    buffers_check_and_free();
    return sqrt(error / size);
}

static void is_as_accurate_as_said(void **state)
{
    (void)state;
    static const struct {
        int kind;
        int64_t depth;
        double least, most;
    } cases[] = {{BF16, 64, 5e-4, 4e-3},
                 {BF16, 768, 5e-4, 4e-3},
                 {BF16X3, 64, 1e-7, 6e-6},
                 {BF16X3, 768, 1e-7, 6e-6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double error = relative_error(cases[i].kind, cases[i].depth);
        print_message("# %s, %lld terms: relative RMS error %.2e\n", kind_names[cases[i].kind],
                      (long long)cases[i].depth, error);
        assert_true(error > cases[i].least && error < cases[i].most);
    }
}

// ---- numbers at the edges ----
// C = a b of single terms, the same for all forms; returns C.
static float one_term(int kind, float a, float b)
{
    float first = 0;
    for (int f = 0; f < FORMS; f++) {
        float c = 7;
        struct product p = square(&a, &b, &c, 1, 1);
        if (!isa_available(forms[f].isa)) continue;
        run_form(&forms[f], kind, &p);
        if (f == 0) first = c;
        if (isnan(first) ? !isnan(c) : to_bits(first) != to_bits(c))
            fail_msg("%s: %a times %a is %a, but %a with %s", kind_names[kind], (double)a,
                     (double)b, (double)first, (double)c, forms[f].name);
    }
    buffers_check_and_free();
    return first;
}

static void rounds_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        float x, y;
    } cases[] = {
        {1, 1},
        {-3.140625f, -3.140625f},
        {1 + 0x1p-8f, 1},             // half way: to the even one below
        {1 + 0x1.8p-7f, 1 + 0x1p-6f}, // half way: to the even one above
        {1 + 0x1.0002p-8f, 1 + 0x1p-7f},
        {0x1.fep+127f, 0x1.fep+127f},
        {0x1.fefffep+127f, 0x1.fep+127f},
        {0x1.ffp+127f, INFINITY},
        {-0x1.fffffep+127f, -INFINITY},
        {0x1p-126f, 0x1p-126f},
        {0x1.fffffcp-127f, 0}, // a denormal, though it is nearest to 2^-126
        {-0x1p-130f, 0},       // C begins at +0
        {INFINITY, INFINITY},
        {-INFINITY, -INFINITY},
        {NAN, NAN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float y = one_term(BF16, cases[i].x, 1), z = one_term(BF16, 1, cases[i].x);
        if (isnan(cases[i].y)) {
            assert_true(isnan(y) && isnan(z));
            continue;
        }
        if (to_bits(y) != to_bits(cases[i].y) || to_bits(z) != to_bits(cases[i].y))
            fail_msg("%a is rounded to %a and %a, should be %a", (double)cases[i].x, (double)y,
                     (double)z, (double)cases[i].y);
    }
}

// Whose upper half alone would be infinity, or which rounding upwards would make 0.
static void nans_stay_nans(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7fc00000};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        for (int kind = 0; kind < KINDS; kind++)
            assert_true(isnan(one_term(kind, from_bits(bits[i]), 1)));
}

// As a float32 product does, whatever the other operand's low part is.
static void splits_keep_infinities(void **state)
{
    (void)state;
    static const float numbers[] = {1,         -1,    1 + 0x1p-9f,    1 - 0x1p-9f,  -0x1.234567p+3f,
                                    0x1p-100f, 3e38f, 0x1.fffep+127f, 0x1.ffp+127f, -INFINITY,
                                    INFINITY};
    enum { N = sizeof numbers / sizeof *numbers };
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            float x = numbers[i], y = numbers[j], got = one_term(BF16X3, x, y), want = x * y;
            bool right = fabs((double)got - (double)want) <= 1e-4 * fabs((double)want);
            // Parts of a product that overflows may do so towards both sides.
            if (isinf(want)) right = isinf(x) || isinf(y) ? got == want : !isfinite(got);
            if (!right) fail_msg("%a times %a is %a", (double)x, (double)y, (double)got);
        }
        assert_true(isnan(one_term(BF16X3, numbers[i], NAN)));
        assert_true(isnan(one_term(BF16X3, NAN, numbers[i])));
        assert_true(!isnan(one_term(BF16X3, numbers[i], 0)) == !isinf(numbers[i]));
    }
    assert_true(isnan(one_term(BF16X3, 0, INFINITY)));
    assert_true(isnan(one_term(BF16, 0, INFINITY)));
}

// Sums that underflow to -0 and blocks that are cut short give zeros of the same sign everywhere.
static void zeros_have_one_sign(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int64_t depth = 1; depth <= 66; depth++) {
            float a[66], b[66], first = 0;
            for (int64_t k = 0; k < depth; k++) a[k] = -0x1p-70f, b[k] = 0x1p-70f;
            for (int f = 0; f < FORMS; f++) {
                if (!isa_available(forms[f].isa)) continue;
                float c = -0.0f;
                struct product p = square(a, b, &c, 1, depth);
                p.accumulate = true;
                run_form(&forms[f], kind, &p);
                if (f == 0) first = c;
                assert_true(c == 0);
                if (to_bits(c) != to_bits(first))
                    fail_msg("%s, depth %lld: %a, but %a with %s", kind_names[kind],
                             (long long)depth, (double)first, (double)c, forms[f].name);
            }
            buffers_check_and_free();
        }
    }
}

// NaN and infinity go where they belong, and only there.
static void spreads_nan_and_infinity(void **state)
{
    (void)state;
    enum { N = 21 };
    for (int f = 0; f < FORMS; f++) {
        for (int kind = 0; kind < KINDS && isa_available(forms[f].isa); kind++) {
            float *a = random_floats(N * N, 5, 1), *b = random_floats(N * N, 6, 1);
            float *c = floats(N * N);
            a[3 * N + 4] = NAN;
            b[20 * N + 7] = INFINITY;
            a[9 * N + 7] = 0;
            struct product p = square(a, b, c, N, N);
            run_form(&forms[f], kind, &p);
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
}

static void amx_itself_was_tried(void **state)
{
    (void)state;
    if (isa_available(ISA_AMX)) return;
    print_message(
        "# this processor, system or build has no AMX: its kernels ran on defined tiles only\n");
    skip();
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_write_what_a_fill_writes), cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(depth_may_be_cut_between_blocks), cmocka_unit_test(is_as_accurate_as_said),
        cmocka_unit_test(rounds_to_nearest_even),          cmocka_unit_test(nans_stay_nans),
        cmocka_unit_test(splits_keep_infinities),          cmocka_unit_test(zeros_have_one_sign),
        cmocka_unit_test(spreads_nan_and_infinity),        cmocka_unit_test(amx_itself_was_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
