#!/bin/sh
# Naive Bayes by counting: the posteriors of the example in Manning, Raghavan and Schütze 2008, chapter 13, by both event models; any number of
# workers and processes has the same bits; what does not go with counting is refused by its key.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

printf '%s\n' 'Chinese Beijing Chinese,yes' 'Chinese Chinese Shanghai,yes' 'Chinese Macao,yes' 'Tokyo Japan Chinese,no' >train.csv
echo 'Chinese Chinese Chinese Tokyo Japan Osaka,yes' >valid.csv
cat >bayes.yaml <<'X'
task: classify
model: {type: linear, context: 24}
data: {train: train.csv, valid: valid.csv, tokenizer: word}
train: {optimizer: count, batch: 2}
X
# The loss of the one held-out text is -log of its class's posterior; the word that was never seen says nothing.
posterior() { # posterior NAME YES NO ARGUMENT…
    name=$1 yes=$2 no=$3; shift 3; rm -rf out
    "$program" train bayes.yaml --quiet --json --out out "$@" >out.json 2>err
    if awk -v loss="$(field validation_loss out.json)" "BEGIN { e = -log(($yes) / (($yes) + ($no))); d = loss - e; exit !(loss != \"\" && d * d < 1e-12) }"; then ok "$name"; else cat out.json >>err; not_ok "$name"; fi
}
posterior "multinomial" '3/4 * (6/14)^3 * (1/14)^2' '1/4 * (2/9)^3 * (2/9)^2'
posterior "Bernoulli" '3/4 * 4/5 * 1/5 * 1/5 * (3/5)^3' '1/4 * (2/3)^3 * (2/3)^3' --set model.presence=true
posterior "multinomial, half a count more" '3/4 * (5.5/11)^3 * (0.5/11)^2' '1/4 * (1.5/6)^3 * (1.5/6)^2' --set train.smoothing=0.5
posterior "balanced weights make equal priors" '(6/14)^3 * (1/14)^2' '(2/9)^3 * (2/9)^2' --set data.class_weights=balanced
grep -q '"model_type": "linear"' out/config.json && ok "the directory holds a linear model" || not_ok "the directory holds a linear model"

for presence in false true; do
    rm -rf out; "$program" train bayes.yaml --quiet --json --out out --set model.presence=$presence >out.json 2>err
    printf 'Chinese Chinese Chinese Tokyo Japan Osaka\nMacao\n' | "$program" classify out 2>err | cut -f 1 | tr '\n' ' ' >classes
    wanted='yes yes '; [ $presence = true ] && wanted='no yes '
    if [ "$(cat classes)" = "$wanted" ]; then ok "stentor classify, presence $presence"; else cat classes >>err; not_ok "stentor classify, presence $presence"; fi
done

awk 'BEGIN { srand(3); for (i = 0; i < 211; i++) { n = 1 + int(rand() * 9); s = ""; for (j = 0; j < n; j++) s = s (j ? " " : "") "w" int(rand() * rand() * 40); print s "," int(rand() * 5) } }' >rows.csv
for presence in false true; do
    for how in 1 2 3 5 ring; do
        rm -rf out; exchange=direct workers=$how; [ $how = ring ] && exchange=ring workers=3
        "$program" train bayes.yaml --quiet --json --out out --set data.train=rows.csv --set data.valid= --set data.ngrams=2 --set data.ngram_hash=50 --set train.batch=16 \
            --set model.presence=$presence --set parallel.workers=$workers --set parallel.exchange=$exchange >$how.json 2>err || break
    done
    same=yes; for how in 1 2 3 5 ring; do [ -n "$(field sha256 1.json)" ] && [ "$(field sha256 1.json)" = "$(field sha256 $how.json)" ] || same=no; done
    if [ $same = yes ]; then ok "presence $presence: the same bits for 1, 2, 3 and 5 workers and 3 copies"; else not_ok "presence $presence: the same bits for 1, 2, 3 and 5 workers and 3 copies"; fi
    rm -f ./*.json
done

refused() { # refused MESSAGE ARGUMENT…
    message=$1; shift; rm -rf out
    "$program" train bayes.yaml --quiet --out out "$@" >/dev/null 2>err
    code=$?
    if [ $code = 2 ] && grep -qF -e "$message" err; then ok "refused: $message"; else echo "exit $code, wanted: $message" >>err; not_ok "refused: $message"; fi
}
refused "train.optimizer: count is naive Bayes" --set model.loss=hinge
refused "train.optimizer: count is naive Bayes" --set model.type=bag
refused "train.steps: 20" --set train.steps=20
refused "train.smoothing" --set train.smoothing=0
refused "model.presence: true, but model.type: encoder does not read it" --set model.type=encoder --set model.presence=true --set train.optimizer=adamw
for key in train.clip_value=2 train.schedule=constant train.warmup=5 train.patience=3 train.precision=bf16 data.swap=0.1 data.mask=0.1 data.unknown=0.1; do
    refused "${key%=*}: ${key#*=}, but train.optimizer: count does not read it; it is of sgd, rmsprop, adam, adamw" --set "$key"
done
conclude
