#!/bin/sh
# SIGINT, SIGTERM and SIGUSR1 while something long is under way: a large text is read, rows are decoded to be measured, folds are trained. It ends soon,
# with 75 and a checkpoint of what was trained, leaves nothing half made, and goes on to the bits of an undisturbed run. Then a process of several
# dies or stands still in such work. SEED repeats the moments.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
job='' victim='' shown=run.log
end() { [ -z "$victim" ] || kill -KILL "$victim" 2>/dev/null; rm -rf "$work"; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
check() { name=$1; shift; if "$@" >check.log 2>&1; then ok "$name"; else not_ok "$name"; fi; }
seconds() { awk -v ms="$1" 'BEGIN { print ms / 1000 }'; }
finish() { wait "$job"; code=$?; job=''; took=$(($(now) - begin)); } # took: milliseconds since `begin`
# The work here takes minutes; to give it up takes a small part of that on any machine.
SOON=20000
alone() { [ -z "$(ranks)" ]; }
# Ends with 75, within SOON, with these words, and a checkpoint of step 3 in FOLDER.
stopped_at_3() { # stopped_at_3 FOLDER
    [ "$code" -eq 75 ] && [ "$took" -lt $SOON ] && [ -d "$1/checkpoints/step-3" ] && grep -q "stopped after step 3 of 100" run.log
}

# ---- a text is read ----
cat >text.yaml <<'X'
model: {layers: 1, heads: 1, width: 16, context: 2}
data: {train: large.txt, tokenizer: word, cache: cache, valid_fraction: 0}
train: {steps: 1000000, batch: 2, micro_batch: 2, eval_every: 0, save_every: 0}
parallel: {workers: 1}
X
bytes=30000000
text() { yes "the quick brown fox jumps over the lazy dog, and an infinite number of monkeys type on" | head -c $bytes >large.txt; }
text
made() { [ -n "$(find cache -name '*.making-*' 2>/dev/null)" ]; }
begun() { made || [ -s "$out/log.jsonl" ] || ! kill -0 "$job" 2>/dev/null; }
read_on() { "$program" train text.yaml --out "$out" --quiet >run.json 2>run.log & job=$!; }
said() { grep -q "^stentor: stopped while the text was read, before the first step: the same command starts again$" run.log; }
clean() { ! made && ! ls "$out"/checkpoints/* 2>/dev/null; }
# The signal comes when the cache is being written. Where that is over too soon, the text grows, up to a size that no machine reads in so little time.
for signal in INT TERM USR1; do
    out=out$signal
    for _ in 1 2 3 4 5; do
        rm -rf cache "$out"
        read_on; within 600 begun; begin=$(now)
        kill -$signal "$job"; finish
        ! said && [ $bytes -lt 1000000000 ] || break
        bytes=$((bytes * 2)); text
    done
    check "SIG$signal while a text is read: code 75, and it says so" eval '[ $code -eq 75 ] && said'
    check "... soon (after $took ms), with nothing half made" eval '[ $took -lt $SOON ] && clean'
done
# SIGKILL leaves what was written; who makes another cache there removes it when it is old.
rm -rf cache; out=killed
read_on; within 600 begun; kill -KILL "$job"; wait "$job" 2>/dev/null; job=''
if made; then
    touch -d "2 minutes ago" cache/*.making-*
    echo "another text" >other.txt
    "$program" train text.yaml --out other --quiet --set data.train=other.txt --set train.steps=1 >run.json 2>run.log
    check "what a killed process has left is removed by the next one" eval '! made'
else skip "what a killed process has left is removed by the next one" "it was done before"; fi
rm -rf large.txt cache

# ---- rows are decoded ----
# Nobody has taught the model to end a text, and 500 beams are searched: minutes for each evaluation.
awk 'BEGIN { srand(7); for (i = 0; i < 400; i++) { a = b = ""; for (j = 0; j < 40; j++) { k = int(rand() * 90); a = a " w" k; b = b " v" k }
    print substr(a, 2) "\t" substr(b, 2) > (i < 300 ? "held.tsv" : "pairs.tsv") } }'
cat >decode.yaml <<'X'
task: translate
model: {type: seq2seq, layers: 2, heads: 2, width: 64, context: 100}
data: {train: pairs.tsv, valid: held.tsv, tokenizer: word, source_tokenizer: word}
train: {steps: 100, batch: 8, micro_batch: 2, leaves: 4, log_every: 1, eval_every: 3, save_every: 0, measure: bleu, measure_beam: 500}
parallel: {workers: 2}
X
in_evaluation() { grep -q '"_step": 3,' "$out/log.jsonl" 2>/dev/null; } # step 3 has been taken
for signal in INT TERM; do
    out=decode$signal
    "$program" train decode.yaml --out $out --quiet >run.json 2>run.log & job=$!
    within 300 in_evaluation; random 0 600; sleep "$(seconds "$number")"
    begin=$(now); kill -$signal "$job"; finish
    check "SIG$signal while rows are decoded: code 75 and a checkpoint, soon (after $took ms)" stopped_at_3 $out
    check "... and the checkpoint is whole" "$program" inspect $out/checkpoints/step-3
done
check "... which goes on" "$program" train decode.yaml --out decodeINT --quiet --resume --set train.steps=6 --set train.measure=loss --set train.measure_beam=1

# Small: stopped again and again it comes to the bits, figures and best weights of an undisturbed run.
head -40 held.tsv >small.tsv
small() { # small OUT ARGUMENT…
    out=$1; shift
    exec "$program" train decode.yaml --out "$out" --quiet --json --set train.eval_every=2 --set train.steps=30 --set train.measure_beam=2 \
        --set data.valid=small.tsv --set train.log_every=10 "$@" 2>run.log
}
figures() { grep -o '"val/[a-z]*": [-0-9.e]*' "$1/log.jsonl"; }
begin=$(now); (small whole) >whole.json & job=$!
finish
stops=0 wrong='' resume='' whole_took=$took
for _ in $(seq 30); do
    random 30 $((whole_took / 3 + 60)); pause=$number
    # shellcheck disable=SC2086
    (small parts $resume) >parts.json & job=$!
    sleep "$(seconds "$pause")"; kill -TERM "$job" 2>/dev/null; begin=$(now); finish
    [ $code -ne 0 ] || break
    [ $code -eq 75 ] || [ $code -eq 143 ] || wrong="code $code" # 143: before it had a handler
    stops=$((stops + 1)) resume=--resume
done
[ $code -eq 0 ] || (small parts --resume) >parts.json
figures whole >whole.figures; figures parts >parts.figures
check "stopped $stops times at random moments: the same bits, figures and best weights $wrong (SEED=$seed)" eval '[ -z "$wrong" ] && [ -n "$(digest whole.json)" ] &&
    [ "$(digest whole.json)" = "$(digest parts.json)" ] && cmp whole.figures parts.figures && cmp whole/best/model.safetensors parts/best/model.safetensors'

# ---- folds ----
awk 'BEGIN { srand(5); for (i = 0; i < 100000; i++) { s = ""; for (j = 0; j < 30; j++) s = s " w" int(rand() * 5000); print substr(s, 2) "," int(rand() * 3) } }' >rows.csv
cat >folds.yaml <<'X'
task: classify
model: {type: linear, context: 32}
data: {train: rows.csv, tokenizer: word}
train: {steps: 400000, batch: 8, micro_batch: 2, eval_every: 1, save_every: 0, log_every: 1}
X
parent() { grep -q -s "^PPid:[[:blank:]]*$1\$" /proc/[0-9]*/status; }
for pause in 100 400 1200; do
    rm -rf folds
    "$program" train folds.yaml --folds 2 --workers 2 --out folds --quiet >run.json 2>run.log & job=$!
    within 300 parent "$job"; sleep "$(seconds $pause)"
    begin=$(now); kill -INT "$job"; finish
    check "SIGINT to folds after $pause ms: code 75, soon (after $took ms)" eval '[ $code -eq 75 ] && [ $took -lt $SOON ] && grep -q "^stentor: stopped; --resume goes on" run.log'
done
rm -rf rows.csv folds

# ---- several processes ----
start() { # start OUT: until it decodes
    out=$1
    rm -rf "$out"
    timeout -k 5 200 "$mpirun" -n 3 "$program" train decode.yaml --out "$out" --quiet --workers 1 --set parallel.peer_timeout=3 >run.json 2>run.log & job=$!
    within 300 in_evaluation; random 200 800; sleep "$(seconds "$number")" # until the others are in it, too
}
one_library() {
    start usr1
    begin=$(now); for process in $(ranks | cut -d ' ' -f 1); do kill -USR1 "$process"; done; finish
    check "$library: SIGUSR1 while rows are decoded: code 75 and a checkpoint, soon (after $took ms)" stopped_at_3 usr1
    timeout 100 "$mpirun" -n 2 "$program" train decode.yaml --out usr1 --quiet --workers 1 --resume --set train.steps=6 --set train.measure=loss --set train.measure_beam=1 >run.json 2>run.log
    check "$library: ... two go on" test $? -eq 0
    for signal in KILL STOP; do
        start lost
        random 0 3; rank=$number; victim=$(pid_of "$rank")
        begin=$(now); kill -$signal "$victim"; finish
        kill -KILL "$victim" 2>/dev/null; victim=''
        check "$library: SIG$signal of a process while rows are decoded: all end, soon (after $took ms)" eval '[ $code -ne 0 ] && [ $code -ne 124 ] && [ $took -lt $SOON ]'
        how="worker $rank of 3 (.*) has been silent for 3 s"
        # Where a process dies, Hydra ends the others at once and Open MPI after a second, which may be short for their word; then mpirun has named it.
        [ $signal = STOP ] || how="worker $rank of 3 (.*) is gone: its process has ended\|mpirun.* rank $rank .* exited on signal 9"
        [ $library$signal = mpichKILL ] || check "$library: ... and name it" grep -q "^stentor: in the evaluation of step 3: $how\|^$how" run.log
        check "$library: ... nobody is left" within 50 alone
    done
}
for library in openmpi mpich; do
    mpirun=$(command -v mpirun.$library)
    [ -z "${SANITIZED:-}" ] || { skip "$library" "it knows no sanitizer"; continue; }
    if [ -z "$mpirun" ] || [ ! -f "$build/mpi.$library.so" ]; then
        skip "$library" "it is not here, or was not when this was built"
        continue
    fi
    one_library
done
conclude
