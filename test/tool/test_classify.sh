#!/bin/sh
# stentor classify: a class for a row, the one that training measured, the same for any number of workers; what is bad is named and loses nothing.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
awk 'BEGIN { srand(3); split("sun rain snow wind fog", w, " "); print "mood\ttext\tdegrees"
    for (i = 0; i < 240; i++) { n = int(rand() * 12); c = int(rand() * 2); s = c ? "好" : "坏"; for (j = 0; j < n; j++) s = s " " w[1 + int(rand() * 5)]; print (c ? "good" : "bad") "\t" s "\t" n / 4 } }' >rows.tsv
sed 1d rows.tsv | cut -f 2 >texts.txt
common='train: {steps: 60, batch: 24, learning_rate: 0.02, warmup: 5, eval_every: 60, measure: MEASURE}
data: {train: rows.tsv, valid: rows.tsv, text: text, target: TARGET, tokenizer: word, split: words}'
model() { # model NAME TASK MODEL TARGET MEASURE
    { echo "task: $2"; echo "model: $3"; echo "$common" | sed "s/MEASURE/$5/; s/TARGET/$4/"; } >"$1.yaml"
    "$program" train "$1.yaml" --quiet --json --out "$1" >"$1.json" 2>err.txt || cat err.txt
}
model bag classify '{type: bag, width: 8, context: 40, init_deviation: 0.1}' mood accuracy
model convolution classify '{type: convolution, width: 8, hidden: 8, context: 40, loss: binary}' mood auc
model encoder classify '{type: encoder, layers: 1, heads: 2, width: 16, context: 40, pool: first, loss: hinge}' mood accuracy
model gpt2 classify '{type: gpt2, layers: 1, heads: 2, width: 16, context: 40, pool: last}' mood accuracy
model number regress '{type: bag, width: 8, context: 40}' degrees loss
model masked mlm '{type: encoder, layers: 1, heads: 2, width: 16, context: 40}' 2 loss
sed -i 's/^data: {/data: {ngrams: 2, ngram_hash: 50, /' bag.yaml && rm -rf bag && "$program" train bag.yaml --quiet --json --out bag >bag.json

for kind in bag convolution encoder gpt2; do
    for workers in 1 2 3 5; do "$program" classify $kind rows.tsv --text text --target mood --workers $workers --json >$workers.txt 2>err.txt; done
    check "$kind: an object a row, and the measures" test "$(wc -l <1.txt)" -eq 241
    check "$kind: the same for 1, 2, 3 and 5 workers" sh -c 'cmp 1.txt 2.txt && cmp 1.txt 3.txt && cmp 1.txt 5.txt'
    # The same rows in the same weights: what training said of them at its end.
    check "$kind: as accurate as training says" awk -v a="$(field accuracy $kind.json)" -v b="$(tail -1 1.txt | sed 's/.*"accuracy": \([0-9.e-]*\).*/\1/')" 'BEGIN { exit !(a != "" && a == b && a > 0.9) }'
    "$program" classify $kind texts.txt >lines.txt 2>err.txt
    "$program" classify $kind <texts.txt >pipe.txt 2>err.txt
    check "$kind: lines of a file and of standard input" cmp lines.txt pipe.txt
    check "$kind: and rows are alike" sh -c 'sed -n "s/.*\"class\": \"\([a-z]*\)\".*\"line.*/\1/p; s/.*\"line.*\"class\": \"\([a-z]*\)\".*/\1/p" 1.txt | head -240 | cmp - lines.txt'
done
"$program" classify bag rows.tsv --text text --target mood --intervals --json | tail -1 >measured.txt
check "--intervals: accuracy lies in its own" awk -v low="$(field accuracy_low measured.txt)" -v at="$(field accuracy measured.txt)" -v high="$(field accuracy_high measured.txt)" 'BEGIN { exit !(low != "" && low <= at && at <= high && high <= 1) }'
for kind in bag encoder; do
    "$program" eval $kind rows.tsv --text text --target mood --json >eval.txt 2>err.txt
    check "$kind: eval prints the measures of classify, and no rows" sh -c "cat err.txt; '$program' classify $kind rows.tsv --text text --target mood --json 2>err.txt | tail -1 | cmp - eval.txt"
