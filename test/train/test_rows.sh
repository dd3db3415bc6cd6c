#!/bin/sh
# What rows mean to a run: lists of references, pieces of one text, columns that are asked twice, names of files.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

run_file() { printf '%s\ntrain: {steps: 6, batch: 12, micro_batch: 2, warmup: 2, learning_rate: 0.01, eval_every: 0, %s}\n' "$2" "$3" >"$1.yaml"; }
measured() { sed -n "s|.*\"val/$1\": \([-0-9.e]*\).*|\1|p" "$2/log.jsonl" | tail -1; }

# ---- several references, each as good: the first is learned, the best is what counts ----
awk 'BEGIN { srand(7); split("red green blue one two three four five", w, " ")
    for (i = 0; i < 60; i++) {
        s = w[1 + int(rand() * 8)] " " w[1 + int(rand() * 8)]; t = s " " w[1 + int(rand() * 8)]
        print t "\t" s >"pairs.tsv"
        other = "red green blue one two three four five"
        printf "{\"1\": \"%s\", \"s\": \"%s\", \"t\": [\"%s\"]}\n", t, t, s >"one.jsonl"
        printf "{\"s\": \"%s\", \"t\": [\"%s\", \"%s\"]}\n", t, s, other >"first.jsonl"
        printf "{\"s\": \"%s\", \"t\": [\"%s\", \"%s\"]}\n", t, other, s >"last.jsonl"
    }
}'
run_file written "task: summarize
model: {type: rnn_seq2seq, width: 16, layers: 1, context: 24, rnn: gru}
data: {train: one.jsonl, text: s, target: t, tokenizer: word}" "measure: rouge1"
for name in one first last; do
    for workers in 1 3; do
        "$program" train written.yaml --quiet --json --out $name-$workers --set data.valid=$name.jsonl --workers $workers >$name-$workers.json 2>err || break
    done
    if [ -n "$(field sha256 $name-1.json)" ] && [ "$(measured rouge1 $name-1)" = "$(measured rouge1 $name-3)" ]; then ok "$name: measured alike by 1 and 3 workers"; else not_ok "$name: measured alike by 1 and 3 workers"; fi
done
if [ -n "$(measured loss one-1)" ] && [ "$(measured loss one-1)" = "$(measured loss first-1)" ]; then ok "the loss is of the first of several references"; else not_ok "the loss is of the first of several references"; fi
if [ "$(measured loss one-1)" != "$(measured loss last-1)" ]; then ok "... and not of another"; else not_ok "... and not of another"; fi
if [ "$(measured rouge1 first-1)" = "$(measured rouge1 last-1)" ] && awk -v one="$(measured rouge1 one-1)" -v several="$(measured rouge1 first-1)" 'BEGIN { exit !(several >= one && several > 0) }'; then
    ok "ROUGE is of the best reference, wherever it stands"
else not_ok "ROUGE is of the best reference, wherever it stands"; fi
conclude
