#!/bin/sh
# Help, version, suggestions: the option tables, --help, the manual page and what is accepted agree.
set -u
cd "$(dirname "$0")/../.." || exit 1
program=$(cd "${BUILD:-build/release}" && pwd)/stentor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 failures=0
check() { # check NAME COMMAND…
    name=$1; shift
    count=$((count + 1))
    if "$@" >"$work/log" 2>&1; then echo "ok $count - $name"; else
        failures=$((failures + 1)); echo "not ok $count - $name"; sed 's/^/# /' "$work/log" | tail -8; fi
}
page() { sed 's/\\-/-/g' doc/stentor.1; }
# Options of a command's section in the page, one a line, without dashes.
page_options() { page | awk -v section="STENTOR $(echo "$1" | tr '[:lower:]' '[:upper:]')" '
    /^\.SH/ { inside = index($0, "\"" section "\"") > 0 }
    inside && (last == ".TP" || last == ".TQ") && match($0, /--[a-z-]+/) { print substr($0, RSTART + 2, RLENGTH - 2) }
    { last = $0 }' | sort; }
help_options() { "$program" "$1" --help | sed -n '/^options:/,/^$/s/^  --\([a-z-]*\).*/\1/p' | grep -v '^help$' | sort; }

check "--version is one line with a version" sh -c "'$program' --version | grep -c '^stentor [0-9]*\.[0-9]*\.[0-9]* (.*)$' | grep -qx 1"
check "--help goes to standard output" sh -c "'$program' --help 2>/dev/null | grep -q '^usage: stentor COMMAND'"
for command in train eval generate classify answer translate summarize inspect tokenizer bench launch plan; do
    check "--help lists $command" sh -c "'$program' --help | grep -q '^  $command '"
    check "$command --help goes to standard output, with code 0" sh -c "'$program' $command --help 2>/dev/null | grep -q '^usage: stentor $command'"
    check "help $command is $command --help" sh -c "'$program' help $command >'$work/one' && '$program' $command --help | cmp - '$work/one'"
    help_options $command >"$work/help"; page_options $command >"$work/page"
    check "the manual page knows the options of $command" cmp "$work/help" "$work/page"
    check "the manual page's synopsis knows $command" sh -c "grep -q '^\.B stentor $command' doc/stentor.1"
    # shellcheck disable=SC2013
    for option in $(cat "$work/help"); do
        # A known option is never called unknown, whatever else is wrong.
        "$program" $command /nonexistent/x --"$option" 2>"$work/err" </dev/null
        if grep -q 'unknown option' "$work/err"; then check "$command --$option is taken" cat "$work/err" /nonexistent; fi
    done
done
check "help of an unknown command is refused, with code 2" sh -c "'$program' help traim >'$work/out' 2>'$work/err'; test \$? -eq 2 && test ! -s '$work/out' && grep -q 'did you mean train' '$work/err'"
check "help takes one command" sh -c "'$program' help train eval 2>/dev/null; test \$? -eq 2"
"$program" train --help >"$work/train_help"
# The keys of run_schema.c; --print-config prints those that the type of model reads.
sed -n '/run_schema\[\]/,/^};/p' src/train/run_schema.c | tr '\n' ' ' | grep -o -E '[A-Z]\( *"[a-z_.0-9]+"' | sed 's/.*"\(.*\)"/\1/' >"$work/keys"
listed() { # listed KEYS: there are some, each in the help
    test -s "$1" && while read -r key; do grep -q "^  $key " "$work/train_help" || { echo "$key is missing"; return 1; }; done <"$1"
}
check "run_schema.c has $(wc -l <"$work/keys") keys" test "$(wc -l <"$work/keys")" -gt 100
check "train --help lists every key of a run file" listed "$work/keys"
printf 'data: {train: x}\n' >"$work/run.yaml"
"$program" train "$work/run.yaml" --print-config | awk '/^[a-z]+:$/ { s = substr($1, 1, length($1) - 1) "."; next }
    /^[a-z]/ { s = "" } { sub(/:.*/, "", $1); print s $1 }' >"$work/printed"
check "train --help lists every key that --print-config prints" listed "$work/printed"
check "--print-config round-trips exactly" sh -c "
    '$program' train '$work/run.yaml' --set train.learning_rate=0.1 --set 'out=众 声#1' >'$work/one.yaml' --print-config &&
    '$program' train '$work/one.yaml' --print-config >'$work/two.yaml' && cmp '$work/one.yaml' '$work/two.yaml'"
mkdir "$work/still"
awk 'BEGIN { for (i = 0; i < 300; i++) print "line " i ": the quick brown fox" }' >"$work/still/x"
printf 'data: {train: x}\ntrain: {steps: 1}\n' >"$work/still/run.yaml"
check "--print-config runs nothing" sh -c "cd '$work/still' && '$program' train run.yaml --print-config && test \"\$(ls -A | xargs)\" = 'run.yaml x'"
check "... where a run is possible" sh -c "cd '$work/still' && '$program' train run.yaml --quiet && test -e runs"
check "options may stand before the argument" sh -c "'$program' train --set train.steps=7 --print-config '$work/run.yaml' | grep -q 'steps: 7'"
check "--workers and --out are keys" sh -c "'$program' train '$work/run.yaml' --workers 3 --out 'a b' --print-config >'$work/c' && grep -q 'workers: 3' '$work/c' && grep -q 'out: \"a b\"' '$work/c'"
check "the last --set wins" sh -c "'$program' train '$work/run.yaml' --set train.steps=7 --set train.steps=8 --print-config | grep -q 'steps: 8'"
check "the environment is between file and --set" sh -c "
    printf 'data: {train: x}\ntrain: {steps: 1, batch: 2}\n' >'$work/e.yaml'
    STENTOR_TRAIN_STEPS=5 STENTOR_TRAIN_BATCH=6 '$program' train '$work/e.yaml' --set train.batch=7 --print-config >'$work/c' && grep -q 'steps: 5' '$work/c' && grep -q ' batch: 7' '$work/c'"
check "a reader who leaves is no error message" sh -c "
    { '$program' train --help; echo \$? >'$work/code'; } 2>'$work/err' | true; test ! -s '$work/err'"
if [ -w /dev/full ]; then check "a full standard output is told, with code 4" sh -c "'$program' --version >/dev/full 2>'$work/err'; test \$? -eq 4 && grep -q 'standard output' '$work/err'"; fi
check "STENTOR_ISA is told" sh -c "STENTOR_ISA=generic '$program' --version | grep -q generic"
echo "1..$count"
[ $failures -eq 0 ]