done
"$program" eval number rows.tsv --text text --target degrees >eval.txt 2>err.txt
check "eval of numbers" sh -c 'test ! -s err.txt && grep -q "^240 rows: mean absolute error .*, root mean square error .*, R2 [-0-9.]*\$" eval.txt'
: >in.txt
fails "eval without a target" 2 "stentor eval bag FILE --target COLUMN" "$program" eval bag rows.tsv
fails "eval without a file" 2 "stentor eval bag FILE --target COLUMN" "$program" eval bag --target mood
fails "eval with an option of translators" 2 "--beam is for models that read lines; bag reads rows" "$program" eval bag rows.tsv --target mood --beam 2
fails "eval of masked words" 1 "masked is a model of masked words (task: mlm), which eval does not measure" "$program" eval masked
fails "... with a text" 1 "log.jsonl has the loss (val/loss)" "$program" eval masked texts.txt
fails "... with an option of rows" 1 "a run with model.from: masked makes" "$program" eval masked rows.tsv --text 1
check "... and the log has it" grep -q '"val/loss": [0-9]' masked/log.jsonl
fails "eval of an unknown class" 3 'rows.tsv line 2: "1.5" is none of the model' "$program" eval bag rows.tsv --text text --target degrees
"$program" classify number rows.tsv --text text --target degrees >numbers.txt 2>err.txt
check "numbers: one a row, and their errors" sh -c 'cat err.txt; test $(wc -l <numbers.txt) -eq 240 && grep -q "240 rows: mean absolute error" err.txt'
: >in.txt
fails "intervals of nothing" 2 "--intervals is for measuring; add --target COLUMN" "$program" classify bag rows.tsv --intervals
fails "nothing in, nothing out" 0 "" "$program" classify bag
check "... nothing" test ! -s out.txt
printf 'sun\n\nrain\n' >in.txt
fails "an empty line has a class, too" 0 "" "$program" classify bag
check "... three" test "$(wc -l <out.txt)" -eq 3
printf 'sun\nra\0in\nsnow\n' >in.txt
fails "a NUL byte" 3 "standard input line 2" "$program" classify bag
check "... the line before is there" test "$(wc -l <out.txt)" -eq 1
printf 'sun\n\377\n' >in.txt
fails "bytes that are no UTF-8" 3 "standard input line 2" "$program" classify bag
{ echo sun; yes x | head -n 500000 | tr '\n' ' '; echo; } >in.txt
fails "a line of 1 MB" 0 "1 text is longer than the model reads, the first in standard input line 2" "$program" classify bag
check "... two" test "$(wc -l <out.txt)" -eq 2
printf 'mood\ttext\ngood\tsun\nugly\train\n' >strange.tsv
printf '\t\n' >in.txt
fails "two empty texts" 0 "" "$program" classify encoder --pair 2 --json
cp out.txt alone.txt
printf '\t\nsun\train\n' >in.txt
fails "two empty texts among others" 0 "" "$program" classify encoder --pair 2 --json
check "... have the same scores" sh -c 'head -n 1 out.txt | cmp - alone.txt'
printf 'sun\tgood\n' >in.txt
# Two texts share the places, n-grams and all: as in training, however long they are.
awk 'BEGIN { srand(4); print "a\tb\tclass"
    for (i = 0; i < 80; i++) { s = t = ""; n = int(rand() * 40); for (j = 0; j < n; j++) { s = s " w" int(rand() * 9); t = t " v" int(rand() * 9) }
        print (i % 2 ? "up" : "down") s "\t" t "\t" i % 2 } }' >pairs.tsv
