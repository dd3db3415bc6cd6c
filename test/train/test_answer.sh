#!/bin/sh
# task: answer: spans are learned from a small file in SQuAD's layout, with the same bits for 1, 2, 3 and 5 workers and after a pause; what is wrong
# with questions or keys is named.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

# The answer is the only two words of their kinds, behind the marker that the question names. Some contexts are longer than a window.
awk 'BEGIN { srand(7); n = split("one two. Three four, five", w, " "); split("Red (green blue", first, " "); split("élan 水 Éclair", second, " "); printf "{\"data\": ["
    for (a = 0; a < 16; a++) {
        printf "%s{\"title\": \"T%d\", \"paragraphs\": [", a ? ", " : "", a
        for (p = 0; p < 4; p++) {
            text = ""; length_before = 0; words = 4 + int(rand() * 18); at = int(rand() * (words - 2)); mark = rand() < 0.5 ? "Zap" : "zip"; start = 0; answer = ""
            for (i = 0; i < words; i++) {
                word = i == at ? mark : i == at + 1 ? first[1 + int(rand() * 3)] : i == at + 2 ? second[1 + int(rand() * 3)] : w[1 + int(rand() * n)]
                plain = word; gsub(/é|É|水/, "x", plain)
                if (i) { text = text " "; length_before++ }
                if (i == at + 1) start = length_before
                if (i == at + 1) answer = word; if (i == at + 2) answer = answer " " word
                text = text word; length_before += length(plain)
            }
            printf "%s{\"context\": \"%s\", \"qas\": [{\"id\": \"q%d.%d\", \"question\": \"Where is %s?\", \"answers\": [{\"text\": \"%s\", \"answer_start\": %d}]}]}", p ? ", " : "", text, a, p, mark, answer, start
        }
        printf "]}"
    }
    print "]}" }' >ask.json
run_file() { printf '%s\n%s\n' "$2" 'train: {steps: 12, batch: 12, micro_batch: 2, warmup: 2, learning_rate: 0.01, eval_every: 6, save_every: 6}' >"$1.yaml"; }
model='layers: 2, heads: 2, width: 16, dropout: 0.1'
run_file words "task: answer
model: {type: encoder, $model, context: 18}
data: {train: ask.json, tokenizer: word, split: words, lower_case: true, valid_fraction: 0.2, buckets: 3, mask: 0.1, answer_tokens: 6}"
run_file pieces "task: answer
model: {type: encoder, $model, context: 48, sinusoidal: true}
data: {train: ask.json, tokenizer: bpe, vocabulary: 300, valid_fraction: 0.2}"
run_file characters "task: answer
model: {type: encoder, $model, context: 40, post_norm: true}
data: {train: ask.json, valid: ask.json, tokenizer: char}"
for name in words pieces characters; do
    for workers in 1 2 3 5; do
        rm -rf out
        "$program" train $name.yaml --quiet --json --out out --set parallel.workers=$workers >$workers.json 2>err || break
        sed -n 's/.*"val\/\(exact\|f1\)": \([0-9.e-]*\).*/\1 \2/p' out/log.jsonl >$workers.measures
    done
    same=yes; for workers in 1 2 3 5; do [ -n "$(field sha256 1.json)" ] && [ "$(field sha256 1.json)" = "$(field sha256 $workers.json)" ] && cmp -s 1.measures $workers.measures || same=no; done
    if [ $same = yes ]; then ok "$name: 1, 2, 3 and 5 workers have the same bits"; else not_ok "$name: 1, 2, 3 and 5 workers have the same bits"; fi
    rm -rf half whole
    "$program" train $name.yaml --quiet --json --out half --set parallel.workers=2 --set train.steps=6 --set train.decay_steps=12 >half.json 2>err &&
        "$program" train $name.yaml --quiet --json --out half --set parallel.workers=3 --set train.decay_steps=12 --resume >half.json 2>err &&
        "$program" train $name.yaml --quiet --json --out whole --set train.decay_steps=12 >whole.json 2>err
    if [ -n "$(field sha256 half.json)" ] && [ "$(field sha256 half.json)" = "$(field sha256 whole.json)" ]; then ok "$name: and after a pause"; else not_ok "$name: and after a pause"; fi
done
rm -rf out
"$program" train words.yaml --quiet --json --out out --set train.steps=300 --set train.measure=exact --set model.dropout=0 --set data.mask=0 >out.json 2>err
if awk -v best="$(field best out.json)" 'BEGIN { exit !(best > 0.8) }'; then ok "answers are found in articles that were never seen"; else cat out.json >>err; not_ok "answers are found in articles that were never seen"; fi

