// SPDX-License-Identifier: Apache-2.0
// A network of a few hosts with a chosen speed, delay and loss, and a cable that can be pulled: a switch between tap devices, one in each
// network namespace, in user space, since not every kernel has netem. Each host sends at `rate`, each frame arrives `delay` later, or is
// lost. SIGUSR1 pulls the cable of host `cut`, SIGUSR2 puts it back. Linux, as root.
//
//   wire [rate=MBIT] [delay=MS] [loss=PERCENT] [cut=HOST] [seed=N] NAMESPACE…      the device is called wire0 in each
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    HOSTS = 8,
    FRAME = 2048,
    QUEUE = 1 << 12
}; // frames under way from each host: 3 MB at least, 0.25 s at 100 Mbit/s

struct frame {
    double due;
    int bytes;
    unsigned char data[FRAME];
};
struct host {
    int file;
    double free_at; // when what it sent before has left it
    struct frame *queue;
    unsigned head, tail; // of the queue, modulo QUEUE
    unsigned char address[6];
    bool known;
};
static struct host host[HOSTS];
static int hosts, cut = -1;
static double rate = 1e9, delay_seconds, loss;
static uint64_t state = 88172645463325252ull;
static volatile sig_atomic_t pulled;

static void on_signal(int number) { pulled = number == SIGUSR1; }

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// xorshift64: which frames are lost.
static double draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static int fail(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    return 1;
}

static int open_device(const char *space)
{
    char path[256];
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), file;
    snprintf(path, sizeof path, "/run/netns/%s", space);
    int there = open(path, O_RDONLY | O_CLOEXEC);
    if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) != 0) return -1;
    strcpy(request.ifr_name, "wire0");
    file = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 || ioctl(file, TUNSETIFF, &request) != 0) return -1;
    if (setns(home, CLONE_NEWNET) != 0) return -1;
    close(home);
    close(there);
    return file;
}

static void take(struct host *h)
{
    static unsigned char sink[FRAME];
    for (;;) {
        bool full = h->tail - h->head == QUEUE;
        struct frame *frame = &h->queue[h->tail % QUEUE];
        ssize_t bytes = read(h->file, full ? sink : frame->data, FRAME);
        if (bytes < 14) return;
        if (full) continue; // a router whose buffer is full drops what comes
        memcpy(h->address, frame->data + 6, 6);
        h->known = true;
        double start = now();
        if (start < h->free_at) start = h->free_at;
        h->free_at = start + (double)bytes * 8 / rate;
        if (draw() < loss || (pulled && h - host == cut)) continue;
        frame->bytes = (int)bytes;
        frame->due = h->free_at + delay_seconds;
        h->tail++;
    }
}

static void deliver(const struct host *from, const struct frame *frame)
{
    bool broadcast = frame->data[0] & 1, found = false;
    for (int i = 0; i < hosts && !broadcast; i++)
        found |= host[i].known && !memcmp(host[i].address, frame->data, 6);
    for (int i = 0; i < hosts; i++) {
        bool meant = broadcast || !found || !memcmp(host[i].address, frame->data, 6);
        if (&host[i] == from || !meant || (pulled && i == cut)) continue;
        if (write(host[i].file, frame->data, (size_t)frame->bytes) < 0) continue;
    }
}

static void carry(void)
{
    struct pollfd wait[HOSTS];
    for (;;) {
        double next = now() + 1;
        for (int i = 0; i < hosts; i++) {
            wait[i] = (struct pollfd){.fd = host[i].file, .events = POLLIN};
            if (host[i].head != host[i].tail) {
                double due = host[i].queue[host[i].head % QUEUE].due;
                if (due < next) next = due;
            }
        }
        double left = next - now();
        if (left < 0) left = 0;
        struct timespec time = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        if (ppoll(wait, (nfds_t)hosts, &time, NULL) < 0 && errno != EINTR) return;
        for (int i = 0; i < hosts; i++) take(&host[i]);
        for (int i = 0; i < hosts; i++)
            while (host[i].head != host[i].tail &&
                   host[i].queue[host[i].head % QUEUE].due <= now()) {
                deliver(&host[i], &host[i].queue[host[i].head % QUEUE]);
                host[i].head++;
            }
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        double number = value ? strtod(value + 1, NULL) : 0;
        if (!value) {
            if (hosts == HOSTS) return fputs("wire: too many hosts\n", stderr), 2;
            host[hosts].queue = malloc(QUEUE * sizeof *host->queue);
            host[hosts].file = open_device(argv[i]);
            if (!host[hosts].queue || host[hosts].file < 0) return fail(argv[i]);
            hosts++;
        } else if (!strncmp(argv[i], "rate=", 5))
            rate = number * 1e6;
        else if (!strncmp(argv[i], "delay=", 6))
            delay_seconds = number * 1e-3;
        else if (!strncmp(argv[i], "loss=", 5))
            loss = number / 100;
        else if (!strncmp(argv[i], "cut=", 4))
            cut = (int)number;
        else if (!strncmp(argv[i], "seed=", 5))
            state += (uint64_t)number * 0x9e3779b97f4a7c15ull;
        else
            return fprintf(stderr, "wire: unknown word %s\n", argv[i]), 2;
    }
    if (hosts < 2) return fputs("wire: two namespaces or more\n", stderr), 2;
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    puts("ready"), fflush(stdout);
    carry();
    return fail("poll");
}
