#!/bin/sh
# Replicas that update for themselves (local-sgd, servers with staleness): shares of a batch that only fill it up, statistics, what is frozen,
# and the memory of replicas in one process.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
awk 'BEGIN { srand(2); for (i = 0; i < 15; i++) print "w" i % 4 " w" i % 3 "\t" i % 2 >"few.tsv"
    for (i = 0; i < 200; i++) { x = rand() - 0.5; y = rand() - 0.5; printf "%g,%g,%d\n", 100 * x, y, (x + y > 0) >"points.csv" } }'
cat >few.yaml <<'X'
task: classify
model: {type: bag, width: 8, context: 8}
data: {train: few.tsv, valid: few.tsv, text: 1, target: 2, tokenizer: word}
train: {steps: 24, batch: 8, micro_batch: 4, leaves: 2, learning_rate: 0.01, warmup: 1, eval_every: 0, save_every: 0}
parallel: {workers: 2, pin: off}
X
# Four micro-batches an epoch, of which one may be empty: 12 rows are three.
head -12 few.tsv >twelve.tsv
runs() { # runs NAME ARGUMENT…
    what=$1; shift; rm -rf out
    if "$program" train few.yaml --quiet --json --out out --set data.train=twelve.tsv "$@" >out.json 2>err && [ "$(field steps out.json)" = 24 ]; then ok "$what"; else not_ok "$what"; fi
}
runs "local-sgd: a share of padding is a step without a gradient" --set parallel.exchange=local-sgd --set parallel.sync_every=3
runs "servers with staleness: the same" --set parallel.exchange=server --set parallel.staleness=1

cat >points.yaml <<'X'
task: classify
model: {type: mlp, layers: 2, hidden: 8, activation: relu, batch_norm: true}
data: {train: points.csv, valid: points.csv, features: "1, 2", target: 3}
train: {steps: 50, batch: 32, leaves: 4, learning_rate: 0.01, warmup: 5, eval_every: 0, save_every: 0, decay_steps: 100}
parallel: {workers: 2, exchange: local-sgd, sync_every: 5, pin: off}
X
"$program" train points.yaml --quiet --json --out points >points.json 2>err
if awk -v loss="$(field validation_loss points.json)" 'BEGIN { exit !(loss != "" && loss < 1) }'; then ok "running statistics are means"; else cat points.json >err; not_ok "running statistics are means"; fi

# 3 and 5 replicas: their mean of a number is not always that number.
frozen() { "$program" inspect "$1" --tensors --digest 2>err | grep '^ *tokens.weight'; }
"$program" train few.yaml --quiet --out base --set train.batch=40 --set train.leaves=5 >/dev/null 2>err || not_ok "a base is trained"
for replicas in 3 5; do
    rm -rf tuned
    "$program" train few.yaml --quiet --out tuned --set train.batch=40 --set train.leaves=$replicas --set train.steps=30 --set model.from=base --set 'train.freeze=tokens.*' \
        --set parallel.workers=$replicas --set parallel.exchange=local-sgd --set parallel.sync_every=3 >/dev/null 2>err
    frozen base >before.txt; frozen tuned >after.txt
    if [ -s before.txt ] && cmp -s before.txt after.txt; then ok "$replicas replicas: what is frozen keeps its bits"; else cat before.txt after.txt >>err; not_ok "$replicas replicas: what is frozen keeps its bits"; fi
done

# A limit is the process's: two replicas in it have half of it each.
"$program" inspect few.yaml --set data.train=few.tsv --json --workers 1 >one.json 2>err
limit=$(awk -v total="$(field total one.json)" 'BEGIN { printf "%.0f", 1.5 * total }')
if "$program" train few.yaml --quiet --out fits --set parallel.workers=1 --set parallel.memory_limit="$limit" >/dev/null 2>err; then ok "one replica fits"; else echo "limit $limit" >>err; not_ok "one replica fits"; fi
"$program" train few.yaml --quiet --out much --set parallel.exchange=ring --set parallel.memory_limit="$limit" >/dev/null 2>err
if [ $? = 4 ]; then ok "two do not"; else echo "limit $limit" >>err; not_ok "two do not"; fi
conclude
