// SPDX-License-Identifier: Apache-2.0
// Commands and their options: one table each, which drives parsing, --help and the check of the man page.
#ifndef STN_TOOL_OPTIONS_H
#define STN_TOOL_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct option_row {
    const char *name;     // "set", or "n" for -n; a row without a name ends the table
    const char *argument; // "KEY=VALUE"; NULL: takes none
    const char
        *help; // what the option is for, where not for all, stands before a colon: "rows, lines: …"
};
struct options;
struct command {
    // "train", "RUN.yaml", "trains a model …". Arguments with " -- " in them: any words may stand behind --.
    const char *name, *arguments, *summary;
    int least, most; // how many arguments
    const struct option_row *rows;
    void (*help)(void); // (optional) what --help says behind the options
    enum status (*run)(const struct options *options);
};
extern const struct command train_command, eval_command, generate_command, inspect_command,
    bench_command, tokenizer_command, launch_command, plan_command, translate_command,
    summarize_command, classify_command, answer_command;

enum { MOST_OPTIONS = 256, MOST_ARGUMENTS = 4 };
struct options {
    const struct command *command;
    struct {
        const struct option_row *row;
        const char *value; // borrowed from argv; NULL for flags
    } given[MOST_OPTIONS];
    int count;
    const char *argument[MOST_ARGUMENTS];
    int arguments;
    char **rest; // what stands behind --; borrowed from argv
    int rests;
    bool help;
};

// argv[0] is the command's name. Fails: STATUS_USAGE naming the option, with a suggestion.
enum status options_parse(const struct command *command, int argc, char **argv,
                          struct options *options_p) CHECK_RESULT;
bool option_given(const struct options *options, const char *name);
// The first that was given of those that the command's table has for `what`, and not for `but` (NULL: whatever else); NULL: none.
const char *option_for(const struct options *options, const struct command *command,
                       const char *what, const char *but);
// Fails: STATUS_USAGE, "--NAME is for WHY", where one for `what` was given.
enum status option_refuse(const struct options *options, const struct command *command,
                          const char *what, const char *why) CHECK_RESULT;
// The last value that was given, NULL when none was.
const char *option_text(const struct options *options, const char *name);
// These leave *value_p alone when the option was not given. Fail: STATUS_USAGE with option, value and range.
enum status option_integer(const struct options *options, const char *name, int64_t least,
                           int64_t most, int64_t *value_p) CHECK_RESULT;
enum status option_number(const struct options *options, const char *name, double least,
                          double most, double *value_p) CHECK_RESULT;
// "usage: …", the options, the command's own help; to standard output.
void options_help(const struct command *command);
#endif