# stentor answer on the same questions gives what training measured, whatever the workers.
"$program" train words.yaml --quiet --json --out said --set train.steps=100 --set data.valid=ask.json --set train.patience=0 >said.json 2>err
for workers in 1 2 3 5; do "$program" answer said ask.json --json --reference --intervals --max-tokens 6 --workers $workers >answers.$workers 2>err; done
same=yes; for workers in 2 3 5; do cmp -s answers.1 answers.$workers || same=no; done
if [ $same = yes ] && [ "$(wc -l <answers.1)" = 65 ]; then ok "answers are the same for 1, 2, 3 and 5 workers"; else not_ok "answers are the same for 1, 2, 3 and 5 workers"; fi
if awk -v a="$(field exact said.json)" -v b="$(field exact answers.1)" 'BEGIN { d = 100 * a - b; exit !(a > 0 && d < 1e-3 && d > -1e-3) }'; then ok "and are worth what training measured"; else tail -1 answers.1 said.json >err; not_ok "and are worth what training measured"; fi
"$program" eval said ask.json --json --intervals --max-tokens 6 >evaluated 2>err
if tail -1 answers.1 | cmp -s - evaluated; then ok "eval prints these measures only"; else not_ok "eval prints these measures only"; fi
# For F1 another span may be better than the likeliest one: never a shorter text in sum, the same for all workers, and as training measures it.
"$program" train words.yaml --quiet --json --out shared --set train.steps=20 --set data.valid=ask.json --set train.patience=0 --set data.answer_goal=f1 >shared.json 2>err
"$program" answer said ask.json --reference --max-tokens 6 >both 2>&1
check "measures stand behind the last answer" sh -c 'tail -1 both | grep "^exact "'
"$program" answer shared ask.json --json --reference --max-tokens 6 >likely.1 2>err
for workers in 1 2 3 5; do "$program" answer shared ask.json --json --reference --goal f1 --max-tokens 6 --workers $workers --batch $workers >shared.$workers 2>err; done
same=yes; for workers in 2 3 5; do cmp -s shared.1 shared.$workers || same=no; done
if [ $same = yes ] && ! cmp -s shared.1 likely.1; then ok "answers for F1 are the same for 1, 2, 3 and 5 workers"; else not_ok "answers for F1 are the same for 1, 2, 3 and 5 workers"; fi
if awk -v a="$(field f1 shared.json)" -v b="$(field f1 shared.1)" -v c="$(field f1 likely.1)" 'BEGIN { d = 100 * a - b; exit !(a > 0 && d < 1e-3 && d > -1e-3 && b > c) }'; then ok "are worth what training measured, and more than the likeliest"; else tail -n 1 shared.json shared.1 likely.1 >err; not_ok "are worth what training measured, and more than the likeliest"; fi
"$program" answer shared ask.json --goal recall >/dev/null 2>err
if [ $? = 2 ] && grep -q -e '--goal: "recall" is none of exact, f1' err; then ok "another goal is refused"; else not_ok "another goal is refused"; fi
"$program" answer shared ask.json --goal f1 --max-tokens 513 >/dev/null 2>err
if [ $? = 2 ] && grep -q -e '--max-tokens: 513; --goal f1 takes at most 512' err; then ok "and long answers for F1"; else not_ok "and long answers for F1"; fi
"$program" eval shared ask.json --json --goal f1 --max-tokens 6 >evaluated 2>err
if tail -n 1 shared.1 | cmp -s - evaluated; then ok "eval takes the goal"; else not_ok "eval takes the goal"; fi
"$program" answer said ask.json >lines 2>err
if [ "$(wc -l <lines)" = 64 ]; then ok "a line for a question"; else not_ok "a line for a question"; fi
"$program" classify said lines >/dev/null 2>err
if grep -q 'trained for another task' err; then ok "classify refuses the model"; else not_ok "classify refuses the model"; fi
"$program" answer said words.yaml >/dev/null 2>err
if [ $? = 3 ] && grep -q 'words.yaml' err; then ok "a file that is no JSON"; else not_ok "a file that is no JSON"; fi

# ---- characters that nobody has seen, and weights that are none ----
rm -rf letters
"$program" train characters.yaml --quiet --json --out letters >letters.json 2>err
sed 's/Where is/Wherø is/g' ask.json >strange.json
"$program" answer letters strange.json --json >strange.out 2>err
if [ $? = 0 ] && [ "$(wc -l <strange.out)" = 64 ] && grep -q '64 characters are unknown to the model and left out' err; then ok "a character that the model lacks is left out"; else not_ok "a character that the model lacks is left out"; fi
sed 's/"context": "/&ø ø/g' ask.json >strange.json
if "$python" -c 'import json' 2>/dev/null; then
    "$program" answer letters strange.json --json >strange.out 2>err
    check "answers behind it stand where they say" "$python" - <<'END'
import json
contexts = {q["id"]: p["context"] for a in json.load(open("strange.json"))["data"] for p in a["paragraphs"] for q in p["qas"]}
for line in open("strange.out"):
    d = json.loads(line)
    assert d["answer"] in contexts[d["id"]] and "ø" not in d["answer"].strip("ø "), d
