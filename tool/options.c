// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include "base/nearest.h"
#include "base/number.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 32 };

static const struct option_row help_row = {"help", NULL, "this text"};

static enum status unknown_option(const struct command *command, const char *word)
{
    char name[64];
    const char *bare = word + strspn(word, "-");
    snprintf(name, sizeof name, "%.*s", (int)strcspn(bare, "="), bare);
    struct nearest nearest;
    nearest_start(&nearest, name);
    for (const struct option_row *row = command->rows; row->name; row++)
        nearest_offer(&nearest, row->name);
    nearest_offer(&nearest, help_row.name);
    const char *best = nearest_get(&nearest);
    FAIL(STATUS_USAGE, "%s: unknown option %s%s%s%s; `stentor %s --help` lists them", command->name,
         word, best ? " (did you mean --" : "", best ? best : "", best ? "?)" : "", command->name);
}

static enum status keep(struct options *options, const struct option_row *row, const char *value)
{
    if (options->count == MOST_OPTIONS)
        FAIL(STATUS_USAGE, "%s: more than %d options", options->command->name, MOST_OPTIONS);
    options->given[options->count].row = row;
    options->given[options->count++].value = value;
    return STATUS_OK;
}

// The row that getopt_long's value stands for: its letter, or its number.
static const struct option_row *row_of(const struct command *command, int value)
{
    const struct option_row *row = command->rows;
    if (value >= 1000) return &row[value - 1000];
    while (row->name && (row->name[1] || row->name[0] != value)) row++;
    return row;
}

static enum status parse_flags(const struct command *command, int argc, char **argv,
                               struct options *options)
{
    struct option table[MOST_ROWS + 2];
    char letters[2 * MOST_ROWS + 4] = ":h";
    int rows = 0, taken = 2;
    for (; command->rows[rows].name; rows++) {
        INVARIANT(rows < MOST_ROWS, "%s has too many options", command->name);
        const struct option_row *row = &command->rows[rows];
        table[rows] = (struct option){row->name, row->argument ? required_argument : no_argument,
                                      NULL, 1000 + rows};
        if (row->name[1]) continue;
        table[rows].val = (unsigned char)row->name[0];
        letters[taken++] = row->name[0];
        if (row->argument) letters[taken++] = ':';
    }
    table[rows] = (struct option){help_row.name, no_argument, NULL, 'h'};
    table[rows + 1] = (struct option){NULL, 0, NULL, 0};
    opterr = 0;
    optind = 1;
    for (int found; (found = getopt_long(argc, argv, letters, table, NULL)) != -1;) {
        const char *word = argv[optind - 1];
        if (found == 'h')
            options->help = true;
        else if (found == ':')
            FAIL(STATUS_USAGE, "%s: %s needs a value", command->name, word);
        else if (found == '?' && optopt >= 1000 && optopt < 1000 + rows)
            FAIL(STATUS_USAGE, "%s: --%s takes no value", command->name,
                 command->rows[optopt - 1000].name);
        else if (found == '?')
            return unknown_option(command, word);
        else
            TRY(keep(options, row_of(command, found), optarg));
    }
    return STATUS_OK;
}

enum status options_parse(const struct command *command, int argc, char **argv,
                          struct options *options_p)
{
    memset(options_p, 0, sizeof *options_p);
    options_p->command = command;
    bool takes_rest = strstr(command->arguments, " -- ");
    for (int i = 1; i < argc && takes_rest && !options_p->rest; i++)
        if (!strcmp(argv[i], "--")) {
            options_p->rest = argv + i + 1;
            options_p->rests = argc - i - 1;
            argc = i;
        }
    TRY(parse_flags(command, argc, argv, options_p));
    if (options_p->help) return STATUS_OK;
    int arguments = argc - optind;
    if (arguments < command->least)
        FAIL(STATUS_USAGE, "%s: %s is missing; `stentor %s --help` says more", command->name,
             command->arguments, command->name);
    if (arguments > command->most)
        FAIL(STATUS_USAGE, "%s: \"%s\" is one argument too many", command->name,
             argv[optind + command->most]);
    for (int i = 0; i < arguments; i++) options_p->argument[i] = argv[optind + i];
    options_p->arguments = arguments;
    return STATUS_OK;
}

const char *option_text(const struct options *options, const char *name)
{
    for (int i = options->count - 1; i >= 0; i--)
        if (!strcmp(options->given[i].row->name, name)) return options->given[i].value;
    return NULL;
}

bool option_given(const struct options *options, const char *name)
{
    for (int i = 0; i < options->count; i++)
        if (!strcmp(options->given[i].row->name, name)) return true;
    return false;
}

// Of a help "rows, lines: …" both are what the option is for.
static bool is_for(const struct option_row *row, const char *what)
{
    const char *at = row->help, *colon = strstr(at, ": ");
    size_t bytes = strlen(what);
    for (; colon && at < colon; at += strcspn(at, ",:") + 2)
        if (!strncmp(at, what, bytes) && (at[bytes] == ',' || at + bytes == colon)) return true;
    return false;
}

const char *option_for(const struct options *options, const struct command *command,
                       const char *what, const char *but)
{
    for (int i = 0; i < options->count; i++)
        for (const struct option_row *row = command->rows; row->name; row++)
            if (!strcmp(options->given[i].row->name, row->name) && is_for(row, what) &&
                !(but && is_for(row, but)))
                return row->name;
    return NULL;
}

enum status option_refuse(const struct options *options, const struct command *command,
                          const char *what, const char *why)
{
    const char *name = option_for(options, command, what, NULL);
    if (name) FAIL(STATUS_USAGE, "--%s is for %s", name, why);
    return STATUS_OK;
}

enum status option_integer(const struct options *options, const char *name, int64_t least,
                           int64_t most, int64_t *value_p)
{
    const char *text = option_text(options, name);
    int64_t value;
    if (!text) return STATUS_OK;
    if (!number_parse_integer(text, &value) || value < least || value > most)
        FAIL(STATUS_USAGE, "--%s: \"%s\" is not a whole number from %lld to %lld", name, text,
             (long long)least, (long long)most);
    *value_p = value;
    return STATUS_OK;
}

enum status option_number(const struct options *options, const char *name, double least,
                          double most, double *value_p)
{
    const char *text = option_text(options, name);
    double value;
    if (!text) return STATUS_OK;
    if (!number_parse(text, &value) || value < least || value > most)
        FAIL(STATUS_USAGE, "--%s: \"%s\" is not a number from %g to %g", name, text, least, most);
    *value_p = value;
    return STATUS_OK;
}

static void print_row(const struct option_row *row)
{
    char left[64];
    snprintf(left, sizeof left, "%s%s%s%s", row->name[1] ? "--" : "-", row->name,
             row->argument ? " " : "", row->argument ? row->argument : "");
    printf("  %-28s %s\n", left, row->help);
}

void options_help(const struct command *command)
{
    printf("usage: stentor %s %s [options]\n%s\n\noptions:\n", command->name, command->arguments,
           command->summary);
    for (const struct option_row *row = command->rows; row->name; row++) print_row(row);
    print_row(&help_row);
    if (command->help) command->help();
}
