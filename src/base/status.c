// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char message[2048];
static _Thread_local char trail[512];

static void trail_append(const char *file, int line)
{
    size_t used = strlen(trail);
    if (used + 1 >= sizeof trail) return;
    snprintf(trail + used, sizeof trail - used, "%s%s:%d", used ? " < " : "", file, line);
}

enum status error_at(enum status code, const char *file, int line, const char *format, ...)
{
    if (!message[0]) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
        trail_append(file, line);
    }
    return code;
}

enum status error_trace(enum status code, const char *file, int line)
{
    trail_append(file, line);
    return code;
}

const char *error_message(void) { return message; }
const char *error_trail(void) { return trail; }

void error_clear(void)
{
    message[0] = 0;
    trail[0] = 0;
}

enum status error_adopt(enum status code, const char *text)
{
    if (!message[0]) snprintf(message, sizeof message, "%s", text);
    return code;
}

int status_exit_code(enum status code)
{
    static const int exit_code[] = {
        [STATUS_OK] = 0,           [STATUS_USAGE] = 2, [STATUS_INPUT] = 3,
        [STATUS_MEMORY] = 4,       [STATUS_DISK] = 4,  [STATUS_SHAPE] = 1,
        [STATUS_UNSUPPORTED] = 1,  [STATUS_PEER] = 5,  [STATUS_DIVERGED] = 1,
        [STATUS_INTERRUPTED] = 75,
    };
    return exit_code[code];
}

_Noreturn void invariant_failed(const char *file, int line, const char *condition,
                                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "stentor: broken invariant at %s:%d: %s: ", file, line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}