printf '%s\n' 'task: classify' 'model: {type: bag, width: 8, context: 16, init_deviation: 0.1}' 'train: {steps: 60, batch: 16, learning_rate: 0.05, warmup: 5, eval_every: 60, measure: accuracy}' \
    'data: {train: pairs.tsv, valid: pairs.tsv, text: a, pair: b, target: class, tokenizer: word, ngrams: 4, ngram_hash: 64}' >pairs.yaml
"$program" train pairs.yaml --quiet --json --out pairs >pairs.json 2>err.txt || cat err.txt
"$program" classify pairs pairs.tsv --text a --pair b --target class --json >out.txt 2>err.txt
check "pairs with n-grams: as accurate as training says" awk -v a="$(field accuracy pairs.json)" -v b="$(tail -1 out.txt | sed 's/.*"accuracy": \([0-9.e-]*\).*/\1/')" 'BEGIN { exit !(a != "" && a == b && a > 0.9) }'
"$program" classify pairs pairs.tsv --text a --target class >out.txt 2>err.txt
check "a model of pairs that reads single texts says so" grep -q 'warning: pairs learned pairs of texts (data.pair: b), and reads single ones' err.txt
"$program" eval pairs/best/ pairs.tsv --text a --target class >out.txt 2>err.txt
check "... and best/, measured by eval" grep -q 'warning: pairs/best/ learned pairs of texts' err.txt
"$program" classify pairs/best pairs.tsv --text a --pair b --target class >out.txt 2>err.txt
check "... but with the second one nothing" sh -c 'test -s err.txt && ! grep "learned pairs" err.txt'
cp -r pairs wide && sed -i 's/"context": 16/"context": 60000/' wide/config.json
{ echo 'a	b'; yes w1 | head -n 32000 | tr '\n' ' '; printf '\t'; yes v1 | head -n 32000 | tr '\n' ' '; echo; } >in.txt
fails "pairs of long texts" 0 "" "$program" classify wide in.txt --format tsv --text a --pair b --batch 1
: >in.txt
fails "eval of a file without rows" 3 "none.tsv has no rows to measure" sh -c 'head -n 1 rows.tsv >none.tsv; "$1" eval bag none.tsv --text text --target mood --json' - "$program"
for option in '--text 2' '--target 2' '--format tsv' '--header' '--replace'; do
    fails "$option of standard input" 2 "is for columns of a file; standard input has lines" "$program" classify bag $option
done
fails "eval of a classifier on lines without classes" 2 "stentor eval bag FILE --target COLUMN" "$program" eval bag --data texts.txt
check "closed streams are no empty ones" sh -c '"$1" classify bag <&- 2>/dev/null; test $? -eq 3 && { echo sun | "$1" classify bag >&- 2>/dev/null; test $? -eq 4; }' - "$program"
fails "an unknown class" 3 'strange.tsv line 3: "ugly" is none of the model' "$program" classify bag strange.tsv --text text --target mood
fails "a column that is not there" 3 "strange.tsv" "$program" classify bag strange.tsv --text words
fails "a missing file" 3 "nowhere.tsv" "$program" classify bag nowhere.tsv
fails "a missing model" 3 "nowhere" "$program" classify nowhere texts.txt
awk -F '\t' -v OFS='\t' '{ print $0, NR == 1 ? "felt" : $3 }' rows.tsv >felt.tsv
sed 's/width: 8, //; s/, tokenizer: word, split: words//; s/rows.tsv/felt.tsv/g' number.yaml >line.yaml
"$program" train line.yaml --quiet --out line --set model.type=linear --set data.features=felt --set data.text=1 >out.txt 2>err.txt || cat err.txt
printf '1\n2.5\n1e39\n' >in.txt
fails "a number that is too large" 3 "standard input line 3: 1e39 is out of range" "$program" classify line
check "... the lines before are there" test "$(wc -l <out.txt)" -eq 2
printf '1\nx\n' >in.txt
fails "a word for a number" 3 "in.txt line 2: \"x\" is no number" "$program" classify line in.txt
printf '1\nx\n\377\n' >in.txt
fails "of two things that are wrong the first" 3 "standard input line 2: \"x\" is no number" "$program" classify line
printf '1\nx\n' >in.txt
fails "--format of numbers" 3 'in.txt line 2: "x" is no number' "$program" classify line in.txt --format tsv
# Classes and a number by two columns of numbers, among others: measured as training measures them.
awk 'BEGIN { srand(5); print "kind,a,unit,b,sum"
    for (i = 0; i < 200; i++) { x = rand() - 0.5; y = rand() - 0.5; printf "%s,%.5f,m,%.5f,%.5f\n", (x > y ? "up" : "down"), x, y, x + y } }' >points.csv
