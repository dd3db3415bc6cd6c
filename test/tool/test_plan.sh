#!/bin/sh
# stentor plan: what it prints, that it reads no text it does not need, its errors; bench --cluster-file.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
# refused NAME CODE TEXT ARGUMENTS…: ends with the code, and says the text in one line on standard error.
refused() {
    name=$1 code=$2 text=$3; shift 3
    "$program" plan "$@" >out 2>err
    got=$?
    check "$name" sh -c "test $got -eq $code && test ! -s out && grep -qF -- '$text' err || { cat err; false; }"
}

cat >run.yaml <<'END'
model: {layers: 2, heads: 2, width: 64, context: 32, vocabulary: 512}
data: {train: nowhere.txt}
train: {batch: 64, micro_batch: 2}
END
cat >cluster.yaml <<'END'
name: ours
nodes: 4
node: {workers: 8, memory: 1G, memory_bandwidth: 20G}
worker: {float32: 1e11}
between: {bandwidth: 1G}
END
"$program" plan run.yaml --cluster cluster.yaml >plan 2>err
check "a plan needs no text where the vocabulary is given" sh -c "test ! -s err && grep -q '^a step ' plan && grep -q '^memory ' plan && grep -q '^advice ' plan"
check "it names the cluster" grep -q '^cluster    ours: 4 nodes of 8 workers, 100 GFLOP/s each in float32$' plan
check "the table goes from 1 to 4096" sh -c "grep -q '^ *1 ' plan && grep -q '^ *4096 ' plan"
check "--nodes chooses rows" sh -c "'$program' plan run.yaml --cluster cluster.yaml --nodes 3,17 >rows && grep -q '^ *17 ' rows && ! grep -q '^ *4096 ' rows"
"$program" plan run.yaml --cluster cluster.yaml --json >plan.json 2>err
check_json "the parts of a step add up" plan.json "abs(d['step']['compute_seconds'] + d['step']['wait_seconds'] + d['step']['update_seconds'] + d['step']['exchange_seconds'] - d['step']['step_seconds']) < 1e-9 * d['step']['step_seconds']"
check_json "there are 13 rows" plan.json "[r['nodes'] for r in d['scaling']] == [2 ** i for i in range(13)]"
check_json "efficiency never rises above 1" plan.json "all(r['strong_efficiency'] < 1.0001 and r['weak_efficiency'] < 1.0001 for r in d['scaling'])"
check_json "what is advised is no slower, and fits" plan.json "d['advice']['step']['step_seconds'] <= d['step']['step_seconds'] * 1.000001 and d['advice']['memory_bytes'] <= 1e9"
"$program" plan run.yaml --cluster cluster.yaml --json --set train.optimizer=sgd >sgd.json 2>err
check_json "sgd keeps no state" sgd.json "d['memory_bytes']['optimizer_state'] == 0"
sed '1i task: translate' run.yaml | sed 's/{layers/{type: seq2seq, layers/' >pairs.yaml
"$program" plan pairs.yaml --cluster cluster.yaml --json >loss.json 2>err
"$program" plan pairs.yaml --cluster cluster.yaml --json --set train.measure=bleu >bleu.json 2>err
check_json "what evaluations write takes memory" bleu.json "d['memory_bytes']['other'] > json.load(open('loss.json'))['memory_bytes']['other'] + 8 * 32 * 2 * 2 * 32 * 64 * 4"
sed 's/memory: 1G/memory: 1M/' cluster.yaml >tiny.yaml
check "what does not fit is told" sh -c "'$program' plan run.yaml --cluster tiny.yaml | grep -q 'it does not fit' && '$program' plan run.yaml --cluster tiny.yaml | grep -q 'nothing that was tried fits'"
for file in "$root"/examples/cluster-*.yaml; do
    check "$(basename "$file") is a cluster" "$program" plan run.yaml --cluster "$file"
done

