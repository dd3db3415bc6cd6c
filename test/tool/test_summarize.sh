#!/bin/sh
# Summaries that are chosen: task: summarize with models that score texts learns which sentence says most; stentor summarize gives it, the same for
# any number of workers, with the ROUGE that training measured; --lead is what to compare with; what is bad is named and loses nothing.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

# What a text is about stands behind "we", in any sentence but the first; a text of the second kind says it at its end.
awk 'BEGIN { srand(5); n = split("lamp river stone cloud garden paper silver window", w, " ")
    for (i = 0; i < 260; i++) {
        sentences = 2 + int(rand() * 5); at = 1 + int(rand() * (sentences - 1)); list = text = ""
        for (s = 0; s < sentences; s++) {
            words = 3 + int(rand() * 6); line = s == at ? "Here we" : "The"; summary = ""
            for (j = 0; j < words; j++) { word = w[1 + int(rand() * n)] int(rand() * 40); line = line " " word; summary = summary (j ? " " : "") word }
            line = line "."; text = text (s ? " " : "") line; list = list (s ? ", " : "") "\"" line "\""
            if (s == at) told = summary
        }
        file = i < 200 ? "train" : "held"
        printf "{\"source\": [%s], \"target\": [\"%s\", \"something else\"]}\n", list, told >(file ".jsonl")
        print text >(file ".txt"); print told >(file ".ref"); print text "\t" told >(file ".tsv")
    } }'
common='train: {steps: 60, batch: 24, micro_batch: 6, learning_rate: 0.02, warmup: 5, eval_every: 20, measure: rouge1}
data: {train: train.jsonl, valid: held.jsonl, text: source, target: target, tokenizer: word, split: words, lower_case: true}'
model() { # model NAME MODEL
    { echo "task: summarize"; echo "model: $2"; echo "$common"; } >"$1.yaml"
    "$program" train "$1.yaml" --quiet --json --out "$1" >"$1.json" 2>err.txt || cat err.txt
}
model linear '{type: linear, context: 64}'
model bag '{type: bag, width: 8, context: 64, init_deviation: 0.1, loss: squared}'
model convolution '{type: convolution, width: 8, hidden: 8, context: 40}'
model encoder '{type: encoder, layers: 1, heads: 2, width: 16, context: 40, pool: first}'
model gpt2 '{type: gpt2, layers: 1, heads: 2, width: 16, context: 40, pool: last}'
for kind in linear bag convolution encoder gpt2; do
    for workers in 1 2 3 5; do
        "$program" summarize $kind held.jsonl --text source --target target --json --workers $workers >$workers.txt 2>err.txt
    done
    check "$kind: an object a text, and the measures" sh -c 'cat err.txt; test $(wc -l <1.txt) -eq 61'
    check "$kind: the same for 1, 2, 3 and 5 workers" sh -c 'cmp 1.txt 2.txt && cmp 1.txt 3.txt && cmp 1.txt 5.txt'
    for measure in rouge1 rouge2 rougeL; do
        check "$kind: $measure is what training says" awk -v a="$(field $measure $kind.json)" -v b="$(tail -1 1.txt | sed "s/.*\"$measure\": \([0-9.e-]*\).*/\1/")" 'BEGIN { exit !(a != "" && a - b < 1e-9 && b - a < 1e-9 && a > 0.2) }'
    done
    "$program" summarize $kind held.txt --reference held.ref --batch 7 >lines.txt 2>err.txt
    check "$kind: lines of a file" sh -c 'test $(wc -l <lines.txt) -eq 60 && grep -q "^rouge1 " err.txt'
    "$program" summarize $kind <held.txt >pipe.txt 2>err.txt
    check "$kind: and of standard input" cmp lines.txt pipe.txt
done
check "linear: learns what to look for" awk -v a="$(field rouge1 linear.json)" 'BEGIN { exit !(a > 0.8) }'
"$program" summarize linear/best held.jsonl --text source --target target >out.txt 2>err.txt
check "linear: and best/ has it" grep -q "^rouge1 *by:words|stem:no = 0[.][89]" err.txt
"$program" summarize linear held.tsv --text 1 --target 2 --json >tsv.txt 2>err.txt
"$program" summarize linear held.txt --reference held.ref --json >txt.txt 2>err.txt
check "a table and two files are the same" cmp tsv.txt txt.txt
"$program" summarize linear held.txt --reference held.ref >both.txt 2>&1
check "measures stand behind the last line" sh -c 'test $(wc -l <both.txt) -eq 65 && sed -n 61p both.txt | grep "^rouge1 "'
printf '{"t": "Go on now. We stay here.", "s": "we stay here\\ngo on now"}\n' >turned.jsonl
"$program" summarize --lead 2 turned.jsonl --text t --target s --json >turned.txt 2>err.txt
check "Lsum takes the sentences one by one" sh -c 'grep -q "\"rougeLsum\": 1[.,}0]" turned.txt && grep -q "\"rougeL\": 0.5" turned.txt'
printf '{"t": "The cat sat on the mat.", "s": ["the cat sat\\non the mat today"]}\n' >broken.jsonl
"$program" summarize --lead 1 broken.jsonl --text t --target s --json >broken.txt 2>err.txt
check "a reference in two lines is one" grep -q '"rouge1": 0.923' broken.txt

