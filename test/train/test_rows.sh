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

# ---- columns ----
awk 'BEGIN { srand(3); print "a,b,y,kind" >"rows.csv"; for (i = 0; i < 80; i++) { a = rand() - 0.5; b = rand() - 0.5; printf "%.4f,%.4f,%.4f,%s\n", a, b, a - 2 * b, (a > b ? "more" : "less") >"rows.csv" } }'
run_file numbers "task: regress
model: {type: linear}
data: {train: rows.csv, features: \"a, b\", target: y}" "measure: loss"
refused() { # refused WHAT MESSAGE CODE ARGUMENT…
    what=$1 message=$2 code=$3; shift 3; rm -rf out
    "$program" train "$@" --quiet --out out >/dev/null 2>err
    if [ $? = "$code" ] && grep -q -F -e "$message" err && [ ! -d out/checkpoints ]; then ok "$what"; else not_ok "$what"; fi
}
refused "a target among the numbers" "rows.csv: column b is what is learned (data.target), and is among what it is learned from, as column b" 2 numbers.yaml --set data.target=b
refused "... by its place" "rows.csv: column 2 is what is learned (data.target), and is among what it is learned from, as column b" 2 numbers.yaml --set data.target=2
refused "... and a text that is its own target" "column t is what is learned" 2 written.yaml --set data.text=t

# ---- measures that held-out rows cannot have ----
{ sed -n 1p rows.csv; grep more rows.csv; } >more.csv
sed 's/^task: .*/task: classify/; s/target: y/target: kind/; s/measure: loss/measure: auc/' numbers.yaml >classes.yaml
refused "auc of one class is refused before a step" 'more.csv: all ' 3 classes.yaml --set data.valid=more.csv
if grep -q 'hold out rows of both (data.valid, data.valid_fraction), or measure accuracy or f1' err; then ok "... with what would do"; else not_ok "... with what would do"; fi

# ---- warnings of what rows show ----
warns() { # warns WHAT MESSAGE ARGUMENT…
    what=$1 message=$2; shift 2; rm -rf out
    if "$program" train "$@" --out out --set train.steps=1 >/dev/null 2>err && grep -q -F -e "$message" err; then ok "$what"; else not_ok "$what"; fi
}
words='task: classify
model: {type: bag, width: 4, context: 16}
data: {train: two.tsv, tokenizer: word, valid_fraction: 0.5}'
run_file words "$words" "measure: loss"
printf 'good film\tpos\nbad\tneg\n' >two.tsv
warns "classes that nothing is learned of" 'warning: two.tsv: 1 of 2 classes has no row to learn from, all are held out: "' words.yaml
awk 'BEGIN { for (i = 0; i < 20; i++) print "word\t" i }' >twenty.tsv
warns "... some of them" '10 of 20 classes have no row to learn from, all are held out: "' words.yaml --set data.train=twenty.tsv
awk 'BEGIN { for (i = 0; i < 40; i++) print "a word" i % 4 "\t" (i % 3 ? "pos" : i % 2 ? "pos " : "neg") }' >blanks.tsv
warns "labels that differ by blanks" 'warning: blanks.tsv: the labels "pos" and "pos " differ by blanks' words.yaml --set data.train=blanks.tsv
warns "unknown words" 'blanks.tsv: 50 % of the tokens are words that the tokenizer lacks (<unk>)' words.yaml --set data.train=blanks.tsv --set data.min_count=11
if grep -q 'warning: .*<unk>' err; then not_ok "... no warning below a half"; else ok "... no warning below a half"; fi
printf '坏片子\tneg\n好片子\tpos\n坏\tneg\n好\tpos\n' >chinese.tsv
"$program" train words.yaml --quiet --out out2 >/dev/null 2>&1
warns "... and one above" 'warning: chinese.tsv: 100 % of the tokens are words that the tokenizer lacks (<unk>); a tokenizer of such' words.yaml --set data.train=chinese.tsv --set data.tokenizer=out2
warns "Chinese between spaces" 'warning: chinese.tsv: a text is 1.0 words, since Chinese has no spaces between them; data.split: words' words.yaml --set data.train=chinese.tsv

# ---- what no row is ----
mkdir -p folder
refused "a folder" "folder is a folder; one file is wanted" 3 words.yaml --set data.valid=folder
sed 's/,/, /g' rows.csv >spaced.csv; sed 1d rows.csv >bare.csv; sed 1d spaced.csv >bare_spaced.csv; rm -rf a b
places() { "$program" train numbers.yaml --quiet --json --out $1 --set data.features=1,2 --set data.target=3 --set data.train=$2 >$1.json 2>err; }
if places a bare.csv && places b bare_spaced.csv && [ "$(field sha256 a.json)" = "$(field sha256 b.json)" ]; then ok "blanks behind commas"; else not_ok "blanks behind commas"; fi
for coding in 'UTF-16:\377\376a\000:this is UTF-16; iconv -f UTF-16' 'big UTF-16:\376\377\000a:this is UTF-16; iconv -f UTF-16' 'gzip:\037\213\010\000:ends in .gz is unpacked' 'zstd:\050\265\057\375:ends in .zst is unpacked' 'another:\326\320:GB18030'; do
    rest=${coding#*:}; printf "${rest%%:*}" >coded.tsv
    refused "text in ${coding%%:*}" "${rest#*:}" 3 words.yaml --set data.train=coded.tsv
done

# ---- pieces of a text are held out together ----
awk 'BEGIN { for (line = 0; line < 10; line++) { for (i = 0; i < 40; i++) printf "w%d_%d ", line, i % 9; print "" } }' >long.txt
run_file masked "task: mlm
model: {type: encoder, layers: 1, heads: 1, width: 8, context: 10}
data: {train: long.txt, tokenizer: word, valid_fraction: 0.2}" "measure: loss"
"$program" train masked.yaml --json --out masked >masked.json 2>err
if grep -q '32 rows (pieces of 10 texts).*, 8 rows held out' err; then ok "pieces of two of ten texts are held out"; else not_ok "pieces of two of ten texts are held out"; fi
refused "more folds than texts" "10 rows cannot be 11 parts" 3 masked.yaml --set train.folds=11

# ---- names of files ----
printf '{"text": "red"}\n{"text": "blue"}\n' >UPPER.JSONL
refused "an ending in capitals" "columns of .jsonl are keys" 3 masked.yaml --set data.train=UPPER.JSONL

refused "a header of lines" "data.header: long.txt is read as lines" 2 masked.yaml --set data.header=true
refused "a text's key beside numbers" "data.ngrams: it is of texts, and data.features are numbers" 2 numbers.yaml --set data.ngrams=2
refused "a key of running text" "data.partition: it is of running text, and task: mlm reads rows" 2 masked.yaml --set data.partition=length

# ---- run files of editors that write a byte order mark ----
{ printf '\357\273\277'; cat numbers.yaml; } >marked.yaml
if "$program" train marked.yaml --out out --print-config >marked.out 2>err && "$program" train numbers.yaml --out out --print-config 2>err | cmp -s - marked.out; then ok "a run file with a byte order mark"; else not_ok "a run file with a byte order mark"; fi

# ---- a schedule whose warm-up is as long as the run ----
rm -rf out
if "$program" train numbers.yaml --quiet --out out --set train.schedule=wsd --set train.warmup=100 >/dev/null 2>err; then ok "wsd may be all warm-up"; else not_ok "wsd may be all warm-up"; fi

# ---- batch norm ----
sed 's/^model: .*/model: {type: mlp, layers: 1, hidden: 8, batch_norm: true}/; s/, micro_batch: 2//' numbers.yaml >normed.yaml
micro() { "$program" train normed.yaml --print-config --set train.batch=$1 2>err | sed -n 's/^  micro_batch: //p'; }
if [ "$(micro 8) $(micro 12) $(micro 31) $(micro 32) $(micro 128)" = "8 12 31 8 16" ]; then ok "with batch norm micro-batches are enough for a mean"; else echo "$(micro 8) $(micro 12) $(micro 31) $(micro 32) $(micro 128)" >err; not_ok "with batch norm micro-batches are enough for a mean"; fi
refused "a micro-batch of one row" "train.micro_batch: 1, but model.batch_norm takes mean and variance of a micro-batch" 2 normed.yaml --set train.micro_batch=1

# ---- what model.from means ----
awk 'BEGIN { srand(5); print "text\tclass\tother" >"texts.tsv"; split("good fine bad poor it was a day", w, " ")
    for (i = 0; i < 60; i++) { k = 1 + int(rand() * 4); print w[5 + int(rand() * 4)] " " w[k] " " w[5 + int(rand() * 4)] "\t" (k < 3 ? "pos" : "neg") "\t" (k < 3 ? "a_good" : "b_bad") >"texts.tsv" } }'
run_file body "task: classify
model: {type: bag, width: 8, context: 16, pool: sum, init_deviation: 0.1}
data: {train: texts.tsv, text: text, target: class, tokenizer: word, ngrams: 2, ngram_hash: 100}" "measure: accuracy"
"$program" train body.yaml --quiet --out body --set train.steps=150 --set train.learning_rate=0.05 >/dev/null 2>err
head_of() { sed 's/model: .*/model: {type: bag, from: body}/; s/, ngrams: 2, ngram_hash: 100//' body.yaml >tuned.yaml; "$program" train tuned.yaml --out tuned --set train.learning_rate=1e-9 "$@" >tuned.out 2>err; }
rm -rf tuned; head_of
if grep -q 'model.from body: 0 parameters new' err && [ "$(measured accuracy tuned)" = 1 ] && grep -q '  pool: sum' tuned/run.yaml && grep -q '  ngram_hash: 100' tuned/run.yaml; then ok "pool and n-grams are taken from there"; else not_ok "pool and n-grams are taken from there"; fi
rm -rf tuned; head_of --set data.target=other
if grep -q 'model.from body: 2 parameters new: classifier' err; then ok "classes of other names have a new head"; else not_ok "classes of other names have a new head"; fi
refused "rows of n-grams that mean others" "data.ngram_hash: 150, but the model of model.from: body has 100" 2 tuned.yaml --set data.ngram_hash=150
conclude
