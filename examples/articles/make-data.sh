#!/bin/sh
# The small data of the articles' examples, the same on every machine: whole numbers of a generator that awk counts exactly.
# Use: sh examples/articles/make-data.sh FOLDER
set -eu
mkdir -p "$1"
awk -v to="$1" '
    function uniform() { seed = (seed * 16807) % 2147483647; return seed / 2147483647 }
    BEGIN {
        # Article 5: y = 2 x1 + 3 + noise, 1,000 rows of 10 numbers.
        seed = 42
        for (i = 0; i < 1000; i++) {
            row = ""
            for (j = 0; j < 10; j++) { x = sprintf("%.6f", uniform()); if (j == 0) first = x; row = row x "," }
            noise = 0; for (k = 0; k < 12; k++) noise += uniform()
            printf "%s%.6f\n", row, 2 * first + 3 + 0.05 * (noise - 6) >(to "/article-5.csv")
        }
        # Article 2: 1,000 rows of 10 numbers with a class of 0 or 1. There the class is a coin, which nobody can learn: here a curve decides.
        seed = 7
        for (i = 0; i < 1000; i++) {
            row = ""; sum = 0
            for (j = 0; j < 10; j++) { x = sprintf("%.6f", 4 * uniform() - 2); row = row x ","; sum += j % 2 ? x : x * x }
            printf "%s%d\n", row, (sum > 20 / 3) >(to "/article-2.csv")
        }
    }'
