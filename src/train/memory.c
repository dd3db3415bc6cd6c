// SPDX-License-Identifier: Apache-2.0
// What a run takes in memory, known before it takes any, and what the machine has.
#include "parallel/slices.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// What a computing thread touches of its stack, and the kernel's and the C library's tables for it.
// Code that runs, libraries, and what the heap keeps of preparing, as seen (bench/memory.sh).
enum { THREAD_BYTES = 48 * 1024, PROCESS_BYTES = 2300 * 1024 };

// ---- what the run takes ----

int memory_worker_buffers(const struct run_config *config, const struct crew *crew, int rank)
{
    int leaves = (int)config->leaves, computing = crew->all - crew->idle;
    int place = crew->first + rank - crew->idle, buffers = 0; // among those that compute
    bool several = config->batch / config->micro_batch > leaves;
    bool stale = run_is_stale(config, crew);
    if (stale && place < 0) return 0;
    if (stale || run_is_local(config, crew)) { // a replica's leaves, counted from its first
        int idle = replicas_that_serve_only(config, crew), replicas = crew->replicas - idle;
        int own = leaves / replicas + (crew->replica - idle < leaves % replicas);
        int workers = (int)config->parallel.workers, share = own / workers, larger = own % workers;
        int first = rank * share + (rank < larger ? rank : larger);
        buffers = run_buffers(first, first + share + (rank < larger), several);
    } else if (place >= 0 && strcmp(config->parallel.balance, "random") == 0) {
        buffers = run_buffers_most(leaves, leaves, several);
    } else if (place >= 0 && strcmp(config->parallel.balance, "measured") == 0) {
        // While there are enough leaves, every worker keeps one.
        int longest = leaves >= computing ? leaves - computing + 1 : leaves;
        buffers = run_buffers_most(leaves, longest, several);
    } else if (place >= 0) {
        int share = leaves / computing, larger = leaves % computing; // as borders_equal
        int first = place * share + (place < larger ? place : larger);
        buffers = run_buffers(first, first + share + (place < larger), several);
    }
    return buffers;
}

bool memory_is_spare(const struct run_config *config, const struct crew *crew)
{
    if (!crew->net || run_is_stale(config, crew)) return false;
    for (int r = 0; r < (int)config->parallel.workers; r++)
        if (memory_worker_buffers(config, crew, r) > 0) return false;
    return true;
}

// The largest part of the block that a replica owns: that of the first one.
static int64_t most_owned(const struct run_config *config, const struct memory_need *need,
                          const struct travel_setup *setup)
{
    const struct crew *crew = &need->crew;
    bool server = strcmp(config->parallel.exchange, "server") == 0;
    int owners = server ? (int)config->parallel.servers : crew->replicas;
    int64_t owned = 0;
    if (crew->replica >= owners) return 0;
    for (int64_t first = 0; first < need->elements; first += setup->bucket) {
        int64_t left = need->elements - first, from, to;
        slice_of(left < setup->bucket ? left : setup->bucket, owners, crew->replica, &from, &to);
        owned += to - from;
    }
    return owned;
}

// What of the way's memory is touched: where borders stand still, it is known whose nodes meet where.
static size_t way_bytes(const char *way, const struct run_config *config,
                        const struct memory_need *need, const struct travel_setup *setup)
{
    const struct crew *crew = &need->crew;
    size_t most = travel_bytes(way, setup, crew->replicas);
    int *border, *replica, computing = crew->all - crew->idle;
    if (strcmp(config->parallel.balance, "none") != 0) return most;
    if (memory_allocate((size_t)crew->all + 1, sizeof *border, "borders", &border)) {
        error_clear();
        return most;
    }
    // Of all workers, then, in the same place, of the replicas; local: averages are sums of one array from each.
    bool local = run_is_local(config, crew);
    if (!local) borders_equal((int)config->leaves, computing, border + crew->idle);
    replica = border;
    for (int r = 0; r <= crew->replicas; r++) {
        int base = crew->base ? crew->base[r] : crew->all / crew->replicas * r;
        replica[r] = local ? r : border[base];
    }
    size_t touched = travel_touched_bytes(way, setup, crew->replicas, crew->replica, replica);
    free(border);
    return touched;
}

