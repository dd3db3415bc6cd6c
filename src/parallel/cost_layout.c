// SPDX-License-Identifier: Apache-2.0
// Models cut over workers: tensor parallel within layers, pipelines of layers, copies of both; as Megatron-LM and FSDP do it.
#include "parallel/cost.h"

static double smaller(double a, double b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }

// Weights of a layer's matrices.
static double layer_matrices(const struct transformer *m)
{
    double attention = m->width * m->width * (2 + 2 * m->kv_heads / m->heads);
    return attention + (m->gated ? 3 : 2) * m->width * m->hidden;
}

double transformer_parameters(const struct transformer *m)
{
    double tables = (m->tied ? 1 : 2) * m->vocabulary * m->width;
    // Biases and norms: 13 widths in a GPT's layer, 2 in a Llama's.
    return tables + m->layers * (layer_matrices(m) + (m->gated ? 2 : 13) * m->width);
}

// Of the whole step. A pass over n tokens takes 2 n operations for each weight; a training step is three passes, and one more of what
// is computed twice.
static struct work step_work(const struct transformer *m, const struct arrangement *layout)
{
    double tokens = (double)layout->batch * m->context, passes = 3 + layout->recompute;
    double bytes_each = layout->precision == PRECISION_FLOAT32 ? 4 : 2;
    double arrays = layout->outside * (double)layout->tensor + layout->inside +
                    layout->scores * m->heads * m->context / m->width;
    return (struct work){
        .products =
            2 * tokens * (passes * m->layers * layer_matrices(m) + 3 * m->vocabulary * m->width),
        .attention = 4 * tokens * passes * m->layers * m->context * m->width,
        .bytes = tokens * passes * m->layers * m->width * bytes_each * arrays,
    };
}

// What one worker of a group sends and receives when `group` of them gather or scatter `bytes`, once; those of a node share its link.
static double collective_seconds(const struct cluster *cluster, double bytes, double group,
                                 double in_node)
{
    double rate = cluster->inside.bandwidth, latency = cluster->inside.latency;
    if (group <= 1) return 0;
    if (group > in_node) {
        double share = in_node / (double)cluster->workers;
        rate = smaller(rate, cluster->between.bandwidth * share);
        latency = cluster->between.latency;
    }
    return (group - 1) * latency + (group - 1) / group * bytes / rate;
}

struct arrangement_cost cost_layout(const struct cluster *cluster, const struct transformer *m,
                                    const struct arrangement *layout)
{
    double workers = (double)layout->workers, t = (double)layout->tensor;
    double p = (double)layout->pipeline, d = workers / (t * p), chunks = (double)layout->chunks;
    double micro_batches = (double)layout->batch / (d * (double)layout->micro_batch);
    double bytes_each = layout->precision == PRECISION_FLOAT32 ? 4 : 2;
    double activations = (double)layout->micro_batch * m->context * m->width * bytes_each;
    double in_node = (double)cluster->workers;
    struct work work = step_work(m, layout);
    struct arrangement_cost cost = {.flops = work.products + work.attention};
    work.products /= workers, work.attention /= workers, work.bytes /= workers;
    cost.compute = cost_work(cluster, layout->precision, &work);
    // Two sums over the group in each pass over a layer, both there and back.
    cost.tensor = micro_batches * m->layers / p * 2 * (2 + layout->recompute) * 2 *
                  collective_seconds(cluster, activations, t, in_node);
    cost.bubble = (cost.compute + cost.tensor) * (p - 1) / (micro_batches * chunks);
    if (p > 1)
        cost.stages =
            2 * micro_batches * chunks *
            (cluster->between.latency + activations / t / (cluster->between.bandwidth / in_node));
    double weights = transformer_parameters(m) / (t * p), neighbours = larger(1, in_node / t);
    double pass = collective_seconds(cluster, bytes_each * weights, d, neighbours);
    // Sharded weights are gathered twice and gradients, in float32, scattered once; else gradients are summed once.
    double travel = layout->shards ? 4 * pass : 2 * pass;
    double behind = layout->shards    ? cost.compute
                    : layout->overlap ? cost.compute / micro_batches * 2 / 3
                                      : 0;
    cost.exchange = larger(0, travel - behind);
    // float32 master weights and both of Adam's states read and written, the gradient rounded, widened and measured.
    cost.update = 40 * weights / (layout->shards ? d : 1) / cluster->memory_bandwidth;
    cost.seconds =
        cost.compute + cost.tensor + cost.bubble + cost.stages + cost.exchange + cost.update;
    return cost;
}
