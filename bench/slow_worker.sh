#!/bin/sh
# What does a worker at half speed cost? Two processes of one worker; one of them is stopped for half of the time, in periods of 20 ms. Tokens a second of the
# undisturbed run, of the slowed one with equal shares, and with parallel.balance=measured; ideal is 1.5 workers, 0.75 of the undisturbed. All three must end
# with the same bits. The three take turns; one line of JSON a run, and one with the medians of the turns' ratios; the goal is 0.9 of the ideal. Needs a core for
# each process: on a busy machine all three are slowed by others, and the one that is stopped now and then is often given its time back.
#   bench/slow_worker.sh [steps, default 300] [library, default openmpi] [turns, default 1]
set -eu
cd "$(dirname "$0")/.."
program=$(cd "${BUILD:-build/release}" && pwd)/stentor
steps=${1:-300} library=${2:-openmpi} turns=${3:-1}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
work=$(mktemp -d)
slower=''
trap '[ -z "$slower" ] || kill "$slower" 2>/dev/null; rm -rf "$work"' EXIT
${CC:-gcc} -O2 -D_GNU_SOURCE -o "$work/half_speed" bench/mpi/half_speed.c
cp LICENSE "$work/text.txt"
cd "$work"
cat >run.yaml <<END
model: {layers: 4, heads: 4, width: 128, context: 64}
data: {train: text.txt}
train: {steps: $steps, batch: 48, micro_batch: 2, leaves: 24, warmup: 10, eval_every: 0, save_every: 0, log_every: 5}
parallel: {workers: 1, balance_every: 10}
END
run() { # run NAME BALANCE SLOWED
    mpirun.$library -n 2 "$program" train run.yaml --out "$1" --set parallel.balance="$2" --quiet --json >"$1.json" 2>"$1.err" & job=$!
    if [ "$3" = yes ]; then
        tries=0 victim=''
        while [ -z "$victim" ] && [ $tries -lt 100 ]; do
            sleep 0.1; tries=$((tries + 1))
            for process in /proc/[0-9]*; do
                [ "$(readlink "$process/exe" 2>/dev/null)" = "$program" ] || continue
                tr '\0' '\n' <"$process/environ" | grep -qx -e OMPI_COMM_WORLD_RANK=1 -e PMI_RANK=1 && victim=${process#/proc/}
            done
        done
        [ -n "$victim" ] || { echo "rank 1 was not found" >&2; exit 1; }
        ./half_speed 0.5 20 "$victim" & slower=$!
    fi
    wait $job || { cat "$1.err" >&2; exit 1; }
    [ -z "$slower" ] || { kill "$slower" 2>/dev/null || true; wait "$slower" 2>/dev/null || true; slower=''; }
    # The median over the run but its first third, in which borders still move.
    rate=$(sed -n 's/.*"perf\/tokens_per_s": *\([0-9.e+]*\).*/\1/p' "$1/log.jsonl" | awk '{ v[NR] = $1 } END { for (i = int(NR / 3) + 1; i <= NR; i++) print v[i] }' |
        sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    sum=$(sed -n 's/.*\([0-9a-f]\{64\}\).*/\1/p' "$1.json" | tail -1)
    [ "$1" != undisturbed ] || { whole=$rate; bits=$sum; }
    echo "$1 $rate $whole" >>rates
    times=$(tr -d ' \n' <"$1.json" | sed -n 's/.*"worker_step_ms": *\(\[\[.*\]\]\).*/\1/p')
    awk -v name="$1" -v rate="$rate" -v whole="$whole" -v same="$([ "$sum" = "$bits" ] && echo true || echo false)" -v times="${times:-null}" 'BEGIN {
        printf "{\"bench\": \"slow_worker\", \"run\": \"%s\", \"tokens_per_s\": %.0f, \"of_undisturbed\": %.3f, \"of_ideal\": %s, \"same_bits\": %s, \"worker_step_ms_p50_p95\": %s}\n",
            name, rate, rate / whole, name == "undisturbed" ? "null" : sprintf("%.3f", rate / (0.75 * whole)), same, times }'
}
turn=0
while [ $turn -lt "$turns" ]; do
    rm -rf undisturbed slowed balanced
    run undisturbed none no
    run slowed none yes
    run balanced measured yes
    turn=$((turn + 1))
done
for name in slowed balanced; do
    awk -v name=$name '$1 == name { print $2 / (0.75 * $3) }' rates | sort -g | awk -v name=$name -v turns="$turns" '{ v[NR] = $1 } END {
        printf "{\"bench\": \"slow_worker\", \"run\": \"%s\", \"turns\": %d, \"median_of_ideal\": %.3f, \"least\": %.3f, \"most\": %.3f}\n",
            name, turns, NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2, v[1], v[NR] }'
done
