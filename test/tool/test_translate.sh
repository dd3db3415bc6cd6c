#!/bin/sh
# stentor translate and summarize: a line out for a line in, the same for any number of workers; what is bad is named and loses nothing.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
maker=$build/test/tool/small_translator
if ! ${MAKE:-make} -s -C "$root" BUILD="$BUILD" "$BUILD/test/tool/small_translator" >&2; then
    echo "1..1"; echo "not ok 1 - small_translator cannot be built"; exit 1
fi

for type in seq2seq rnn_seq2seq; do check "a $type is saved" "$maker" $type $type; done
i=0; while [ $i -lt 90 ]; do
    case $i in 7 | 50) echo ;; 8) echo "   " ;; *) printf '%s %d %.*s\n' "line" $i $((i * 7 % 40)) "the quick brown fox jumps over the lazy dog" ;; esac
    i=$((i + 1)); done >lines.txt
for type in seq2seq rnn_seq2seq; do
    "$program" translate $type lines.txt --workers 1 --max-tokens 12 >one.txt 2>err.txt
    check "$type: a line for a line" sh -c 'cat err.txt; test $(wc -l <one.txt) -eq 90'
    check "$type: empty lines stay empty" sh -c 'test -z "$(sed -n 8p one.txt)$(sed -n 9p one.txt)$(sed -n 51p one.txt)" && test -n "$(sed -n 10p one.txt)"'
    for workers in 2 3 5; do
        "$program" translate $type lines.txt --workers $workers --max-tokens 12 --batch $((workers * 5)) >other.txt 2>&1
        check "$type: the same with $workers workers and other batches" cmp one.txt other.txt
    done
    STENTOR_ISA=generic "$program" translate $type --max-tokens 12 <lines.txt >other.txt 2>&1
    check "$type: the same from standard input, by generic code" cmp one.txt other.txt
    if STENTOR_ISA=avx2 "$program" --version >log 2>&1; then
        STENTOR_ISA=avx2 "$program" translate $type lines.txt --max-tokens 12 >other.txt 2>&1
        check "$type: the same by AVX2" cmp one.txt other.txt
    else skip "$type: the same by AVX2" "this machine has none"; fi
    (head -n 3 lines.txt; sleep 0.3; tail -n +4 lines.txt) | "$program" translate $type - --max-tokens 12 >other.txt 2>&1
    check "$type: the same from lines that come late" cmp one.txt other.txt
    "$program" summarize $type lines.txt --max-tokens 12 >other.txt 2>&1
    check "$type: summarize is the same search" cmp one.txt other.txt
    "$program" translate $type lines.txt --max-tokens 12 --temperature 1 --seed 3 --workers 1 >d1.txt 2>&1
    "$program" translate $type lines.txt --max-tokens 12 --temperature 1 --seed 3 --workers 3 --batch 4 >d2.txt 2>&1
    "$program" translate $type lines.txt --max-tokens 12 --temperature 1 --seed 4 >d3.txt 2>&1
    check "$type: draws are the same with 3 workers, and others with another seed" sh -c 'cmp d1.txt d2.txt && ! cmp -s d1.txt d3.txt'
done
"$program" translate seq2seq lines.txt --max-tokens 6 --n-best 3 >nbest.txt 2>err.txt
check "n-best: number, text and score" sh -c 'test $(grep -a -c "^1 ||| .* ||| -[0-9.]*$" nbest.txt) -ge 1 && ! grep -q "^7 |||" nbest.txt'
"$program" translate seq2seq lines.txt --max-tokens 6 --n-best 3 --json --reference lines.txt >lines.json 2>err.txt
if "$python" -c 'import json' 2>/dev/null; then
    check "--json: an object a line, and the measures" "$python" - <<'END'
import json
d = [json.loads(line) for line in open("lines.json")]
assert len(d) == 91, len(d)
for i, one in enumerate(d[:90]):
    assert one["line"] == i + 1
    scores = [h["score"] for h in one["hypotheses"]]
    assert scores == sorted(scores, reverse=True) and len(scores) == (0 if i in (7, 8, 50) else 3)
    for h in one["hypotheses"]:
        assert abs(h["score"] * (h["tokens"] + 1) - h["log_probability"]) < 1e-9
    assert not scores or one["text"] == one["hypotheses"][0]["text"]