// What several replicas take besides: staging, buckets, the record, a thread, pieces of a checkpoint.
static size_t travel_total(const struct run_config *config, const struct memory_need *need,
                           const struct travel_setup *setup, int buckets)
{
    const char *way = run_way(config, &need->crew);
    size_t replicas = (size_t)need->crew.replicas, each = 64;
    bool stale = run_is_stale(config, &need->crew);
    size_t bytes = stale ? serve_bytes(config, &need->crew, need->elements)
                         : way_bytes(way, config, need, setup);
    if (strcmp(config->parallel.exchange, "auto") == 0) {
        size_t other = way_bytes("tree", config, need, setup);
        if (other > bytes) bytes = other;
    }
    return bytes + (size_t)buckets * each +
           (replicas + (size_t)need->crew.all) * 2 * sizeof(uint64_t) +
           2 * sizeof(uint64_t) * (size_t)(config->batch / config->micro_batch) + THREAD_BYTES;
}

// Such a run never touches gradients and state of what is frozen; where slices travel, they go through all of them.
static bool alone_with_frozen(const struct run_config *config, const struct memory_need *need)
{
    return need->frozen && !run_way(config, &need->crew);
}

static size_t buffer_bytes(const struct run_config *config, const struct memory_need *need,
                           int buffers)
{
    if (alone_with_frozen(config, need)) return tuning_touched(need->frozen, buffers);
    return checked_multiply(checked_multiply((size_t)need->elements, sizeof(float)),
                            (size_t)buffers);
}

// Replicas that update for themselves have all of the state, and a part of what averages need.
static size_t state_bytes(const struct run_config *config, const struct memory_need *need,
                          int64_t owned)
{
    bool local = run_is_local(config, &need->crew);
    size_t state = (size_t)(local ? need->elements : owned) * sizeof(float), sum;
    size_t average = local ? 2 * (size_t)owned * sizeof(float) : 0;
    if (alone_with_frozen(config, need)) state = tuning_touched(need->frozen, 1);
    bool over =
        __builtin_add_overflow(checked_multiply(state, (size_t)need->states), average, &sum);
    return over ? SIZE_MAX : sum;
}

// The worker that has most.
static void add_workers(const struct run_config *config, const struct memory_need *need,
                        size_t model, int64_t owned, struct memory_report *report)
{
    int workers = (int)config->parallel.workers;
    int without = 0; // leaves
    // Where borders move, all workers have the same worst case.
    bool moving = strcmp(config->parallel.balance, "none") != 0;
    int worst = moving ? memory_worker_buffers(config, &need->crew, workers - 1) : 0;
    for (int r = 0; r < workers; r++) {
        int mine = moving && r > 0 ? worst : memory_worker_buffers(config, &need->crew, r);
        if (mine > report->worker_gradients) report->worker_gradients = mine;
        if (__builtin_add_overflow(report->gradients, buffer_bytes(config, need, mine),
                                   &report->gradients))
            report->gradients = SIZE_MAX;
        without += mine == 0;
    }
    // Where the arena begins with the buffer, a worker that has none has room for its evaluation only.
    size_t small = need->block ? need->evaluation : need->arena;
    report->activations =
        checked_multiply(need->arena, (size_t)(workers - without)) + small * (size_t)without;
    const size_t worker[] = {need->arena, buffer_bytes(config, need, report->worker_gradients),
                             report->worker_share};
    for (size_t i = 0; i < sizeof worker / sizeof *worker; i++)
        if (__builtin_add_overflow(report->worker_total, worker[i], &report->worker_total))
            report->worker_total = SIZE_MAX;
    // What a replica owns lies somewhere, also where it computes nothing; what others than the owner have is passed through by some.
    bool through = strcmp(config->parallel.exchange, "direct") != 0 &&
                   strcmp(config->parallel.exchange, "server") != 0;
    if (memory_is_spare(config, &need->crew))
        report->gradients = through ? model : (size_t)owned * sizeof(float);
}

