// SPDX-License-Identifier: Apache-2.0
// One line a call, whole even when several threads speak. Control characters (names from foreign files) never reach a terminal.
#include "base/log.h"

#include "base/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MOST_LINE = 4096 };

static _Atomic int current_level = LOG_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink current_sink;
static void *sink_context;

void log_set_level(enum log_level level) { atomic_store(&current_level, (int)level); }

void log_set_sink(log_sink sink, void *context)
{
    pthread_mutex_lock(&lock);
    current_sink = sink;
    sink_context = context;
    pthread_mutex_unlock(&lock);
}

static void speak(enum log_level level, const char *format, va_list arguments)
{
    if ((int)level > atomic_load(&current_level)) return;
    char line[MOST_LINE];
    int length = vsnprintf(line, sizeof line, format, arguments);
    if (length >= (int)sizeof line) line[text_cut_bytes(line, (size_t)length, sizeof line - 1)] = 0;
    for (unsigned char *at = (unsigned char *)line; *at; at++)
        if ((*at < 0x20 && *at != '\t' && *at != '\n') || *at == 0x7f) *at = '?';
    pthread_mutex_lock(&lock);
    if (current_sink)
        current_sink(sink_context, level, line);
    else
        fprintf(stderr, "%s%s\n", level == LOG_WARNING ? "warning: " : "", line);
    pthread_mutex_unlock(&lock);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    speak(LOG_INFO, format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    speak(LOG_WARNING, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    speak(LOG_DEBUG, format, arguments);
    va_end(arguments);
}
