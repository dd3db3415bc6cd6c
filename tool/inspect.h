// SPDX-License-Identifier: Apache-2.0
// What `stentor inspect` can look at: one function a kind of thing.
#ifndef STN_TOOL_INSPECT_H
#define STN_TOOL_INSPECT_H

#include "options.h"

enum status inspect_model(const struct options *options, const char *directory) CHECK_RESULT;
enum status inspect_safetensors(const struct options *options, const char *path) CHECK_RESULT;
enum status inspect_checkpoint(const struct options *options, const char *directory) CHECK_RESULT;
enum status inspect_run(const struct options *options, const char *path) CHECK_RESULT;
#endif
