#!/bin/sh
# Bad input: each case is a command, the exit code it must end with, words that must be in its message, and the promise that what
# was on disk before (a trained model with checkpoints) is there after, byte for byte.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
mounted=
end() { [ -z "$mounted" ] || umount "$mounted" 2>/dev/null; chmod -R u+rwX "$work" 2>/dev/null; rm -rf "$work"; }
snapshot() { find keep -type f ! -name .lock | sort | xargs sha256sum; }
# bad NAME CODE WORDS COMMAND…: standard error must hold WORDS in a line of ours; keep/ must be as it was.
bad() {
    name=$1 code=$2 words=$3; shift 3
    timeout 60 "$@" >out.txt 2>err.txt </dev/null
    got=$?
    why=
    [ $got -eq "$code" ] || why="exit code $got instead of $code"
    grep -q -F -e "$words" err.txt || why="$why; no \"$words\""
    grep -q -E '^(stentor|warning): ' err.txt || why="$why; no message of ours"
    [ -z "${SHOW:-}" ] || sed "s/^/# $name: /" err.txt | tail -1
    grep -q -i -E 'sanitizer|runtime error|broken invariant' err.txt && why="$why; a crash"
    snapshot >after.txt; cmp -s before.txt after.txt || why="$why; keep/ changed"
    if [ -z "$why" ]; then ok "$name"; else not_ok "$name: $why"; tail -3 err.txt | sed 's/^/# /'; fi
}
good() { # good NAME COMMAND…: ends with 0
    name=$1; shift
    if timeout 120 "$@" >out.txt 2>err.txt </dev/null; then ok "$name"; else not_ok "$name: exit code $?"; tail -3 err.txt | sed 's/^/# /'; fi
}
has() { if grep -q -F -e "$2" err.txt; then ok "$1"; else not_ok "$1: no \"$2\""; tail -3 err.txt | sed 's/^/# /'; fi; }

# ---- a small trained model with three checkpoints ----
quick_text 300 >text.txt
cat >run.yaml <<'END'
model: {layers: 1, heads: 2, width: 16, context: 16, dropout: 0.1}
data: {train: text.txt}
train: {steps: 20, batch: 4, micro_batch: 1, warmup: 2, decay_steps: 30, eval_every: 10, save_every: 5, keep: 3}
parallel: {workers: 2}
END
if ! "$program" train run.yaml --out keep --quiet 2>err.txt; then
    not_ok "a model is trained"; sed 's/^/# /' err.txt; echo "1..$count"; exit 1
fi
ok "a model is trained"
snapshot >before.txt
train() { name=$1 code=$2 words=$3; shift 3; bad "$name" "$code" "$words" "$program" train run.yaml --out o1 "$@"; }
run_file() { printf "$2" >bad.yaml; bad "run file: $1" "$3" "$4" "$program" train bad.yaml --out o1; }

# ---- the command line ----
bad "no command" 2 "a command is missing" "$program"
bad "unknown command" 2 "(did you mean train?); " "$program" trian run.yaml
bad "an option for a command" 2 "unknown option" "$program" --resume
bad "train without a run file" 2 "RUN.yaml is missing" "$program" train
bad "two run files" 2 "one argument too many" "$program" train run.yaml run.yaml
bad "unknown option" 2 "did you mean --workers?" "$program" train run.yaml --worker=2x --wokers=2
bad "option without a value" 2 "--set needs a value" "$program" train run.yaml --set
bad "flag with a value" 2 "--resume takes no value" "$program" train run.yaml --resume=yes
train "--color" 2 "none of auto, always, never" --color=purple
train "--set without =" 2 "is not key=value" --set train.steps
train "--set of an unknown key" 2 "did you mean train.steps?" --set train.step=3
train "--set of a section" 2 "train is a section" --set train=3
train "--workers a word" 2 "parallel.workers: \"many\"" --workers many
train "--workers below 0" 2 "out of range" --workers -1
train "--workers 100000" 2 "out of range" --workers 100000
train "--out empty and too long" 2 "the value is too long" --out "$(printf '%02000d' 1)"
bad "environment: bad value" 2 "STENTOR_TRAIN_STEPS: train.steps: \"soon\"" env STENTOR_TRAIN_STEPS=soon "$program" train run.yaml --out o1
bad "environment: unknown key" 2 "did you mean STENTOR_TRAIN_STEPS?" env STENTOR_TRAIN_STEP=5 "$program" train run.yaml --out o1
bad "environment: STENTOR_ISA" 2 "STENTOR_ISA" env STENTOR_ISA=pentium "$program" train run.yaml --out o1

