// SPDX-License-Identifier: Apache-2.0
#include "base/number.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A library user's locale may want a comma where we mean a point: these conversions run in the "C"
// locale.
static locale_t plain;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void make_plain(void) { plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); }
static locale_t locale_enter(void)
{
    pthread_once(&once, make_plain);
    return plain ? uselocale(plain) : (locale_t)0;
}
static void locale_leave(locale_t before)
{
    if (before) uselocale(before);
}

static const char *skip_digits(const char *text)
{
    while (*text >= '0' && *text <= '9') text++;
    return text;
}

// [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent.
static bool is_decimal(const char *text)
{
    if (*text == '+' || *text == '-') text++;
    const char *whole = skip_digits(text);
    bool digits = whole > text;
    text = whole;
    if (*text == '.') {
        const char *fraction = skip_digits(text + 1);
        digits = digits || fraction > text + 1;
        text = fraction;
    }
    if (!digits) return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-') text++;
        const char *exponent = skip_digits(text);
        if (exponent == text) return false;
        text = exponent;
    }
    return *text == 0;
}

bool number_parse(const char *text, double *value_p)
{
    if (!is_decimal(text)) return false;
    char *end;
    locale_t before = locale_enter();
    double value = strtod(text, &end);
    locale_leave(before);
    if (*end || !isfinite(value)) return false;
    *value_p = value;
    return true;
}

bool number_parse_integer(const char *text, int64_t *value_p)
{
    const char *digits = *text == '+' || *text == '-' ? text + 1 : text;
    if (*digits && !*skip_digits(digits)) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno) return false;
        *value_p = value;
        return true;
    }
    double value;
    if (!number_parse(text, &value) || value != floor(value) || fabs(value) > 0x1p53) return false;
    *value_p = (int64_t)value;
    return true;
}

bool number_parse_unsigned(const char *text, uint64_t *value_p)
{
    if (!*text || *skip_digits(text)) return false;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno) return false;
    *value_p = value;
    return true;
}

const char *number_print(double value, char text[NUMBER_TEXT])
{
    locale_t before = locale_enter();
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, NUMBER_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    locale_leave(before);
    return text;
}
