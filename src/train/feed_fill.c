// SPDX-License-Identifier: Apache-2.0
// Examples as a program's inputs, task by task.
#include "base/philox.h"
#include "data/sampler.h"
#include "train/feed_answer.h"

#include <string.h>

// Operations of PHILOX_DATA behind those of augmentation.
enum { CHOSEN = 64, REPLACED, OTHER };
// Rows that fill up a micro-batch are drawn apart from the shuffles.
static const uint64_t PADDING_SEED = UINT64_C(0x9FB21C651E98DF25);

static bool is_pair(const struct run_config *config)
{
    return config->data.pair[0] != 0 || config->model.spans;
}

static struct form_text text_of_row(const struct examples *rows, int64_t row, int text)
{
    struct form_text form = {.count = -1};
    if (row >= 0 && text < rows->texts) form.ids = example_text(rows, row, text, &form.count);
    return form;
}

// ---- lengths ----

// A translation is as long as its longer side, the target's measured in the source's unit: longest[]: of all sources, all targets.
static int32_t pair_length(int64_t source, int64_t target, const int64_t longest[2])
{
    int64_t scaled = (target * longest[0] + longest[1] - 1) / longest[1];
    return (int32_t)(scaled > source ? scaled : source);
}

int32_t fill_length(const struct trainer *trainer, const struct examples *rows, int64_t row,
                    const int64_t longest[2])
{
    int64_t n[2] = {0, -1};
    if (rows->texts == 0) return 1;
    for (int text = 0; text < rows->texts; text++) example_text(rows, row, text, &n[text]);
    if (run_task(&trainer->config) == TASK_TRANSLATE)
        return pair_length(n[0] + 1, n[1] + 1, longest);
    return (int32_t)form_length(&examples_of(trainer)->form, n[0],
                                is_pair(&trainer->config) ? n[1] : -1);
}

// ---- rows of a micro-batch ----

struct filling {
    const struct trainer *trainer;
    const struct share *share;
    const struct batch_inputs *in;
    struct model_sizes sizes;
    bool learns;
    int64_t m; // of the plan
};

// draw: what the changes are numbered by.
static int64_t write_tokens(const struct filling *f, int32_t example, int64_t draw, int32_t *tokens)
{
    const struct example_feed *feed = examples_of(f->trainer);
    const struct examples *rows = f->share->rows;
    struct form_text text[2] = {text_of_row(rows, example, 0), {.count = -1}};
    if (is_pair(&f->trainer->config)) text[1] = text_of_row(rows, example, 1);
    if (example < 0) text[0].count = 0;
    struct form_change change = {&feed->augmentation, (uint32_t)f->share->epoch, (uint32_t)draw};
    bool changes = f->learns && feed->augments && example >= 0;
    return form_write(&feed->form, text, changes ? &change : NULL, tokens);
}

// Tokens of each row, padded with 0.
static void fill_tokens(const struct filling *f, int64_t row, int32_t example)
{
    int32_t *tokens = f->in->tokens + row * f->sizes.tokens;
    int64_t count = write_tokens(f, example, share_draw(f->share, f->m, row), tokens);
    for (int64_t i = count; i < f->sizes.tokens; i++) tokens[i] = 0;
    f->in->lengths[row] = (int32_t)count;
}

// Padding repeats rows of the share, drawn from all of them: it weighs nothing, but batch norm takes the statistics of every row of a
// micro-batch, and the first rows of a sorted file say nothing of the others.
static int64_t row_for_padding(const struct filling *f, int64_t row)
{
    int64_t count = f->share->count, place = (f->m * f->sizes.batch + row) % count;
    return f->share->row[permutation_at(f->trainer->config.seed ^ PADDING_SEED,
                                        (uint32_t)f->share->epoch, count, place)];
}