# ---- run files ----
bad "run file: missing" 3 "missing.yaml" "$program" train missing.yaml
bad "run file: a folder" 3 "folder" "$program" train keep
run_file "unknown key" 'train: {stepz: 5}\n' 2 "bad.yaml:1: train.stepz: unknown key; did you mean train.steps?"
run_file "wrong section" 'model: {learning_rate: 1}\n' 2 "did you mean train.learning_rate?"
run_file "unknown section" 'trainer: {steps: 1}\n' 2 "did you mean train?"
run_file "a word for a number" 'data: {train: text.txt}\ntrain: {steps: many}\n' 2 "bad.yaml:2: train.steps: \"many\""
run_file "a fraction for a count" 'train: {batch: 1.5}\n' 2 "\"1.5\" is not a whole number"
run_file "a quoted number" 'train: {batch: "12"}\n' 2 "without quotes"
run_file "negative rate" 'train: {learning_rate: -0.1}\n' 2 "-0.1 is out of range"
run_file "NaN rate" 'train: {learning_rate: .nan}\n' 2 "\".nan\" is not a number"
run_file "infinite rate" 'train: {learning_rate: .inf}\n' 2 "\".inf\" is not a number"
run_file "dropout 1" 'model: {dropout: 1.0}\n' 2 "model.dropout: 1.0 is out of range"
run_file "heads" 'data: {train: text.txt}\nmodel: {width: 10, heads: 4}\n' 2 "bad.yaml:2: model.heads: 4 does not divide model.width: 10"
run_file "batch" 'data: {train: text.txt}\ntrain: {batch: 10, micro_batch: 4}\n' 2 "not a multiple of train.micro_batch"
run_file "leaves" 'data: {train: text.txt}\ntrain: {batch: 4, micro_batch: 2, leaves: 3}\n' 2 "train.leaves"
run_file "optimizer" 'train: {optimizer: adma}\n' 2 "sgd | rmsprop | adam | adamw"
run_file "schedule" 'train: {schedule: cosin}\n' 2 "cosine"
run_file "model type" 'data: {train: text.txt}\nmodel: {type: gtp2}\n' 2 "gpt2"
run_file "task" 'task: fly\n' 2 "task"
run_file "no text named" 'train: {steps: 1}\n' 2 "data.train"
run_file "a list" 'train: {steps: [1]}\n' 2 "a list cannot stand"
run_file "twice" 'out: a\nout: b\n' 2 "bad.yaml:2: out: the key stands there twice"
run_file "section twice" 'train: {steps: 1}\ntrain: {batch: 1}\n' 2 "twice"
run_file "alias" 'out: *a\n' 2 "an alias"
run_file "anchor" 'data: &a {train: x}\n' 2 "an anchor"
run_file "billion laughs" 'a: &a [x, x]\nb: &b [*a, *a]\n' 2 "unknown key"
run_file "tag" 'out: !!python/object:os.system x\n' 2 "a tag"
run_file "tab" 'train:\n\tsteps: 1\n' 2 "this is not YAML"
run_file "broken YAML" 'train: {steps: 1\n' 2 "this is not YAML"
run_file "two documents" 'out: a\n---\nout: b\n' 2 "second document"
run_file "NUL" 'out: a\000b\n' 3 "NUL"
run_file "not UTF-8" 'out: \377\376\n' 3 "UTF-8"
head -c 3000 /dev/urandom >bad.yaml; bad "run file: random bytes" 3 "UTF-8" "$program" train bad.yaml
awk 'BEGIN { for (i = 0; i < 300000; i++) printf "[" }' >bad.yaml; bad "run file: 300,000 brackets" 2 "a list cannot stand" "$program" train bad.yaml
awk 'BEGIN { for (i = 0; i < 60000; i++) print "# comment comment comment" }' >bad.yaml; bad "run file: more than 1 MiB" 3 "bad.yaml" "$program" train bad.yaml