END
else skip "answers behind it stand where they say" "no python3"; fi
cp -r said large
i=0; while [ $i -lt 32 ]; do printf '\377\377\177\177'; i=$((i + 1)); done | dd of=large/model.safetensors bs=1 conv=notrunc seek=$(($(wc -c <said/model.safetensors) - 128)) 2>/dev/null
"$program" answer large ask.json >large.out 2>err
if [ $? = 1 ] && grep -q 'a score is not finite' err; then ok "a score that is not finite"; else not_ok "a score that is not finite"; fi
printf 'red,a\nblue,b\nred green,a\nblue green,b\n' >tiny.csv
printf 'task: classify\nmodel: {type: linear, context: 8}\ndata: {train: tiny.csv, text: 1, target: 2, tokenizer: word, valid_fraction: 0}\ntrain: {steps: 2, batch: 2}\n' >tiny.yaml
"$program" train tiny.yaml --quiet --out tiny >/dev/null 2>err
sed 's/"spans": false/"spans": true/' tiny/config.json >tiny.json && cp tiny.json tiny/config.json
"$program" answer tiny ask.json >/dev/null 2>err
if [ $? = 3 ] && grep -q 'type linear with a head that it has not' err; then ok "answers asked of a model that scores texts"; else not_ok "answers asked of a model that scores texts"; fi

# ---- what is wrong is named ----
refused() { # refused NAME MESSAGE ARGUMENT…
    what=$1 message=$2; shift 2; rm -rf out
    "$program" train "$@" --quiet --out out >/dev/null 2>err
    code=$?
    if { [ $code = 2 ] || [ $code = 3 ]; } && grep -qF -e "$message" err; then ok "$what"; else echo "exit $code, wanted: $message" >>err; not_ok "$what"; fi
}
sed 's/"answer_start": [0-9]*/"answer_start": 4000/2' ask.json >far.json
refused "a start behind the context" "far.json question 2: answer_start is 4000, which is no place in the context" words.yaml --set data.train=far.json
sed 's/"answers": \[{"text": "[^"]*"/"answers": [{"text": "nowhere"/g' ask.json >lost.json
refused "answers that stand nowhere" "of 64, 64 have answers that do not stand in their contexts" words.yaml --set data.train=lost.json
sed 's/"context"/"contents"/3' ask.json >lacks.json
refused "a paragraph without a context" "lacks.json: article 1, paragraph 3 lacks its context" words.yaml --set data.train=lacks.json
refused "another format" "task: answer reads squad" words.yaml --set data.format=csv
refused "a column" "task: answer reads questions and contexts" words.yaml --set data.text=3
refused "words that change places" "data.swap" words.yaml --set data.swap=0.1
refused "a measure of classes" "task: answer takes loss, exact or f1" words.yaml --set train.measure=accuracy
refused "long answers for F1" "data.answer_tokens: 513; data.answer_goal: f1 takes at most 512" words.yaml --set data.answer_goal=f1 --set data.answer_tokens=513
refused "another model" "bag is no model for task: answer; there are: encoder" words.yaml --set model.type=bag
refused "a context without room" "model.context" words.yaml --set model.context=3
echo '{"data": [{"title": "", "paragraphs": [{"context": "", "qas": [{"id": "", "question": "", "answers": []}]}]}]}' >void.json
"$program" answer said void.json --json >void.out 2>err
if [ $? = 0 ] && [ "$(wc -l <void.out)" = 1 ]; then ok "empty texts have an empty answer"; else not_ok "empty texts have an empty answer"; fi
sed 's/"answers": \[[^]]*\]/"answers": []/g' ask.json >silent.json
sed 's/, "answers": \[[^]]*\]//g' ask.json >bare.json
sed 's/"answers": \[[^]]*\]/"answers": []/' ask.json >one.json
: >in.txt
for name in silent bare void; do
    fails "measures of questions without answers ($name)" 3 "$name.json has no answers to measure against" "$program" answer said $name.json --reference
done
fails "eval of them" 3 "silent.json has no answers to measure against" "$program" eval said silent.json
fails "some without an answer count" 0 "of 64 questions" "$program" answer said one.json --reference --max-tokens 6

# ---- packed ----
for packing in gzip:gz zstd:zst; do
    if ! command -v "${packing%:*}" >/dev/null 2>&1; then skip "questions in .json.${packing#*:}" "no ${packing%:*}"; continue; fi
    "${packing%:*}" -c ask.json >"ask.json.${packing#*:}"; rm -rf plain packed
    "$program" train words.yaml --quiet --json --out plain >plain.json 2>err && "$program" train words.yaml --quiet --json --out packed --set "data.train=ask.json.${packing#*:}" >packed.json 2>err
    if grep -q 'made without' err; then skip "questions in .json.${packing#*:}" "this build cannot"; continue; fi
    if [ -n "$(field sha256 plain.json)" ] && [ "$(field sha256 plain.json)" = "$(field sha256 packed.json)" ]; then ok "questions in .json.${packing#*:}"; else not_ok "questions in .json.${packing#*:}"; fi
done
conclude
