// SPDX-License-Identifier: Apache-2.0
#include "supervise.h"

#include "base/file.h"
#include "base/log.h"
#include "store/checkpoint.h"
#include "store/checkpoint_folder.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#    include <sys/prctl.h>
#endif

enum { FIRST_PAUSE = 1, LONGEST_PAUSE = 60 }; // seconds; each is twice the one before
enum { LAUNCHER_PATIENCE = 5 };               // seconds that a launcher may live on after its run
enum { FROM_TERMINAL = 0x80 }; // of a byte in the pipe: the terminal sent it, to the child too

static const int watched[] = {SIGCHLD, SIGINT, SIGTERM, SIGUSR1};
enum { WATCHED = sizeof watched / sizeof *watched };

struct supervisor {
    const struct supervision *given;
    sigset_t before; // the signals that were blocked
    pid_t child;
    int starts, failures; // failures: in a row without a new checkpoint
    int asked;            // how often we were asked to stop
    int64_t newest;       // step of the newest checkpoint when the child was started, -1 none
    int64_t memory_kills;
    // Of a launcher's run: when its folder's lock was taken before it, whether it has been seen to be held, and for how many seconds it no
    // longer is.
    int64_t lock_taken;
    bool seen;
    int over_seconds;
};

// ---- signals: their numbers come out of a pipe, so that one place waits for everything ----

static int wake[2];

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int error = errno;
    unsigned char byte = (unsigned char)number;
    if (number == SIGINT && info->si_pid == 0) byte |= FROM_TERMINAL;
    if (write(wake[1], &byte, 1) < 0) errno = error; // full: there is enough to wake up for
    errno = error;
}

static enum status catch_signals(struct supervisor *s)
{
    if (pipe(wake) != 0) FAIL(STATUS_MEMORY, "no pipe could be made: %s", strerror(errno));
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t set;
    sigemptyset(&set);
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 2; i++) {
        fcntl(wake[i], F_SETFD, FD_CLOEXEC);
        fcntl(wake[i], F_SETFL, O_NONBLOCK);
    }
    for (int i = 0; i < WATCHED; i++) {
        sigaction(watched[i], &action, NULL);
        sigaddset(&set, watched[i]);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    sigprocmask(SIG_SETMASK, NULL, &s->before);
    return STATUS_OK;
}

// The next signal's byte, 0 when none came within `milliseconds` (-1: waits for one).
static int next_signal(int milliseconds)
{
    struct pollfd poll_file = {.fd = wake[0], .events = POLLIN};
    unsigned char byte;
    while (read(wake[0], &byte, 1) != 1)
        if (poll(&poll_file, 1, milliseconds) == 0) return 0;
    return byte;
}

// ---- the child ----

// Held back until the child has handlers of its own, no signal is lost to it and none is written into our pipe.
static void hold_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < WATCHED; i++) sigaddset(&set, watched[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

// A child whose supervisor was killed stops with a checkpoint instead of going on unseen.
static void follow_parent(const struct supervisor *s, pid_t parent)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, s->given->launcher ? SIGUSR1 : SIGTERM);
    if (getppid() != parent) _exit(128 + SIGTERM);
#else
    (void)s, (void)parent;
#endif
}

