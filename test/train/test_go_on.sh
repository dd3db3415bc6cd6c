#!/bin/sh
# A run that goes on is the run that was never stopped: what is learned from stays what it was, and evaluations that are there only because a run
# ended change nothing of it; held-out rows never change the weights.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

: >in.txt
quick_text 400 >text.txt
awk 'BEGIN { srand(3); split("red green blue one two three four five", w, " ")
    for (i = 0; i < 90; i++) { n = 1 + int(rand() * 20); s = ""; for (j = 0; j < n; j++) s = s (j ? " " : "") w[1 + int(rand() * 8)]; print s "," (rand() < 0.5 ? "a" : "b") "," rand() } }' >rows.csv
cat >text.yaml <<'RUN'
model: {type: gpt2, layers: 1, heads: 2, width: 16, context: 16}
data: {train: text.txt, tokenizer: char, valid_fraction: 0.2}
train: {steps: 20, batch: 6, micro_batch: 2, warmup: 2, learning_rate: 0.01, eval_every: 10, save_every: 10}
RUN
cat >rows.yaml <<'RUN'
task: classify
model: {type: encoder, layers: 1, heads: 2, width: 16, context: 64}
data: {train: rows.csv, text: 1, target: 2, tokenizer: word, buckets: 2, valid_fraction: 0.3}
train: {steps: 20, batch: 8, micro_batch: 2, warmup: 2, learning_rate: 0.01, eval_every: 10, save_every: 10}
RUN
train() { # train OUT ARGUMENT…: anew, but with --resume
    out=$1; shift
    case "$*" in *--resume*) ;; *) rm -rf "$out" ;; esac
    "$program" train "$@" --quiet --json --out "$out" >"$out.json" 2>err
}
same() { [ -n "$(field sha256 "$1.json")" ] && [ "$(field sha256 "$1.json")" = "$(field sha256 "$2.json")" ]; }

# ---- what is learned from ----
head -50 text.txt >other.txt
head -20 rows.csv >other.csv
for kind in text rows; do
    ending=$([ $kind = text ] && echo txt || echo csv)
    train $kind $kind.yaml
    cp -r $kind $kind-file
    fails "$kind: the held-out part of the text is not learned later" 3 "data.valid is other.$ending here and was nothing" "$program" train $kind.yaml --out $kind-file --resume --set train.steps=30 --set data.valid=other.$ending
    train $kind-own $kind.yaml --set data.valid=other.$ending
    fails "$kind: nor is held out what was learned" 3 "data.valid is nothing here and was other.$ending" "$program" train $kind.yaml --out $kind-own --resume --set train.steps=30
    cp other.$ending third.$ending
    "$program" train $kind.yaml --out $kind-own --resume --set train.steps=30 --set data.valid=third.$ending >/dev/null 2>err
    check "$kind: another held-out file is another measure" grep -q "data.valid is third.$ending and was other.$ending: the best weights are looked for anew" err
done

# ---- held-out rows ----
for windows in 0 1 3; do train eval-$windows rows.yaml --set train.eval_windows=$windows --set train.seed=5; done
check "rows that are evaluated change no weight" same eval-0 eval-1
check "... how many there are neither" same eval-0 eval-3
awk 'BEGIN { for (i = 0; i < 64; i++) printf "red "; print ",a,1" }' >long.csv
train short rows.yaml --set data.valid=other.csv
train longer rows.yaml --set data.valid=long.csv
check "a longer one than all that are learned from changes none" same short longer
for workers in 2 3; do train longer-$workers rows.yaml --set data.valid=long.csv --workers $workers; check "... $workers workers: the same" same longer longer-$workers; done
check "... and is measured" grep -q '"val/loss": [0-9]' longer/log.jsonl

# Batch norm takes the statistics of all rows of a micro-batch, those that fill it up, too.
awk 'BEGIN { srand(9); for (i = 0; i < 21; i++) print rand() - 0.5 "," rand() - 0.5 "," i % 2 }' >points.csv
cat >points.yaml <<'RUN'
task: classify
model: {type: mlp, layers: 1, hidden: 6, loss: binary}
data: {train: points.csv, features: "1, 2", target: 3, valid_fraction: 0.34}
train: {steps: 12, batch: 8, micro_batch: 8, warmup: 2, learning_rate: 0.01, eval_every: 0, save_every: 0}
RUN
train plain points.yaml
train normed points.yaml --set model.batch_norm=true
held=0
for row in 1 2 3 4 5 6 7 8; do
    awk -F , -v row=$row 'NR == row { print "50,-50," $3; next } { print }' points.csv >moved.csv
    train moved points.yaml --set data.train=moved.csv --set data.valid_fraction=0.34
    same plain moved || continue
    held=$((held + 1))
    train moved-normed points.yaml --set data.train=moved.csv --set model.batch_norm=true
    same normed moved-normed || { held=-100; break; }
done
check "held-out rows are in no statistics of batch norm" test $held -ge 2

# ---- evaluations ----
# The loss rises and falls: with patience 1 a run is longer or shorter by where it is measured.
set -- --set data.buckets=6 --set train.patience=1 --set train.learning_rate=0.2 --set train.schedule=constant --set train.seed=1 --set train.eval_every=4 --set train.save_every=0 --set train.clip=0
train straight rows.yaml "$@" --set train.steps=40
for end in 6 10; do
    train halves rows.yaml "$@" --set train.steps=$end
    train halves rows.yaml "$@" --set train.steps=40 --resume
    same straight halves || break
done
check "patience does not count the evaluation at an earlier end" same straight halves
train best rows.yaml --set train.eval_every=0 --set train.learning_rate=0.01 --set train.schedule=constant
value=$(field best_validation_loss best.json)
best=$("$program" inspect best/best --digest | sed -n 's/^sha256.*: //p')
train best rows.yaml --set train.eval_every=0 --set train.learning_rate=0.5 --set train.schedule=constant --set train.steps=40 --resume
check "the best of an earlier end stays the best" awk -v a="$value" -v b="$(field best_validation_loss best.json)" 'BEGIN { exit !(a != "" && a == b) }'
check "... and best/ its weights" test "$best" = "$("$program" inspect best/best --digest | sed -n 's/^sha256.*: //p')"

# ---- what lies in out ----
train aside rows.yaml --set train.keep=1
(cd aside/checkpoints && mv step-20 .replaced-20 && rm -f latest)
fails "a checkpoint that stepped aside is one" 2 "aside/checkpoints holds step-20 of an earlier run" "$program" train rows.yaml --out aside
conclude