for run in 'mlp classify kind accuracy {type:mlp,layers:1,hidden:8}' 'plane regress sum rmse {type:linear}'; do
    set -- $run
    { echo "task: $2"; echo "model: $(echo "$5" | sed 's/:/: /g; s/,/, /g')"; echo 'data: {train: points.csv, valid: points.csv, features: "a, b", target: '"$3"'}'
        echo 'train: {steps: 80, batch: 20, learning_rate: 0.05, warmup: 5, eval_every: 80}'; } >$1.yaml
    "$program" train $1.yaml --quiet --json --out $1 >$1.json 2>err.txt || cat err.txt
    for workers in 1 2 3; do "$program" classify $1 points.csv --features "a, b" --target $3 --workers $workers --json >$workers.txt 2>err.txt; done
    check "$1: numbers from columns, a row each, and their measures" sh -c 'cat err.txt; test $(wc -l <1.txt) -eq 201'
    check "$1: the same for 1, 2 and 3 workers" sh -c 'cmp 1.txt 2.txt && cmp 1.txt 3.txt'
    check "$1: $4 is training's" sh -c "a=\$(sed -n 's|.*\"val/$4\": \([-0-9.e]*\).*|\1|p' $1/log.jsonl | tail -1); b=\$(tail -1 1.txt | sed 's|.*\"$4\": \([-0-9.e]*\).*|\1|'); echo \$a \$b; awk -v a=\$a -v b=\$b 'BEGIN { exit !(a != \"\" && (a - b) ^ 2 < 1e-12) }'"
    [ $2 = classify ] || check "$1: and R2" sh -c "a=\$(sed -n 's|.*\"val/r2\": \([-0-9.e]*\).*|\1|p' $1/log.jsonl | tail -1); b=\$(tail -1 1.txt | sed 's|.*\"r2\": \([-0-9.e]*\).*|\1|'); echo \$a \$b; awk -v a=\$a -v b=\$b 'BEGIN { exit !(a != \"\" && (a - b) ^ 2 < 1e-12) }'"
    "$program" eval $1 points.csv --features "a, b" --target $3 --json >eval.txt 2>err.txt
    check "$1: eval prints the same measures" sh -c 'cat err.txt; tail -1 1.txt | cmp - eval.txt'
    cut -d , -f 2,4 points.csv | sed 1d >plain.txt
    check "$1: as from lines" sh -c "'$program' classify $1 points.csv --features 2,4 --header >rows.txt && '$program' classify $1 plain.txt | cmp - rows.txt"