static void fill_features(const struct filling *f, int64_t row, int32_t example)
{
    const struct examples *rows = f->share->rows;
    float *to = f->in->features + row * rows->features;
    size_t bytes = (size_t)rows->features * sizeof *to;
    int64_t from = example < 0 ? row_for_padding(f, row) : example;
    memcpy(to, rows->feature + from * rows->features, bytes);
}

// ---- classes and numbers ----

static void fill_goals(const struct filling *f, int64_t row, int32_t example)
{
    const struct model_config *model = &f->trainer->config.model;
    const struct examples *rows = f->share->rows;
    float *goals = f->in->goals + row * model->classes;
    bool hinge = model->loss == LOSS_HINGE || model->loss == LOSS_SQUARED_HINGE;
    for (int64_t c = 0; c < model->classes; c++) {
        // One score of two classes is the second's.
        bool is =
            example >= 0 && rows->label && rows->label[example] == (model->classes == 1 ? 1 : c);
        goals[c] = example < 0 ? 0 : rows->number ? rows->number[example] : is ? 1 : hinge ? -1 : 0;
    }
}

static int64_t fill_scored(const struct filling *f, int64_t row, int32_t example)
{
    const struct example_feed *feed = examples_of(f->trainer);
    const int32_t *label = f->share->rows->label;
    if (f->in->features)
        fill_features(f, row, example);
    else
        fill_tokens(f, row, example);
    if (f->in->labels) f->in->labels[row] = example < 0 ? -1 : label[example];
    if (f->in->goals) fill_goals(f, row, example);
    // Held-out examples all weigh the same.
    bool weighs = feed->class_weight && f->learns && example >= 0;
    f->in->weights[row] = example < 0 ? 0 : weighs ? feed->class_weight[label[example]] : 1;
    return example >= 0;
}

// ---- translations ----

// The decoder reads END y1 … yn and is to say y1 … yn END. Of padding (count -1) it is to say nothing.
static int64_t fill_target(const struct filling *f, int64_t row, struct form_text text)
{
    int64_t n = text.count, tokens = f->sizes.tokens;
    int32_t *in = f->in->tokens + row * tokens, *out = f->in->targets + row * tokens;
    int32_t end = special_id(tokenizer_size(f->trainer->tokenizer), SPECIAL_END);
    for (int64_t i = 0; i < tokens; i++) {
        in[i] = i == 0 ? end : i <= n ? text.ids[i - 1] : 0;
        out[i] = i < n ? text.ids[i] : i == n ? end : -1;
    }
    return n + 1;
}

static int64_t fill_pair(const struct filling *f, int64_t row, int32_t example)
{
    const struct example_feed *feed = examples_of(f->trainer);
    const struct tokenizer *own = feed->source_tokenizer;
    int64_t tokens = f->sizes.source_tokens;
    int32_t *source = f->in->source + row * tokens;
    struct form_text text = text_of_row(f->share->rows, example, 0);
    int64_t n = text.count < 0 ? 0 : text.count;
    if (n > 0) memcpy(source, text.ids, (size_t)n * sizeof *source);
    if (f->learns && feed->augments && n > 0)
        n = augment(&feed->augmentation, (uint32_t)f->share->epoch, (uint32_t)example, 0, source,
                    n);
    source[n++] = special_id(tokenizer_size(own ? own : f->trainer->tokenizer), SPECIAL_END);
    f->in->source_lengths[row] = (int32_t)n;
    for (int64_t i = n; i < tokens; i++) source[i] = 0;
    return fill_target(f, row, text_of_row(f->share->rows, example, 1));
}

// ---- masked tokens ----

// What is held out is asked the same in every evaluation.
static struct philox_address draw_of(const struct filling *f, int32_t example, uint32_t what)
{
    return (struct philox_address){.seed = f->trainer->config.seed,
                                   .stream = philox_stream(PHILOX_DATA, what),
                                   .step = f->learns ? (uint32_t)f->share->epoch : UINT32_MAX,
                                   .sequence = (uint32_t)example};
}

