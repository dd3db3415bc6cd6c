#!/bin/sh
# What clusters do to a run of several processes: one is killed at a random moment, one stands still, one writes to a full disk. Each job must end within
# the timeout, say who was lost, and go on from its newest checkpoint, with other numbers of processes, to the bits of an undisturbed run.
# KILLS=50 for the full measure (2 minutes a library), SEED repeats a sequence. Between hosts: test_hosts.sh.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
[ -z "${SANITIZED:-}" ] || { echo "ok 1 - mpi # SKIP MPI libraries know no sanitizer"; echo 1..1; exit 0; }
job='' victim='' mounted=''
end() {
    [ -z "$victim" ] || kill -KILL "$victim" 2>/dev/null
    [ -z "$mounted" ] || umount "$mounted"
    rm -rf "$work"
}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
SOON=30000 # milliseconds: 3 s of silence, and what a loaded machine adds; only what hangs takes longer
kills=${KILLS:-4} seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
check() { name=$1; shift; if "$@" >check.log 2>&1; then ok "$name"; else not_ok "$name" run.log; fi; }

quick_text 300 >text.txt
cat >run.yaml <<'END'
model: {layers: 2, heads: 2, width: 48, context: 64, dropout: 0.1}
data: {train: text.txt}
train: {steps: 300, batch: 8, micro_batch: 2, leaves: 4, warmup: 4, eval_every: 100, save_every: 10}
parallel: {workers: 1}
END
cp "$build"/mpi.*.so . 2>/dev/null || { skip "mpi" "MPI is not here, or was not when this was built"; echo "1..$count"; exit 0; }
"$program" train run.yaml --out whole --quiet --json >whole.json 2>run.log || { not_ok "it trains" run.log; echo "1..$count"; exit 1; }
start() { # start N OUT ARGUMENTS…: N processes, in the background
    n=$1 out=$2; shift 2
    timeout -k 5 100 "$mpirun" -n "$n" "$program" train run.yaml --out "$out" --quiet --json "$@" >run.json 2>run.log & job=$!
}
finish() { wait "$job"; code=$?; job=''; }
in_flight() { # whether the run has begun to train, within a minute
    tries=0
    until [ "$(newest "$1")" -ge "${2:-1}" ]; do
        tries=$((tries + 1)); [ $tries -lt 1200 ] && kill -0 "$job" 2>/dev/null || return 1
        sleep 0.05
    done
}
same() { [ -n "$(digest "$1")" ] && [ "$(digest "$1")" = "$(digest whole.json)" ]; }

# Processes 0 and 1 are servers. One of the four, a server or not, is killed or stands still; the rest must end, name it, and go on as fewer.
lost_in_session() { # lost_in_session SIGNAL SERVERS-COMPUTE
    rm -rf session
    random 0 4; rank=$number
    random 0 1000; pause=$number
    # shellcheck disable=SC2086
    start 4 session --set train.steps=100000 --set train.eval_every=40 --set parallel.peer_timeout=3 $asynchronous --set parallel.servers_compute="$2"
    in_flight session 10; sleep "$(awk -v ms="$pause" 'BEGIN { print ms / 1000 }')"
    victim=$(pid_of "$rank"); begin=$(now)
    wrong=''
    if [ -z "$victim" ] || ! kill -"$1" "$victim"; then wrong="it had ended before"; fi
    finish; took=$(($(now) - begin))
    [ -z "$victim" ] || kill -KILL "$victim" 2>/dev/null
    victim=''
    if [ "$code" -eq 0 ] || [ "$code" -eq 124 ] || [ $took -gt $SOON ]; then wrong="ended with $code after $took ms"; fi
    tries=0; while [ -n "$(ranks)" ] && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
    [ -z "$(ranks)" ] || wrong="left processes behind"
    how="is gone: its process has ended"; [ "$1" = KILL ] || how="has been silent for 3 s"
    # Hydra ends the others at once when a process dies.
    [ "$library$1" = mpichKILL ] || grep -q "in the [a-z]* of step [0-9]*: worker $rank of 4 (.*) $how" run.log || wrong="does not say that worker $rank of 4 $how"
    cp run.log session.log
    if [ -z "$wrong" ]; then
        # shellcheck disable=SC2086
        start 3 session --resume --set train.steps=$(($(newest session) + 20)) $asynchronous --set parallel.servers=1 --set parallel.servers_compute="$2"; finish
        [ "$code" -eq 0 ] || { wrong="three cannot go on ($code)"; cp run.log session.log; }
    fi
    name="$library: SIG$1 of process $rank, 2 servers that compute: $2, staleness 2: all end (after $took ms) and name it, three go on"
    if [ -z "$wrong" ]; then ok "$name"; else not_ok "$name: $wrong (SEED=$seed)" session.log; fi
}
asynchronous="--set parallel.exchange=server --set parallel.staleness=2 --set parallel.servers=2"

