// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char message[2048];
static _Thread_local char trail[512];

// ---- whole characters ----
// Without the beginning of a character that goes on behind the end.
static size_t whole(const char *text, size_t bytes)
{
    size_t back = 0;
    while (back < 3 && back + 1 < bytes && ((unsigned char)text[bytes - 1 - back] & 0xC0) == 0x80)
        back++;
    unsigned char first = bytes ? (unsigned char)text[bytes - 1 - back] : 0;
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return length > back + 1 ? bytes - 1 - back : bytes;
}

int text_cut_bytes(const char *text, size_t bytes, size_t most)
{
    return (int)(bytes <= most ? bytes : whole(text, most));
}

int text_cut(const char *text, size_t most)
{
    return text_cut_bytes(text, strnlen(text, most + 1), most);
}

static void print_whole(char *text, size_t bytes, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
static void print_whole(char *text, size_t bytes, const char *format, va_list arguments)
{
    int length = vsnprintf(text, bytes, format, arguments);
    if (bytes && length >= 0 && (size_t)length >= bytes) text[whole(text, bytes - 1)] = 0;
}

void text_print(char *text, size_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_whole(text, bytes, format, arguments);
    va_end(arguments);
}

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
        print_whole(message, sizeof message, format, arguments);
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
    if (!message[0]) text_print(message, sizeof message, "%s", text);
    return code;
}

void error_copy(char *text, size_t bytes) { text_print(text, bytes, "%s", message); }

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
