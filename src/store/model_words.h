// SPDX-License-Identifier: Apache-2.0
// Loading what model_words_save wrote. Private to store/.
#ifndef STN_STORE_MODEL_WORDS_H
#define STN_STORE_MODEL_WORDS_H

#include "store/model_directory.h"

// After the configuration. Fails: STATUS_INPUT for files that do not belong to it.
enum status model_words_load(const char *directory, struct loaded_model *model) CHECK_RESULT;
void model_words_release(struct loaded_model *model);
#endif
