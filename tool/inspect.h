// SPDX-License-Identifier: Apache-2.0
// What `stentor inspect` can look at: one function a kind of thing.
#ifndef STN_TOOL_INSPECT_H
#define STN_TOOL_INSPECT_H

#include "options.h"
#include "store/manifest.h"

enum status inspect_model(const struct options *options, const char *directory) CHECK_RESULT;
enum status inspect_safetensors(const struct options *options, const char *path) CHECK_RESULT;
enum status inspect_checkpoint(const struct options *options, const char *directory) CHECK_RESULT;
// "made by 3 processes with 6 workers, exchange tree (exact), in start 2 of the run"; "" where the manifest does not say.
enum { CREW_TEXT = 208 };
const char *inspect_crew(const struct manifest *manifest, char text[CREW_TEXT]);
// The same for `object`, as members.
void inspect_crew_json(const struct manifest *manifest, json_t *object);
enum status inspect_run(const struct options *options, const char *path) CHECK_RESULT;
#endif