# ---- texts ----
printf 'the q' >tiny.txt
train "text: missing" 3 "data.train: cannot open none.txt: " --set data.train=none.txt
: >empty.txt; train "text: held-out file missing" 3 "data.valid: cannot open none.txt: " --set data.valid=none.txt
train "text: held-out file shorter than the context" 3 "data.valid: tiny.txt: the text has 5 tokens" --set data.valid=tiny.txt
train "text: empty" 3 "empty.txt" --set data.train=empty.txt
mkdir -p hollow; train "text: an empty folder" 3 "hollow" --set data.train=hollow
printf 'short' >short.txt; train "text: shorter than the context" 3 "context" --set data.train=short.txt
printf '%040d' 1 >forty.txt; train "text: held-out part shorter than the context" 3 "data.train: forty.txt, its held-out end (data.valid_fraction: 0.1): the text has 4 tokens" --set data.train=forty.txt
printf '%060d' 1 >sixty.txt; good "text: the context that is advised is taken" "$program" train run.yaml --out short --quiet --set data.train=forty.txt --set model.context=3 --set train.steps=1
rm -rf short; train "text: the shorter of two files is told" 3 "data.valid: tiny.txt: the text has 5 tokens here; a context of 64 needs 65 or more: give more text, or set model.context to 4 or less" --set data.train=sixty.txt --set data.valid=tiny.txt --set model.context=64
train "text: a part that no context fits" 3 "its held-out end (data.valid_fraction: 0.1): the text has 1 token here; even a context of 1 needs 2 or more: give more text" --set data.train=tiny.txt
printf a >letter.txt; train "text: a part without a token" 3 "the text has no token here; even a context of 1 needs 2" --set data.train=letter.txt --set model.context=1
mkfifo pipe; train "text: a pipe" 3 "pipe" --set data.train=pipe
train "text: a device" 3 "/dev/zero" --set data.train=/dev/zero
printf '{"text": "a"}\n{"text": \n' >bad.jsonl; train "text: broken .jsonl" 3 "bad.jsonl" --set data.train=bad.jsonl
printf '{"body": "a"}\n' >field.jsonl; train "text: .jsonl without the field" 3 "text" --set data.train=field.jsonl
head -c 500 /dev/urandom >noise.gz; train "text: a .gz that is none" 3 "noise.gz" --set data.train=noise.gz
if command -v gzip >/dev/null 2>&1; then gzip -c text.txt | head -c 200 >cut.gz; train "text: a cut .gz" 3 "cut.gz" --set data.train=cut.gz; fi
head -c 500 /dev/urandom >noise.zst; train "text: a .zst that is none" 3 "noise.zst" --set data.train=noise.zst
if [ "$(id -u)" -ne 0 ]; then cp text.txt locked.txt; chmod 000 locked.txt; train "text: unreadable" 3 "locked.txt" --set data.train=locked.txt
else skip "text: unreadable" "root reads everything"; fi
train "tokenizer: an unknown word" 3 "data.tokenizer: \"bpee\" is neither char, byte, word, bpe nor a tokenizer.json" --set data.tokenizer=bpee
train "tokenizer: missing" 3 "nowhere" --set data.tokenizer=nowhere/tokenizer.json
head -c 20000 /dev/urandom >binary.txt
train "text: binary, for characters" 3 "binary.txt" --set data.train=binary.txt
good "text: binary, byte for byte" "$program" train run.yaml --out o_binary --set data.train=binary.txt --set data.tokenizer=byte --set train.steps=2 --quiet
{ cat text.txt; printf 'caf\351 \377\376 \303\n'; cat text.txt; } >latin.txt
good "text: not UTF-8" "$program" train run.yaml --out o_latin --set data.train=latin.txt --set train.steps=2 --quiet