static void become_child(struct supervisor *s, pid_t parent)
{
    // mpirun must not see what the terminal sends to its foreground: it would end the ranks before they have a checkpoint.
    if (s->given->launcher) setpgid(0, 0);
    for (int i = 0; i < WATCHED; i++) signal(watched[i], SIG_DFL);
    close(wake[0]);
    close(wake[1]);
    follow_parent(s, parent);
    // What trains here takes the others itself, once it has handlers for them (signals_catch()).
    sigset_t set = s->before;
    for (int i = 0; i < WATCHED && !s->given->launcher; i++)
        if (watched[i] != SIGCHLD) sigaddset(&set, watched[i]);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

// Passes on a request to stop; the third is the last word.
static void pass_on(struct supervisor *s, int byte)
{
    int number = byte & ~FROM_TERMINAL;
    s->asked++;
    if (s->given->launcher) {
        kill(s->child, s->asked == 1 ? SIGUSR1 : SIGTERM);
        if (s->asked > 2) kill(-s->child, SIGKILL);
    } else if (!(byte & FROM_TERMINAL))
        kill(s->child, number);
    if (s->asked > 2) kill(s->child, SIGKILL);
}

// ---- a launcher that does not end ----
// Open MPI's mpirun (4.1.4) waits for ever for a host that is cut off, also when every process of the run has ended. Replica 0 holds the
// lock of the run's folder as long as it lives, wherever it is; who writes its number into the lock file has it.

static bool lock_path(const struct supervisor *s, char path[STORE_PATH])
{
    if (s->given->out && !path_join(path, STORE_PATH, s->given->out, ".lock")) return true;
    error_clear();
    return false;
}

// When the lock was last taken, in nanoseconds; 0: never.
static int64_t lock_taken(const struct supervisor *s)
{
    char path[STORE_PATH];
    struct stat about;
    if (!lock_path(s, path) || stat(path, &about) != 0) return 0;
    return (int64_t)about.st_mtim.tv_sec * 1000000000 + about.st_mtim.tv_nsec;
}

// Asked only when the lock has been taken since the start: asking takes it for a moment, too.
static bool lock_is_held(const struct supervisor *s)
{
    char path[STORE_PATH];
    int file = lock_path(s, path) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (file < 0) return false;
    bool held = flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(file);
    return held;
}

// Once a second while a launcher runs.
static void watch(struct supervisor *s)
{
    if (lock_taken(s) == s->lock_taken) return;
    if (lock_is_held(s)) {
        s->seen = true;
        s->over_seconds = 0;
        return;
    }
    if (!s->seen || s->over_seconds++ < LAUNCHER_PATIENCE) return;
    log_warning("the run has ended and mpirun has not, as if a host were cut off: it is killed");
    kill(-s->child, SIGKILL);
    kill(s->child, SIGKILL);
}

// Returns the child's wait status.
static int attend(struct supervisor *s)
{
    int how;
    for (;;) {
        pid_t ended = waitpid(s->child, &how, WNOHANG);
        if (ended == s->child) return how;
        int byte = next_signal(s->given->launcher ? 1000 : -1);
        if (byte == 0)
            watch(s);
        else if (byte != SIGCHLD)
            pass_on(s, byte);
    }
}

// ---- what became of it ----

// Processes that the kernel has killed for want of memory, on this machine, since it started; 0 where nobody says.
static int64_t memory_kills(void)
{
    static const char name[] = "oom_kill ";
    char line[128];
    int64_t count = 0;
    FILE *file = fopen("/proc/vmstat", "re");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, sizeof name - 1))
            count = strtoll(line + sizeof name - 1, NULL, 10);
    fclose(file);
    return count;
}

// Of those that verify: a run goes on from none other, and one that is damaged must not stand for the progress below it.
static int64_t newest_checkpoint(const struct supervisor *s)
{
    char directory[STORE_PATH / 2], path[STORE_PATH];
    struct checkpoint_name *list = NULL;
    int count = 0;
    int64_t newest = -1;
    if (!s->given->out) return newest;
    if (path_join(directory, sizeof directory, s->given->out, "checkpoints") ||
        checkpoint_names(directory, &list, &count))
        count = 0; // the child will say it
    for (int i = 0; i < count && newest < 0; i++)
        if (!path_join(path, sizeof path, directory, list[i].name) && !checkpoint_verify(path))
            newest = list[i].step;
    error_clear();
    free(list);
    return newest;
}

static int exit_code_of(int how) { return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how); }

// Whether another start may end otherwise. mpirun says 128 + n, or n alone (MPICH), for a rank that signal n ended.
static bool can_be_mended(const struct supervisor *s, int how)
{
    if (WIFSIGNALED(how)) return true;
    int code = WEXITSTATUS(how);
    if (code == status_exit_code(STATUS_PEER)) return true;
    return s->given->launcher && code > 5 && code != status_exit_code(STATUS_INTERRUPTED);
}

