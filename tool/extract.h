// SPDX-License-Identifier: Apache-2.0
// stentor summarize where sentences of the text are its summary: by a model that chooses them, or the first ones (--lead).
#ifndef STN_TOOL_EXTRACT_H
#define STN_TOOL_EXTRACT_H

#include "options.h"

// clang-format off
#define EXTRACT_OPTIONS                                                                            \
    {"sentences", "N", "choosing: how many sentences of a text (1)"},                              \
    {"lead", "N", "no model: the first N sentences of a text, for comparison"},                    \
    {"text", "COLUMN", "choosing, of FILE: the text, a number from 1 or a name (1)"},              \
    {"target", "COLUMN", "choosing, of FILE: what it should become; several in a .jsonl list"},    \
    {"format", "NAME", "choosing, of FILE: lines, csv, tsv, spaced, jsonl (by its ending)"},       \
    {"header", NULL, "choosing, of FILE: the first row is left out"},                              \
    {"replace", NULL, "choosing, of FILE: bytes that are no UTF-8 become question marks"}
// clang-format on

// Whether the options ask for these: --lead, or a DIR whose model chooses sentences; and that none is there that only the others have.
// Fails: STATUS_USAGE, STATUS_INPUT.
enum status extract_is_asked(const struct options *options, bool *asked_p) CHECK_RESULT;
enum status extract_run(const struct options *options) CHECK_RESULT;
#endif