void memory_arena(struct program *const *program, int count, struct memory_need *need_p)
{
    size_t most = 0, evaluation = 0, block = program_plan(program[0])->block;
    for (int i = 0; i < count; i++) {
        size_t bytes = program_arena_bytes(program[i]);
        if (bytes > most) most = bytes;
        if (i % 2 && bytes > evaluation) evaluation = bytes;
        INVARIANT(i % 2 || program_plan(program[i])->block == block,
                  "training programs with gradients and without in one arena");
    }
    need_p->block = block;
    need_p->evaluation = evaluation;
    need_p->arena = most - block;
}

struct memory_report memory_of(const struct run_config *config, const struct memory_need *need)
{
    const struct crew *crew = &need->crew;
    int workers = (int)config->parallel.workers, buckets = 1;
    int threads = workers * (int)config->parallel.threads; // of all workers
    size_t model = checked_multiply((size_t)need->elements, sizeof(float));
    bool travels = run_way(config, crew) != NULL;
    struct travel_setup setup = run_travel(config, crew, need->elements, ISA_GENERIC);
    int64_t owned = travels ? most_owned(config, need, &setup) : need->elements, first, last;
    if (travels) buckets = (int)((need->elements + setup.bucket - 1) / setup.bucket);
    struct memory_report report = {
        .packed_weights = need->packed,
        .weights = model,
        .optimizer_state = state_bytes(config, need, owned),
        .worker_activations = need->arena,
        .data = need->data,
        .available = memory_available(config->parallel.memory_limit, crew),
        .replicas = crew->replicas,
    };
    slice_of(run_is_local(config, crew) ? need->elements : owned, workers, 0, &first, &last);
    size_t share = (size_t)(last - first) * sizeof(float);
    if (alone_with_frozen(config, need)) share = tuning_touched(need->frozen, 1) / (size_t)workers;
    report.worker_share = checked_multiply(share, (size_t)need->states + 1);
    add_workers(config, need, model, owned, &report);
    report.other =
        PROCESS_BYTES + need->heap + (size_t)threads * THREAD_BYTES +
        exchange_bytes(need->elements, threads, (int)config->leaves,
                       travels && !run_is_local(config, crew) && !run_is_stale(config, crew)
                           ? crew->replicas
                           : 1,
                       buckets);
    if (travels) report.other += travel_total(config, need, &setup, buckets);
    const size_t part[] = {report.packed_weights, report.weights,     report.optimizer_state,
                           report.gradients,      report.activations, report.data,
                           report.other};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (__builtin_add_overflow(report.total, part[i], &report.total)) report.total = SIZE_MAX;
    return report;
}

static size_t graph_heap(const struct graph *graph, size_t workers)
{
    size_t values = (size_t)graph->count;
    // Each worker has its steps and its plan.
    return values * (sizeof(struct value) + sizeof(struct value *) + 32) +
           workers * values * (sizeof(struct step) + 2 * sizeof(int64_t) + sizeof(bool));
}

// Of held-out data there are more micro-batches, as they are smaller.
static int64_t groups_of(const struct trainer *trainer, const struct run_config *config)
{
    int64_t planned = trainer->config.micro_batch, groups = trainer->feed.groups;
    if (config->micro_batch == planned) return groups;
    return groups * planned / config->micro_batch + trainer->feed.shapes;
}

// Decoding has threads of its own. Those that were not planned with take as much as these do.
static size_t decoding_bytes(const struct trainer *trainer, size_t threads)
{
    size_t bytes = trainer->feed.decoding, planned = (size_t)trainer->workers;
    planned *= (size_t)trainer->threads;
    if (!bytes) return 0;
    if (threads > planned) bytes = checked_multiply(bytes, (threads + planned - 1) / planned);
    return bytes + (threads - 1) * THREAD_BYTES;
}

