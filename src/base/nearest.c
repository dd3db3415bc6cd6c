// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { LONGEST = 64, FAR = 1000 };

static int least(int a, int b) { return a < b ? a : b; }

int edit_distance(const char *a, const char *b)
{
    int rows = (int)strnlen(a, LONGEST + 1), cols = (int)strnlen(b, LONGEST + 1);
    if (rows > LONGEST || cols > LONGEST) return FAR;
    int row[3][LONGEST + 1]; // two rows back, one row back, this one; they take turns
    for (int j = 0; j <= cols; j++) row[0][j] = j;
    for (int i = 1; i <= rows; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= cols; j++) {
            int p = tolower((unsigned char)a[i - 1]), q = tolower((unsigned char)b[j - 1]);
            now[j] = least(before[j - 1] + (p != q), least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && p == tolower((unsigned char)b[j - 2]) &&
                q == tolower((unsigned char)a[i - 2]))
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[rows % 3][cols];
}

void nearest_start(struct nearest *nearest, const char *wanted)
{
    nearest->wanted = wanted;
    nearest->best = NULL;
    nearest->distance = INT_MAX;
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    int distance = edit_distance(nearest->wanted, name);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = name;
    }
}

const char *nearest_get(const struct nearest *nearest)
{
    if (!nearest->best) return NULL;
    int length = (int)strlen(nearest->best);
    return nearest->distance <= (length < 3 ? 1 : (length + 2) / 3) ? nearest->best : NULL;
}
