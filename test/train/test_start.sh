#!/bin/sh
# Where a run starts that names another model: its own type gives all that fits, another type its vectors of tokens; rows go where their tokens are.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

awk 'BEGIN { srand(11); split("red green blue one two three four five", w, " ")
    for (i = 0; i < 120; i++) {
        s = w[1 + i % 3]; for (j = 0; j < 6; j++) s = s " " w[1 + int(rand() * 8)]
        print s >"running.txt"; print s "\t" (i % 3 ? "cold" : "warm") >"rows.tsv"; print s "\t" toupper(s) >"pairs.tsv"
    }
    for (i = 0; i < 400; i++) print i * 7919 >"digits.txt"
}'
common='train: {steps: 2, batch: 8, warmup: 1, eval_every: 0, save_every: 0}
parallel: {workers: 2, pin: off}'
run_file() { printf '%s\n%s\n' "$2" "$common" >"$1.yaml"; }
classes='train: rows.tsv, text: 1, target: 2'
run_file bag "task: classify
model: {type: bag, width: 16, context: 24}
data: {$classes, tokenizer: word}"
run_file pieces "task: lm
model: {type: lstm_lm, layers: 1, width: 16, hidden: 16, context: 8}
data: {train: running.txt, tokenizer: bpe, vocabulary: 300}"
run_file digits "task: lm
model: {type: gpt2, layers: 1, heads: 2, width: 16, context: 8}
data: {train: digits.txt, tokenizer: char}"
run_file translator "task: translate
model: {type: seq2seq, layers: 1, heads: 2, width: 16, context: 32}
data: {train: pairs.tsv, tokenizer: word, source_tokenizer: char}"
for name in bag pieces digits translator; do
    "$program" train $name.yaml --quiet --out $name >/dev/null 2>err || not_ok "$name is trained"
done

# starts NAME PATTERN RUN ARGUMENT…: what the log says of a run.
starts() {
    what=$1 pattern=$2 run=$3; shift 3; rm -rf out
    if "$program" train "$run.yaml" --out out "$@" >/dev/null 2>err && grep -q -e "$pattern" err; then ok "$what"; else not_ok "$what"; fi
}
run_file encoder "task: classify
model: {type: encoder, layers: 1, heads: 2, context: 24, from: bag}
data: {$classes, tokenizer: word}"
starts "another type gives its vectors and their width, and no head" 'from bag: 1 parameter copied: encoder.tokens.weight (\([0-9]*\) of \1 rows of tokens.weight)$' encoder

run_file convolution "task: classify
model: {type: convolution, hidden: 4, context: 24, from: pieces}
data: {$classes, tokenizer: word}"
starts "words find pieces that begin with a space" 'from pieces: 1 parameter copied: tokens.weight (9 of 1[0-9] rows of encoder.weight)$' convolution

run_file other_source "task: translate
model: {type: seq2seq, from: translator}
data: {train: pairs.tsv, tokenizer: word, source_tokenizer: word}"
starts "a source has rows of its own tokens" 'encoder.tokens.weight ([34] of 1[0-9] rows)' other_source
starts "and all of them with the tokenizer of the directory" 'copied: .*shared.weight, .*encoder.tokens.weight, ' other_source --set data.source_tokenizer=translator/source_tokenizer.json

cp -r bag bare && rm bare/tokenizer.json
starts "without a tokenizer rows are taken by number" 'there is no bare/tokenizer.json: rows of tokens are taken by number' encoder --set model.from=bare
cp -r bag broken && echo '{' >broken/tokenizer.json
if "$program" train encoder.yaml --out out2 --set model.from=broken >/dev/null 2>err || ! grep -q 'rows of tokens start anew' err; then not_ok "no row is taken of tokens that cannot be read"; else ok "no row is taken of tokens that cannot be read"; fi

refused() { # refused NAME CODE MESSAGE RUN ARGUMENT…
    what=$1 code=$2 message=$3 run=$4; shift 4; rm -rf out
    "$program" train "$run.yaml" --quiet --out out "$@" >/dev/null 2>err
    if [ $? = "$code" ] && grep -qF -e "$message" err; then ok "$what"; else not_ok "$what"; fi
}
refused "no token in common" 3 "digits knows no token of this run's tokenizer (data.tokenizer: word)" convolution --set model.from=digits
cp -r bag strange && sed -i 's/"model_type": *"bag"/"model_type": "sack"/' strange/config.json
refused "a type that nobody knows" 1 'strange/config.json: "model_type" is "sack"' encoder --set model.from=strange

# ---- figures of a run whose model is not there ----
printf '%s\n' 'nodes: 1' 'node: {workers: 2, memory: 1G, memory_bandwidth: 20G}' 'worker: {float32: 1e11}' 'between: {bandwidth: 1G}' >one.yaml
figures() { # figures CODE MESSAGE ARGUMENT…: of encoder.yaml, by every command that says some
    code=$1 message=$2; shift 2
    for how in inspect "plan --cluster one.yaml --set model.vocabulary=20 --set model.classes=2" "train --print-config"; do
        # shellcheck disable=SC2086
        "$program" ${how%% *} encoder.yaml "$@" ${how#"${how%% *}"} >said 2>err
        if [ $? = "$code" ] && cat said err | grep -q -e "$message"; then ok "${how%% *}: $message"; else not_ok "${how%% *}: $message"; fi
    done
}
figures 3 'model.from: absent is no folder' --set model.from=absent
figures 1 '"model_type" is "sack"' --set model.from=strange
figures 0 'parameters\|seconds\|width: 16' --set out=of_bag
"$program" train encoder.yaml --quiet --out of_bag >/dev/null 2>err || not_ok "a run from bag"
mv bag gone
figures 3 'encoder.yaml:2: model.from: bag is no folder' --set out=other
figures 0 'parameters\|seconds\|width: 16' --set out=of_bag
for how in "inspect of_bag/run.yaml" "eval of_bag rows.tsv --text 1 --target 2" "train encoder.yaml --out of_bag --resume"; do
    # shellcheck disable=SC2086
    if "$program" $how >/dev/null 2>err; then ok "what was trained needs no model.from: $how"; else not_ok "what was trained needs no model.from: $how"; fi
done
mv of_bag moved
if "$program" inspect moved/run.yaml >said 2>err && grep -q 'width 16' said; then ok "a run file that names its sizes"; else not_ok "a run file that names its sizes"; fi
conclude
