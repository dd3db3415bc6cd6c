#!/bin/sh
# stentor train --folds: the same figures for any number of workers, their mean and deviation, a stop and --resume, and what is refused.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
check() { if eval "$2"; then ok "$1"; else not_ok "$1"; fi; }

awk 'BEGIN { srand(5); for (i = 0; i < 97; i++) { k = int(rand() * 4); print "a" k " b" int(rand() * 3) "," (k + (rand() < 0.2)) % 2 } }' >rows.csv
cat >run.yaml <<'X'
task: classify
model: {type: linear, context: 8}
data: {train: rows.csv, tokenizer: word}
train: {steps: 20, batch: 8, micro_batch: 2, learning_rate: 0.1, save_every: 5, log_every: 1}
X
for workers in 1 2 7; do
    "$program" train run.yaml --folds 3 --quiet --json --out out$workers --workers $workers >$workers.json 2>err || break
    sed -i "s/out$workers/out/" $workers.json
done
check "1, 2 and 7 workers: the same figures and digests" '[ -s 7.json ] && cmp 1.json 2.json >err 2>&1 && cmp 1.json 7.json >err 2>&1'
check "every fold has its folder" '[ -f out2/fold-0/config.json ] && [ -f out2/fold-1/config.json ] && [ -f out2/fold-2/config.json ] && [ ! -e out2/fold-3 ]'
cp 1.json err
check "mean and standard deviation" 'tr "{}" "\n\n" <1.json | awk "{ if (match(\$0, /\"accuracy\": [0-9.e-]+/)) a[n++] = substr(\$0, RSTART + 12, RLENGTH - 12) + 0 }
    END { m = (a[0] + a[1] + a[2]) / 3; for (i = 0; i < 3; i++) s += (a[i] - m)^2; d = sqrt(s / 2); exit !(n == 5 && m > 0.5 && (a[3] - m)^2 < 1e-16 && (a[4] - d)^2 < 1e-16) }"'

"$program" train run.yaml --folds 3 --quiet --json --out long --workers 2 --set train.steps=400000 --set train.decay_steps=20 --set train.save_every=0 >long.json 2>err &
process=$!
for _ in $(seq 300); do [ -s long/fold-0/log.jsonl ] && [ -s long/fold-1/log.jsonl ] && break; sleep 0.1; done
kill -TERM $process
wait $process
check "a signal stops all folds with checkpoints" "[ $? = 75 ] && ls long/fold-0/checkpoints | grep -q step- && ls long/fold-1/checkpoints | grep -q step-"
"$program" train run.yaml --folds 3 --quiet --json --out short --workers 2 --set train.steps=8 --set train.decay_steps=20 >short.json 2>err &&
    "$program" train run.yaml --folds 3 --quiet --json --out short --workers 3 --set train.decay_steps=20 --resume >short.json 2>err
sed -i 's/short/out/' short.json
check "--resume goes on to the same bits" '[ -s short.json ] && cmp 1.json short.json >err 2>&1'
"$program" train run.yaml --folds 3 --quiet --out out1 >/dev/null 2>err
check "folds that are there are not written over" "[ $? = 2 ] && grep -q 'fold [01]: out1/fold-[01]/checkpoints' err"
"$program" train run.yaml --folds 3 --quiet --out none --print-config >out 2>err
check "--print-config prints, and trains nothing" "grep -q '^out: none' out && [ ! -e none ]"
# The third row alone is a fold, where r2 means nothing; where all numbers are equal, too.
printf '1,2\n2,4\n3,6\n4,8\n5,11\n' >line.csv
printf '%s\n' 'task: regress' 'model: {type: linear}' 'data: {train: line.csv, features: "1", target: 2}' 'train: {steps: 4, batch: 2, learning_rate: 0.1}' >line.yaml
"$program" train line.yaml --folds 3 --quiet --json --out line >line.json 2>err
check "a measure's mean is over the folds that have it" 'tr "{}" "\n\n" <line.json | awk "{ if (match(\$0, /\"r2\": [a-z0-9.e-]+/)) a[n++] = substr(\$0, RSTART + 6, RLENGTH - 6) }
    END { m = (a[0] + a[1]) / 2; exit !(n == 5 && a[2] == \"null\" && (a[3] - m)^2 < 1e-12 * m * m && a[4] > 0) }"'
"$program" train line.yaml --folds 3 --out line2 >/dev/null 2>err
check "... and says of how many" 'grep -q " r2 .*(of 2 of 3 folds; the others have none)" err && [ "$(grep -c "of 3 folds" err)" = 1 ]'
awk 'BEGIN { for (i = 0; i < 38; i++) print i / 10 ",0.3" }' >flat.csv
"$program" train line.yaml --quiet --json --out flat --set data.train=flat.csv --set data.valid=flat.csv >flat.json 2>err
check "equal numbers have no r2" "[ -s flat.json ] && grep -q val/rmse flat/log.jsonl && ! grep -q val/r2 flat/log.jsonl"
"$program" train run.yaml --folds 3 --quiet --out none --set data.valid=rows.csv >/dev/null 2>err
check "data.valid is refused" "[ $? = 2 ] && grep -q 'leave out data.valid' err"
"$program" train run.yaml --folds 100 --quiet --out none >/dev/null 2>err
check "more folds than rows are refused" "[ $? = 3 ] && grep -q 'rows.csv: 97 rows cannot be 100 parts (train.folds)' err"
"$program" train run.yaml --folds 1 --quiet --out none >/dev/null 2>err
check "one fold is refused" "[ $? = 2 ] && grep -q -e '--folds' err"
conclude