assert d[90]["lines"] == 90 and d[90]["bleu"] >= 0 and "tok:13a" in d[90]["bleu_signature"], d[90]
END
else skip "--json: an object a line, and the measures" "no python3"; fi
"$program" translate seq2seq lines.txt --max-tokens 6 --reference one.txt --lower-case --tokenize char >out.txt 2>err.txt
check "--reference: BLEU and chrF with signatures" sh -c 'grep -q "^BLEU .*case:lc.*tok:char.* = " err.txt && grep -q "^chrF nrefs:1.* = " err.txt'
"$program" translate seq2seq lines.txt >ref.txt 2>err.txt
"$program" translate seq2seq lines.txt --reference ref.txt --tokenize char >out.txt 2>err.txt
check "what is the reference has a BLEU of 100" grep -q '^BLEU .* = 100.00 ' err.txt
awk 'NR % 3 == 0 { print "else"; next } 1' ref.txt >near.txt
for workers in 1 3; do "$program" translate seq2seq lines.txt --reference near.txt --tokenize char --intervals --chrf-words 2 --smooth floor --json --workers $workers | tail -1 >measured.$workers; done
# The value behind "name": in what was measured.
value() { sed "s/.*\"$1\": \([-0-9.e]*\).*/\1/" measured.1; }
check "--intervals: the same for any number of workers" cmp measured.1 measured.3
for name in bleu chrf; do
    check "--intervals: $name lies in its own" awk -v low="$(value ${name}_low)" -v at="$(value $name)" -v high="$(value ${name}_high)" 'BEGIN { exit !(low != "" && low <= at && at <= high && low < high) }'
done
check "--smooth and --chrf-words: in the signatures" grep -q 'smooth:floor\[0.10\].*nw:2' measured.1
check "distinct-n: of what was written" awk -v one="$(value distinct1)" -v two="$(value distinct2)" 'BEGIN { exit !(one > 0 && one <= 1 && two > 0 && two <= 1) }'
"$program" translate seq2seq lines.txt --reference ref.txt --tokenize char --intervals >out.txt 2>err.txt
check "--intervals: of what is the reference" grep -q '^BLEU .* = 100.00 (95 %: 100.00 to 100.00)' err.txt
for best in 1 2; do
    "$program" translate seq2seq lines.txt --beam 2 --n-best $best --reference ref.txt >both.txt 2>&1
    check "--n-best $best: measures stand behind the last line" grep '^BLEU ' both.txt
done
"$program" summarize seq2seq lines.txt --reference lines.txt --intervals >out.txt 2>err.txt
check "--intervals: of ROUGE" grep -q '^rouge1 .* (95 %: 0[.][0-9]* to [01][.][0-9]*)' err.txt
"$program" summarize seq2seq lines.txt --reference lines.txt --stem >out.txt 2>err.txt
check "summarize --reference: ROUGE" sh -c 'test $(grep -c "^rouge.*stem:yes = 0\.[0-9]*" err.txt) -eq 4'

sed 's/.*/天气很好，我们去公园。/' lines.txt >chinese.txt
"$program" eval seq2seq chinese.txt --max-tokens 3 --reference chinese.txt >out.txt 2>err.txt
check "Chinese references are measured by characters" sh -c 'cat err.txt out.txt; grep -q "^BLEU .*tok:zh" out.txt && test $(grep -c "^rouge.*by:characters" out.txt) -eq 4'
"$program" eval seq2seq chinese.txt --max-tokens 3 --reference chinese.txt --tokenize 13a --json >out.txt 2>err.txt
check "unless something else is asked for" grep -q 'tok:13a.*"rouge_by": "characters"' out.txt
{ cat lines.txt lines.txt; sed 's/.*/天气很好/' lines.txt lines.txt; } >both.txt
"$program" eval seq2seq both.txt --max-tokens 3 --reference both.txt >out.txt 2>err.txt
check "mostly Latin ones by words" sh -c 'cat err.txt out.txt; grep -q "^BLEU .*tok:13a" out.txt && test $(grep -c "^rouge.*by:words" out.txt) -eq 4'

# ---- a trained one, with a tokenizer of its own for sources ----
awk 'BEGIN { srand(7); split("red green blue one two three four five", w, " "); split("rot gruen blau eins zwei drei vier fuenf", d, " ")
    for (i = 0; i < 600; i++) { n = 1 + int(rand() * 5); s = t = ""
        for (j = 0; j < n; j++) { k = 1 + int(rand() * 8); s = s (j ? " " : "") w[k]; t = t (j ? " " : "") d[k] }
        print s "\t" t >(i < 500 ? "pairs.tsv" : "held.tsv") } }'
