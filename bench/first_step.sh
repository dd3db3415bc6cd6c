#!/bin/sh
# How soon does it train? Seconds from the command to the first finished step of the demo (its line in log.jsonl), for a text that
# was not tokenized before and for one that was. Five runs each; prints the median.
#   bench/first_step.sh TEXT      goal: 0.5 s
set -eu
cd "$(dirname "$0")/.."
program=${BUILD:-build/release}/stentor
text=${1:?usage: bench/first_step.sh TEXT}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
once() { # once OUT
    start=$(date +%s.%N)
    "$program" train examples/demo.yaml --set "data.train=$text" --set "data.cache=$work/$2" --set "out=$work/$1" \
        --set train.steps=1 --set train.warmup=0 --set train.log_every=1 >/dev/null 2>&1
    sed -n "s/.*\"_time\": *\([0-9.]*\).*train\/loss.*/\1/p" "$work/$1/log.jsonl" | head -1 | awk -v start="$start" '{ printf "%.3f\n", $1 - start }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for i in 1 2 3 4 5; do once "cold$i" "cache$i"; done | median | sed 's/.*/{"bench": "first_step", "tokens": "made", "seconds": &, "goal": 0.5}/'
for i in 1 2 3 4 5; do once "warm$i" cache1; done | median | sed 's/.*/{"bench": "first_step", "tokens": "kept", "seconds": &, "goal": 0.5}/'