# ---- models ----
model() { rm -rf m; mkdir m; cp keep/config.json keep/model.safetensors keep/tokenizer.json keep/tokenizer_config.json m/; }
bad "model: missing" 3 "nowhere" "$program" eval nowhere
bad "model: a file" 3 "text.txt" "$program" generate text.txt
mkdir -p bare; bad "model: no config.json" 3 "bare is not a model: it has no config.json" "$program" eval bare
mkdir -p begun/checkpoints; bad "model: of a run that has not ended" 3 "since its run has not come to its end; \`stentor train\` with --resume goes on" "$program" generate begun
bad "inspect: of a run that has not ended" 3 "what its run has written so far is in begun/checkpoints" "$program" inspect begun
mkdir -p begun/best; cp keep/config.json begun/best; bad "model: of a run that has a best one" 3 "has not come to its end; begun/best is the best so far" "$program" eval begun
for bytes in 0 7 8 100; do
    model; head -c $bytes keep/model.safetensors >m/model.safetensors
    bad "model.safetensors cut to $bytes bytes" 3 "model.safetensors" "$program" generate m --prompt the
done
model; size=$(wc -c <m/model.safetensors); head -c $((size - 1)) keep/model.safetensors >m/model.safetensors
bad "model.safetensors without its last byte" 3 "model.safetensors" "$program" generate m --prompt the
model; printf 'x' >>m/model.safetensors; bad "model.safetensors with a byte too many" 3 "model.safetensors" "$program" inspect m
model; printf '\377\377\377\377\377\377\377\177' | dd of=m/model.safetensors conv=notrunc 2>/dev/null
bad "model.safetensors with an absurd header length" 3 "model.safetensors" "$program" inspect m/model.safetensors
model; printf 'X' | dd of=m/model.safetensors bs=1 seek=20 conv=notrunc 2>/dev/null
bad "model.safetensors with a changed header" 3 "model.safetensors" "$program" eval m --data text.txt
model; sed 's/"n_head": *2/"n_head": 3/' keep/config.json >m/config.json; bad "config.json: heads do not divide the width" 3 "config.json" "$program" eval m --data text.txt
model; sed 's/"n_layer": *1/"n_layer": 2/' keep/config.json >m/config.json; bad "config.json: a layer that the file lacks" 3 "config.json" "$program" eval m --data text.txt
model; sed 's/"n_layer": *1/"n_layer": 1000000000/' keep/config.json >m/config.json; bad "config.json: 10^9 layers" 3 "n_layer" "$program" inspect m
model; echo '{' >m/config.json; bad "config.json: broken" 3 "config.json" "$program" inspect m
model; echo '{}' >m/tokenizer.json; bad "tokenizer.json: empty" 3 "tokenizer" "$program" generate m --prompt the
bad "eval: missing data" 3 "none.txt" "$program" eval keep --data none.txt
bad "eval: a character the model lacks" 3 "binary.txt" "$program" eval keep --data binary.txt
bad "eval: data shorter than two tokens" 3 "one.txt" sh -c 'printf t >one.txt; "$1" eval keep --data one.txt' - "$program"
bad "prompt: a character the model lacks" 3 "prompt" "$program" generate keep --prompt '@'
bad "prompt: both kinds" 2 "exclude each other" "$program" generate keep --prompt a --prompt-file text.txt
bad "prompt: missing file" 3 "none.txt" "$program" generate keep --prompt-file none.txt
bad "generate: temperature" 2 "--temperature" "$program" generate keep --temperature -1
bad "generate: temperature NaN" 2 "--temperature" "$program" generate keep --temperature nan
bad "generate: top-p" 2 "--top-p" "$program" generate keep --top-p 1.5
bad "generate: top-k" 2 "--top-k" "$program" generate keep --top-k -3
bad "generate: max-tokens" 2 "--max-tokens" "$program" generate keep --max-tokens 1e30
bad "generate: empty stop" 2 "--stop: the text is empty" "$program" generate keep --stop ''
bad "eval: --field without --data" 2 "--field is for a FILE" "$program" eval keep --field body
bad "inspect: --workers for a model" 2 "--workers is for a run file; keep is a model" "$program" inspect keep --workers 3
bad "inspect: --set for a checkpoint" 2 "--set is for a run file" "$program" inspect keep/checkpoints/step-20 --set train.steps=3
bad "inspect: --tensors for a checkpoint" 2 "--tensors is for" "$program" inspect keep/checkpoints/step-20 --tensors
bad "inspect: --out for a file of tensors" 2 "--out is for a run file" "$program" inspect keep/model.safetensors --out o
bad "inspect: --digest for a run file" 2 "--digest is for" "$program" inspect run.yaml --digest
bad "inspect: nothing there" 3 "nowhere" "$program" inspect nowhere
bad "inspect: a folder of nothing" 3 "manifest.json" "$program" inspect bare

