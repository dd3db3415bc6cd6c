// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#    include <cpuid.h>
#    include <immintrin.h>
#    if defined(__linux__)
#        include <sys/syscall.h>
#    endif
#endif

static const char *const names[ISA_COUNT] = {[ISA_GENERIC] = "generic",
                                             [ISA_NEON] = "neon",
                                             [ISA_AVX2] = "avx2",
                                             [ISA_AVX512] = "avx512",
                                             [ISA_AMX] = "amx"};

const char *isa_name(enum isa isa) { return names[isa]; }
enum isa isa_lanes(enum isa isa) { return isa == ISA_AMX ? ISA_AVX512 : isa; }

#if defined(__x86_64__)
static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

#    if defined(HAVE_AMX) && defined(__linux__)
static int has_tiles;

// Whether there are tiles and products of bf16, the system saves them, and lets this process use them: Linux wants
// to be asked, once for all threads.
static void ask_for_tiles(void)
{
    enum { BF16 = 1 << 22, TILE = 1 << 24, OSXSAVE = 1 << 27, TILE_DATA = 18 };
    enum { REQUEST_PERMISSION = 0x1023 }; // ARCH_REQ_XCOMP_PERM
    const unsigned states = 3u << 17;     // XCR0: configuration and data of tiles
    unsigned a, b, c, d, low, high;
    if (!has_avx512() || !__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & BF16) || !(d & TILE)) return;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & states) != states) return;
    has_tiles = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static int amx_available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask_for_tiles);
    return has_tiles;
}
#    else
static int amx_available(void) { return 0; }
#    endif
#endif

int isa_available(enum isa isa)
{
    if (isa == ISA_GENERIC) return 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == ISA_AVX512) return has_avx512();
    if (isa == ISA_AMX) return amx_available();
#elif defined(__aarch64__)
    if (isa == ISA_NEON) return 1;
#endif
    return 0;
}

enum status isa_choose(enum isa *isa_p)
{
    enum isa best = ISA_GENERIC;
    char available[64] = "generic";
    for (enum isa isa = ISA_NEON; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa)) continue;
        best = isa;
        size_t used = strlen(available);
        snprintf(available + used, sizeof available - used, ", %s", names[isa]);
    }
    const char *wanted = getenv("STENTOR_ISA");
    if (!wanted || !wanted[0]) {
        *isa_p = best;
        return STATUS_OK;
    }
    for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++) {
        if (strcmp(wanted, names[isa]) != 0 || !isa_available(isa)) continue;
        *isa_p = isa;
        return STATUS_OK;
    }
    FAIL(STATUS_USAGE, "STENTOR_ISA=%s: this machine and build have %s", wanted, available);
}

static char processor[128];

static void read_name(void)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = 0;
        snprintf(processor, sizeof processor, "%.100s", colon + 2);
        break;
    }
    if (file) fclose(file);
#if defined(__aarch64__)
    if (!processor[0]) snprintf(processor, sizeof processor, "aarch64");
#else
    if (!processor[0]) snprintf(processor, sizeof processor, "unknown processor");
#endif
}

const char *cpu_name(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_name);
    return processor;
}

// Cores that the control group's quota ("quota period" in microseconds, or "max …") allows, or a large number.
static int cgroup_cores(void)
{
    char text[64] = "", *end = text;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file && !fgets(text, sizeof text, file)) text[0] = 0;
    if (file) fclose(file);
    long quota = strtol(text, &end, 10), period = strtol(end, NULL, 10);
    if (quota <= 0 || period <= 0) return 1 << 20;
    long cores = (quota + period - 1) / period;
    return cores < 1 << 20 ? (int)cores : 1 << 20;
}

int cpu_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
    int limit = cgroup_cores();
    if (cores > limit) cores = limit;
    return cores < 1 ? 1 : (int)cores;
}

void cpu_flush_to_zero(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040); // FTZ (bit 15) and DAZ (bit 6)
#elif defined(__aarch64__)
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | (1ul << 24)));
#endif
}
