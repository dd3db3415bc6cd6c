// SPDX-License-Identifier: Apache-2.0
// stentor launch: starts a command as many processes, on this host or those of a file, through the mpirun that fits this build.
#include "base/cpu.h"
#include "base/memory.h"
#include "comm/mpi.h"
#include "hosts.h"
#include "options.h"
#include "output.h"
#include "run_file.h"
#include "supervise.h"
#include "terminal.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const struct option_row rows[] = {
    {"n", "N", "processes; default: one for each slot of the hosts, or for each core here"},
    {"mpi", "NAME", "openmpi or mpich; default: the first whose library and mpirun are here"},
    {"restarts", "N",
     "of train: goes on from the newest checkpoint when a process is lost, up to N times"},
    {"print", NULL, "prints the command that would be run, and ends"},
    {NULL, NULL, NULL},
};

static void help(void)
{
    printf("\nHOSTS: a file with a line for each host, \"name\", \"name slots=N\" or \"name:N\"; "
           "# begins a comment.\n"
           "Each is reached by ssh, and has this program and the run's files in the same place.\n"
           "The processes are ranks of one job:\n"
           "  stentor launch -n 2 -- train run.yaml\n"
           "  stentor launch hosts.txt -- train run.yaml --set train.steps=200\n"
           "SIGINT, SIGTERM and SIGUSR1 reach all processes: a checkpoint, then exit code 75.\n");
}

enum { MOST_WORDS = 400, ONE_ARGUMENT = 120000 };

struct plan {
    const struct options *options;
    struct host *hosts; // NULL: this host alone
    int host_count;
    int64_t processes;
    bool is_openmpi;
    char mpirun[PATH_MAX], program[PATH_MAX];
    char count[16], *host_list;
    char exported[64][128]; // names of STENTOR_ variables
    char *word[MOST_WORDS];
    int words;
};

// ---- which mpirun ----

static bool find_program(const char *name, char path[PATH_MAX])
{
    const char *search = getenv("PATH");
    for (const char *from = search ? search : ""; *from;) {
        size_t length = strcspn(from, ":");
        int written = snprintf(path, PATH_MAX, "%.*s/%s", (int)length, from, name);
        if (length && written > 0 && written < PATH_MAX && access(path, X_OK) == 0) return true;
        from += length + (from[length] == ':');
    }
    return false;
}

// Whose an mpirun without a surname is shows where its name leads: mpiexec.hydra, or a folder of MPICH's.
static bool is_of_mpich(const char *path)
{
    char *leads_to = realpath(path, NULL);
    bool found = leads_to && (strstr(leads_to, "mpich") || strstr(leads_to, "hydra"));
    free(leads_to);
    return found;
}

static bool find_mpirun(const char *library, char path[PATH_MAX])
{
    char name[32];
    bool mpich = !strcmp(library, "mpich");
    snprintf(name, sizeof name, "mpirun.%s", library);
    if (find_program(name, path)) return true;
    if (mpich && find_program("mpiexec.hydra", path)) return true;
    return find_program("mpirun", path) && is_of_mpich(path) == mpich;
}

static enum status choose_library(struct plan *plan)
{
    static const char *const libraries[] = {"openmpi", "mpich"};
    const char *wanted = option_text(plan->options, "mpi");
    bool known = !wanted, built = false;
    for (int i = 0; i < 2; i++) {
        if (wanted && strcmp(wanted, libraries[i]) != 0) continue;
        known = true;
        if (!comm_mpi_has(libraries[i])) continue;
        built = true;
        if (!find_mpirun(libraries[i], plan->mpirun)) continue;
        plan->is_openmpi = i == 0;
        return STATUS_OK;
    }
    if (!known) FAIL(STATUS_USAGE, "--mpi: \"%s\" is not openmpi or mpich", wanted);
    if (!built)
        FAIL(STATUS_UNSUPPORTED,
             "this stentor was built without %s; with libopenmpi-dev or "
             "libmpich-dev on the machine, make finds it by itself",
             wanted ? wanted : "MPI");
    FAIL(STATUS_UNSUPPORTED, "there is no mpirun here; install %s, or put it into PATH",
         wanted && !strcmp(wanted, "mpich") ? "mpich" : "openmpi-bin or mpich");
}

// ---- the processes and their places ----