# ---- how many, in which order ----
"$program" summarize linear held.txt --sentences 2 >two.txt 2>err.txt
"$program" summarize linear held.txt --sentences 99 >all.txt 2>err.txt
check "all sentences are the text" cmp all.txt held.txt
check "two are in the text's order" awk 'FILENAME == ARGV[1] { text[FNR] = $0; next } { n = split($0, part, /[.] */); if (n != 3 || index(text[FNR], part[1]) == 0 || index(text[FNR], part[2]) <= index(text[FNR], part[1])) exit 1 }' held.txt two.txt
if "$python" -c 'import json' 2>/dev/null; then
    "$program" summarize linear held.txt --sentences 2 --json >two.json 2>err.txt
    check "--json: sentences, scores and how many there are" "$python" - <<'END'
import json
texts = [line.rstrip("\n") for line in open("held.txt")]
lines = [line.rstrip("\n") for line in open("two.txt")]
for i, line in enumerate(open("two.json")):
    d = json.loads(line)
    assert d["line"] == i + 1 and d["text"] == lines[i]
    assert d["of"] == texts[i].count(".") and len(d["chosen"]) == min(2, d["of"])
    parts = texts[i].split(". ")
    for one in d["chosen"]:
        assert 0 <= one["score"] <= 1
        assert one["text"].rstrip(".") == parts[one["sentence"] - 1].rstrip(".")
assert i == 59
END
else count=$((count + 1)); echo "ok $count - --json # SKIP no python3"; fi

# ---- the first sentences ----
"$program" summarize --lead 1 held.jsonl --text source --target target >lead.txt 2>err.txt
check "--lead: the first sentence" sh -c 'sed "s/[.].*/./" held.txt | cmp - lead.txt'
check "--lead: its ROUGE, below the model's" awk '/^rouge1/ { exit !($4 < 0.5) }' err.txt
"$program" summarize --lead 2 <held.txt >lead2.txt 2>err.txt
check "--lead 2 of standard input" sh -c 'sed "s/\([.][^.]*[.]\).*/\1/" held.txt | cmp - lead2.txt'
printf '{"t": "今天下雨。我们不去！", "s": "今天下雨。"}\n' >chinese.jsonl
"$program" summarize --lead 1 chinese.jsonl --text t --target s >out.txt 2>err.txt
check "Chinese summaries are measured by characters" grep -q '^rouge1 *by:characters|stem:no = 1.0000' err.txt
printf '今天下雨。我们不去！明天再说。\nOne. Two. Three.\n' >in.txt
fails "--lead of Chinese" 0 "" "$program" summarize --lead 2
check "... sentences without a space" sh -c 'printf "今天下雨。我们不去！\nOne. Two.\n" | cmp - out.txt'
"$program" eval linear held.jsonl --text source --target target >eval.txt 2>err.txt
check "eval: the measures, and no lines" sh -c 'test ! -s err.txt && test $(grep -c "^rouge\|^distinct" eval.txt) -eq 5'
"$program" eval linear held.txt --reference held.ref --json --intervals >eval.txt 2>err.txt
check "eval: of two files, with intervals" sh -c 'cat err.txt; test $(wc -l <eval.txt) -eq 1 && grep -q "\"rouge1_low\": 0" eval.txt'

