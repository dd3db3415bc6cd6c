#!/bin/sh
# Is memory known? What `stentor inspect` predicts for a run against the growth of resident memory while it trains: the peak of
# `stentor train` (VmHWM) less that of the same command with --print-config, which has the program and its libraries in memory.
#   bench/memory.sh TEXT      goal: within 2 %
set -eu
cd "$(dirname "$0")/.."
program=${BUILD:-build/release}/stentor
text=${1:?usage: bench/memory.sh TEXT}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
peak() { # peak COMMAND…: the highest VmHWM seen, kB
    "$@" >/dev/null 2>&1 &
    process=$!
    highest=0
    while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$process/status 2>/dev/null) && [ -n "$now" ]; do
        highest=$now
        sleep 0.005
    done
    wait $process || true
    echo "$highest"
}
base=0
for i in 1 2 3 4 5 6 7 8 9 10; do
    now=$(peak "$program" train examples/digest.yaml --print-config)
    [ "$now" -gt "$base" ] && base=$now
done
measure() { # measure NAME SETTING…
    name=$1; shift
    predicted=$("$program" inspect examples/demo.yaml --json --set "data.train=$text" --set "out=$work/$name" "$@" |
        tr -d '\n ' | sed 's/.*"memory_bytes":{[^}]*"total":\([0-9]*\).*/\1/')
    high=$(peak "$program" train examples/demo.yaml --quiet --set "data.train=$text" --set "out=$work/$name" --set train.steps=6 \
        --set train.warmup=1 --set train.eval_every=3 "$@")
    awk -v name="$name" -v predicted="$predicted" -v high="$high" -v base="$base" 'BEGIN {
        growth = (high - base) * 1024
        printf "{\"bench\": \"memory\", \"run\": \"%s\", \"predicted_bytes\": %d, \"measured_growth_bytes\": %d, \"difference_percent\": %.2f}\n",
            name, predicted, growth, 100 * (predicted - growth) / growth }'
}
measure demo
measure wide --set model.width=512 --set model.layers=6 --set model.heads=8
measure four-workers --set model.width=512 --set model.heads=8 --set parallel.workers=4
measure recompute --set model.width=384 --set model.layers=8 --set model.heads=6 --set model.recompute_layers=8