static enum status count_processes(struct plan *plan)
{
    int64_t slots = 0;
    bool all = true;
    for (int i = 0; i < plan->host_count; i++) {
        all = all && plan->hosts[i].present;
        if (plan->hosts[i].present) slots += plan->hosts[i].slots;
    }
    plan->processes = plan->hosts ? slots : cpu_cores();
    TRY(option_integer(plan->options, "n", 1, 1 << 20, &plan->processes));
    if (!plan->hosts || plan->processes <= slots) return STATUS_OK;
    if (all)
        FAIL(STATUS_USAGE,
             "-n %lld: %s has %lld slots; give its hosts more (slots=N) or ask for "
             "fewer processes",
             (long long)plan->processes, plan->options->argument[0], (long long)slots);
    plan->processes = slots; // those that are left
    return STATUS_OK;
}

// "a:2,b:1", which both libraries understand. mpirun takes it as one argument, whose length the system bounds.
static enum status list_hosts(struct plan *plan)
{
    size_t used = 0;
    TRY(memory_allocate(ONE_ARGUMENT + 300, 1, "the hosts", &plan->host_list));
    for (int i = 0; i < plan->host_count; i++) {
        const struct host *host = &plan->hosts[i];
        if (!host->present) continue;
        used += (size_t)snprintf(plan->host_list + used, 300, "%s%s:%d", used ? "," : "",
                                 host->name, host->slots);
        if (used > ONE_ARGUMENT)
            FAIL(STATUS_USAGE,
                 "%s: more hosts than a command line takes; call mpirun with a file of "
                 "them instead",
                 plan->options->argument[0]);
    }
    return STATUS_OK;
}

// ---- the command line ----

static enum status add(struct plan *plan, const char *word)
{
    if (plan->words + 1 >= MOST_WORDS)
        FAIL(STATUS_USAGE, "launch: more than %d words behind --", MOST_WORDS);
    plan->word[plan->words++] = (char *)word;
    plan->word[plan->words] = NULL;
    return STATUS_OK;
}

static enum status add_all(struct plan *plan, const char *const *words)
{
    for (; *words; words++) TRY(add(plan, *words));
    return STATUS_OK;
}

// Open MPI hands no environment to other hosts but its own; Hydra hands on all.
static enum status add_exports(struct plan *plan)
{
    int count = 0;
    for (char **variable = environ; *variable && count < 64; variable++) {
        size_t length = strcspn(*variable, "=");
        if (strncmp(*variable, "STENTOR_", 8) != 0 || length >= sizeof plan->exported[0]) continue;
        snprintf(plan->exported[count], sizeof plan->exported[0], "%.*s", (int)length, *variable);
        TRY(add(plan, "-x"));
        TRY(add(plan, plan->exported[count++]));
    }
    return STATUS_OK;
}

static enum status build_command(struct plan *plan, bool resume)
{
    // Threads are tied to cores by parallel.pin, not by a launcher that knows nothing of workers.
    static const char *const openmpi[] = {"--bind-to", "none", NULL};
    static const char *const crowded[] = {"--oversubscribe", NULL};
    static const char *const as_root[] = {"--allow-run-as-root", NULL};
    plan->words = 0;
    snprintf(plan->count, sizeof plan->count, "%lld", (long long)plan->processes);
    // Called by its name alone: from a path with a folder Open MPI would guess where it is installed on other hosts.
    TRY(add(plan, strrchr(plan->mpirun, '/') + 1));
    if (plan->is_openmpi) {
        TRY(add_all(plan, openmpi));
        // Open MPI counts cores, not what a core or a user holds out.
        if (!plan->hosts) TRY(add_all(plan, crowded));
        if (geteuid() == 0) TRY(add_all(plan, as_root));
        TRY(add_exports(plan));
    }
    if (plan->hosts) {
        TRY(add(plan, plan->is_openmpi ? "--host" : "-hosts"));
        TRY(add(plan, plan->host_list));
    }
    TRY(add(plan, "-n"));
    TRY(add(plan, plan->count));
    TRY(add(plan, plan->program));
    bool resumes = false;
    for (int i = 0; i < plan->options->rests; i++) {
        const char *word = plan->options->rest[i];
        if (!strcmp(word, "--resume")) resumes = true;
        TRY(add(plan, word));
    }
    if (resume && !resumes) TRY(add(plan, "--resume"));
    return STATUS_OK;
}

static enum status print_command(const struct plan *plan)
{
    for (int i = 0; i < plan->words; i++) TRY(output_print("%s%s", i ? " " : "", plan->word[i]));
    return output_print("\n");
}

