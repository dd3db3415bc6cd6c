#!/bin/sh
# doc/run-file.md names every key of the run file, with its default, and no other.
set -u
cd "$(dirname "$0")/../.." || exit 1
program=${BUILD:-build/release}/stentor
count=0 failures=0
agree() { # agree NAME LEAST A B: two lists, a line each, are the same and have more than LEAST lines
    count=$((count + 1))
    if [ "$3" = "$4" ] && [ "$(echo "$3" | wc -l)" -gt "$2" ]; then echo "ok $count - $1"; return; fi
    failures=$((failures + 1))
    echo "not ok $count - $1"
    printf '%s\n' "$3" "$4" | sort | uniq -u | sed 's/^/# only in one: /'
}
schema=$(sed -n '/run_schema\[\]/,/^};/p' src/train/run_schema.c | tr '\n' ' ' | grep -o -E '[A-Z]\( *"[a-z_.0-9]+"' | sed 's/.*"\(.*\)"/\1/' | sort)
documented=$(sed -n 's/^| `\([a-z_.0-9]*\)`[^|]*| *`\{0,1\}\([^`| ]*\)`\{0,1\} *|.*/\1 = \2/p' doc/run-file.md | sort)
# A dash stands for none.
helped=$("$program" train --help | sed -n '/^keys of the run file/,/^$/s/^  \([a-z_.0-9]*\)  *\([^ ]*\) .*/\1 = \2/p' | sed 's/ = -$/ = /' | sort)
agree "doc/run-file.md names every key" 100 "$schema" "$(echo "$documented" | sed 's/ = .*//')"
agree "... with the default that stentor train --help has" 100 "$helped" "$documented"
echo "1..$count"
exit $((failures > 0))
