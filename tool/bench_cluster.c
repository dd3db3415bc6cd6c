// SPDX-License-Identifier: Apache-2.0
// Peaks and shares are of one thread by processor time, which neighbours on the machine do not change; memory is that of all cores.
#include "bench_cluster.h"

#include "backend/cpu/roof.h"
#include "base/cpu.h"
#include "base/file.h"
#include "output.h"
#include "speed.h"
#include "train/cluster_file.h"
#include "train/forecast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIAD_SECONDS 0.4

// Four digits: what is measured has no more, and the file is to be read.
static double rounded(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.4g", x);
    return strtod(text, NULL);
}

static double machine_bytes(void)
{
#if defined(_SC_PHYS_PAGES)
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
#else
    return 0;
#endif
}

static enum status measure(struct cluster_file *file)
{
    struct cluster *c = &file->cluster;
    enum isa isa;
    double products, attention, triad;
    c->nodes = 1;
    c->workers = cpu_cores();
    c->shares_memory = true;
    c->memory = rounded(machine_bytes());
    c->inside = (struct link){1e-6, 0, 10e9};
    // A plain network of 10 Gbit/s: one machine cannot measure it.
    c->between = (struct link){20e-6, 1e-6, 1.25e9};
    snprintf(file->name, sizeof file->name, "%.100s, %lld cores", cpu_name(),
             (long long)c->workers);
    TRY(isa_choose(&isa));
    for (enum precision p = 0; p < PRECISION_COUNT; p++) {
        TRY(speed_peak(p, 1, &c->peak[p]));
        c->peak[p] = rounded(c->peak[p]);
    }
    TRY(forecast_measure(c->peak[PRECISION_FLOAT32], &products, &attention));
    TRY(roof_measure_triad(isa, (int)c->workers, 0, TRIAD_SECONDS, &triad));
    c->efficiency = rounded(products < 1 ? products : 1);
    c->attention = rounded(attention < 1 ? attention : 1);
    c->memory_bandwidth = rounded(triad);
    return STATUS_OK;
}

enum status bench_cluster(const char *path, bool json)
{
    struct cluster_file file = {0};
    char *text = NULL;
    struct stat about;
    // A link, a pipe or a device, too, would be replaced by a file.
    if (lstat(path, &about) == 0)
        FAIL(STATUS_USAGE, "--cluster-file: %s is there already; name another file, or remove it",
             path);
    TRY(measure(&file));
    TRY(cluster_file_print(&file, &text));
    enum status status = file_replace(path, text, strlen(text));
    if (!status && json)
        status = output_json(json_pack("{s:s, s:f, s:f, s:f, s:f}", "cluster_file", path, "float32",
                                       file.cluster.peak[PRECISION_FLOAT32], "efficiency",
                                       file.cluster.efficiency, "attention", file.cluster.attention,
                                       "memory_bandwidth", file.cluster.memory_bandwidth));
    else if (!status)
        status = output_print("%s", text);
    free(text);
    return status;
}