// ---- restarts ----

// Whether a host answers, without a question to whoever sits before the terminal.
static bool answers(const char *host)
{
    pid_t child = fork();
    if (child == 0) {
        int nothing = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++) dup2(nothing, i);
        execlp("ssh", "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", host, "true",
               (char *)NULL);
        _exit(127);
    }
    int how = 0;
    if (child < 0 || waitpid(child, &how, 0) != child) return false;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

// Before another start: hosts that do not answer are left out, and the others go on.
static enum status leave_out_silent(struct plan *plan)
{
    char own[256] = "";
    int left = 0;
    if (gethostname(own, sizeof own - 1)) own[0] = 0;
    for (int i = 0; plan->hosts && i < plan->host_count; i++) {
        struct host *host = &plan->hosts[i];
        host->present =
            !strcmp(host->name, own) || !strcmp(host->name, "localhost") || answers(host->name);
        left += host->present;
        if (!host->present) terminal_say("%s does not answer and is left out", host->name);
    }
    if (plan->hosts && !left)
        FAIL(STATUS_PEER, "none of the hosts in %s answers", plan->options->argument[0]);
    free(plan->host_list);
    plan->host_list = NULL;
    return STATUS_OK;
}

// What a restart must know of a training: where its checkpoints are, and whether it goes on already.
static enum status read_training(const struct options *options, struct supervision *supervision_p)
{
    static struct options inner;
    static struct run_config config;
    const char *what = options->rests ? options->rest[0] : "";
    if (strcmp(what, train_command.name) != 0)
        FAIL(STATUS_USAGE, "--restarts is for train, not for \"%s\"", what);
    TRY(options_parse(&train_command, options->rests, options->rest, &inner));
    if (option_given(&inner, "restarts"))
        FAIL(STATUS_USAGE, "--restarts belongs before --: a process cannot start the others again");
    if (inner.help) FAIL(STATUS_USAGE, "--restarts with --help: there is nothing to start again");
    TRY(run_file_read(&inner, inner.argument[0], &config));
    supervision_p->out = config.out;
    supervision_p->resume = option_given(&inner, "resume");
    return option_integer(options, "restarts", 0, INT32_MAX, &supervision_p->restarts);
}

// ---- the start ----

static enum status own_program(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length <= 0 || length >= PATH_MAX - 1)
        FAIL(STATUS_UNSUPPORTED,
             "this system does not say where the program lies (/proc/self/exe)");
    path[length] = 0;
    return STATUS_OK;
}

static enum status become_mpirun(struct plan *plan)
{
    // mpirun is in the background to the terminal, where reading would stop it.
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0) dup2(nothing, STDIN_FILENO);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    execv(plan->mpirun, plan->word);
    FAIL(STATUS_UNSUPPORTED, "%s cannot be started", plan->mpirun);
}

static enum status prepare(struct plan *plan, bool resume)
{
    TRY(count_processes(plan));
    if (plan->hosts) TRY(list_hosts(plan));
    return build_command(plan, resume);
}

static enum status start(struct plan *plan)
{
    struct supervision supervision = {.launcher = true};
    bool resume = false;
    int starts = 0;
    if (option_given(plan->options, "restarts")) TRY(read_training(plan->options, &supervision));
    TRY(supervise(&supervision, &resume, &starts));
    // From here on in the child.
    if (starts > 0) {
        TRY(leave_out_silent(plan));
        TRY(prepare(plan, true));
    }
    return become_mpirun(plan);
}

static enum status run(const struct options *options)
{
    static struct plan plan;
    plan = (struct plan){.options = options};
    TRY(terminal_start(NULL, false));
    if (options->rests == 0)
        FAIL(STATUS_USAGE,
             "launch: what to start is missing, as in: stentor launch -n 2 -- train run.yaml");
    if (options->arguments) TRY(hosts_read(options->argument[0], &plan.hosts, &plan.host_count));
    enum status status = own_program(plan.program);
    if (!status) status = choose_library(&plan);
    if (!status) status = prepare(&plan, false);
    if (!status) status = option_given(options, "print") ? print_command(&plan) : start(&plan);
    free(plan.hosts);
    free(plan.host_list);
    return status;
}

const struct command launch_command = {
    "launch", "[HOSTS] -- COMMAND …", "starts many processes over MPI", 0, 1, rows, help, run,
};
