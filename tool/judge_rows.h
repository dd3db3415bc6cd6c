// SPDX-License-Identifier: Apache-2.0
// How well a model met the targets of rows: accuracy, F1, area under the curve; errors of numbers.
#ifndef STN_TOOL_JUDGE_ROWS_H
#define STN_TOOL_JUDGE_ROWS_H

#include "infer/classify.h"

struct judge_rows;
// Borrows the model, and the file's name for messages. intervals: of confidence, of the accuracy of classes.
enum status judge_rows_create(const struct loaded_model *model, const char *path, bool intervals,
                              struct judge_rows **judge_p) CHECK_RESULT;
void judge_rows_destroy(struct judge_rows *judge); // NULL is fine
// Fails: STATUS_INPUT for a target that is none of the model's classes, or no number, naming the line.
enum status judge_rows_add(struct judge_rows *judge, struct text target,
                           const struct judgement *judgement, uint64_t line) CHECK_RESULT;
// To standard error, or as one object to standard output.
enum status judge_rows_print(struct judge_rows *judge, bool json) CHECK_RESULT;
#endif