size_t memory_heap(const struct trainer *trainer, const struct run_config *config,
                   const struct model_graph *training, const struct model_graph *evaluation)
{
    size_t bytes = 0, workers = (size_t)config->parallel.workers;
    for (int i = 0; i < trainer->feed.shapes; i++)
        bytes += graph_heap(training[i].g, workers) + graph_heap(evaluation[i].g, workers);
    int64_t groups = groups_of(trainer, config);
    int64_t micro_batches = config->batch / config->micro_batch;
    int64_t entries = micro_batches > groups ? micro_batches : groups;
    bytes += (size_t)entries * (sizeof(double) + sizeof(int64_t)) + (size_t)micro_batches;
    bytes += workers * sizeof(struct worker) + sizeof(struct trainer);
    bytes += 3 * carry_bytes(config);
    bytes += decoding_bytes(trainer, workers * (size_t)config->parallel.threads);
    bytes += (size_t)trainer->parameters.count *
             (sizeof(struct parameter) + sizeof(struct segment) + 64);
    for (int i = 0; i < trainer->parameters.count; i++) {
        const struct parameter *p = &trainer->parameters.list[i];
        if (p->running) bytes += (size_t)p->count * sizeof(float); // its way to go, in the exchange
        if (p->running || p->frozen) bytes += 32;
    }
    return bytes;
}

// ---- what the machine has ----

// The number at the start of text, or -1.
static double number_of(const char *text)
{
    char *end;
    double number = strtod(text, &end);
    return end == text ? -1 : number;
}

// The number behind `key` in a file of "key number" lines, or, with key NULL, the file's first number. -1 when there is none.
static double read_number(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[256];
    double number = -1;
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        found = !key || strncmp(line, key, strlen(key)) == 0;
        if (found) number = number_of(key ? line + strlen(key) : line);
    }
    if (file) fclose(file);
    return number;
}

static double least(double a, double b) { return a < b ? a : b; }

// What one control group leaves: its limit less what it uses, page cache given back.
static double group_leaves(const char *folder, const char *limit_name, const char *used_name,
                           const char *cache_key)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, limit_name);
    double limit = read_number(path, NULL);
    if (limit < 0) return 1e30; // "max", or no such group
    snprintf(path, sizeof path, "%s/%s", folder, used_name);
    double used = read_number(path, NULL);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    double cache = read_number(path, cache_key);
    used = (used < 0 ? 0 : used) - (cache < 0 ? 0 : cache);
    double left = limit - (used < 0 ? 0 : used);
    return left < 0 ? 0 : left;
}

static double control_groups_leave(void)
{
    char line[400], folder[450] = "/sys/fs/cgroup";
    double left = group_leaves("/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                               "memory.usage_in_bytes", "total_inactive_file ");
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "0::/", 4) != 0) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", line + 3);
    }
    if (file) fclose(file);
    // The group and those above it, up to the root.
    while (strlen(folder) >= strlen("/sys/fs/cgroup")) {
        left = least(left, group_leaves(folder, "memory.max", "memory.current", "inactive_file "));
        char *slash = strrchr(folder, '/');
        *slash = 0;
    }
    return left;
}

// What a resource limit leaves of what this process has of `key` in /proc/self/status, in kB.
static double limit_leaves(int resource, const char *key)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1e30;
    double used = read_number("/proc/self/status", key);
    double left = (double)limit.rlim_cur - (used < 0 ? 0 : used * 1024);
    return left < 0 ? 0 : left;
}

size_t memory_available(double memory_limit, const struct crew *crew)
{
    const int sharers = crew->local;
    const bool threads = crew->net && crew->net->ops && crew->net->ops->shares_memory;
    const int together = threads ? crew->local : 1;
    double left = read_number("/proc/meminfo", "MemAvailable:") * 1024;
#if defined(_SC_PHYS_PAGES)
    if (left < 0) left = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
#endif
    left = least(left, control_groups_leave()) / sharers;
    left = least(left, limit_leaves(RLIMIT_AS, "VmSize:") / together);
    left = least(left, limit_leaves(RLIMIT_DATA, "VmData:") / together);
    if (memory_limit > 0) left = least(left, memory_limit / together);
    return left > 1e18 ? (size_t)1e18 : (size_t)left;
}
