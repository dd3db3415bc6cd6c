#!/bin/sh
# stentor train --restarts: what is killed goes on with the same bits, what cannot be mended ends, signals reach the training, nothing is left behind.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
helpers=
holder() { { read -r number <"$1/.lock" && echo "$number"; } 2>/dev/null; }
# It may have written one more checkpoint until it is gone.
kill_now() { process=$now; kill -9 "$process"; within 100 gone "$process"; last=$(newest "$@"); } # kill_now OUT [BELOW]
# Kills the training in OUT N times, each time another process that has got further; at once: as soon as it is there.
kill_often() { # kill_often OUT N [at once]
    last=0 process=
    for i in $(seq "$2"); do
        tries=0
        until now=$(holder "$1") && [ -n "$now" ] && [ "$now" != "$process" ] && { [ $# -gt 2 ] || [ "$(newest "$1")" -gt "$last" ]; }; do
            tries=$((tries + 1)); [ $tries -lt 3000 ] || return 1
            sleep 0.02
        done
        kill_now "$1"
        echo "$i" >"$1.kills"
    done
}

quick_text 300 >text.txt
cat >run.yaml <<'END'
model: {layers: 2, heads: 2, width: 48, context: 64, dropout: 0.1}
data: {train: text.txt}
train: {steps: 150, batch: 8, micro_batch: 2, warmup: 4, eval_every: 100, save_every: 10}
parallel: {workers: 2}
END
"$program" train run.yaml --out whole --quiet --json >whole.json 2>whole.err

# ---- killed, and gone on ----
kill_often killed 3 & helpers=$!
"$program" train run.yaml --out killed --restarts 1 --quiet --json >killed.json 2>killed.err; code=$?
wait $helpers; helpers=
check "killed three times with progress between: --restarts 1 is enough" sh -c 'test "$1" -eq 0 && grep -qx 3 killed.kills' - $code
check "the same bits as an undisturbed run" test "$(digest killed.json)" = "$(digest whole.json)"
check "each restart is told, also when it is quiet" sh -c 'test "$(grep -c "^warning: the training was ended by signal 9 (Killed.*); it goes on in 1 s from the checkpoint step-[0-9]* (restart 1 of 1)$" killed.err)" -eq 3' - killed.err
check "log.jsonl repeats no step" sh -c 'grep -o "\"_step\": [0-9]*, .*train/loss" killed/log.jsonl | sed "s/[^0-9]*\([0-9]*\).*/\1/" >steps && sort -n -u steps | cmp - steps'

# ---- a storm ----
"$program" train run.yaml --out storm --set train.steps=20 --set train.decay_steps=150 --quiet 2>storm.err
rm storm/.lock
kill_often storm 3 "at once" & helpers=$!
"$program" train run.yaml --out storm --set train.decay_steps=150 --set train.steps=100000 --set train.save_every=0 --resume --restarts 2 --quiet 2>storm.err; code=$?
wait $helpers; helpers=
check "killed at the start each time: it gives up, with the code of the signal" sh -c 'test "$1" -eq 137 && grep -q "3 times in a row without a new checkpoint; --restarts 2 allows no more; .* --resume goes on from the checkpoint step-20$" storm.err' - $code
check "pauses grow" sh -c 'grep -q "it goes on in 1 s .*(restart 1 of 2 without a new checkpoint)" storm.err && grep -q "it goes on in 2 s .*(restart 2 of 2 without a new checkpoint)" storm.err'
check "no checkpoint was dropped" "$program" inspect storm/checkpoints/step-20

# ---- a newest checkpoint that is damaged ----
"$program" train run.yaml --out torn --set train.steps=20 --set train.decay_steps=150 --quiet 2>torn.err
cp -r torn/checkpoints/step-20 torn/checkpoints/step-9000000
printf '\377\377' | dd of=torn/checkpoints/step-9000000/weights.safetensors bs=1 conv=notrunc seek=4000 2>/dev/null
rm torn/.lock
kill_torn() { # as kill_often: another process each time, when it has written a checkpoint
    last=20 process=
    for i in 1 2; do
        until now=$(holder torn) && [ -n "$now" ] && [ "$now" != "$process" ] && [ "$(newest torn 9000000)" -gt "$last" ]; do sleep 0.02; done
        kill_now torn 9000000
        echo "$i" >torn.kills
    done
}
kill_torn & helpers=$!
timeout 120 "$program" train run.yaml --out torn --set train.decay_steps=150 --resume --restarts 1 --quiet --json >torn.json 2>torn.err; code=$?
kill $helpers 2>/dev/null; wait $helpers 2>/dev/null; helpers=
check "progress below a damaged checkpoint counts" sh -c 'test "$1" -eq 0 && grep -qx 2 torn.kills' - $code
check "... and the bits are those of an undisturbed run" test "$(digest torn.json)" = "$(digest whole.json)"

# ---- what cannot be mended ----
once() { # once NAME CODE TEXT ARGUMENTS…
    name=$1 want=$2 text=$3; shift 3
    "$program" train run.yaml --restarts 5 --quiet "$@" >once.out 2>once.err; code=$?
    check "$name" sh -c 'test "$1" -eq "$2" && grep -q "$3" once.err && ! grep -q "goes on in" once.err' - $code "$want" "$text"
}
once "wrong usage is not tried again" 2 "add --resume to go on from it" --out storm
once "bad input is not tried again" 3 "none.txt" --out none --set data.train=none.txt
once "a run that diverged is not tried again" 1 "not finite" --out diverged --set train.learning_rate=1e6 --set train.optimizer=sgd --set train.warmup=0 --set train.clip=0
once "--restarts takes a number" 2 "restarts: \"many\" is not a whole number" --out none --restarts many
OMPI_COMM_WORLD_RANK=1 once "a rank cannot start the others again" 2 "OMPI_COMM_WORLD_RANK is set" --out none
"$program" train run.yaml --out zero --restarts 0 --set train.steps=3 --quiet 2>zero.err; code=$?
check "--restarts 0 supervises and restarts nothing" sh -c 'test "$1" -eq 0 && test ! -s zero.err' - $code

# ---- signals ----
long="--set train.steps=100000 --set train.save_every=0 --set train.eval_every=0 --quiet"
start() { # start OUT: a long run in the background; returns when it trains (a step that takes long: when that has begun)
    out=$1; shift
    # shellcheck disable=SC2086
    "$program" train run.yaml --out "$out" --restarts 3 $long "$@" 2>"$out.err" & process=$!
    within 300 test ${begun:--s} "$out/log.jsonl"
}
for signal in TERM INT USR1; do
    start stop$signal
    kill -$signal $process; wait $process; code=$?
    check "SIG$signal: a checkpoint and code 75" sh -c 'test "$1" -eq 75 && ls "stop$2"/checkpoints/step-* >/dev/null && ! grep -q "goes on in" "stop$2.err"' - $code $signal
done
begun=-e start twice --set train.batch=262144 --set train.micro_batch=8
child=$(holder twice); kill -TERM $process; sleep 0.3; kill -TERM $process
wait $process; code=$?
check "the second signal ends at once" sh -c 'test "$1" -eq 143 && ! ls twice/checkpoints/step-*' - $code
check "... and nobody is left" within 20 gone "$child"
start thrice
child=$(holder thrice); kill -STOP "$child"
# Signals that come while one is still to be handled may become one.
tries=0; until gone $process || [ $tries -ge 20 ]; do kill -TERM $process 2>/dev/null; tries=$((tries + 1)); sleep 0.4; done
wait $process; code=$?
check "the third signal ends a training that hangs" sh -c 'test "$1" -eq 137' - $code
if command -v timeout >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    timeout --preserve-status -s TERM 600 "$program" train run.yaml --out timed --restarts 3 $long 2>timed.err & process=$!
    # What is sent to it goes on as it would when the time is over.
    within 300 test -s timed/log.jsonl; kill -TERM $process; wait $process; code=$?
    check "timeout(1), which signals twice, asks once" sh -c 'test "$1" -eq 75 && ls timed/checkpoints/step-* >/dev/null' - $code
else skip "timeout(1), which signals twice, asks once" "no timeout(1)"; fi
start pause
kill -9 "$(holder pause)"; within 50 grep -q "goes on in" pause.err; kill -TERM $process; wait $process; code=$?
check "SIGTERM between two starts: code 75" sh -c 'test "$1" -eq 75 && grep -q "stopped before the training was started again" pause.err' - $code
if [ "$(uname)" = Linux ]; then
    start orphan
    child=$(holder orphan); kill -9 $process; wait $process 2>/dev/null
    check "a supervisor that is killed: the training stops" within 50 gone "$child"
    check "... with a checkpoint" sh -c 'ls orphan/checkpoints/step-*'
else skip "a supervisor that is killed: the training stops" "Linux tells a child, others do not"; fi
if command -v script >/dev/null 2>&1; then
    check "on a terminal: a status line, as without --restarts" sh -c 'script -qec "\"$1\" train run.yaml --out tty --set train.steps=20 --restarts 2 --color=never" /dev/null </dev/null >tty.txt 2>&1; grep -q "train: .*20/20 .*loss=" tty.txt && grep -q "the model lies in tty" tty.txt' - "$program"
else skip "on a terminal: a status line, as without --restarts" "no script(1)"; fi
conclude
