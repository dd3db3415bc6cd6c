// SPDX-License-Identifier: Apache-2.0
// Plans of epochs: every example once, in a micro-batch that is long enough, the same for whoever asks, other ones each epoch.
#include "data/buckets.h"
#include "text_files.h"

struct plan {
    struct buckets buckets;
    int32_t *length, *order;
    uint8_t *bucket;
    int64_t *work;
};

static struct plan make(int64_t examples, int64_t rows, int64_t step, int64_t pool, int32_t longest)
{
    struct plan plan = {.length = calloc((size_t)examples, sizeof(int32_t))};
    int64_t *count = calloc((size_t)longest + 1, sizeof *count);
    struct philox_address lengths_at = {.seed = 3, .stream = philox_stream(PHILOX_TEST, 8)};
    for (int64_t i = 0; i < examples; i++) {
        uint32_t bits = philox_bits(lengths_at, (uint64_t)i);
        plan.length[i] = 1 + (int32_t)((uint64_t)bits % 97 * (bits >> 8) % (uint32_t)longest);
        count[plan.length[i]]++;
    }
    plan.buckets = (struct buckets){.examples = examples,
                                    .rows = rows,
                                    .step = step,
                                    .pool = pool,
                                    .seed = 11,
                                    .length = plan.length};
    plan.buckets.edges = buckets_edges(count, longest, 8, 6, plan.buckets.edge);
    buckets_init(&plan.buckets);
    plan.order = malloc((size_t)(plan.buckets.micro_batches * rows) * sizeof *plan.order);
    plan.bucket = malloc((size_t)plan.buckets.micro_batches);
    plan.work = malloc((size_t)(2 * plan.buckets.pool * rows) * sizeof *plan.work);
    free(count);
    return plan;
}

static void release(struct plan *plan)
{
    free(plan->length);
    free(plan->order);
    free(plan->bucket);
    free(plan->work);
}

static void check_epoch(const struct plan *plan, uint32_t epoch)
{
    const struct buckets *b = &plan->buckets;
    char *seen = calloc((size_t)b->examples, 1);
    int64_t empty = 0;
    buckets_epoch(b, epoch, plan->order, plan->bucket, plan->work);
    assert_int_equal(b->micro_batches % b->step, 0);
    for (int64_t i = 0; i < b->micro_batches * b->rows; i++) {
        int32_t example = plan->order[i];
        if (example < 0) {
            empty++;
            continue;
        }
        assert_in_range(example, 0, b->examples - 1);
        assert_int_equal(seen[example]++, 0);
        int bucket = plan->bucket[i / b->rows];
        assert_in_range(bucket, 0, b->edges - 1);
        assert_true(b->length[example] <= b->edge[bucket]);
    }
    assert_int_equal(empty, b->micro_batches * b->rows - b->examples);
    assert_true(empty < b->rows * b->step);
    // No micro-batch is longer than its longest needs.
    for (int64_t m = 0; m < b->micro_batches; m++) {
        int32_t longest = 0;
        for (int64_t row = 0; row < b->rows; row++) {
            int32_t example = plan->order[m * b->rows + row];
            if (example >= 0 && b->length[example] > longest) longest = b->length[example];
        }
        assert_true(plan->bucket[m] == 0 || b->edge[plan->bucket[m] - 1] < longest);
    }
    free(seen);
}

static void every_example_once(void **state)
{
    (void)state;
    static const int64_t shape[][4] = {{1, 1, 1, 1},     {1, 4, 3, 2},    {7, 2, 2, 1},
                                       {100, 4, 3, 5},   {1000, 8, 4, 0}, {999, 7, 5, 13},
                                       {4096, 16, 8, 64}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        struct plan plan = make(shape[i][0], shape[i][1], shape[i][2], shape[i][3], 120);
        for (uint32_t epoch = 0; epoch < 3; epoch++) check_epoch(&plan, epoch);
        release(&plan);
    }
}

static void epochs_differ_and_repeat(void **state)
{
    (void)state;
    struct plan a = make(500, 5, 4, 10, 60), b = make(500, 5, 4, 10, 60);
    size_t bytes = (size_t)(a.buckets.micro_batches * a.buckets.rows) * sizeof *a.order;
    buckets_epoch(&a.buckets, 1, a.order, a.bucket, a.work);
    buckets_epoch(&b.buckets, 0, b.order, b.bucket, b.work);
    assert_memory_not_equal(a.order, b.order, bytes);
    buckets_epoch(&b.buckets, 1, b.order, b.bucket, b.work);
    assert_memory_equal(a.order, b.order, bytes);
    assert_memory_equal(a.bucket, b.bucket, (size_t)a.buckets.micro_batches);
    b.buckets.seed++;
    buckets_epoch(&b.buckets, 1, b.order, b.bucket, b.work);
    assert_memory_not_equal(a.order, b.order, bytes);
    release(&a);
    release(&b);
}

// A pool of one micro-batch sorts nothing, so that every micro-batch holds a long example; a large one leaves little padding.
static void pools_save_padding(void **state)
{
    (void)state;
    struct plan alone = make(6400, 16, 4, 1, 120), pooled = make(6400, 16, 4, 100, 120);
    buckets_epoch(&alone.buckets, 0, alone.order, alone.bucket, alone.work);
    buckets_epoch(&pooled.buckets, 0, pooled.order, pooled.bucket, pooled.work);
    double before = buckets_waste(&alone.buckets, alone.order, alone.bucket);
    double after = buckets_waste(&pooled.buckets, pooled.order, pooled.bucket);
    assert_true(before > 0.3 && after < 0.5 * before && after > 0);
    release(&alone);
    release(&pooled);
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
        cmocka_unit_test_setup(pools_save_padding, clear),
        cmocka_unit_test_setup(edges_follow_the_lengths, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
