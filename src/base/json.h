// SPDX-License-Identifier: Apache-2.0
// JSON of strangers, through jansson with every check on. Numbers are checked for kind and range by the getters.
#ifndef STN_BASE_JSON_H
#define STN_BASE_JSON_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Parses one document: duplicates, trailing bytes, bad UTF-8, NUL in keys are refused. `source` names it in messages.
// The caller owns *root_p (json_decref). Fails: STATUS_INPUT with line (where there are several) and column.
enum status json_parse(const char *text, size_t bytes, const char *source,
                       json_t **root_p) CHECK_RESULT;
// The same; where a whole number fits no int64, all whole numbers are doubles, and *wide_p is true
// (NULL: refused).
enum status json_parse_wide(const char *text, size_t bytes, const char *source, bool *wide_p,
                            json_t **root_p) CHECK_RESULT;
// Reads and parses a file of at most `limit` bytes; a byte order mark before the document is left out.
enum status json_read_file(const char *path, size_t limit, json_t **root_p) CHECK_RESULT;
// Getters: an absent key (or null) gives `fallback`, unless `required`. A wrong kind or range fails: STATUS_INPUT with
// source, key, value and what would be right.
enum status json_get_integer(json_t *object, const char *key, const char *source, bool required,
                             int64_t least, int64_t most, int64_t fallback,
                             int64_t *value_p) CHECK_RESULT;
enum status json_get_number(json_t *object, const char *key, const char *source, bool required,
                            double least, double most, double fallback,
                            double *value_p) CHECK_RESULT;
// Borrowed from the object.
enum status json_get_string(json_t *object, const char *key, const char *source, bool required,
                            const char *fallback, const char **value_p) CHECK_RESULT;
enum status json_get_boolean(json_t *object, const char *key, const char *source, bool fallback,
                             bool *value_p) CHECK_RESULT;
// Indented text of a document, keys in the order they were set, numbers as short as is exact, ending in a newline; the caller frees.
// root NULL: a document that memory did not suffice for. Fails: STATUS_MEMORY.
enum status json_print(json_t *root, char **text_p, size_t *bytes_p) CHECK_RESULT;
enum status json_write_file(json_t *root,
                            const char *path) CHECK_RESULT; // the same through file_replace
#endif
