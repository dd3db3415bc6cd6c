// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include "base/memory.h"
#include "terminal.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool reader_left, measures_only;

static enum status failed(void)
{
    reader_left = errno == EPIPE;
    FAIL(STATUS_DISK, "standard output cannot be written: %s", strerror(errno));
}

enum status output_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vprintf(format, arguments);
    va_end(arguments);
    return length < 0 ? failed() : STATUS_OK;
}

void output_measures_only(void) { measures_only = true; }
bool output_has_lines(void) { return !measures_only; }

enum status output_measure(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (measures_only) return output_print("%s\n", line);
    terminal_say("%s", line);
    return STATUS_OK;
}

enum status output_part(const void *data, size_t bytes)
{
    return bytes && fwrite(data, 1, bytes, stdout) != bytes ? failed() : STATUS_OK;
}

enum status output_write(const void *data, size_t bytes)
{
    TRY(output_part(data, bytes));
    return output_finish();
}

enum status output_line(const void *data, size_t bytes)
{
    TRY(output_part(data, bytes));
    return output_write("\n", 1);
}

enum status output_finish(void) { return fflush(stdout) ? failed() : STATUS_OK; }
bool output_reader_left(void) { return reader_left; }

enum status output_json(json_t *object)
{
    size_t flags = JSON_REAL_PRECISION(17) | (isatty(STDOUT_FILENO) ? JSON_INDENT(2) : 0);
    char *text = object ? json_dumps(object, flags) : NULL;
    json_decref(object);
    if (!text) FAIL(STATUS_MEMORY, "not enough memory for the result");
    enum status status = output_print("%s\n", text);
    free(text);
    return status ? status : output_finish();
}

json_t *output_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *output_json_text(const char *text, size_t bytes)
{
    char *clean;
    size_t used = 0;
    if (memory_allocate(bytes ? bytes : 1, 3, "a text", &clean)) return NULL;
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        int length = utf8_read((const uint8_t *)text + i, bytes - i, &code);
        if (length) {
            memcpy(clean + used, text + i, (size_t)length);
            used += (size_t)length;
            i += (size_t)length;
        } else {
            used += (size_t)utf8_write(0xfffd, (uint8_t *)clean + used);
            i++;
        }
    }
    json_t *string = json_stringn(clean, used);
    free(clean);
    return string;
}

const char *output_clean(const char *text, char clean[256])
{
    text_print(clean, 256, "%s", text);
    for (unsigned char *at = (unsigned char *)clean; *at; at++)
        if (*at < 0x20 || *at == 0x7f) *at = '?';
    return clean;
}

const char *output_bytes(double bytes, char text[32])
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int i = 0;
    for (; bytes >= 1000 && i < 5; i++) bytes /= 1000;
    snprintf(text, 32, i ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
    return text;
}

const char *output_count(double count, char text[32])
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%.0f", count), used = 0;
    for (int i = 0; i < length && used < 30; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-') text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
    return text;
}
