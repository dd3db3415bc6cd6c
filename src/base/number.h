// SPDX-License-Identifier: Apache-2.0
// Numbers as text: parsing that takes the whole word or nothing, printing that reads back to the
// same bits.
#ifndef STN_BASE_NUMBER_H
#define STN_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

enum { NUMBER_TEXT = 32 };

// A decimal number such as 12, -0.5, 1e-3. False, and *value_p untouched, for anything else:
// hexadecimal, "nan", "inf", blanks, more than a double holds. Independent of the locale.
bool number_parse(const char *text, double *value_p);
// A whole number: digits with an optional sign, or a decimal such as 2e3 whose value is whole and
// below 2^53.
bool number_parse_integer(const char *text, int64_t *value_p);
bool number_parse_unsigned(const char *text, uint64_t *value_p); // digits only
// The shortest decimal that number_parse reads back to the same double. Returns text. "nan", "inf",
// "-inf" where it is not finite.
const char *number_print(double value, char text[NUMBER_TEXT]);
#endif
