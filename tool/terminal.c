// SPDX-License-Identifier: Apache-2.0
#include "terminal.h"

#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool live, colored, quiet_mode, muted_mode;
static char status_line[LINE];

static bool variable_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool wants_color(const char *color, bool is_terminal)
{
    if (!strcmp(color, "always")) return true;
    if (!strcmp(color, "never") || variable_set("NO_COLOR")) return false;
    if (variable_set("FORCE_COLOR") || variable_set("CLICOLOR_FORCE")) return true;
    return is_terminal;
}

// Under the lock: writes bytes to standard error and never minds what becomes of them.
static void put(const char *text, size_t bytes)
{
    while (bytes && !muted_mode) {
        ssize_t written = write(STDERR_FILENO, text, bytes);
        if (written <= 0) return;
        text += written;
        bytes -= (size_t)written;
    }
}

static void put_line(const char *paint, const char *head, const char *text)
{
    char line[LINE + 64];
    bool painted = colored && *head; // the head alone is painted
    int length = snprintf(line, sizeof line, "%s%s%s%s%.*s\n%s", status_line[0] ? "\r\033[K" : "",
                          painted ? paint : "", head, painted ? "\033[0m" : "",
                          CUT(text, LINE - 64), status_line);
    put(line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}

static void take_log(void *context, enum log_level level, const char *line)
{
    (void)context;
    pthread_mutex_lock(&lock);
    put_line("\033[33m", level == LOG_WARNING ? "warning: " : "", line);
    pthread_mutex_unlock(&lock);
}

enum status terminal_start(const char *color, bool quiet)
{
    if (!color) color = "auto";
    if (strcmp(color, "auto") != 0 && strcmp(color, "always") != 0 && strcmp(color, "never") != 0)
        FAIL(STATUS_USAGE, "--color: \"%s\" is none of auto, always, never", color);
    const char *kind = getenv("TERM");
    bool is_terminal = isatty(STDERR_FILENO) && !(kind && !strcmp(kind, "dumb"));
    quiet_mode = quiet;
    live = is_terminal && !quiet;
    colored = wants_color(color, is_terminal);
    log_set_level(quiet ? LOG_WARNING : LOG_INFO);
    log_set_sink(take_log, NULL);
    return STATUS_OK;
}

void terminal_mute(bool muted) { muted_mode = muted; }
bool terminal_is_live(void) { return live; }

int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char *columns = getenv("COLUMNS");
    int value = columns ? (int)strtol(columns, NULL, 10) : 0;
    return value > 0 && value < 1000 ? value : 80;
}

void terminal_say(const char *format, ...)
{
    if (quiet_mode) return;
    char text[LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    put_line("", "", text);
    pthread_mutex_unlock(&lock);
}

void terminal_error(const char *message)
{
    char text[LINE];
    snprintf(text, sizeof text, "%s", message);
    // Names from foreign files reach no terminal as control characters.
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f) *at = '?';
    pthread_mutex_lock(&lock);
    put_line("\033[31m", "stentor: ", text);
    pthread_mutex_unlock(&lock);
}

void terminal_failure(enum status status)
{
    static bool told;
    if (told) return;
    told = true;
    // What failed at all, the first says. Whom it lost, each knows best itself.
    if (status == STATUS_PEER) terminal_mute(false);
    terminal_status("");
    terminal_error(error_message());
    const char *debug = getenv("STENTOR_DEBUG");
    if (debug && *debug && *debug != '0') terminal_error(error_trail());
}

// Bytes of the first `columns` characters; every character that we draw is one column wide.
static size_t cut(const char *text, int columns)
{
    size_t at = 0;
    for (; text[at]; at++)
        if (((unsigned char)text[at] & 0xc0) != 0x80 && columns-- == 0) break;
    return at;
}

void terminal_status(const char *text)
{
    if (!live) return;
    char line[LINE + 16];
    pthread_mutex_lock(&lock);
    snprintf(status_line, sizeof status_line, "%.*s", (int)cut(text, terminal_columns() - 1), text);
    int length = snprintf(line, sizeof line, "\r\033[K%s", status_line);
    put(line, (size_t)length);
    pthread_mutex_unlock(&lock);
}
