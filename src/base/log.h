// SPDX-License-Identifier: Apache-2.0
// What the program says besides its results: lines on standard error. A library user may take them over or silence them.
#ifndef STN_BASE_LOG_H
#define STN_BASE_LOG_H

enum log_level { LOG_QUIET, LOG_WARNING, LOG_INFO, LOG_DEBUG };
void log_set_level(enum log_level level); // LOG_INFO at first
typedef void (*log_sink)(void *context, enum log_level level, const char *line);
void log_set_sink(log_sink sink, void *context); // NULL: standard error
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
