// SPDX-License-Identifier: Apache-2.0
// Plans of epochs: every example once, in a micro-batch that is long enough, the same for whoever asks, other ones each epoch.
#include "data/buckets.h"
#include "text_files.h"

struct plan {
    struct buckets buckets;
    int32_t *length, *order;
    uint8_t *bucket;
};

static int64_t places(const struct buckets *b) { return b->micro_batches * b->most_rows; }

// tokens: of a micro-batch, whose rows are as many as its edge lets; 0: `rows` of them.
static struct plan make(int64_t examples, int64_t rows, int64_t tokens, int64_t step, int edges,
                        int32_t longest)
{
    struct plan plan = {.length = calloc((size_t)examples, sizeof(int32_t))};
    int64_t *count = calloc((size_t)longest + 1, sizeof *count);
    struct philox_address lengths_at = {.seed = 3, .stream = philox_stream(PHILOX_TEST, 8)};
    for (int64_t i = 0; i < examples; i++) {
        uint32_t bits = philox_bits(lengths_at, (uint64_t)i);
        plan.length[i] = 1 + (int32_t)((uint64_t)bits % 97 * (bits >> 8) % (uint32_t)longest);
        count[plan.length[i]]++;
    }
    struct buckets *b = &plan.buckets;
    *b = (struct buckets){.examples = examples, .step = step, .seed = 11, .length = plan.length};
    b->edges = buckets_edges(count, longest, 8, edges, b->edge);
    for (int i = 0; i < b->edges; i++) {
        b->rows[i] = tokens ? tokens / b->edge[i] : rows;
        if (b->rows[i] < 1) b->rows[i] = 1;
    }
    assert_int_equal(buckets_create(b), STATUS_OK);
    plan.order = malloc((size_t)places(b) * sizeof *plan.order);
    plan.bucket = malloc((size_t)b->micro_batches);
    free(count);
    return plan;
}

static void release(struct plan *plan)
{
    buckets_release(&plan->buckets);
    free(plan->length);
    free(plan->order);
    free(plan->bucket);
}

static void check_epoch(const struct plan *plan, uint32_t epoch)
{
    const struct buckets *b = &plan->buckets;
    char *seen = calloc((size_t)b->examples, 1);
    int64_t found = 0, batches[BUCKETS_MOST] = {0};
    buckets_epoch(b, epoch, plan->order, plan->bucket);
    assert_int_equal(b->micro_batches % b->step, 0);
    for (int64_t i = 0; i < places(b); i++) {
        int32_t example = plan->order[i];
        int64_t m = i / b->most_rows, row = i % b->most_rows;
        int bucket = plan->bucket[m];
        assert_in_range(bucket, 0, b->edges - 1);
        if (row == 0) batches[bucket]++;
        if (row >= b->rows[bucket]) assert_int_equal(example, -1);
        if (example < 0) continue;
        assert_in_range(example, 0, b->examples - 1);
        assert_int_equal(seen[example]++, 0);
        found++;
        // The shortest edge that holds it.
        assert_true(b->length[example] <= b->edge[bucket]);
        assert_true(bucket == 0 || b->edge[bucket - 1] < b->length[example]);
    }
    assert_int_equal(found, b->examples);
    assert_memory_equal(batches, b->batches, (size_t)b->edges * sizeof *batches);
    free(seen);
}

static void every_example_once(void **state)
{
    (void)state;
    static const int64_t shape[][5] = {
        {1, 1, 0, 1, 1},    {1, 4, 0, 3, 2},     {7, 2, 0, 2, 1},      {100, 4, 0, 3, 5},
        {1000, 8, 0, 4, 8}, {999, 0, 300, 5, 6}, {4096, 0, 2000, 8, 7}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        struct plan plan =
            make(shape[i][0], shape[i][1], shape[i][2], shape[i][3], (int)shape[i][4], 120);
        for (uint32_t epoch = 0; epoch < 3; epoch++) check_epoch(&plan, epoch);
        plan.buckets.in_order = true;
        check_epoch(&plan, 0);
        release(&plan);
    }
}

static void epochs_differ_and_repeat(void **state)
{
    (void)state;
    struct plan a = make(500, 5, 0, 4, 6, 60), b = make(500, 5, 0, 4, 6, 60);
    size_t bytes = (size_t)places(&a.buckets) * sizeof *a.order;
    buckets_epoch(&a.buckets, 1, a.order, a.bucket);
    buckets_epoch(&b.buckets, 0, b.order, b.bucket);
    assert_memory_not_equal(a.order, b.order, bytes);
    buckets_epoch(&b.buckets, 1, b.order, b.bucket);
    assert_memory_equal(a.order, b.order, bytes);
    assert_memory_equal(a.bucket, b.bucket, (size_t)a.buckets.micro_batches);
    b.buckets.seed++;
    buckets_epoch(&b.buckets, 1, b.order, b.bucket);
    assert_memory_not_equal(a.order, b.order, bytes);
    b.buckets.in_order = true;
    buckets_epoch(&b.buckets, 0, b.order, b.bucket);
    assert_int_equal(b.bucket[0], 0);
    for (int64_t i = 1; i < b.buckets.rows[0]; i++) assert_true(b.order[i] > b.order[i - 1]);
    release(&a);
    release(&b);
}

// One bucket pads everything to the longest; several leave little.
static void buckets_save_padding(void **state)
{
    (void)state;
    struct plan one = make(6400, 16, 0, 4, 1, 120), several = make(6400, 16, 0, 4, 8, 120);
    double before = buckets_waste(&one.buckets), after = buckets_waste(&several.buckets);
    assert_true(before > 0.3 && after < 0.5 * before && after > 0);
    release(&one);
    release(&several);
}

static void edges_follow_the_lengths(void **state)
{
    (void)state;
    int64_t count[101] = {0};
    int32_t edge[BUCKETS_MOST];
    count[3] = 1000, count[20] = 10, count[21] = 500, count[100] = 1;
    assert_int_equal(buckets_edges(count, 100, 1, 8, edge), 4);
    assert_int_equal(edge[0], 3);
    assert_int_equal(edge[3], 100);
    // Ten examples that grow by one cost least.
    assert_int_equal(buckets_edges(count, 100, 1, 3, edge), 3);
    assert_int_equal(edge[0], 3);
    assert_int_equal(edge[1], 21);
    assert_int_equal(edge[2], 100);
    assert_int_equal(buckets_edges(count, 100, 8, 1, edge), 1);
    assert_int_equal(edge[0], 104);
    assert_int_equal(buckets_edges(count, 100, 8, 8, edge), 3);
    assert_int_equal(edge[0], 8);
    assert_int_equal(edge[1], 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_example_once, clear),
        cmocka_unit_test_setup(epochs_differ_and_repeat, clear),
        cmocka_unit_test_setup(buckets_save_padding, clear),
        cmocka_unit_test_setup(edges_follow_the_lengths, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