one_library() {
    rm -rf timing
    start 2 timing; begin=$(now); finish
    milliseconds=$(($(now) - begin))
    check "$library: two processes, the bits of one" same run.json

    # SIGKILL of one rank at a random moment, again and again: a run goes on where the killed one left it, until it is complete; then comes the next.
    landed=0 attempts=0 slowest=0 named=0 resume='' wrong=''
    rm -rf killed
    while [ $landed -lt "$kills" ] && [ $attempts -lt $((kills * 10)) ] && [ -z "$wrong" ]; do
        attempts=$((attempts + 1))
        random 2 5; n=$number
        random 0 "$n"; rank=$number
        random 50 $((milliseconds + 200)); pause=$number
        # shellcheck disable=SC2086
        start "$n" killed $resume
        sleep "$(awk -v ms="$pause" 'BEGIN { print ms / 1000 }')"
        victim=$(pid_of "$rank")
        begin=$(now)
        if [ -n "$victim" ] && kill -KILL "$victim" 2>/dev/null; then hit=1; else hit=''; fi
        finish
        took=$(($(now) - begin)) victim=''
        if [ "$code" -eq 0 ]; then
            same run.json || wrong="other bits"
            resume=''; rm -rf killed
            continue
        fi
        [ -n "$hit" ] || { wrong="ended with $code, though nobody was killed"; continue; }
        landed=$((landed + 1))
        [ $took -le $slowest ] || slowest=$took
        [ $took -le $SOON ] || wrong="took $took ms to end"
        [ "$code" -ne 124 ] || wrong="hung"
        [ -z "$(ranks)" ] || wrong="left processes behind"
        grep -q "worker $rank of $n (.*) is gone" run.log && named=$((named + 1))
        [ ! -d killed/checkpoints ] || resume=--resume
    done
    # shellcheck disable=SC2086
    [ -n "$wrong" ] || { start 3 killed $resume; finish; same run.json || wrong="other bits at the end ($code)"; }
    if [ -z "$wrong" ] && [ $landed -eq "$kills" ]; then
        ok "$library: SIGKILL of one rank at $kills random moments: all ended, the slowest after $slowest ms, $named said who was gone; the bits stay (SEED=$seed)"
    else not_ok "$library: SIGKILL of one rank, $landed of $kills: ${wrong:-too few landed} (SEED=$seed)" run.log; fi

    # Who stands still is lost after parallel.peer_timeout, not before.
    rm -rf stopped
    start 3 stopped --set train.steps=100000 --set parallel.peer_timeout=3
    in_flight stopped 10; victim=$(pid_of 1); begin=$(now); kill -STOP "$victim"; sleep 1.5; kill -CONT "$victim"; sleep 0.5
    before=$(newest stopped); in_flight stopped $((before + 10))
    check "$library: a rank that stands still for less than the timeout: the run goes on" kill -0 "$job"
    begin=$(now); kill -STOP "$victim"; finish; took=$(($(now) - begin)); kill -KILL "$victim" 2>/dev/null; victim=''
    check "$library: SIGSTOP of a rank: all end within the timeout (after $took ms)" test "$code" -ne 0 -a "$code" -ne 124 -a $took -gt 2000 -a $took -lt $SOON
    if grep -q "^stentor: in the [a-z]* of step [0-9]*: worker 1 of 3 (.*) has been silent for 3 s" run.log; then
        ok "$library: they name the rank, its host, the step, and what they waited for"
    else not_ok "$library: they name the rank, its host, the step, and what they waited for" run.log; fi
    start 2 stopped --set parallel.peer_timeout=3 --resume --set train.steps=$(($(newest stopped) + 20)); finish
    check "$library: it goes on with the two that are left" test "$code" -eq 0

    # A session of servers and those that push to them: no step there at which all meet.
    for servers in true false; do lost_in_session KILL $servers; lost_in_session STOP $servers; done

    # A disk that is full: the run goes on without checkpoints, the last one is an error, and what was there stays whole.
    if [ "$(id -u)" -eq 0 ] && mkdir -p small && mount -t tmpfs -o size=3m tmpfs small 2>/dev/null; then
        mounted=$work/small
        start 2 small/run --set train.steps=60 --set train.keep=20 --set train.decay_steps=300; finish
        check "$library: a full disk: code 4" test "$code" -ne 0 -a "$code" -ne 124
        check "... and it is told" grep -q "No space left on device" run.log
        check "... and the newest checkpoint is whole" "$program" inspect "small/run/checkpoints/step-$(newest small/run)" --digest
        umount small; mounted=''
    else skip "$library: a full disk" "no tmpfs can be mounted here"; fi
}
for library in openmpi mpich; do
    mpirun=$(command -v mpirun.$library)
    [ -n "$mpirun" ] && [ -f "$build/mpi.$library.so" ] || { skip "$library" "$library is not here, or was not when this was built"; continue; }
    one_library
done
conclude
