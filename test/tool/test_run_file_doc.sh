#!/bin/sh
# doc/run-file.md names every key of the run file, with its default, and no other.
set -u
cd "$(dirname "$0")/../.." || exit 1
schema=$(sed -n '/run_schema\[\]/,/^};/p' src/train/run_schema.c | tr '\n' ' ' | grep -o -E '(KEY|CHOICE|INTEGER|NUMBER|DROPOUT|RATE)\( *"[a-z_.0-9]+"' | sed 's/.*"\(.*\)"/\1/' | sort)
documented=$(sed -n 's/^| `\([a-z_.0-9]*\)`.*/\1/p' doc/run-file.md | sort)
if [ "$schema" = "$documented" ] && [ "$(echo "$schema" | wc -l)" -gt 50 ]; then echo "ok 1 - doc/run-file.md names every key"; else
    echo "not ok 1 - doc/run-file.md names every key"
    printf '%s\n' "$schema" "$documented" | sort | uniq -u | sed 's/^/# only in one: /'
    exit 1
fi
echo 1..1