// "was killed (signal 9, by the kernel for want of memory)"
static void describe_end(const struct supervisor *s, int how, char text[160])
{
    int code = exit_code_of(how), number = WIFSIGNALED(how) ? WTERMSIG(how) : code - 128;
    if (number > 0 && number < 65)
        snprintf(text, 160, "was ended by signal %d (%s%s)", number, strsignal(number),
                 number == SIGKILL && memory_kills() > s->memory_kills
                     ? ", by the kernel, for want of memory"
                     : "");
    else if (code == status_exit_code(STATUS_PEER))
        snprintf(text, 160, "lost a worker (exit code %d)", code);
    else
        snprintf(text, 160, "ended with code %d", code);
}

static void where_it_goes_on(int64_t newest, char text[64])
{
    if (newest < 0)
        snprintf(text, 64, "from the beginning");
    else
        snprintf(text, 64, "from the checkpoint step-%lld", (long long)newest);
}

static _Noreturn void give_up(const struct supervisor *s, int how, int64_t newest)
{
    char what[160], where[64], text[512];
    describe_end(s, how, what);
    where_it_goes_on(newest, where);
    snprintf(text, sizeof text,
             "the training %s, %d %s without a new checkpoint; --restarts %lld allows no more; "
             "the same command with --resume goes on %s",
             what, s->failures, s->failures == 1 ? "time" : "times in a row",
             (long long)s->given->restarts, where);
    terminal_error(text);
    exit(exit_code_of(how));
}

// The time that a node, a disk or a network may need to come back. Returns when it is over; a request to stop ends the program.
static void pause_before_start(struct supervisor *s, int how, int64_t newest)
{
    char what[160], where[64];
    int seconds = FIRST_PAUSE;
    for (int i = 1; i < s->failures && seconds < LONGEST_PAUSE; i++) seconds *= 2;
    if (seconds > LONGEST_PAUSE) seconds = LONGEST_PAUSE;
    describe_end(s, how, what);
    where_it_goes_on(newest, where);
    log_warning("the training %s; it goes on in %d s %s (restart %d of %lld%s)", what, seconds,
                where, s->failures, (long long)s->given->restarts,
                newest > s->newest ? "" : " without a new checkpoint");
    for (int byte; (byte = next_signal(seconds * 1000)) != 0;) {
        if (byte == SIGCHLD) continue;
        terminal_error("stopped before the training was started again; the same command with "
                       "--resume goes on");
        exit(status_exit_code(STATUS_INTERRUPTED));
    }
}

static void mend_or_end(struct supervisor *s, int how)
{
    terminal_status("");
    if (s->asked > 0 || !can_be_mended(s, how)) exit(exit_code_of(how));
    int64_t newest = newest_checkpoint(s);
    if (newest > s->newest) s->failures = 0;
    s->failures++;
    if (s->failures > s->given->restarts) give_up(s, how, newest);
    pause_before_start(s, how, newest);
}

enum status supervise(const struct supervision *supervision, bool *resume_p, int *start_p)
{
    struct supervisor s = {.given = supervision};
    TRY(catch_signals(&s));
    for (;; s.starts++) {
        pid_t parent = getpid();
        s.newest = newest_checkpoint(&s);
        s.memory_kills = memory_kills();
        s.lock_taken = lock_taken(&s);
        s.seen = false;
        s.over_seconds = 0;
        hold_signals();
        fflush(NULL);
        s.child = fork();
        if (s.child == 0) {
            become_child(&s, parent);
            *resume_p = supervision->resume || s.starts > 0;
            *start_p = s.starts;
            return STATUS_OK;
        }
        int error = errno;
        sigprocmask(SIG_SETMASK, &s.before, NULL);
        if (s.child < 0)
            FAIL(STATUS_MEMORY, "the training could not be started: %s", strerror(error));
        mend_or_end(&s, attend(&s));
    }
}
