#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stentor tokenizer: train, encode, decode, what is refused; a run with words and one with BPE, the same bits for any workers.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
(cd "$root" && cat README.md doc/*.md) >text.txt
bad() { # bad NAME CODE WORDS ARGUMENTS...: fails with the code, and says the words
    name=$1 code=$2 words=$3
    shift 3
    "$program" tokenizer "$@" </dev/null >out 2>err
    found=$?
    check "$name" sh -c 'test "$1" -eq "$2" && grep -q -F -- "$3" err || { cat err; exit 1; }' - "$found" "$code" "$words"
}
digest() { "$program" inspect "$1/checkpoints/step-4" --digest | tail -1; }

check "train: bpe" sh -c '"$1" tokenizer train text.txt --out bpe --vocabulary 700 --special "<|end|>" --threads 1 >said' - "$program"
check "train says what it made" grep -q '^bpe: bpe tokenizer, 700 entries$' said
check "train: three threads make the same" sh -c '"$1" tokenizer train text.txt --out bpe3 --vocabulary 700 --special "<|end|>" --threads 3 && cmp bpe/tokenizer.json bpe3/tokenizer.json' - "$program"
check "train: words" "$program" tokenizer train text.txt --out word --type word --pattern words --lower --minimum-count 2
check "encode and decode give the text back" sh -c '"$1" tokenizer encode bpe text.txt >ids && "$1" tokenizer decode bpe ids | cmp - text.txt' - "$program"
check "a line of ids for each line" sh -c 'test "$(wc -l <ids)" -eq "$(wc -l <text.txt)"'
check "a whole text, from standard input" sh -c '"$1" tokenizer encode bpe --whole <text.txt >whole && test "$(wc -l <whole)" -eq 1 && "$1" tokenizer decode bpe --whole whole >back && cmp text.txt back' - "$program"
check "special tokens have ids" sh -c 'test "$(printf "<|end|>" | "$1" tokenizer encode bpe)" = 0' - "$program"
check "words, unknown ones, newlines" sh -c 'test "$(echo "THE zyxwv the" | "$1" tokenizer encode word | "$1" tokenizer decode word)" = "the <unk> the "' - "$program"
{ printf '\357\273\277'; cat text.txt; } >marked.txt
check "a byte order mark is left out" sh -c '"$1" tokenizer encode bpe marked.txt | cmp - ids && "$1" tokenizer encode bpe --whole marked.txt | cmp - whole' - "$program"
for packing in gzip:gz zstd:zst; do
    if ! command -v "${packing%:*}" >/dev/null 2>&1; then skip "text in .${packing#*:}" "no ${packing%:*}"; continue; fi
    "${packing%:*}" -c marked.txt >"packed.${packing#*:}"; "${packing%:*}" -c </dev/null >"empty.${packing#*:}"
    if "$program" tokenizer encode bpe "packed.${packing#*:}" 2>&1 | grep -q 'made without'; then skip "text in .${packing#*:}" "this build cannot"; continue; fi
    check "text in .${packing#*:}" sh -c '"$1" tokenizer encode bpe "packed.$2" | cmp - ids && "$1" tokenizer encode bpe --whole "packed.$2" | cmp - whole' - "$program" "${packing#*:}"
    check "... and none" sh -c 'test -z "$("$1" tokenizer encode bpe "empty.$2")"' - "$program" "${packing#*:}"
done
check "an empty line" sh -c 'test "$(echo | "$1" tokenizer encode bpe | wc -c)" -eq 1' - "$program"

bad "nothing to do" 2 "is missing; \`stentor tokenizer --help\` says more"
bad "an unknown verb" 2 "tokenizer learn: it must be train, encode or decode" learn x
bad "train: no text" 2 "a text is missing" train --out x
bad "train: no out" 2 "--out DIR is missing" train text.txt
bad "train: two texts" 2 "one text, not 2" train text.txt text.txt --out x
bad "train: a missing text" 3 "nowhere.txt" train nowhere.txt --out x
: >empty.txt
bad "train: an empty text" 3 "empty.txt is empty" train empty.txt --out x
bad "train: an unknown type" 2 "--type unigram: it must be bpe or word" train text.txt --out x --type unigram
bad "train: an unknown pattern" 2 "--pattern gpt5: it must be" train text.txt --out x --pattern gpt5
bad "train: too small" 2 "BPE needs at least 256" train text.txt --out x --vocabulary 100
bad "train: --whole" 2 "--whole is for encode and decode" train text.txt --out x --whole
bad "encode: --lower" 2 "--lower is for train" encode bpe --lower
bad "encode: no tokenizer" 2 "a tokenizer is missing" encode
bad "encode: a missing tokenizer" 3 "nowhere" encode nowhere
bad "encode: a missing file" 3 "cannot open nowhere.txt" encode bpe nowhere.txt
printf '1 2\n3 700\n' >wrong
bad "decode: an id that is none" 3 'wrong line 2: "700" is no id; ids are 0 to 699' decode bpe wrong
printf '1 x2\n' >wrong
bad "decode: a word" 3 '"x2" is no id' decode bpe wrong
printf '1 2\0 3\n' >wrong
bad "decode: the character 0" 3 'wrong line 1 has the character 0 in it' decode bpe wrong
bad "train: a special token that is no text" 2 'is not UTF-8' train text.txt --out x --special "$(printf '\377\376')"

cat >run.yaml <<'RUN'
model: {type: gpt2, layers: 1, heads: 2, width: 16, context: 16}
data: {train: text.txt, tokenizer: bpe}
train: {steps: 4, batch: 6, micro_batch: 1, seed: 1}
RUN
for tokenizer in bpe word; do
    case $tokenizer in bpe) set -- data.tokenizer=bpe ;; word) set -- data.tokenizer=word ;; esac
    [ $tokenizer = word ] && mv word words
    for workers in 1 3; do
        check "a run with $tokenizer, $workers workers" "$program" train run.yaml --quiet --set "$1" --out "$tokenizer-$workers" --workers $workers
    done
    check "$tokenizer: the same bits" test "$(digest $tokenizer-1)" = "$(digest $tokenizer-3)"
    check "$tokenizer: text from it" sh -c 'test -n "$("$1" generate "$2-1" --prompt "the run" --max-tokens 5 --seed 1)"' - "$program" $tokenizer
    check "$tokenizer: inspect names it" sh -c '"$1" inspect "$2-1" | grep -q "^tokenizer: $2, "' - "$program" $tokenizer
done
check "eval: bits per byte of a text that the tokenizer keeps" sh -c '"$1" eval bpe-1 text.txt >eval.txt && test "$(grep -c "^bits per" eval.txt)" -eq 2' - "$program"
check "eval: none of words" sh -c '"$1" eval word-1 text.txt >eval.txt && grep -q "^perplexity" eval.txt && ! grep -q "^bits per" eval.txt' - "$program"
"$program" eval word-1 text.txt --json >eval.json
check_json "eval of words as JSON" eval.json 'd["tokens"] > 0 and all(d[name] is None for name in ("bits_per_byte", "bits_per_character", "bytes", "characters"))'
check "an unknown tokenizer in a run file" sh -c '"$1" train run.yaml --set data.tokenizer=wrod --out x 2>err2; test $? -eq 3 && grep -q "neither char, byte, word, bpe nor a tokenizer.json" err2' - "$program"
conclude