cut -f 1 held.tsv >held.src; cut -f 2 held.tsv >held.ref
cat >run.yaml <<'END'
task: translate
model: {type: rnn_seq2seq, width: 32, layers: 1, context: 24, rnn: gru}
data: {train: pairs.tsv, tokenizer: word, source_tokenizer: word}
train: {steps: 1500, batch: 32, micro_batch: 32, warmup: 10, learning_rate: 0.01, eval_every: 500, save_every: 0}
END
"$program" train run.yaml --out taught --quiet >out.txt 2>err.txt
check "a run learns words" sh -c 'cat err.txt; test -s taught/source_tokenizer.json && test -s taught/tokenizer.json'
"$program" translate taught held.src --reference held.ref --tokenize none --workers 1 >out.txt 2>err.txt
check "and translates them" sh -c 'cat err.txt; grep -q "^BLEU .* = \(9[5-9]\|100\)" err.txt && test $(paste out.txt held.ref | awk -F "\t" "\$1 == \$2" | wc -l) -ge 90'
"$program" translate taught held.src --workers 3 --batch 7 >other.txt 2>err.txt
check "with the same words for 3 workers" cmp out.txt other.txt
"$program" translate taught held.src --beam 1 --reference held.ref --tokenize none >other.txt 2>err.txt
check "and one beam" sh -c 'cat err.txt; grep -q "^BLEU .* = \(9[0-9]\|100\)" err.txt'

# ---- training that is measured by what is written ----
sed -i 's/steps: 1500/steps: 120/; s/micro_batch: 32/micro_batch: 4/; s/eval_every: 500, save_every: 0/eval_every: 30, save_every: 60, measure: bleu/; s/train: pairs.tsv/train: pairs.tsv, valid: held.tsv/' run.yaml
figures() { grep -o '"val/[a-z]*": [-0-9.e]*' "$1/log.jsonl"; }
# Of the measured run's own JSON, and of translate's last object.
value() { tail -1 "$2" | grep -o "\"$1\": [-0-9.e]*" | tail -1 | sed 's/.*: //'; }
for workers in 1 2 3; do
    timeout 100 "$program" train run.yaml --out by$workers --quiet --json --set parallel.workers=$workers >by$workers.json 2>err.txt
    figures by$workers >figures.$workers
