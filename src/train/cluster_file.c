// SPDX-License-Identifier: Apache-2.0
#include "train/cluster_file.h"

#include "base/memory.h"
#include "base/number.h"
#include "train/run_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(key, kind, member, text, low, high, above, about)                                      \
    {                                                                                              \
        .name = (key), .start = (text), .meaning = (about),                                        \
        .offset = offsetof(struct cluster_file, member),                                           \
        .bytes = sizeof(((struct cluster_file *)0)->member), .least = (low), .most = (high),       \
        .type = (kind), .open = (above)                                                            \
    }
#define NUMBER(key, member, start, least, most, open, about)                                       \
    KEY(key, RUN_NUMBER, cluster.member, start, least, most, open, about)
// Bytes, with K, M, G, T.
#define BYTES(key, member, start, about)                                                           \
    KEY(key, RUN_BYTES, cluster.member, start, 0, 1e18, false, about)

static const struct run_key rows[] = {
    KEY("name", RUN_TEXT, name, "a cluster", 0, 0, false, "what it is called"),
    KEY("nodes", RUN_INTEGER, cluster.nodes, "1", 1, 1 << 20, false, "machines"),
    KEY("node.workers", RUN_INTEGER, cluster.workers, "1", 1, 1024, false,
        "workers of a machine: cores, or GPUs"),
    KEY("node.shares_memory", RUN_BOOLEAN, cluster.shares_memory, "true", 0, 0, false,
        "whether they share one copy of the weights; false: each has its own, as GPUs have"),
    BYTES("node.memory", memory, "0", "bytes of a machine; not shared: of a worker"),
    BYTES("node.memory_bandwidth", memory_bandwidth, "0", "bytes a second, likewise"),
    NUMBER("worker.float32", peak[PRECISION_FLOAT32], "0", 0, 1e18, false,
           "operations a second of a worker at most, in float32"),
    NUMBER("worker.bf16x3", peak[PRECISION_BF16X3], "0", 0, 1e18, false, "in bf16x3"),
    NUMBER("worker.bf16", peak[PRECISION_BF16], "0", 0, 1e18, false, "in bf16"),
    NUMBER("worker.efficiency", efficiency, "0.75", 0, 1, true,
           "share of that which products reach"),
    NUMBER("worker.attention", attention, "0.5", 0, 1, true, "share of it which attention reaches"),
    NUMBER("inside.latency", inside.latency, "1e-6", 0, 10, false,
           "seconds of a message between workers of a machine (only where memory is not shared)"),
    NUMBER("inside.gap", inside.gap, "0", 0, 10, false, "seconds that a message takes a port"),
    BYTES("inside.bandwidth", inside.bandwidth, "10G", "bytes a second, each way, of a worker"),
    NUMBER("between.latency", between.latency, "20e-6", 0, 10, false,
           "seconds of a message between machines"),
    NUMBER("between.gap", between.gap, "1e-6", 0, 10, false, "seconds that a message takes a port"),
    BYTES("between.bandwidth", between.bandwidth, "0", "bytes a second, each way, of a machine"),
};
static const int row_count = sizeof rows / sizeof *rows;
static const char *const sections[] = {"node", "worker", "inside", "between", NULL};
static const struct schema cluster_schema = {"a cluster file", "`stentor plan --help`", rows,
                                             &row_count, sections};
_Static_assert(sizeof rows / sizeof *rows <= CLUSTER_KEYS, "CLUSTER_KEYS is too small");

bool cluster_file_key(int i, const char **name_p, const char **start_p, const char **meaning_p)
{
    if (i >= row_count) return false;
    *name_p = rows[i].name;
    *start_p = rows[i].start;
    *meaning_p = rows[i].meaning;
    return true;
}

// What no formula can do without.
static enum status check(const struct cluster_file *file, const char *path)
{
    const struct cluster *c = &file->cluster;
    const struct {
        const char *key, *example;
        double value;
    } needed[] = {
        {"node.memory", "64G", c->memory},
        {"node.memory_bandwidth", "40G", c->memory_bandwidth},
        {"between.bandwidth", "12.5G", c->between.bandwidth},
        {"inside.bandwidth", "10G", c->inside.bandwidth},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!(needed[i].value > 0))
            FAIL(STATUS_USAGE, "%s: %s: a number above 0 is missing, such as %s", path,
                 needed[i].key, needed[i].example);
    for (int i = 0; i < PRECISION_COUNT; i++)
        if (c->peak[i] > 0) return STATUS_OK;
    FAIL(STATUS_USAGE,
         "%s: worker.float32: the operations a second that a worker can do at most are missing, "
         "such as 1e11 (`stentor bench --cluster-file` measures them)",
         path);
}

enum status cluster_file_read(const char *path, struct cluster_file *file_p)
{
    struct cluster_file file = {0};
    for (int i = 0; i < row_count; i++)
        TRY(schema_assign(&cluster_schema, i, &file, rows[i].start, false, "default"));
    TRY(schema_read(&cluster_schema, path, &file, file.origin));
    TRY(check(&file, path));
    *file_p = file;
    return STATUS_OK;
}

static void print_value(FILE *out, const struct cluster_file *file, const struct run_key *row)
{
    const void *field = (const char *)file + row->offset;
    char text[NUMBER_TEXT];
    switch (row->type) {
    case RUN_INTEGER:
        fprintf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case RUN_NUMBER:
        number_print(*(const double *)field, text);
        fprintf(out, "%s", text);
        break;
    case RUN_BYTES:
        fprintf(out, "%.0f", *(const double *)field);
        break;
    case RUN_BOOLEAN:
        fprintf(out, "%s", *(const bool *)field ? "true" : "false");
        break;
    default:
        fputc('"', out);
        for (const char *at = field; *at; at++) {
            if (*at == '"' || *at == '\\') fputc('\\', out);
            fputc(*at, out);
        }
        fputc('"', out);
    }
}

enum status cluster_file_print(const struct cluster_file *file, char **text_p)
{
    char *text = NULL;
    size_t bytes = 0, section = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) FAIL(STATUS_MEMORY, "not enough memory to print a cluster file");
    for (int i = 0; i < row_count; i++) {
        const char *name = rows[i].name, *point = strchr(name, '.');
        size_t length = point ? (size_t)(point - name) : 0;
        bool same = i && length && length == section && !strncmp(name, rows[i - 1].name, length);
        if (length && !same) fprintf(out, "%.*s:\n", (int)length, name);
        section = length;
        fprintf(out, "%s%s: ", length ? "  " : "", point ? point + 1 : name);
        print_value(out, file, &rows[i]);
        fprintf(out, "  # %s\n", rows[i].meaning);
    }
    bool failed = ferror(out);
    if (fclose(out) || failed) {
        free(text);
        FAIL(STATUS_MEMORY, "not enough memory to print a cluster file");
    }
    *text_p = text;
    return STATUS_OK;
}
