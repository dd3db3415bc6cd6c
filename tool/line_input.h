// SPDX-License-Identifier: Apache-2.0
// Lines to be worked on, from a file (.gz and .zst too) or from standard input as they come: data/lines.h's checks for both.
#ifndef STN_TOOL_LINE_INPUT_H
#define STN_TOOL_LINE_INPUT_H

#include "data/lines.h"

struct line_input;
enum line_state {
    LINE_HERE,
    LINE_LATE, // standard input has none just now, or a signal came
    LINE_END
};
// Fails: STATUS_USAGE where the name of a file says that it holds objects, which would be read as a line of braces each.
enum status line_input_check(const char *path) CHECK_RESULT;
// Also where it says that lines have columns, of which a text would have all. Fails: as line_input_check.
enum status line_input_check_text(const char *path) CHECK_RESULT;
// path NULL or "-": standard input. Fails: as line_input_check; STATUS_INPUT.
enum status line_input_open(const char *path, struct line_input **input_p) CHECK_RESULT;
void line_input_close(struct line_input *input); // NULL is fine
// The file's name, or "standard input".
const char *line_input_name(const struct line_input *input);
// The next line; its text is valid until the next call. patient: waits for it, until a signal comes; else some hundredths of a second.
// Fails: STATUS_INPUT naming the input, the line, and what is wrong with it.
enum status line_input_next(struct line_input *input, bool patient, struct line *line_p,
                            enum line_state *state_p) CHECK_RESULT;
#endif