# ---- what is wrong ----
: >in.txt; : >none.tsv
fails "no row to measure" 3 "none.tsv has no rows to measure" "$program" summarize linear none.tsv --target 2
fails "nothing to measure of standard input" 3 "standard input has no rows to measure" "$program" summarize linear --reference in.txt
fails "nothing in, nothing out" 0 "" "$program" summarize linear
check "... nothing" test ! -s out.txt
printf '\nOne sentence without an end\n   \n. . .\n' >in.txt
fails "empty texts and one sentence" 0 "" "$program" summarize linear
check "... a line for a line" sh -c 'printf "\nOne sentence without an end\n\n.\n" | cmp - out.txt'
{ echo 'Short. We are.'; yes 'Word.' | head -n 200000 | tr '\n' ' '; echo; yes x | head -n 500000 | tr '\n' ' '; echo; } >in.txt
fails "lines of 1 MB" 0 "1 text has sentences longer than the model reads, the first in standard input line 3" "$program" summarize linear
check "... three" test "$(wc -l <out.txt)" -eq 3
printf 'One.\nt\0wo\nThree.\n' >in.txt
fails "a NUL byte" 3 "standard input line 2" "$program" summarize linear
check "... the line before is there" test "$(wc -l <out.txt)" -eq 1
printf 'One.\n\377\n' >in.txt
fails "bytes that are no UTF-8" 3 "standard input line 2" "$program" summarize linear
fails "the same in a file" 3 "in.txt line 2" "$program" summarize linear in.txt
fails "... or a question mark" 0 "" "$program" summarize linear in.txt --replace
check "... two" test "$(wc -l <out.txt)" -eq 2
echo '{"source": 1.5, "target": {}}' >bad.jsonl
fails "a summary that is no text" 3 "bad.jsonl line 1" "$program" summarize linear bad.jsonl --text source --target target
fails "a column that is not there" 3 'has no key "words"' "$program" summarize linear held.jsonl --text words
head -3 held.ref >short.ref
fails "a table as references" 2 "held.tsv is tsv by its name" "$program" summarize linear held.txt --reference held.tsv
fails "fewer references" 3 "short.ref has 3 lines, but the input has 60" "$program" summarize linear held.txt --reference short.ref
: >in.txt
for option in '--beam 2' '--n-best 2' '--max-tokens 3' '--temperature 1' '--length-penalty 0'; do
    fails "${option% *} of chosen sentences" 2 "is for models that write; linear chooses sentences" "$program" summarize linear $option
done
fails "--beam of the first sentences" 2 "--beam is for models that write" "$program" summarize --lead 1 --beam 2
fails "--lead and --sentences" 2 "--lead says how many" "$program" summarize --lead 1 --sentences 2
fails "--lead with a model" 2 "one argument too many" "$program" summarize --lead 1 linear held.txt
fails "--lead 0" 2 '--lead: "0" is not a whole number from 1' "$program" summarize --lead 0
fails "no model" 2 "DIR [FILE] is missing" "$program" summarize
fails "--target of standard input" 2 "standard input has lines" "$program" summarize linear --target 2
fails "both references" 2 "one of them" "$program" summarize linear held.tsv --target 2 --reference held.ref
fails "a measure of nothing" 2 "--stem is for measuring" "$program" summarize linear held.txt --stem
fails "eval without what is right" 2 "stentor eval linear FILE --target COLUMN" "$program" eval linear held.txt
fails "eval with an option of translators" 2 "--beam is for models that read lines" "$program" eval linear held.txt --reference held.ref --beam 2
fails "classify by a model of sentences" 1 "stentor summarize linear" "$program" classify linear held.txt
fails "translate by it" 1 "linear" "$program" translate linear held.txt
cp -r linear broken && sed -i 's/"sentences": true/"sentences": 7/' broken/config.json
fails "a config.json that says something else" 3 "sentences" "$program" summarize broken held.txt
sed 's/"sentences": 7/"sentences": false/' broken/config.json >config.json && cp config.json broken/
fails "a model of numbers is none of sentences" 1 "linear" "$program" summarize broken held.txt
cp -r linear large
i=0; while [ $i -lt 300 ]; do printf '\377\377\177\177'; i=$((i + 1)); done | dd of=large/model.safetensors bs=1 conv=notrunc seek=$(($(wc -c <linear/model.safetensors) - 1200)) 2>/dev/null
fails "a score that is not finite" 1 "a score is not finite (inf)" "$program" summarize large held.txt

# ---- run files ----
refused() { # refused NAME MESSAGE ARGUMENT…
    what=$1 message=$2; shift 2
    fails "$what" 2 "$message" "$program" train linear.yaml --quiet --out out "$@"
}
refused "a loss of classes" "model.loss: softmax is of classes; the worth of a sentence takes binary or squared" --set model.loss=softmax
refused "several scores" "model.classes: 3; a sentence has one score" --set model.classes=3
refused "a second text" "data.pair: task: summarize with model.type: linear chooses sentences" --set data.pair=title
refused "beams" "train.measure_beam: task: summarize with model.type: linear chooses sentences" --set train.measure_beam=4
refused "BLEU" "train.measure: bleu is of texts that are written; task: summarize takes loss, rouge1, rouge2 or rougeL" --set train.measure=bleu
refused "no place for a sentence" "model.context: 4 leaves no place for a sentence behind its 4 marks" --set model.context=4
refused "a model of numbers only" "mlp is no model for task: summarize; there are: " --set model.type=mlp
refused "naive Bayes" "train.optimizer: count does not read it" --set train.optimizer=count
head -1 train.jsonl >one.jsonl
fails "one row only" 3 "of 1 row all are held out" "$program" train linear.yaml --quiet --out out --set data.train=one.jsonl --set data.valid=
conclude
