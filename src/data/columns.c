// SPDX-License-Identifier: Apache-2.0
#include "data/columns.h"

#include "base/number.h"

#include <stdio.h>
#include <string.h>

static enum status add(struct column_list *list, int most, const char *name)
{
    if (list->count == most) FAIL(STATUS_USAGE, "more than %d columns", most);
    list->column[list->count++] = name;
    return STATUS_OK;
}

static const char *print_number(struct column_list *list, int number)
{
    char *text = list->number[list->count < ROW_FIELDS ? list->count : 0];
    snprintf(text, sizeof list->number[0], "%d", number);
    return text;
}

// "3", "3-12", "height".
static enum status add_word(struct column_list *list, int most, char *word)
{
    char *dash = strchr(word, '-');
    int64_t first, last;
    if (dash) *dash = 0;
    if (!dash || !number_parse_integer(word, &first) || !number_parse_integer(dash + 1, &last)) {
        if (dash) *dash = '-';
        return add(list, most, word);
    }
    if (first >= 1 && last >= 1 && last < first)
        FAIL(STATUS_USAGE, "%s-%s goes backwards; %s-%s are the columns from the first to the last",
             word, dash + 1, dash + 1, word);
    if (first < 1 || last < first || last > INT32_MAX)
        FAIL(STATUS_USAGE, "%s-%s are no columns, which are counted from 1", word, dash + 1);
    for (int64_t i = first; i <= last; i++) TRY(add(list, most, print_number(list, (int)i)));
    return STATUS_OK;
}

enum status columns_read(const char *text, int most, struct column_list *list)
{
    char *rest = NULL;
    INVARIANT(most <= ROW_FIELDS, "%d columns", most);
    list->count = 0;
    if (strlen(text) >= sizeof list->names)
        FAIL(STATUS_USAGE, "a list of columns of %zu bytes; at most %zu fit", strlen(text),
             sizeof list->names - 1);
    memcpy(list->names, text, strlen(text) + 1);
    for (char *word = strtok_r(list->names, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest))
        TRY(add_word(list, most, word));
    if (list->count == 0) FAIL(STATUS_USAGE, "\"%.*s\" names no column", CUT(text, 200));
    return STATUS_OK;
}

void columns_without(int count, int left_out, struct column_list *list)
{
    INVARIANT(count < ROW_FIELDS, "%d columns", count);
    list->count = 0;
    for (int i = 1; i <= count + 1; i++) {
        if (i == left_out) continue;
        list->column[list->count] = print_number(list, i);
        list->count++;
    }
}
