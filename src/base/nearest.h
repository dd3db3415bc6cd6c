// SPDX-License-Identifier: Apache-2.0
// The name that somebody probably meant: for "unknown key …; did you mean …?".
#ifndef STN_BASE_NEAREST_H
#define STN_BASE_NEAREST_H

// Insertions, deletions, replacements and swaps of neighbours that turn a into b; case does not
// count. Texts longer than 64 bytes are far from everything. Source: Damerau 1964 (restricted edit
// distance).
int edit_distance(const char *a, const char *b);
// Keeps the nearest of the names that it is shown.
struct nearest {
    const char *wanted, *best;
    int distance; // of best
};
void nearest_start(struct nearest *nearest, const char *wanted);
void nearest_offer(struct nearest *nearest, const char *name);
// The best name when it is near enough to be what was meant (a third of its letters wrong at most),
// else NULL.
const char *nearest_get(const struct nearest *nearest);
#endif
