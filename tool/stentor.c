// SPDX-License-Identifier: Apache-2.0
// The program: finds the command, runs it, turns its status into a message and an exit code.
#include "base/cpu.h"
#include "base/nearest.h"
#include "comm/identity.h"
#include "comm/mpi.h"
#include "options.h"
#include "output.h"
#include "signals.h"
#include "terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = {&train_command,
                                                 &eval_command,
                                                 &generate_command,
                                                 &classify_command,
                                                 &answer_command,
                                                 &translate_command,
                                                 &summarize_command,
                                                 &inspect_command,
                                                 &tokenizer_command,
                                                 &bench_command,
                                                 &launch_command,
                                                 &plan_command,
                                                 NULL};

static void print_usage(void)
{
    printf("usage: stentor COMMAND [arguments] [options]\n"
           "trains language models, data parallel, with the same bits for any number of workers\n\n"
           "commands:\n");
    for (int i = 0; commands[i]; i++)
        printf("  %-10s %-24s %s\n", commands[i]->name, commands[i]->arguments,
               commands[i]->summary);
    printf("\n  stentor COMMAND --help         options of a command\n"
           "  stentor help COMMAND           the same\n"
           "  stentor --version              version, processor and instruction set\n\n"
           "exit codes: 0 ok, 1 the run failed or is not possible here, 2 wrong usage,\n"
           "            3 bad input, 4 no memory or disk, 5 a worker was lost,\n"
           "            75 stopped with a checkpoint, 128 + n by signal n\n");
}

static enum status print_version(void)
{
    enum isa isa;
    TRY(isa_choose(&isa));
    return output_print("stentor %s (%s, %s)\n", STENTOR_VERSION, cpu_name(), isa_name(isa));
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static enum status unknown_command(const char *name)
{
    struct nearest nearest;
    nearest_start(&nearest, name);
    for (int i = 0; commands[i]; i++) nearest_offer(&nearest, commands[i]->name);
    const char *best = nearest_get(&nearest);
    FAIL(STATUS_USAGE, "unknown %s \"%s\"%s%s%s; `stentor --help` lists the commands",
         *name == '-' ? "option" : "command", name, best ? " (did you mean " : "", best ? best : "",
         best ? "?)" : "");
}

static enum status run_command(int argc, char **argv)
{
    static struct options options;
    const struct command *command = find_command(argv[0]);
    if (!command) return unknown_command(argv[0]);
    TRY(options_parse(command, argc, argv, &options));
    if (!options.help) return command->run(&options);
    options_help(command);
    return STATUS_OK;
}

static bool asks_for_help(const char *word)
{
    return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

// argv[0] is the word that asks for help; behind it may stand the command that it is asked of.
static enum status print_help(int argc, char **argv)
{
    if (argc > 2)
        FAIL(STATUS_USAGE, "%s: \"%.*s\" is one argument too many", argv[0], CUT(argv[2], 60));
    if (argc < 2 || asks_for_help(argv[1])) {
        print_usage();
        return STATUS_OK;
    }
    const struct command *command = find_command(argv[1]);
    if (!command) return unknown_command(argv[1]);
    options_help(command);
    return STATUS_OK;
}

static enum status run(int argc, char **argv)
{
    TRY(terminal_start(NULL, false));
    if (argc < 2) {
        FAIL(STATUS_USAGE,
             "a command is missing: train, eval, generate, classify, answer, translate, "
             "summarize, inspect, tokenizer, bench, launch or plan; "
             "`stentor --help` says more");
    }
    if (!strcmp(argv[1], "--version")) return print_version();
    if (asks_for_help(argv[1])) return print_help(argc - 1, argv + 1);
    return run_command(argc - 1, argv + 1);
}

// Whoever closed a standard stream must not see a model written to, or a message in, the file that would get its number.
// What a command reads or writes there fails, as it would with the stream closed: a result is never lost in silence.
static bool fill_standard_streams(void)
{
    int file;
    do file = open("/dev/null", fcntl(STDIN_FILENO, F_GETFD) < 0 ? O_WRONLY : O_RDONLY);
    while (file >= 0 && file <= STDERR_FILENO);
    return file >= 0 && close(file) == 0;
}

// Whether this is one of several processes of a job, and not the first.
static bool is_another(void)
{
    struct identity identity;
    bool found = identity_find(&identity) == STATUS_OK;
    error_clear();
    return found && identity.rank > 0;
}

// An MPI that lost a process cannot be ended, and would wait for it.
static int leave(int code)
{
    if (!comm_mpi_torn()) return code;
    fflush(NULL);
    _exit(code);
}

int main(int argc, char **argv)
{
    if (!fill_standard_streams()) return status_exit_code(STATUS_DISK);
    signals_start();
    if (is_another()) terminal_mute(true);
    enum status status = run(argc, argv);
    if (status == STATUS_OK) status = output_finish();
    if (status == STATUS_OK) return 0;
    fflush(stdout);                                   // what is done stands before what ended it
    if (output_reader_left()) return leave(128 + 13); // as the signal would have ended us
    terminal_failure(status);
    return leave(status_exit_code(status));
}
