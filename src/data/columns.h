// SPDX-License-Identifier: Apache-2.0
// Columns of rows as a user lists them: "1-10, 12, height".
#ifndef STN_DATA_COLUMNS_H
#define STN_DATA_COLUMNS_H

#include "data/rows.h"

enum { COLUMNS_TEXT = 4096 };
struct column_list {
    int count;
    const char *column[ROW_FIELDS]; // in what follows: the list stays where it is
    char number[ROW_FIELDS][12];
    char names[COLUMNS_TEXT];
};
// Numbers from 1, ranges of them and names, between commas or blanks; at most `most`. Fails: STATUS_USAGE naming what is no column.
enum status columns_read(const char *text, int most, struct column_list *list) CHECK_RESULT;
// The numbers 1 to `count` + 1 without `left_out`, one of them.
void columns_without(int count, int left_out, struct column_list *list);
#endif
