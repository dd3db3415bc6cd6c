// SPDX-License-Identifier: Apache-2.0
#include "text/bootstrap.h"

#include "base/memory.h"
#include "base/philox.h"
#include "text/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATION = 0xB00751 }; // of PHILOX_SAMPLE: no generator of text numbers its sequences so

struct drawing {
    const char *rows;
    int64_t examples;
    size_t row_bytes;
    bootstrap_score score;
    const void *context;
    uint64_t seed;
    int draws;
    int64_t *sums;  // [threads][row]
    double *scores; // [draws]
};

static void draw(void *context, const struct part *part)
{
    const struct drawing *drawing = context;
    struct range range = part_range(part, drawing->draws, 1);
    size_t columns = drawing->row_bytes / sizeof(int64_t);
    int64_t *sum = drawing->sums + (size_t)part->index * columns;
    for (int64_t d = range.first; d < range.last; d++) {
        struct philox_address at = {.seed = drawing->seed,
                                    .stream = philox_stream(PHILOX_SAMPLE, OPERATION),
                                    .step = (uint32_t)d};
        memset(sum, 0, drawing->row_bytes);
        for (int64_t i = 0; i < drawing->examples; i++) {
            uint64_t bits = philox_bits(at, (uint64_t)i);
            uint64_t row = bits * (uint64_t)drawing->examples >> 32;
            counts_add(sum, drawing->rows + row * drawing->row_bytes, drawing->row_bytes);
        }
        drawing->scores[d] = drawing->score(drawing->context, sum);
    }
}

static int by_value(const void *one, const void *two)
{
    double a = *(const double *)one, b = *(const double *)two;
    return (a > b) - (a < b);
}

// As many draws are left out at each end as lie outside the interval (as sacreBLEU counts them).
static struct interval read_interval(double *scores, int draws, double confidence)
{
    qsort(scores, (size_t)draws, sizeof *scores, by_value);
    int outside = (int)((1 - confidence) / 2 * draws + 1e-9);
    if (outside > (draws - 1) / 2) outside = (draws - 1) / 2;
    double sum = 0;
    for (int d = 0; d < draws; d++) sum += scores[d];
    return (struct interval){sum / draws, scores[outside], scores[draws - 1 - outside]};
}

enum status bootstrap(const void *rows, int64_t examples, size_t row_bytes, bootstrap_score score,
                      const void *context, const struct bootstrap_options *options,
                      struct interval *interval_p)
{
    int threads = team_threads(options->team), draws = options->draws ? options->draws : 1000;
    double confidence = options->confidence > 0 ? options->confidence : 0.95;
    if (examples < 1 || examples > UINT32_MAX)
        FAIL(STATUS_USAGE, "a bootstrap of %lld examples; it takes 1 to %lld", (long long)examples,
             (long long)UINT32_MAX);
    if (draws < 1 || confidence >= 1)
        FAIL(STATUS_USAGE, "a bootstrap of %d draws at %g; it takes at least 1 and less than 1",
             draws, confidence);
    struct drawing drawing = {.rows = rows,
                              .examples = examples,
                              .row_bytes = row_bytes,
                              .score = score,
                              .context = context,
                              .seed = options->seed,
                              .draws = draws};
    enum status status = memory_allocate((size_t)threads, row_bytes, "sums", &drawing.sums);
    if (!status) status = memory_allocate((size_t)draws, sizeof(double), "scores", &drawing.scores);
    if (!status) {
        team_run(options->team, draw, &drawing);
        *interval_p = read_interval(drawing.scores, draws, confidence);
    }
    free(drawing.sums);
    free(drawing.scores);
    return status;
}
