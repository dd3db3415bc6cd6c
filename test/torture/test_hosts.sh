#!/bin/sh
# Several hosts with a network between them: the same bits, also where one frame in a hundred is lost; a host that is cut off ends the job on both sides within
# the timeout, and what is left goes on, to the same bits.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
job='' hosts_folder=$root/test/torture example=$root/examples/mpi.sh
# shellcheck source=test/torture/hosts.sh
. "$hosts_folder/hosts.sh"
end() { [ -z "$job" ] || kill -KILL "$job" 2>/dev/null; hosts_stop; rm -rf "$work"; }
check() { name=$1; shift; if "$@" >check.log 2>&1; then ok "$name"; else not_ok "$name" run.log; fi; }
same() { [ -n "$(digest "$1")" ] && [ "$(digest "$1")" = "$(digest whole.json)" ]; }
trains() { for hosts_process in $(ip netns pids "$hosts_prefix$1" 2>/dev/null); do readlink "/proc/$hosts_process/exe"; done | grep -qx "$program"; }
not() { ! "$@"; }

reason=$(hosts_can)
[ -z "$reason" ] && [ ! -f "$build/mpi.openmpi.so" ] && reason="Open MPI is not here, or was not when this was built"
[ -z "$reason" ] && [ -n "${SANITIZED:-}" ] && reason="MPI libraries know no sanitizer"
[ -z "$reason" ] || { echo "ok 1 - several hosts # SKIP $reason"; echo 1..1; exit 0; }
quick_text 300 >text.txt
cat >run.yaml <<'END'
model: {layers: 2, heads: 2, width: 32, context: 32, dropout: 0.1}
data: {train: text.txt}
train: {steps: 60, batch: 8, micro_batch: 1, leaves: 8, warmup: 4, eval_every: 30, save_every: 5}
parallel: {workers: 1, peer_timeout: 3}
END
"$program" train run.yaml --out whole --quiet --json >whole.json 2>run.log || { not_ok "it trains" run.log; echo "1..$count"; exit 1; }
launch() { hosts_on 0 timeout -k 5 150 "$program" launch hosts.txt "$@" >run.json 2>run.log; }

hosts_start 3 rate=1000 delay=1 || { not_ok "the hosts come up" wire.err; exit 1; }
launch -- train run.yaml --out three --quiet --json
check "three hosts: the bits of one process" same run.json
hosts_stop
hosts_start 3 rate=1000 delay=1 loss=1 seed=${SEED:-7} || exit 1
launch -- train run.yaml --out lossy --quiet --json --set parallel.peer_timeout=20
check "one frame in a hundred is lost: the same bits" same run.json
hosts_stop

cut_off() { # cut_off HOST LEFT: host HOST is cut off in mid-run; LEFT go on
    hosts_start 3 rate=1000 delay=1 cut="$1" || return
    rm -rf "cut$1"
    hosts_on 0 env STENTOR="$program" timeout -k 5 150 sh "$example" hosts.txt run.yaml --out "cut$1" --quiet --json >run.json 2>run.log & job=$!
    if ! within 900 sh -c "ls 'cut$1'/checkpoints/step-5"  >/dev/null 2>&1; then not_ok "host $1 cut off: it starts" run.log; hosts_stop; return; fi
    hosts_cut "$1"
    before=$(newest "cut$1")
    for side in 0 1 2; do # 3 s of silence, and what a loaded machine adds: a hang fails, slowness does not
        if [ "$side" = "$1" ] && [ "$1" != 0 ]; then check "host $1 cut off: it ends there" within 300 not trains "$side"; fi
    done
    within 300 grep -q "goes on in" run.log
    check "host $1 cut off: the job ends, and is started again" grep -q "goes on in" run.log
    check "... nobody trained on alone" test "$(newest "cut$1")" -le $((before + 5))
    check "... they say who was silent, where, in which step" grep -q "^stentor: in the [a-z]* of step [0-9]*: worker [0-2] of 3 (h[0-2]) has been silent for 3 s" run.log
    wait "$job"; code=$?; job=''
    check "... $2 go on to the end" test $code -eq 0
    check "... with the same bits" same run.json
    hosts_stop
}
cut_off 2 two
cut_off 0 one
conclude