done
check "measure bleu: figures for every evaluation" sh -c 'cat err.txt; test $(grep -c val/bleu figures.1) -eq 4 && test $(grep -c val/chrf figures.1) -eq 4'
check "measure bleu: the same bits with 1, 2 and 3 workers" sh -c 'cmp figures.1 figures.2 && cmp figures.1 figures.3'
"$program" translate by1 held.src --beam 1 --reference held.ref --json >out.txt 2>err.txt
check "measure bleu: what translate says of the same lines" test "$(value bleu out.txt)" = "$(value bleu by1.json)"
"$program" translate by1/best held.src --beam 1 --reference held.ref --json >out.txt 2>err.txt
check "measure bleu: best/ has the best" awk -v a="$(value bleu out.txt)" -v b="$(value best by1.json)" 'BEGIN { exit !(a > 1 && a - b < 1e-9 && b - a < 1e-9) }'
for file in pairs held; do sed 's/rot/红/g; s/gruen/绿/g; s/blau/蓝/g; s/eins/一/g; s/zwei/二/g; s/drei/三/g; s/vier/四/g; s/fuenf/五/g' $file.tsv >$file.zh.tsv; done
timeout 100 "$program" train run.yaml --out chinese --quiet --json --set data.train=pairs.zh.tsv --set data.valid=held.zh.tsv >chinese.json 2>err.txt
cut -f 2 held.zh.tsv >zh.ref
"$program" eval chinese held.src --beam 1 --reference zh.ref --json >out.txt 2>err.txt
check "measure bleu: of Chinese, too" sh -c "cat err.txt chinese.json out.txt; test '$(value bleu chinese.json)' != 0.0 && test '$(value bleu out.txt)' = '$(value bleu chinese.json)'"
timeout 100 "$program" train run.yaml --out half --quiet --set train.steps=60 --set train.decay_steps=120 --set parallel.workers=2 >log 2>err.txt
timeout 100 "$program" train run.yaml --out half --quiet --set train.decay_steps=120 --resume >log 2>err.txt
timeout 100 "$program" train run.yaml --out whole --quiet --set train.decay_steps=120 >log 2>err.txt
figures half >figures.half; figures whole >figures.whole
check "measure bleu: the same after a pause" cmp figures.half figures.whole
"$program" eval by1 held.src --reference held.ref --beam 1 --json >eval.txt 2>err.txt
check "eval: the same figures, and no lines" sh -c 'cat err.txt; test $(wc -l <eval.txt) -eq 1 && grep -q "\"rougeL\": 0\." eval.txt'
check "eval: the same BLEU" test "$(value bleu eval.txt)" = "$(value bleu by1.json)"
"$program" eval by1/best held.src --reference held.ref --workers 3 >eval.txt 2>err.txt
check "eval: measures are the result" sh -c 'test ! -s err.txt && test $(grep -c "^BLEU \|^chrF \|^rouge\|^distinct" eval.txt) -eq 7'
"$program" inspect by1/checkpoints/step-120 >out.txt 2>err.txt
check "inspect names the measure" grep -q "^best validation bleu $(printf %.4f "$(value best by1.json)"), at step" out.txt
"$program" inspect by1/checkpoints/step-120 --json >out.txt 2>err.txt
check "inspect --json, too" sh -c 'grep -q "\"measure\": \"bleu\"" out.txt && ! grep -q best_validation_loss out.txt'
timeout 100 "$program" train run.yaml --out half --set train.steps=150 --set train.decay_steps=120 --set train.measure=loss --resume >log 2>err.txt
"$program" inspect half/checkpoints/step-150 >out.txt 2>>err.txt
check "another measure has a best of its own" sh -c 'cat out.txt err.txt; grep -q "train.measure is loss and was bleu: the best weights are looked for anew" err.txt && grep -q "^best validation loss [0-9.]*, at step 150" out.txt'
timeout 100 "$program" train run.yaml --out beams --quiet --json --set train.measure_beam=4 >beams.json 2>err.txt
"$program" translate beams held.src --beam 4 --reference held.ref --json >out.txt 2>err.txt
check "measure_beam: the same as translate --beam" test "$(value bleu out.txt)" = "$(value bleu beams.json)"
timeout 100 "$program" train run.yaml --out rouge --quiet --json --set task=summarize --set train.measure=rougeL >rouge.json 2>err.txt
"$program" summarize rouge held.src --beam 1 --reference held.ref --json >out.txt 2>err.txt
check "measure rougeL: what summarize says of the same lines" test "$(value rougeL out.txt)" = "$(value rougeL rouge.json)"
: >in.txt
fails "a measure of classes" 2 "train.measure: accuracy is of classes; task: translate takes loss, bleu, chrf, rouge1, rouge2 or rougeL" "$program" train run.yaml --out refused --set train.measure=accuracy
sed "s/^task: .*/task: lm/; s/{type: rnn_seq2seq[^}]*}/{type: gpt2}/; s/, source_tokenizer: word//" run.yaml >lm.yaml
fails "a measure of another task" 2 "lm.yaml:4: train.measure: bleu is of texts that are written; task: lm takes loss" "$program" train lm.yaml --out refused

