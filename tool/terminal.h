// SPDX-License-Identifier: Apache-2.0
// Standard error for people: plain lines, and on a terminal one status line that is drawn over and over below them.
// Nothing here can fail a run: a closed or full standard error is ignored.
#ifndef STN_TOOL_TERMINAL_H
#define STN_TOOL_TERMINAL_H

#include "base/status.h"

#include <stdbool.h>

// Takes over the library's log lines. color: "auto", "always", "never" or NULL (auto: a terminal, unless NO_COLOR or TERM=dumb
// say no; FORCE_COLOR and CLICOLOR_FORCE say yes). quiet: warnings and errors only. Fails: STATUS_USAGE.
enum status terminal_start(const char *color, bool quiet) CHECK_RESULT;
// From here on nothing is written, or, with `muted` false, all is again: of many processes one speaks.
void terminal_mute(bool muted);
// Whether a status line can be drawn: standard error is a terminal that moves its cursor, and not quiet.
bool terminal_is_live(void);
int terminal_columns(void);
// A line above the status line; not when quiet.
void terminal_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
// "stentor: message", in any case.
void terminal_error(const char *message);
// What ended the command, once: the error's message, with STENTOR_DEBUG its trail. Lost workers are told also by who is muted.
void terminal_failure(enum status status);
// Draws the status line, cut to the terminal's width. "" takes it away.
void terminal_status(const char *text);
#endif