// Of the tokens that are chosen 80 % are masked, 10 % become another, 10 % stay. Source: Devlin et al. 2018, arXiv:1810.04805.
static int64_t hide(const struct filling *f, int32_t example, int32_t *tokens, int32_t *targets,
                    int64_t count)
{
    const struct example_feed *feed = examples_of(f->trainer);
    const double rate = f->trainer->config.data.mask_rate, masked = 0.8, other = 0.9;
    const double nearest = feed->nearest[f->learns];
    int64_t hidden = 0;
    for (int64_t i = 0; i < count; i++) {
        double draw = philox_uniform(draw_of(f, example, CHOSEN), (uint64_t)i);
        targets[i] = -1;
        if (tokens[i] >= feed->form.size || (draw >= rate && draw > nearest)) continue;
        targets[i] = tokens[i];
        hidden++;
        double by = philox_uniform(draw_of(f, example, REPLACED), (uint64_t)i);
        if (by < masked)
            tokens[i] = special_id(feed->form.size, SPECIAL_MASK);
        else if (by < other)
            tokens[i] = (int32_t)(philox_bits(draw_of(f, example, OTHER), (uint64_t)i) %
                                  (uint32_t)feed->form.size);
    }
    return hidden;
}

double fill_nearest(const struct trainer *trainer, const struct share *share, int64_t first,
                    int64_t last, bool learns)
{
    const struct example_feed *feed = examples_of(trainer);
    const double rate = trainer->config.data.mask_rate;
    double nearest = 1; // draws are less
    for (int64_t m = first; m < last; m++) {
        const struct filling f = {trainer, share, NULL, trainer->feed.shape[share->bucket[m]],
                                  learns,  m};
        for (int64_t row = 0; row < f.sizes.batch; row++) {
            int32_t example = share_row(share, m, row);
            int64_t count = example < 0 ? 0 : write_tokens(&f, example, example, feed->scratch);
            for (int64_t i = 0; i < count; i++) {
                double draw = philox_uniform(draw_of(&f, example, CHOSEN), (uint64_t)i);
                if (feed->scratch[i] >= feed->form.size) continue;
                if (draw < rate) return -1;
                if (draw < nearest) nearest = draw;
            }
        }
    }
    return nearest < 1 ? nearest : -1;
}

static int64_t fill_masked(const struct filling *f, int64_t row, int32_t example)
{
    int64_t tokens = f->sizes.tokens;
    int32_t *targets = f->in->targets + row * tokens;
    fill_tokens(f, row, example);
    int64_t count = example < 0 ? 0 : f->in->lengths[row];
    for (int64_t i = count; i < tokens; i++) targets[i] = -1;
    return hide(f, example, f->in->tokens + row * tokens, targets, count);
}

static int64_t fill_answer(const struct filling *f, int64_t row, int32_t example)
{
    fill_tokens(f, row, example);
    return answer_fill(f->trainer, f->share->rows, example, row, f->sizes.tokens, f->in);
}

int64_t fill_rows(const struct trainer *trainer, const struct share *share, int64_t m, bool learns,
                  const struct batch_inputs *in)
{
    const struct filling f = {trainer, share, in, trainer->feed.shape[share->bucket[m]], learns, m};
    enum model_tasks task = run_task(&trainer->config);
    int64_t targets = 0;
    for (int64_t row = 0; row < f.sizes.batch; row++) {
        int32_t example = share_row(share, m, row);
        if (task == TASK_TRANSLATE)
            targets += fill_pair(&f, row, example);
        else if (task == TASK_MLM)
            targets += fill_masked(&f, row, example);
        else if (task == TASK_ANSWER)
            targets += fill_answer(&f, row, example);
        else
            targets += fill_scored(&f, row, example);
    }
    if (in->positions) feed_positions(in->positions, f.sizes.batch, f.sizes.tokens);
    if (in->source_positions)
        feed_positions(in->source_positions, f.sizes.batch, f.sizes.source_tokens);
    return targets;
}