# ---- bad input ----
printf 'one\ntwo\nbad \377 byte\nfour\n' >in.txt
fails "bytes that are no UTF-8" 3 "standard input line 3: byte 5 (0xFF) is not UTF-8" "$program" translate seq2seq
check "the lines before are there" sh -c 'test $(wc -l <out.txt) -eq 2'
fails "the same in a file" 3 "in.txt line 3: byte 5 (0xFF) is not UTF-8" "$program" translate seq2seq in.txt
check "the lines before are there, too" sh -c 'test $(wc -l <out.txt) -eq 2'
printf 'one\n\nt\000o\nfour\n' >in.txt
fails "a NUL" 3 "standard input line 3: byte 2 is 0; this is no text" "$program" translate rnn_seq2seq
check "and the lines before it" sh -c 'test $(wc -l <out.txt) -eq 2'
{ echo short; head -c 1048576 /dev/zero | tr '\0' x; echo; printf 'last without newline'; } >in.txt
fails "a line of 1 MB is cut" 0 "standard input line 2 has 1048513 tokens more than the model reads" "$program" translate seq2seq
check "and loses no line" sh -c 'test $(wc -l <out.txt) -eq 3'
: >in.txt
"$program" translate seq2seq <in.txt >out.txt 2>err.txt; code=$?
check "nothing in, nothing out" sh -c "test $code -eq 0 && test ! -s out.txt && test ! -s err.txt"
printf '\n\n\n' >in.txt
"$program" translate seq2seq --json <in.txt >out.txt 2>err.txt; code=$?
check "empty lines only are lines, too" sh -c "cat err.txt; test $code -eq 0 && test \$(wc -l <out.txt) -eq 3"
head -n 80 lines.txt >short.txt; cat lines.txt lines.txt >long.txt
fails "fewer references" 3 "short.txt has 80 lines, but the input has 90" "$program" translate seq2seq lines.txt --max-tokens 3 --reference short.txt
check "all lines are there all the same" sh -c 'test $(wc -l <out.txt) -eq 90'
fails "more references" 3 "long.txt has more lines than the input" "$program" translate seq2seq lines.txt --max-tokens 3 --reference long.txt
echo '{"text": "one two", "target": "eins zwei"}' >rows.jsonl
fails "objects where lines are read" 2 "rows.jsonl holds JSON by its name, and lines of plain text are read here" "$program" translate seq2seq rows.jsonl --max-tokens 3
fails "objects as references" 2 "rows.jsonl holds JSON by its name" "$program" translate seq2seq lines.txt --max-tokens 3 --reference rows.jsonl
for ending in tsv csv TSV csv.gz; do
    cp lines.txt rows.$ending
    fails "a table where lines are read ($ending)" 2 "by its name, and lines of plain text are read here" "$program" translate seq2seq rows.$ending --max-tokens 3
done
fails "a table to be summarized" 2 "rows.tsv is tsv by its name" "$program" summarize seq2seq rows.tsv --max-tokens 3
fails "a table as references" 2 "rows.csv is csv by its name" "$program" translate seq2seq lines.txt --max-tokens 3 --reference rows.csv
fails "objects as a second file" 2 "rows.jsonl is jsonl by its name, and a second file has plain lines" "$program" train run.yaml --out refused --set data.train=lines.txt --set data.valid= --set data.train_pair=rows.jsonl
fails "no such file" 3 "missing.txt" "$program" translate seq2seq missing.txt
fails "no such reference" 3 "missing.txt" "$program" translate seq2seq lines.txt --reference missing.txt
fails "no such model" 3 "missing" "$program" translate missing lines.txt
fails "more of n-best than beams" 2 "n-best: 4 is out of range; it must be 1 to 3" "$program" translate seq2seq --beam 3 --n-best 4
fails "eval of a translator without references" 2 "stentor eval seq2seq FILE --reference FILE" "$program" eval seq2seq --data lines.txt
fails "eval of a translator with a class" 2 "--target is for models that read rows; seq2seq reads lines" "$program" eval seq2seq lines.txt --target 2
fails "eval with two files" 2 "are two files" "$program" eval seq2seq lines.txt --data lines.txt
fails "generate by a translator" 1 "a model of type seq2seq does not continue a text" "$program" generate seq2seq --prompt one
fails "draws and beams" 2 "one of them" "$program" translate seq2seq --beam 3 --temperature 1
fails "a seed without draws" 2 "--seed is for draws" "$program" translate seq2seq --seed 3
fails "a measure without references" 2 "--tokenize is for measuring" "$program" translate seq2seq --tokenize zh
fails "an unknown smoothing of BLEU" 2 "is none of exp, floor, add-k, none" "$program" translate seq2seq --smooth much --reference lines.txt
fails "intervals of nothing" 2 "--intervals is for measuring; add --reference FILE" "$program" translate seq2seq --intervals
fails "an unknown tokenizer of BLEU" 2 "is none of 13a, zh, char, none" "$program" translate seq2seq --tokenize ja --reference lines.txt

# ---- a signal ----
mkfifo pipe
"$program" translate seq2seq --max-tokens 6 <pipe >out.txt 2>err.txt &
id=$!
exec 3>pipe
head -n 5 lines.txt >&3
tries=0; while [ "$(wc -l <out.txt)" -lt 5 ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -INT $id
wait $id; code=$?
exec 3>&-
check "Ctrl-C ends it with 128 + its number, with what is done written" sh -c "test $code -eq 130 && test \$(wc -l <out.txt) -eq 5 && grep -q 'the first 5 lines are written' err.txt"
conclude