refused "the cluster is needed" 2 '--cluster FILE is missing' run.yaml
refused "a cluster file that is not there" 3 'gone.yaml' run.yaml --cluster gone.yaml
sed 's/nodes:/noodles:/' cluster.yaml >bad.yaml
refused "an unknown key suggests the nearest" 2 'bad.yaml:2: noodles: unknown key; did you mean nodes?' run.yaml --cluster bad.yaml
sed 's/memory_bandwidth: 20G/bandwidth: 20G/' cluster.yaml >bad.yaml
refused "a key of another section" 2 'bad.yaml:3: node.bandwidth: unknown key; did you mean' run.yaml --cluster bad.yaml
sed 's/1e11/fast/' cluster.yaml >bad.yaml
refused "a number is a number" 2 'bad.yaml:4: worker.float32: "fast" is not a number' run.yaml --cluster bad.yaml
sed 's/nodes: 4/nodes: 0/' cluster.yaml >bad.yaml
refused "ranges are checked" 2 'bad.yaml:2: nodes: 0 is out of range' run.yaml --cluster bad.yaml
sed '/^between/d' cluster.yaml >bad.yaml
refused "what is missing is named" 2 'bad.yaml: between.bandwidth: a number above 0 is missing' run.yaml --cluster bad.yaml
sed '/^worker/d' cluster.yaml >bad.yaml
refused "a peak is needed" 2 'bad.yaml: worker.float32: ' run.yaml --cluster bad.yaml
refused "a peak of the precision is needed" 2 'worker.bf16: the run computes in bf16' run.yaml --cluster cluster.yaml --set train.precision=bf16
servers='--set parallel.exchange=server --set parallel.servers_compute=false'
# shellcheck disable=SC2086
refused "servers need somebody who computes" 2 'parallel.servers: all 4 processes serve and none computes' run.yaml --cluster cluster.yaml $servers --set parallel.servers=4
# shellcheck disable=SC2086
refused "servers need a place" 2 'parallel.servers: 9 servers among 4 processes' run.yaml --cluster cluster.yaml $servers --set parallel.servers=9
printf 'nodes: [1, 2]\n' >bad.yaml
refused "a list is refused" 2 'bad.yaml:1: a list cannot stand in a cluster file' run.yaml --cluster bad.yaml
refused "nodes are numbers" 2 '--nodes: "many" is not a number of nodes' run.yaml --cluster cluster.yaml --nodes 1,many
refused "nodes are not empty" 2 '--nodes: "" is not a number of nodes' run.yaml --cluster cluster.yaml --nodes 1,,2
refused "the run file is checked as ever" 2 'train.batch' run.yaml --cluster cluster.yaml --set train.batch=63
sed 's/, vocabulary: 512//' run.yaml >char.yaml
refused "a char vocabulary needs the text" 3 'nowhere.txt' char.yaml --cluster cluster.yaml
refused "a vocabulary that a run would count" 2 'model.vocabulary: it is counted when the run starts' char.yaml --cluster cluster.yaml --set data.tokenizer=word
cat >rows.yaml <<'END'
task: classify
model: {type: bag, width: 8}
data: {train: rows.csv, text: 1, target: 2, tokenizer: word}
END
refused "rows whose words a run would count" 2 'model.vocabulary: it is counted when the run starts' rows.yaml --cluster cluster.yaml
refused "classes that a run would count" 2 'model.classes: they are counted when the run starts' rows.yaml --cluster cluster.yaml --set model.vocabulary=500
"$program" plan rows.yaml --cluster cluster.yaml --set model.vocabulary=500 --set model.classes=3 --json >classes.json 2>err
check_json "with both it is planned" classes.json "d['parameters'] == 500 * 8 + 8 * 3 + 3"
cat >numbers.yaml <<'END'
task: regress
model: {type: linear}
data: {train: line.csv, features: 1-7, target: 8}
END
"$program" plan numbers.yaml --cluster cluster.yaml --json >numbers.json 2>err
check_json "numbers have a weight for each feature" numbers.json "d['parameters'] == 8"
sed 's/nodes: 4/nodes: 1/' cluster.yaml >alone.yaml
"$program" plan run.yaml --cluster alone.yaml --json >learns.json 2>err
"$program" plan run.yaml --cluster alone.yaml --json --set train.freeze='*.h.*' >frozen.json 2>err
check "what is frozen has no state" awk -v a="$(field optimizer_state learns.json)" -v b="$(field optimizer_state frozen.json)" 'BEGIN { exit !(b > 0 && b < 0.7 * a) }'
"$program" plan run.yaml --cluster cluster.yaml --json --set parallel.exchange=server >all.json 2>err
# shellcheck disable=SC2086
"$program" plan run.yaml --cluster cluster.yaml --json $servers >fewer.json 2>err
if "$python" -c 'import json' 2>/dev/null; then
    check "a server that does not compute leaves its share to the others" "$python" -c 'import json; a, b = (json.load(open(f))["step"]["compute_seconds"] for f in ("all.json", "fewer.json")); assert abs(b / a - 4 / 3) < 1e-6, (a, b)'
else skip "a server that does not compute leaves its share to the others" "no python3"; fi

"$program" bench --cluster-file here.yaml >out 2>err
check "bench --cluster-file writes what it prints" sh -c "test ! -s err && cmp out here.yaml"
check "plan takes it" "$program" plan run.yaml --cluster here.yaml
"$program" bench --cluster-file here.yaml >out 2>err
check "bench overwrites nothing" sh -c "test $? -eq 2 && grep -q 'is there already' err"
if mkfifo pipe 2>/dev/null; then
    "$program" bench --cluster-file pipe >out 2>err
    check "... and no pipe" sh -c "test $? -eq 2 && test -p pipe"
else skip "... and no pipe" "no mkfifo"; fi
conclude
