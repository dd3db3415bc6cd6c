#!/bin/sh
# What does a slow network cost? Two hosts in network namespaces, 100 Mbit/s and 20 ms each way between them (test/torture/wire.c), one process on each: local-sgd
# with H = 50, and direct. Beside them both on one host, without a network. The goals: local-sgd over the network keeps 0.9 of the tokens a second that it has without
# one, and its validation loss is within 2 % of direct's after as many tokens. One line of JSON a run. Needs root; a core for each process.
#   bench/slow_network.sh [steps, default 400] [rate in Mbit/s, default 100] [delay in ms, default 20]
set -eu
cd "$(dirname "$0")/.."
program=$(cd "${BUILD:-build/release}" && pwd)/stentor
steps=${1:-400} rate=${2:-100} delay=${3:-20} hosts_folder=$PWD/test/torture text=$PWD/LICENSE
[ ! -r build/demo/en.txt ] || text=$PWD/build/demo/en.txt
work=$(mktemp -d)
. "$hosts_folder/hosts.sh"
trap 'hosts_stop; rm -rf "$work"' EXIT
reason=$(hosts_can)
[ -z "$reason" ] || { echo "bench/slow_network.sh: $reason" >&2; exit 1; }
cd "$work"
cat >run.yaml <<END
model: {layers: 4, heads: 4, width: 128, context: 64}
data: {train: $text}
train: {steps: $steps, batch: 64, micro_batch: 8, leaves: 8, warmup: 20, eval_every: 0, save_every: 0, log_every: 10}
parallel: {workers: 1, sync_every: 50, peer_timeout: 60}
END
run() { # run NAME HOSTS EXCHANGE [STEPS]
    if [ "$2" = network ]; then where=hosts.txt; else where="-n 2"; fi
    # shellcheck disable=SC2086
    hosts_on 0 "$program" launch $where -- train run.yaml --out "$1" --set parallel.exchange="$3" --set train.steps="${4:-$steps}" --quiet --json >"$1.json" 2>"$1.err" ||
        { cat "$1.err" >&2; exit 1; }
    figures=$(tr -d '\n' <"$1.json")
    seconds=$(sed -n 's/.*"_runtime": *\([0-9.]*\), .*"train\/loss".*/\1/p' "$1/log.jsonl" | sed -n '1p;$p' | awk 'NR == 1 { a = $1 } { b = $1 } END { print b - a }')
    awk -v name="$1" -v steps="${4:-$steps}" -v seconds="$seconds" -v where="$2" -v exchange="$3" -v first="${first:-0}" \
        -v loss="$(echo "$figures" | sed -n 's/.*"validation_loss": *\([0-9.e+-]*\).*/\1/p')" 'BEGIN {
        printf "{\"bench\": \"slow_network\", \"run\": \"%s\", \"exchange\": \"%s\", \"where\": \"%s\", \"steps\": %d, \"tokens_per_s\": %.0f, \"validation_loss\": %s}\n",
            name, exchange, where, steps, (steps - 1) * 64 * 64 / seconds, loss }' | tee -a all.json
}
hosts_start 2 rate="$rate" delay="$delay"
run local-alone one-host local-sgd
run local-network network local-sgd
run direct-alone one-host direct
run direct-network network direct $((steps / 10 > 20 ? steps / 10 : 20))
field() { sed -n "s/.*\"run\": \"$1\".*\"$2\": \([0-9.e+-]*\).*/\1/p" all.json; }
awk -v a="$(field local-network tokens_per_s)" -v b="$(field local-alone tokens_per_s)" -v c="$(field direct-network tokens_per_s)" -v d="$(field direct-alone tokens_per_s)" \
    -v l="$(field local-network validation_loss)" -v s="$(field direct-alone validation_loss)" -v rate="$rate" -v delay="$delay" 'BEGIN {
    printf "{\"bench\": \"slow_network\", \"mbit\": %s, \"ms\": %s, \"local_sgd_keeps\": %.3f, \"direct_keeps\": %.3f, \"local_sgd_of_direct_alone\": %.3f, \"loss_over_synchronous\": %.4f}\n",
        rate, delay, a / b, c / d, a / d, l / s }'
