#!/bin/sh
# Does it learn? nanoGPT's CPU setting on tiny Shakespeare, three seeds; prints each validation loss over the whole last tenth and the mean.
#   bench/learns.sh INPUT.TXT [SEED…]       goal: mean <= 1.88
set -eu
cd "$(dirname "$0")/.."
program=${BUILD:-build/release}/stentor
text=${1:?usage: bench/learns.sh INPUT.TXT [SEED...]}
shift
[ $# -gt 0 ] || set -- 1337 1 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for seed in "$@"; do
    "$program" train examples/shakespeare.yaml --quiet --set "data.train=$text" --set "train.seed=$seed" --set "out=$work/$seed" \
        --set train.save_every=0 --set train.eval_every=1000
    loss=$("$program" eval "$work/$seed" --json | sed 's/.*"loss": *\([0-9.e+-]*\).*/\1/')
    echo "{\"bench\": \"learns\", \"seed\": $seed, \"validation_loss\": $loss}"
    echo "$loss" >>"$work/losses"
done
awk '{ sum += $1 } END { printf "{\"bench\": \"learns\", \"seeds\": %d, \"mean_validation_loss\": %.4f, \"goal\": 1.88}\n", NR, sum / NR }' "$work/losses"
