#!/bin/sh
# Tasks of rows: every kind of model learns from a small file, with the same bits for 1, 2, 3 and 5 workers and after a pause; what is wrong with
# rows or keys is named with file and line.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

# Classes by a word, numbers by counting, translations word by word: rows of 1 to 9 words.
awk 'BEGIN { srand(7); split("red green blue one two three four five", w, " "); split("rot gruen blau eins zwei drei vier fuenf", d, " ")
    print "text,class,number" >"rows.csv"
    for (i = 0; i < 150; i++) {
        n = 1 + int(rand() * 9); s = t = ""; sum = 0
        for (j = 0; j < n; j++) { k = 1 + int(rand() * 8); s = s (j ? " " : "") w[k]; t = t (j ? " " : "") d[k]; if (k > 3) sum++ }
        c = int(rand() * 3) + 1; s = toupper(w[c]) " " s; t = d[c] " " t
        print s "," (c == 1 ? "warm" : "cold") "," sum / 4 >"rows.csv"
        print s "\t" t >"pairs.tsv"
        text = i % 4 ? text (text ? ". " : "") s : s; if (i % 4 == 3) print text ".\t" s >"texts.tsv"
        printf "%g,%g,%g,%s\n", rand() - 0.5, rand() - 0.5, rand() - 0.5, i % 3 ? "a" : "b" >"points.csv"
        x = rand() - 0.5; y = rand() - 0.5; printf "%g,%g,%.6f\n", x, y, 2 * x - 3 * y + 1 >"line.csv"
    }
}'
common='train: {steps: 12, batch: 12, micro_batch: 2, warmup: 2, learning_rate: 0.01, eval_every: 6, save_every: 6}'
texts='train: rows.csv, text: text, target: class, tokenizer: word, buckets: 3'
small='layers: 2, heads: 2, width: 16, context: 24, dropout: 0.1'
run_file() { printf '%s\n%s\n' "$2" "$common" >"$1.yaml"; }
run_file bag "task: classify
model: {type: bag, width: 8, context: 48, dropout: 0.1}
data: {$texts, ngrams: 2, ngram_hash: 64, class_weights: balanced, word_dropout: 0.1, swap: 0.1}"
run_file hinge "task: classify
model: {type: bag, width: 8, context: 24, loss: hinge}
data: {$texts, sampling: balanced, mask: 0.1, unknown: 0.1}"
run_file convolution "task: classify
model: {type: convolution, width: 8, hidden: 6, context: 24, activation: relu, loss: binary}
data: {$texts}"
run_file encoder "task: classify
model: {type: encoder, $small, pool: first}
data: {$texts, pair: text}"
run_file number "task: regress
model: {type: encoder, $small}
data: {train: rows.csv, text: text, target: number, tokenizer: char}"
run_file mlm "task: mlm
model: {type: encoder, $small, post_norm: true}
data: {train: rows.csv, text: text, tokenizer: word}"
run_file seq2seq "task: translate
model: {type: seq2seq, $small, sinusoidal: true}
data: {train: pairs.tsv, tokenizer: word, source_tokenizer: char, word_dropout: 0.1}"
run_file rnn_seq2seq "task: summarize
model: {type: rnn_seq2seq, width: 16, layers: 1, context: 24, rnn: gru, additive_attention: true}
data: {train: pairs.tsv, tokenizer: bpe, vocabulary: 280}"
run_file mlp "task: classify
model: {type: mlp, layers: 2, hidden: 7, activation: tanh, loss: binary}
data: {train: points.csv, features: 1-3, target: 4}"
run_file words "task: classify
model: {type: linear, context: 48, pool: sum, loss: squared_hinge}
data: {$texts, ngrams: 2, ngram_hash: 64}"
run_file linear "task: regress
model: {type: linear}
data: {train: line.csv, features: \"1, 2\", target: 3}"

# Sentences of texts, of which one is the summary.
run_file chosen "task: summarize
model: {type: linear, context: 48}
data: {train: texts.tsv, text: 1, target: 2, tokenizer: word, ngrams: 2, ngram_hash: 64, word_dropout: 0.1, buckets: 3}"
run_file chosen_bag "task: summarize
model: {type: bag, width: 8, context: 24, loss: squared, dropout: 0.1}
data: {train: texts.tsv, text: 1, target: 2, tokenizer: bpe, vocabulary: 280}"
run_file chosen_encoder "task: summarize
model: {type: encoder, $small, pool: first}
data: {train: texts.tsv, valid: texts.tsv, text: 1, target: 2, tokenizer: word, mask: 0.1}"
run_file chosen_gru "task: summarize
model: {type: lstm_lm, rnn: gru, layers: 1, width: 12, hidden: 10, context: 48, pool: mean}
data: {train: texts.tsv, tokenizer: char}"
for name in chosen chosen_bag chosen_encoder chosen_gru; do sed -i 's/^train: {/train: {measure: rougeL, /' $name.yaml; done
run_file mlp_norm "task: classify
model: {type: mlp, layers: 2, hidden: 7, activation: relu, batch_norm: true, dropout: 0.1}
data: {train: points.csv, features: 1-3, target: 4}"
run_file lstm "task: classify
model: {type: lstm_lm, rnn: gru, layers: 2, width: 12, hidden: 10, context: 48, pool: last, dropout: 0.1}
data: {$texts}"
# A language model's body goes on under a new head: some of it frozen, each layer at a rate of its own.
cut -d , -f 1 rows.csv >running.txt
run_file body "task: lm
model: {type: gpt2, $small}
data: {train: running.txt, tokenizer: char}"
"$program" train body.yaml --quiet --out body >/dev/null 2>err || not_ok "a body is trained"
run_file tuned "task: classify
model: {type: gpt2, $small, pool: last, from: body}
data: {train: rows.csv, text: text, target: class, tokenizer: body/tokenizer.json}"
echo 'parallel: {pin: off}' >>tuned.yaml
sed -i 's/^train: {/train: {freeze: "*.wpe.*, *.h.0.*", layer_decay: 0.7, head_learning_rate: 3, /' tuned.yaml

# A sanitizer is slow: it sees each kind once, by several workers.
counts='1 2 3 5' said='1, 2, 3 and 5 workers'
[ -z "${SANITIZED:-}" ] || counts='1 3' said='1 and 3 workers'
for name in bag hinge convolution encoder number mlm seq2seq rnn_seq2seq mlp words linear mlp_norm lstm tuned chosen chosen_bag chosen_encoder chosen_gru; do
    for workers in $counts; do
        rm -rf out
        "$program" train $name.yaml --quiet --json --out out --set parallel.workers=$workers >$workers.json 2>err || break
        grep -o '"val/[a-zA-Z0-9]*": [-0-9.e]*' out/log.jsonl >$workers.measures
    done
    same=yes; for workers in $counts; do [ -n "$(field sha256 1.json)" ] && [ "$(field sha256 1.json)" = "$(field sha256 $workers.json)" ] && cmp -s 1.measures $workers.measures || same=no; done
    if [ $same = yes ]; then ok "$name: $said have the same bits"; else not_ok "$name: $said have the same bits"; fi
    [ -z "${SANITIZED:-}" ] || [ "$name" = seq2seq ] || continue
    rm -rf half
    "$program" train $name.yaml --quiet --json --out half --set parallel.workers=2 --set train.steps=6 --set train.decay_steps=12 >half.json 2>err &&
        "$program" train $name.yaml --quiet --json --out half --set parallel.workers=3 --set train.decay_steps=12 --resume >half.json 2>err &&
        rm -rf whole && "$program" train $name.yaml --quiet --json --out whole --set train.decay_steps=12 >whole.json 2>err
    if [ -n "$(field sha256 half.json)" ] && [ "$(field sha256 half.json)" = "$(field sha256 whole.json)" ]; then ok "$name: and after a pause"; else not_ok "$name: and after a pause"; fi
done
# What is learned is there: the class is the first word's, the line is exact, and words are translated.
learns() { # learns NAME TEST ARGUMENT…
    name=$1 test=$2; shift 2; rm -rf out
    "$program" train "$name.yaml" --quiet --json --out out "$@" >out.json 2>err
    if awk -v loss="$(field validation_loss out.json)" -v best="$(field best out.json)" "BEGIN { exit !($test) }"; then ok "$name learns"; else cat out.json >err; not_ok "$name learns"; fi
}
[ -n "${SANITIZED:-}" ] || {
learns bag 'best > 0.95' --set train.steps=200 --set train.measure=accuracy --set data.swap=0
learns tuned 'best > 0.95' --set train.steps=150 --set train.measure=accuracy --set model.dropout=0
learns lstm 'best > 0.95' --set train.steps=150 --set train.measure=accuracy
"$program" train tuned.yaml --out said >/dev/null 2>err
if grep -q 'model.from body: .* copied: transformer.wte.weight' err && grep -q 'model.from body: 1 parameter new: score.weight' err; then ok "what is copied and what is new is said"; else not_ok "what is copied and what is new is said"; fi
learns words 'best > 0.95' --set train.steps=200 --set train.measure=accuracy
learns linear 'loss != "" && loss < 1e-6' --set train.steps=600 --set train.learning_rate=0.05 --set train.weight_decay=0 --set train.clip=0
learns seq2seq 'loss != "" && loss < 1.9' --set train.steps=250 --set data.source_tokenizer= --set data.word_dropout=0
}

# ---- what is wrong is named ----
printf 'text,class,text\na,b,c\n' >twice.csv
rm -rf out
if "$program" train bag.yaml --quiet --out out --set train.batch_tokens=1000000000000 >/dev/null 2>err; then ok "a batch of more places than all rows have"; else not_ok "a batch of more places than all rows have"; fi
refused() { # refused NAME MESSAGE ARGUMENT…
    what=$1 message=$2; shift 2; rm -rf out
    "$program" train "$@" --quiet --out out >/dev/null 2>err
    code=$?
    if { [ $code = 2 ] || [ $code = 3 ]; } && grep -qF -e "$message" err; then ok "$what"; else echo "exit $code, wanted: $message" >>err; not_ok "$what"; fi
}
{ head -20 rows.csv; echo 'red,warm'; } >short.csv
refused "a ragged row" "short.csv line 21" bag.yaml --set data.train=short.csv
refused "a column that is not there" "rows.csv" bag.yaml --set data.target=klass
{ cat rows.csv; echo 'red,hot,1'; } >strange.csv
refused "an unknown class in data.valid" 'strange.csv line 152: there is no class "hot"' bag.yaml --set data.valid=strange.csv
{ cat line.csv; echo '1,x,2'; } >word.csv
refused "a word for a number" 'word.csv line 151: "x" is no number' linear.yaml --set data.train=word.csv
printf 'text,class\na,b\n\n c,d\n' >empty.csv
refused "an empty line" "empty.csv line 3" bag.yaml --set data.train=empty.csv
printf 'text,class\na\0b,c\n' >nul.csv
refused "a NUL byte" "nul.csv line 2" bag.yaml --set data.train=nul.csv
head -3 pairs.tsv | cut -f 1 >a.txt; head -2 pairs.tsv | cut -f 2 >b.txt
refused "files of different length" "b.txt" seq2seq.yaml --set data.train=a.txt --set data.train_pair=b.txt --set data.format=lines
printf 'text,class\na,b\nc,b\n' >one.csv
printf 'red\trot\n' >single.tsv
refused "one row only" "single.tsv: of 1 row all are held out (data.valid_fraction: 0.1)" rnn_seq2seq.yaml --set data.train=single.tsv
printf 'text,class\n,a\n,b\n,a\n,b\n' >void.csv
rm -rf out
if "$program" train bag.yaml --quiet --out out --set data.train=void.csv --set data.tokenizer=byte >/dev/null 2>err; then ok "empty texts only"; else not_ok "empty texts only"; fi
refused "one class only" 'one class only, "b"' bag.yaml --set data.train=one.csv
refused "a model for another task" "bag is no model for task: translate; there are: seq2seq, rnn_seq2seq" seq2seq.yaml --set model.type=bag
refused "rows' keys in running text" "task: lm reads running text" bag.yaml --set task=lm --set model.type=gpt2 --set data.ngrams=1 --set data.ngram_hash=131072
refused "classes that do not fit" "model.classes: 5" bag.yaml --set model.classes=5
refused "scores of one number" "model.classes: 5; task: regress learns one number" number.yaml --set model.classes=5
for task in 'seq2seq translate' 'rnn_seq2seq summarize' 'mlm mlm' 'body lm'; do
    refused "model.loss of ${task#* }" "model.loss: hinge, but task: ${task#* } does not read it; it is of classify, regress, answer" ${task% *}.yaml --set model.loss=hinge
done
for task in 'seq2seq translate' 'rnn_seq2seq summarize' 'body lm'; do
    refused "model.pool of ${task#* }" "model.pool: last, but task: ${task#* } does not read it; it is of classify, regress, mlm" ${task% *}.yaml --set model.pool=last
done
refused "model.pool of masked texts" "model.pool: mean, but task: mlm pools no text; it takes first" mlm.yaml --set model.pool=mean
rm -rf out
if "$program" train mlm.yaml --quiet --out out --set model.pool=first >/dev/null 2>err; then ok "a mark before masked texts"; else not_ok "a mark before masked texts"; fi
refused "model.pool of a convolution" "model.pool: mean, but convolution takes the largest that a filter finds" convolution.yaml --set model.pool=mean
refused "model.pool of an mlp" "model.pool: mean, but model.type: mlp does not read it; it is of gpt2, lstm_lm, encoder, bag, convolution, linear" mlp.yaml --set model.pool=mean
refused "model.pool of numbers" "model.pool: mean, but rows of data.features are numbers" linear.yaml --set model.pool=mean
refused "a key of another model" "model.batch_norm: true, but model.type: bag does not read it; it is of mlp" bag.yaml --set model.batch_norm=true
refused "layers of an encoder beside another's" "model.encoder_layers: 3, but model.type: encoder does not read it; it is of seq2seq, rnn_seq2seq" encoder.yaml --set model.encoder_layers=3
refused "runs of tokens of a model that keeps their order" "data.ngrams: 2, but model.type: encoder does not read it; it is of bag, linear" encoder.yaml --set data.ngrams=2
refused "rows for runs of tokens of one" "data.ngram_hash: 512, but model.type: encoder does not read it; it is of bag, linear" encoder.yaml --set data.ngram_hash=512
refused "a second text of a translator" "data.pair: 3, but task: translate does not read it; it is of classify, regress, mlm" seq2seq.yaml --set data.pair=3
refused "beams where nothing is written" "train.measure_beam: 4, but train.measure: loss needs no text that the model writes" seq2seq.yaml --set train.measure_beam=4
refused "beams of a classifier" "train.measure_beam: 4, but train.measure: accuracy needs no text" bag.yaml --set train.measure=accuracy --set train.measure_beam=4
refused "numbers whose words change places" "data.swap: it is of texts, and data.features are numbers" mlp.yaml --set data.swap=0.1
refused "words of a tokenizer of characters" "data.min_count: 2, but data.tokenizer: char does not read it; it is of word, bpe" number.yaml --set data.min_count=2
refused "small letters of pieces" "data.lower_case: true, but data.tokenizer: bpe does not read it; it is of word" bag.yaml --set data.tokenizer=bpe --set data.lower_case=true
refused "classes that are balanced twice" "data.class_weights and data.sampling are both balanced" bag.yaml --set data.sampling=balanced
refused "a key of another task" "data.answer_tokens: 3, but task: classify does not read it; it is of answer" bag.yaml --set data.answer_tokens=3
refused "smoothing of a hinge" "train.label_smoothing: 0.1, but only model.loss: softmax" hinge.yaml --set train.label_smoothing=0.1
refused "a vocabulary of nothing" "data.vocabulary: a vocabulary of 1 is too small; words need at least 2" bag.yaml --set data.vocabulary=1
for workers in $counts; do
    rm -rf out
    "$program" train mlm.yaml --quiet --json --out out --set data.mask_rate=1e-300 --set parallel.workers=$workers >rare-$workers.json 2>err || break
done
same=yes; for workers in $counts; do [ -n "$(field sha256 rare-$workers.json)" ] && [ "$(field sha256 rare-1.json)" = "$(field sha256 rare-$workers.json)" ] || same=no; done
if [ $same = yes ]; then ok "a batch of which nothing is masked by chance guesses one token: $said"; else not_ok "a batch of which nothing is masked by chance guesses one token: $said"; fi
if awk -v loss="$(field validation_loss rare-1.json)" 'BEGIN { exit !(loss > 1) }'; then ok "... of the held-out rows, too"; else not_ok "... of the held-out rows, too"; fi
{ echo text,class; for _ in 1 2 3 4 5 6 7; do echo ,a; done; echo red green,a; } >sparse.csv
rm -rf out
if "$program" train mlm.yaml --quiet --out out --set data.train=sparse.csv --set data.valid_fraction=0 --set train.batch=1 --set train.micro_batch=1 >/dev/null 2>err; then ok "a batch of empty texts changes nothing"; else not_ok "a batch of empty texts changes nothing"; fi
{ echo text,class; echo "red green blue red green blue red green blue red,a"; echo "red blue,a"; } >longer.csv
rm -rf out
if "$program" train mlm.yaml --out out --set data.train=longer.csv --set data.valid_fraction=0 --set model.context=4 --set train.batch=1 --set train.micro_batch=1 --set train.steps=2 >/dev/null 2>err && grep -q "longer.csv: 4 rows (pieces of 2 texts), 12 tokens" err; then ok "a text longer than the context is learned from in pieces"; else not_ok "a text longer than the context is learned from in pieces"; fi
refused "empty texts only, to be masked" "void.csv: all 4 texts to learn from are empty; task: mlm needs a token that it can mask" mlm.yaml --set data.train=void.csv --set data.tokenizer=byte --set data.valid_fraction=0
{ echo text,class; for _ in 1 2 3 4 5 6 7 8 9; do echo red,warm; done; awk 'BEGIN { printf "red,x"; for (i = 0; i < 50; i++) printf "众声"; print "" }'; } >chinese.csv
refused "a class of long Chinese, cut between characters" "there is no class" bag.yaml --set data.train=rows.csv --set data.valid=chinese.csv
if grep -q 'there is no class "x众声' err && ! LC_ALL=C.UTF-8 grep -qaxv '.*' err; then ok "... as UTF-8"; else not_ok "... as UTF-8"; fi
refused "columns of one name" 'twice.csv line 1 names columns 1 and 3 both "text"' bag.yaml --set data.train=twice.csv
refused "auc of three classes" "train.measure" mlp.yaml --set model.loss=softmax --set data.target=1 --set data.features=2 --set train.measure=auc --set data.train=points.csv
# One row of numbers so large that its two scores are infinities has no place in an order; the run goes on.
awk 'BEGIN { srand(4); for (i = 0; i < 60; i++) { s = h = ""; for (j = 0; j < 16; j++) { s = s (rand() - 0.5) ","; h = h "3e38," } print s i % 2 >"wide.csv"; if (i < 20) print s i % 2 >"huge.csv" } print h 1 >"huge.csv" }'
run_file huge 'task: classify
model: {type: mlp, layers: 3, hidden: 400, activation: relu, loss: softmax}
data: {train: wide.csv, valid: huge.csv, features: 1-16, target: 17}'
rm -rf out
if "$program" train huge.yaml --quiet --out out --set train.learning_rate=0.0001 >/dev/null 2>err && grep -q '"val/auc": null' out/log.jsonl; then ok "a score that is no number"; else not_ok "a score that is no number"; fi
refused "the first token of a bag" "model.pool: first of a bag says the same of every text" bag.yaml --set model.pool=first
# Variances that overflow stop the run, and no model has them.
awk 'BEGIN { srand(2); for (i = 0; i < 40; i++) print (i == 7 ? "1e20" : rand()) "," i % 2 }' >steep.csv
run_file steep 'task: classify
model: {type: mlp, layers: 1, hidden: 3, batch_norm: true, loss: binary}
data: {train: steep.csv, features: "1", target: 2, valid_fraction: 0.1}'
rm -rf out
"$program" train steep.yaml --quiet --out out >/dev/null 2>err
if [ $? = 1 ] && grep -q 'the gradient is not finite' err; then ok "a statistic of batch norm that is not finite"; else not_ok "a statistic of batch norm that is not finite"; fi
refused "numbers for a text model" "data.features: 1-2, but model.type: bag does not read it; it is of mlp, linear" bag.yaml --set data.features=1-2

# ---- the digest, also of sizes that the data said ----
for name in mlp linear seq2seq rnn_seq2seq words; do
    rm -rf out
    "$program" train $name.yaml --quiet --json --out out >digest.json 2>err
    "$program" inspect out/checkpoints/step-12 --digest >digest.txt 2>err
    if [ -n "$(digest digest.json)" ] && [ "$(digest digest.json)" = "$(digest digest.txt)" ]; then ok "$name: inspect's digest of its checkpoint is training's"; else not_ok "$name: inspect's digest of its checkpoint is training's"; fi
done
conclude
