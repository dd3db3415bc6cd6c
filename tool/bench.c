// SPDX-License-Identifier: Apache-2.0
// stentor bench: what this machine can do at most, on one thread and on all cores. A share of a peak means nothing without them.
// stentor bench exchange: bench_exchange.c.
#include "backend/cpu/roof.h"
#include "bench_cluster.h"
#include "bench_exchange.h"
#include "options.h"
#include "output.h"
#include "speed.h"

#include <stdio.h>
#include <string.h>

static const struct option_row rows[] = {
    {"json", NULL, "prints the result as one JSON object; of an exchange one for each measurement"},
    {"sizes", "LIST", "exchange: blocks to measure, such as 1M,25M,500M (default 1M,4M,25M,100M)"},
    {"transport", "NAME", "exchange: threads, or mpi under mpirun (default threads)"},
    {"replicas", "N", "exchange: how many, over threads (default 2)"},
    {"exchange", "WAY", "exchange: this way alone, such as direct (default: all, and the peer)"},
    {"bucket-mb", "N", "exchange: megabytes of a bucket, 0: all in one (default 25)"},
    {"rounds", "N", "exchange: how often each is measured (default 7)"},
    {"cluster-file", "FILE", "writes what `stentor plan` needs to know of this machine"},
    {NULL, NULL, NULL},
};

static void help(void)
{
    printf(
        "\nfma: multiply-adds of float32 in registers, with each instruction set; an fma is two "
        "operations.\n"
        "tile: products of bf16 tiles, where the processor has them (AMX).\n"
        "product: a matrix product that stays in a core's caches, with the chosen instruction "
        "set.\n"
        "triad: bytes of y = a + s b between arrays that no cache holds, written past the "
        "caches.\n"
        "Each is the best of short runs, within half a second in all. STENTOR_ISA chooses the "
        "set.\n"
        "\nbench exchange: the time that gradients take to their owners and new weights back, by "
        "every exchange,\nin turn with the MPI library's own all-reduce; bytes sent beside the "
        "formula 2 (N - 1) / N S.\nmpirun -n 2 stentor bench exchange --transport mpi\n");
}

#define FMA_SECONDS     0.02
#define TRIAD_SECONDS   0.06
#define PRODUCT_SECONDS 0.045
// A product whose matrices stay in a core's own cache: the kernel is at its best. 17 million operations, so that
// the measurement ends in time on a slow core, too.
enum { PRODUCT_ROWS = 128, PRODUCT_COLS = 256, PRODUCT_DEPTH = 256 };

struct pair {
    double one, all; // one thread, all cores
};
struct peaks {
    enum isa isa; // chosen
    int cores;
    struct pair fma[ISA_COUNT], tile, product, triad; // a second; 0: not available
};

static enum status measure_on(int threads, const struct peaks *peaks, double fma[ISA_COUNT],
                              double *tile_p, double *product_p, double *triad_p)
{
    for (enum isa isa = 0; isa < ISA_COUNT; isa++)
        if (isa_available(isa) && isa_lanes(isa) == isa)
            TRY(roof_measure_fma(isa, threads, FMA_SECONDS, &fma[isa]));
    TRY(roof_measure_tiles(threads, FMA_SECONDS, tile_p));
    TRY(speed_measure(peaks->isa, PRECISION_FLOAT32, threads, PRODUCT_ROWS, PRODUCT_COLS,
                      PRODUCT_DEPTH, PRODUCT_SECONDS, product_p));
    return roof_measure_triad(peaks->isa, threads, 0, TRIAD_SECONDS, triad_p);
}

static enum status measure(struct peaks *peaks_p)
{
    struct peaks peaks = {.cores = cpu_cores()};
    double one[ISA_COUNT] = {0}, all[ISA_COUNT] = {0};
    TRY(isa_choose(&peaks.isa));
    TRY(measure_on(1, &peaks, one, &peaks.tile.one, &peaks.product.one, &peaks.triad.one));
    TRY(measure_on(peaks.cores, &peaks, all, &peaks.tile.all, &peaks.product.all,
                   &peaks.triad.all));
    for (int isa = 0; isa < ISA_COUNT; isa++) peaks.fma[isa] = (struct pair){one[isa], all[isa]};
    *peaks_p = peaks;
    return STATUS_OK;
}

static json_t *pair_json(struct pair pair)
{
    return json_pack("{s:f, s:f}", "one_thread", pair.one, "all_cores", pair.all);
}

static enum status print_json(const struct peaks *peaks)
{
    json_t *by_isa = json_object();
    for (enum isa isa = 0; isa < ISA_COUNT; isa++)
        if (peaks->fma[isa].one > 0)
            json_object_set_new(by_isa, isa_name(isa), pair_json(peaks->fma[isa]));
    return output_json(json_pack("{s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o}", "processor",
                                 cpu_name(), "cores", peaks->cores, "isa", isa_name(peaks->isa),
                                 "fma", pair_json(peaks->fma[isa_lanes(peaks->isa)]), "fma_by_isa",
                                 by_isa, "tile", pair_json(peaks->tile), "product",
                                 pair_json(peaks->product), "triad", pair_json(peaks->triad)));
}

static enum status print_row(const char *name, const char *isa, struct pair pair, const char *unit)
{
    return output_print("%-8s %-8s %12.1f %12.1f  %s\n", name, isa, 1e-9 * pair.one,
                        1e-9 * pair.all, unit);
}

static enum status print_table(const struct peaks *peaks)
{
    char all[32];
    snprintf(all, sizeof all, "%d cores", peaks->cores);
    TRY(output_print("processor: %s, %s\n", cpu_name(), isa_name(peaks->isa)));
    TRY(output_print("%-17s %12s %12s\n", "", "1 thread", all));
    for (enum isa isa = 0; isa < ISA_COUNT; isa++)
        if (peaks->fma[isa].one > 0)
            TRY(print_row("fma", isa_name(isa), peaks->fma[isa], "GFLOP/s"));
    if (peaks->tile.one > 0) TRY(print_row("tile", "bf16", peaks->tile, "GFLOP/s"));
    TRY(print_row("product", isa_name(peaks->isa), peaks->product, "GFLOP/s"));
    return print_row("triad", isa_name(peaks->isa), peaks->triad, "GB/s");
}

static enum status run(const struct options *options)
{
    struct peaks peaks;
    const char *what = options->arguments ? options->argument[0] : NULL;
    if (what && strcmp(what, "exchange") != 0)
        FAIL(STATUS_USAGE,
             "bench measures \"exchange\", or the machine when nothing is said; not \"%s\"", what);
    if (what) return bench_exchange(options);
    const char *cluster = option_text(options, "cluster-file");
    if (cluster) return bench_cluster(cluster, option_given(options, "json"));
    TRY(measure(&peaks));
    return option_given(options, "json") ? print_json(&peaks) : print_table(&peaks);
}

const struct command bench_command = {
    "bench", "[exchange]", "measures what this machine can do at most", 0, 1, rows, help, run,
};