done
cut -d , -f 2,4,5 points.csv | sed 1d >sums.csv
head -1 sums.csv >flat.csv
"$program" eval plane flat.csv --target 3 >out.txt 2>err.txt
check "equal numbers have no R2" sh -c 'cat err.txt; grep -q "^1 rows: mean absolute error" out.txt && ! grep -q R2 out.txt'
check "the first columns, without the target" sh -c "'$program' classify plane sums.csv --target 3 --json | tail -1 | cmp - eval.txt"
awk -F , '{ print $3 "," $1 "," $2 }' sums.csv >turned.csv
check "... which may be the first" sh -c "'$program' classify plane turned.csv --target 1 --json | tail -1 | cmp - eval.txt"
: >in.txt
# One mark, or blanks, between two numbers; an empty field is none.
printf '0.5,0.7\n0.5 , 0.7\n  0.5   0.7 \n0.5;0.7\n0.5\t0.7\n' >in.txt
check "numbers between marks and blanks" sh -c "'$program' classify plane in.txt >rows.txt && test \$(wc -l <rows.txt) -eq 5 && test \$(uniq rows.txt | wc -l) -eq 1"
for line in '0.5,,0.7' '0.5, ,0.7' '0.5\t\t0.7' '0.5;,0.7'; do
    printf "0.5 0.7\n$line\n" >in.txt
    fails "an empty field: $line" 3 "in.txt line 2: field 2 is empty; a number is needed there" "$program" classify plane in.txt
done
printf ' ,0.5,0.7\n' >in.txt
fails "an empty first field" 3 "in.txt line 1: field 1 is empty" "$program" classify plane in.txt
printf '0.5,0.7,\n' >in.txt
fails "an empty last field" 3 "in.txt line 1: field 3 is empty" "$program" classify plane in.txt
fails "a target's name without features" 2 "--target sum is a name: add --features" "$program" classify plane points.csv --target sum
fails "too few features" 2 "--features a: 1 column; the model reads 2" "$program" classify plane points.csv --features a --target sum
fails "features of texts" 2 "--features is for models of numbers" "$program" classify bag rows.tsv --features 1
fails "a text of numbers" 2 "--text is for texts; this model reads 2 numbers" "$program" classify plane points.csv --text 1
fails "columns that go backwards" 2 "--features: 3-1 goes backwards; 1-3 are the columns" "$program" classify plane points.csv --features 3-1
fails "columns that are none" 2 "--features: 0-3 are no columns" "$program" classify plane points.csv --features 0-3
fails "a word among columns of numbers" 3 'points.csv line 2: "m" is no number, in column unit' "$program" classify plane points.csv --features a,unit --target sum
check "... and no row before it" test ! -s out.txt
cp -r line large
printf '\377\377\177\177\377\377\177\177' | dd of=large/model.safetensors bs=1 conv=notrunc seek=$(($(wc -c <line/model.safetensors) - 8)) 2>/dev/null
printf '0\n3\n0\n' >in.txt
fails "a score that is not finite" 1 "standard input line 2: a score is not finite (inf)" "$program" classify large --json
check "... and the line before it" test "$(wc -l <out.txt)" -eq 1
for names in 'good\ngood\n' '\ngood\n' 'bad\n\377\n'; do
    printf "$names" >bag/labels.txt
    fails "labels that are no names" 3 "labels.txt" "$program" classify bag texts.txt
done
printf 'bad\ngood\n' >bag/labels.txt
echo blue >>bag/labels.txt
fails "labels that do not fit" 3 "labels.txt has 3 lines; the model tells 2 classes apart" "$program" classify bag texts.txt
printf '\357\273\277bad\r\ngood\r\n' >bag/labels.txt
"$program" classify bag texts.txt >out.txt 2>err.txt
check "labels as Windows' editors leave them" sh -c 'cat err.txt; sort -u out.txt | tr "\n" " " | grep -qx "bad good "'
cp bag/config.json config.json
for change in 's/"ngram_hash": [0-9]*/"ngram_hash": 0/' 's/"features": 0/"features": 3/'; do
    sed "$change" config.json >bag/config.json
    fails "a config.json that cannot be: $change" 3 "bag/config.json: \"" "$program" classify bag texts.txt
done
cp config.json bag/config.json
rm bag/labels.txt
fails "no labels" 3 "no labels.txt" "$program" classify bag texts.txt
echo one >number/labels.txt
fails "a label for numbers" 3 "number/labels.txt has 1 line; a model of one score" "$program" classify number texts.txt
conclude