# ---- checkpoints ----
copy() { rm -rf c; cp -r keep c; }
flip() { # flip FILE PLACE: changes one bit
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
more() { "$program" train run.yaml --set train.steps=22 --quiet "$@"; }
copy; more --out c --resume 2>err.txt; want=$("$program" inspect c/checkpoints/step-22 --digest | sed -n 's/^sha256.*: //p')
again() { # again NAME WORDS: resuming c/ ends at the same digest, with a warning
    good "$1: an older checkpoint is taken" "$program" train run.yaml --set train.steps=22 --quiet --out c --resume
    has "$1: a warning says why" "$2"
    if [ -n "$want" ] && [ "$("$program" inspect c/checkpoints/step-22 --digest | sed -n 's/^sha256.*: //p')" = "$want" ]; then ok "$1: the same bits in the end"; else not_ok "$1: other bits in the end"; fi
}
copy
if ${MAKE:-make} -s -C "$root" BUILD="$BUILD" "$BUILD/test/tool/other_dtype" >&2 && "$build/test/tool/other_dtype" c/checkpoints/step-20; then
    good "inspect: files that are whole" "$program" inspect c/checkpoints/step-20
    bad "inspect: tensors that are no float32" 3 "has the dtype F64; a checkpoint has F32" "$program" inspect c/checkpoints/step-20 --digest
else not_ok "a checkpoint of F64 is made"; fi
copy; flip c/checkpoints/step-20/weights.safetensors 1000; bad "inspect: a flipped bit in a checkpoint" 3 "weights.safetensors" "$program" inspect c/checkpoints/step-20
again "flipped bit" "step-20"
copy; rm c/checkpoints/step-20/optimizer.safetensors; again "missing file" "step-20"
copy; head -c 100 keep/checkpoints/step-20/manifest.json >c/checkpoints/step-20/manifest.json; again "cut manifest" "step-20"
copy; for step in c/checkpoints/step-*; do flip "$step/weights.safetensors" 900; done
bad "no checkpoint that verifies" 3 "checkpoints" "$program" train run.yaml --set train.steps=22 --out c --resume
copy; bad "resume with another model" 2 "model.width: 32, but the checkpoint c/checkpoints/step-20 was made with 16" "$program" train run.yaml --set model.width=32 --set train.steps=22 --out c --resume
copy; bad "resume with another batch" 2 "train.batch: 8, but the checkpoint c/checkpoints/step-20 was made with 4" "$program" train run.yaml --set train.batch=8 --set train.steps=22 --out c --resume
copy; bad "resume with two other settings" 2 "; train.seed: 3, not 1337; set them back, or choose another out" "$program" train run.yaml --set train.batch=8 --set train.seed=3 --out c --resume
sed 's/quick/slow/' text.txt >other.txt
copy; bad "resume with another text" 3 "data.train is other.txt here and was text.txt" "$program" train run.yaml --set data.train=other.txt --set train.steps=22 --out c --resume
copy; mkdir c/checkpoints/step-99 c/checkpoints/junk; echo x >c/checkpoints/step-77; again "foreign things among checkpoints" "step-99"

# ---- the output folder ----
bad "a second run in a finished run's folder" 2 "--resume" "$program" train run.yaml --out keep
train "out below a file" 4 "text.txt" --out text.txt/below
if [ "$(id -u)" -ne 0 ]; then mkdir -p sealed; chmod 500 sealed; train "out in a folder that is not writable" 4 "sealed" --out sealed/o
else train "out in a place that no one can write" 4 "/proc" --out /proc/stentor-test; fi
"$program" train run.yaml --out busy --set train.steps=1000000 --set train.save_every=0 --set train.eval_every=0 --quiet 2>busy.txt & busy=$!
i=0; while [ ! -s busy/log.jsonl ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done
bad "two runs in one folder" 2 "in use by another run" "$program" train run.yaml --out busy --resume
kill -INT $busy; wait $busy; code=$?

if [ $code -eq 75 ]; then ok "SIGINT: a checkpoint and code 75"; else not_ok "SIGINT: code $code"; sed 's/^/# /' busy.txt; fi
good "SIGINT: the checkpoint is whole" sh -c '"$1" inspect busy/checkpoints/step-*' - "$program"
done_steps=$(ls busy/checkpoints | sed -n 's/^step-//p')
good "SIGINT: --resume goes on" "$program" train run.yaml --out busy --resume --set train.steps=$((done_steps + 5)) --set train.eval_every=0 --set train.save_every=0 --quiet
"$program" train run.yaml --out busy2 --set train.steps=1000000 --set train.eval_every=0 --quiet 2>busy.txt & busy=$!
i=0; while [ ! -s busy2/log.jsonl ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done
kill -TERM $busy; wait $busy; code=$?
if [ $code -eq 75 ] && [ -d busy2/checkpoints ]; then ok "SIGTERM: a checkpoint and code 75"; else not_ok "SIGTERM: code $code"; fi
"$program" train run.yaml --out busy3 --set model.width=128 --set model.context=128 --set train.batch=16384 --set train.micro_batch=64 --quiet 2>busy.txt & busy=$!
# The first step has begun, and takes a minute.
i=0; while [ ! -e busy3/log.jsonl ] && [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
kill -INT $busy; sleep 0.3; kill -INT $busy 2>/dev/null; wait $busy; code=$?
if [ $code -eq 130 ]; then ok "SIGINT twice: ends at once with 130"; else not_ok "SIGINT twice: code $code"; fi

# ---- no memory, no disk, no sense ----
train "a run that cannot fit" 4 "it fits with" --set parallel.memory_limit=200000
train "a model that fits nowhere" 4 "GB (weights 3866 GB, " --set model.width=16384 --set model.layers=300
train "a model beyond all numbers" 2 "model.width" --set model.width=1048576 --set model.layers=10000
train "a loss that is not finite" 1 "step" --set train.optimizer=sgd --set train.learning_rate=1e6 --set train.clip=0 --set train.warmup=0 --set train.schedule=constant --set train.decay_steps=0 --set train.steps=200
copy; bad "a file size limit: the run says so" 4 "c" sh -c 'ulimit -f 8; "$1" train run.yaml --set train.steps=22 --out c --resume --quiet' - "$program"
good "a file size limit: what was there is whole" "$program" inspect c/checkpoints/step-20
if [ "$(id -u)" -eq 0 ] && mkdir -p tiny && mount -t tmpfs -o size=600k tmpfs tiny 2>/dev/null; then
    mounted=$work/tiny
    cp -r keep tiny/o; rm -rf tiny/o/best tiny/o/checkpoints/step-10
    head -c 2000000 /dev/zero >tiny/filler 2>/dev/null
    bad "a full disk: the run says so" 4 "No space left" "$program" train run.yaml --set train.steps=22 --out tiny/o --resume --quiet
    good "a full disk: the old checkpoint is whole" "$program" inspect tiny/o/checkpoints/step-20
    good "a full disk: the old model is whole" "$program" generate tiny/o --prompt the --max-tokens 3
    if [ -n "$(find tiny/o/checkpoints -name '.tmp*')" ]; then not_ok "a full disk: temporary folders stay"; else ok "a full disk: no temporary folder stays"; fi
    rm tiny/filler
    good "a full disk: with room again the run goes on" "$program" train run.yaml --set train.steps=22 --out tiny/o --resume --quiet
    umount tiny && mounted=
else skip "a full disk" "only root can mount a small one"; fi
conclude
