// SPDX-License-Identifier: Apache-2.0
// The parameter registry: names, shapes and places in one flat block, and the initial weights.
#include "base/philox.h"
#include "base/stable_math.h"
#include "nn/nn.h"

#include <stdlib.h>
#include <string.h>

void parameters_init(struct parameters *parameters) { *parameters = (struct parameters){0}; }

void parameters_release(struct parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) free(parameters->list[i].name);
    free(parameters->list);
    parameters_init(parameters);
}

int parameters_find(const struct parameters *parameters, const char *name)
{
    for (int i = 0; i < parameters->count; i++)
        if (strcmp(parameters->list[i].name, name) == 0) return i;
    return -1;
}

int64_t parameters_total(const struct parameters *parameters)
{
    int64_t total = 0;
    for (int i = 0; i < parameters->count; i++) total += parameters->list[i].count;
    return total;
}

// Sixteen normal deviates need 64 random words, which are one block of the generator: 16 Philox calls give
// the words that 64 calls of philox_bits would give one by one.
static void draw_normals(struct philox_address at, uint64_t block, double out[16])
{
    uint32_t words[64];
    for (uint32_t lane = 0; lane < 16; lane++) {
        uint32_t counter[4] = {(uint32_t)(16 * block) + lane, at.stream, at.sequence, at.step};
        philox4x32(counter, at.seed);
        for (int word = 0; word < 4; word++) words[16 * word + lane] = counter[word];
    }
    const uint32_t *w = words;
    for (int i = 0; i < 16; i++, w += 4) {
        double first = ((double)(((uint64_t)w[0] << 32 | w[1]) >> 12) + 0.5) * 0x1p-52;
        double second = ((double)(((uint64_t)w[2] << 32 | w[3]) >> 12) + 0.5) * 0x1p-52;
        out[i] = stable_normal(first, second);
    }
}

// Element i comes from words 4i .. 4i + 3 of its stream, that is from uniforms 2i and 2i + 1. A block
// counter has room for 2^32 elements; what lies beyond counts on in the address's sequence.
static void draw_range(float *w, uint64_t seed, uint32_t stream, int64_t first, int64_t n,
                       double deviation)
{
    const int64_t sequence_elements = INT64_C(1) << 32;
    struct philox_address at = {.seed = seed, .stream = stream};
    for (int64_t i = first; i < first + n;) {
        double normal[16];
        at.sequence = (uint32_t)(i / sequence_elements);
        draw_normals(at, (uint64_t)(i % sequence_elements / 16), normal);
        do {
            w[i - first] = (float)(deviation * normal[i % 16]);
            i++;
        } while (i % 16 != 0 && i < first + n);
    }
}

void parameters_initialise_range(const struct parameters *parameters, uint64_t seed, int64_t first,
                                 int64_t last, normal_function normal, float *block)
{
    memset(block + first, 0, (size_t)(last - first) * sizeof *block);
    for (int p = 0; p < parameters->count; p++) {
        const struct parameter *parameter = &parameters->list[p];
        int64_t from = parameter->offset > first ? parameter->offset : first;
        int64_t end = parameter->offset + parameter->count, to = end < last ? end : last;
        if (from >= to) continue;
        switch (parameter->init) {
        case INIT_ZERO:
            break;
        case INIT_ONE:
            for (int64_t i = from; i < to; i++) block[i] = 1;
            break;
        case INIT_NORMAL:
            normal(block + from, seed, philox_stream(PHILOX_INIT, (uint32_t)p),
                   from - parameter->offset, to - from, parameter->deviation);
            break;
        }
    }
}

void parameters_initialise(const struct parameters *parameters, uint64_t seed, float *block)
{
    parameters_initialise_range(parameters, seed, 0, parameters->elements, draw_range, block);
}
