#!/bin/sh
# The commands as people use them: train, resume, eval, generate, inspect; what goes to which stream; the digest in all its places.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"

quick_text 300 >text.txt
cat >run.yaml <<'END'
model: {layers: 2, heads: 2, width: 16, context: 16, dropout: 0.1}
data: {train: text.txt}
train: {steps: 40, batch: 8, micro_batch: 2, warmup: 4, eval_every: 10, save_every: 10, log_every: 5}
END

# ---- train ----
"$program" train run.yaml --out a --workers 1 >a.out 2>a.err; code=$?
check "train ends with 0" test $code -eq 0
check "off a terminal: nothing on standard output" test ! -s a.out
check "off a terminal: no carriage return, no escape" sh -c '! grep -q "$(printf "[\r\033]")" a.err'
check "a line every log_every steps" sh -c 'test "$(grep -c "^step [0-9]*/40  loss" a.err)" -eq 8'
check "a line says the share of the peak" sh -c 'grep -q "^step 40/40  loss.* tokens/s  [0-9]*% of peak  left" a.err'
check "it says memory, exactness and processor" sh -c 'grep -q "^memory " a.err && grep -q "^exactness  exact" a.err && grep -q "^processor " a.err'
check "it ends with model and digest" sh -c 'grep -q "^the model lies in a$" a.err && tail -1 a.err | grep -q "^sha256 .* [0-9a-f]\{64\}$"'
for file in config.json model.safetensors tokenizer.json run.yaml log.jsonl checkpoints/step-40/manifest.json best/model.safetensors; do check "a/$file is there" test -s a/$file; done
"$program" train run.yaml --out b --workers 3 --quiet --json >b.json 2>b.err
check "--quiet says nothing" test ! -s b.err
check_json "--json prints one object" b.json 'd["steps"] == 40 and d["workers"] == 3 and d["validation_loss"] > 0 and d["out"] == "b" and d["exactness"] == "exact" and len(d["worker_step_ms"]) == 3 and all(0 < a <= b for a, b in d["worker_step_ms"])'
check "the digest is the same for 1 and 3 workers" test "$(digest a.err)" = "$(digest b.json)"
"$program" train run.yaml --out c --set train.steps=17 --set train.decay_steps=40 --set train.save_every=0 --quiet 2>c.err
check "fewer steps first" test -d c/checkpoints/step-17
"$program" train run.yaml --out d --set train.decay_steps=40 --quiet --json >d.json 2>d.err
"$program" train run.yaml --out c --set train.decay_steps=40 --resume --workers 2 --quiet --json >c.json 2>c.err
check "a longer run of the same gives the same bits" test "$(digest c.json)" = "$(digest d.json)"
check "log.jsonl repeats no step" sh -c '
    grep -o "\"_step\": [0-9]*, .*train/loss" c/log.jsonl | sed "s/[^0-9]*\([0-9]*\).*/\1/" >steps && sort -n -u steps | cmp - steps'
check "run.yaml is the resolved run file" sh -c '"$1" train a/run.yaml --print-config | cmp - a/run.yaml' - "$program"
"$program" train run.yaml --out p1 --workers 1 --set train.precision=bf16 --quiet --json >p1.json 2>p1.err
"$program" train run.yaml --out p2 --workers 3 --set train.precision=bf16 --set train.steps=20 --set train.decay_steps=40 --quiet 2>p2.err
"$program" train run.yaml --out p2 --workers 2 --set train.precision=auto --set train.decay_steps=40 --resume --quiet --json >p2.json 2>p2.err
"$program" train run.yaml --out p3 --workers 2 --set train.precision=bf16 --set train.decay_steps=40 --quiet --json >p3.json 2>p3.err
check "precision auto goes on with what the run began with" test "$(digest p2.json)" = "$(digest p3.json)"
check "bf16 has bits of its own" test "$(digest p1.json)" != "$(digest b.json)"
check "run.yaml holds the precision" grep -q "^  precision: bf16$" p2/run.yaml
"$program" eval p1 --json >p1e.json 2>p1.err
check "eval repeats the run's evaluation in its precision" test "$(sed -n 's/.*"loss": *\([0-9.]*\).*/\1/p' p1e.json)" = "$(sed -n 's/.*"validation_loss": *\([0-9.]*\).*/\1/p' p1.json)"
if command -v script >/dev/null 2>&1; then
    check "on a terminal: a status line" sh -c 'script -qec "\"$1\" train run.yaml --out t --set train.steps=20 --color=never" /dev/null </dev/null >tty.txt 2>&1; grep -q "train: .*20/20 .*loss=.*[0-9]% of peak" tty.txt && grep -q "the model lies in t" tty.txt' - "$program"
    check "NO_COLOR: no colour" sh -c '! NO_COLOR=1 script -qec "\"$1\" trian" /dev/null </dev/null 2>&1 | grep -q "$(printf "\033\[3")"' - "$program"
    check "a terminal has colours" sh -c 'script -qec "TERM=xterm \"$1\" trian" /dev/null </dev/null 2>&1 | grep -q "$(printf "\033\[31m")"' - "$program"
else skip "on a terminal: a status line" "no script(1)"; fi
check "--color=always" sh -c '"$1" train run.yaml --out a --color=always 2>&1 | grep -q "$(printf "\033\[31m")"' - "$program"
check "closed standard error" sh -c '"$1" train run.yaml --out closed --set train.steps=3 2>&-' - "$program"
check "closed standard streams reach no file" sh -c '"$1" train run.yaml --out closed2 --set train.steps=3 <&- >&- 2>&- && "$1" inspect closed2/checkpoints/step-3 --digest >i1 && "$1" inspect closed/checkpoints/step-3 --digest >i2 && tail -1 i1 >j1 && tail -1 i2 | cmp - j1' - "$program"
check "standard error whose reader left" sh -c '{ "$1" train run.yaml --out left --set train.steps=3; echo $? >code; } 2>&1 | true; i=0; while [ ! -s code ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done; grep -qx 0 code' - "$program"

# ---- eval ----
"$program" eval a >eval.out 2>eval.err
check "eval prints loss and perplexity" sh -c 'grep -q "^loss  *[0-9]" eval.out && grep -q "^perplexity " eval.out && test ! -s eval.err'
"$program" eval a --json >eval.json 2>/dev/null
strange=$(printf 'b\377d.txt') && cp text.txt "$strange" && "$program" eval a --data "$strange" --json >strange.json 2>strange.err
check_json "eval: a file whose name is no UTF-8" strange.json 'd["loss"] > 0'
check_json "eval of what was held out is the run's last validation loss" eval.json "d['loss'] == $(sed -n 's/.*"validation_loss": \([0-9.e-]*\).*/\1/p' b.json)"
"$program" eval a --data text.txt --workers 1 --json >one.json; "$program" eval a --data text.txt --workers 3 --json >three.json
check_json "eval --data: the whole text" one.json "d['bytes'] == $(wc -c <text.txt) - 1 and d['tokens'] == d['bytes'] and abs(d['bits_per_byte'] * 0.6931471805599453 - d['loss']) < 1e-9"
check "eval: the same for any number of workers" sh -c 'for f in one three; do sed "s/\"seconds\".*//" $f.json >$f.cut; done; cmp one.cut three.cut'
printf '{"text": "the quick"}\n{"text": "brown fox"}\n' >some.jsonl
check "eval --data of .jsonl" "$program" eval a --data some.jsonl

# ---- generate ----
"$program" generate a --prompt "the quick" --max-tokens 50 --seed 3 >g1.txt 2>g1.err
check "generate: 50 characters, nothing else" sh -c 'test "$(wc -c <g1.txt)" -eq 50 && test ! -s g1.err'
"$program" generate a --prompt "the quick" --max-tokens 50 --seed 3 >g2.txt
check "generate: the same seed, the same text" cmp g1.txt g2.txt
"$program" generate a --prompt "the quick" --max-tokens 50 --seed 4 >g3.txt
check "generate: another seed, another text" sh -c '! cmp -s g1.txt g3.txt'
printf 'the quick' >prompt.txt
"$program" generate a --prompt-file prompt.txt --max-tokens 50 --seed 3 >g2.txt
check "generate: the prompt from a file" cmp g1.txt g2.txt
printf '\357\273\277the quick' >prompt.txt
"$program" generate a --prompt-file prompt.txt --max-tokens 50 --seed 3 >g2.txt
check "generate: ... with a byte order mark" cmp g1.txt g2.txt
"$program" generate a --prompt "the quick" --max-tokens 50 --seed 3 --echo >g2.txt
check "generate --echo" sh -c '{ printf "the quick"; cat g1.txt; } | cmp - g2.txt'
"$program" generate a --prompt "the quick" --max-tokens 50 --seed 3 --json >g.json
check_json "generate --json" g.json 'd["text"] == open("g1.txt").read() and d["tokens"] == 50 and d["finish_reason"] == "length" and d["prompt"] == "the quick"'
"$program" generate a --prompt "the quick" --temperature 0 --max-tokens 30 >g1.txt; "$program" generate a --prompt "the quick" --top-k 1 --seed 9 --max-tokens 30 >g2.txt
check "generate: greedy is top-k 1" cmp g1.txt g2.txt
"$program" generate a --max-tokens 300 --stop e --stop o --json >g.json
check_json "generate --stop, twice" g.json '"e" not in d["text"] and "o" not in d["text"] and d["finish_reason"] == "stop"'
check "generate --max-tokens 0" sh -c 'test -z "$("$1" generate a --max-tokens 0)"' - "$program"
check "generate: a reader who leaves" sh -c '{ "$1" generate a --max-tokens 100000; echo $? >code; } 2>err | head -c 20 >/dev/null; i=0; while [ ! -s code ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done; grep -qx 141 code && test ! -s err' - "$program"

# ---- inspect ----
check "inspect of a model" sh -c '"$1" inspect a | grep -q "^model: gpt2, 2 layers, 2 heads, width 16"' - "$program"
"$program" inspect a --json --digest >i.json
check_json "inspect --json of a model" i.json 'd["kind"] == "model" and d["layers"] == 2 and d["bytes"] == 4 * d["parameters"] and d["parameters"] == sum(__import__("math").prod(t["shape"]) for t in d["tensors"]) and len(d["sha256"]) == 64'
check "inspect --tensors" sh -c '"$1" inspect a --tensors | grep -q "transformer.h.1.mlp.c_fc.weight.*\[16, 64\]"' - "$program"
check "inspect --digest of a checkpoint is what train printed" sh -c 'test "$("$1" inspect a/checkpoints/step-40 --digest | sed -n "s/^sha256.*: //p")" = "$2"' - "$program" "$(digest a.err)"
check "inspect of a safetensors file" sh -c '"$1" inspect a/model.safetensors --digest | grep -q "^transformer.wte.weight *F32 *\["' - "$program"
"$program" inspect run.yaml --workers 3 --json >i.json
check_json "inspect of a run file" i.json 'd["kind"] == "run" and d["workers"] == 3 and sum(v for k, v in d["memory_bytes"].items() if k not in ("total", "available") and not k.startswith("worker_")) == d["memory_bytes"]["total"] and d["operations_per_step"] > 0 and d["step_seconds"] > 0 and d["precision"] == "float32"'
check_json "inspect says what a worker takes, to the byte" i.json '(lambda m: m["worker_total"] == m["worker_activations"] + m["worker_gradient_buffers"] * m["weights"] + m["worker_share"])(d["memory_bytes"])'
"$program" train run.yaml --out moving --quiet --json --set parallel.exchange=ring --set parallel.balance=measured --workers 2 >moving.json 2>err
check "a ring whose borders follow the clock repeats nothing" grep -q '"exactness": "approximate"' moving.json
check "inspect tells the exactness in words" sh -c '"$1" inspect run.yaml | grep -q "^exactness: exact: the same bits for any number of workers"' - "$program"
check "inspect of a run file leaves nothing" sh -c '! test -e runs'
check "inspect says memory to the byte" sh -c '"$1" inspect run.yaml | grep -q "^  total  *[0-9,]* bytes"' - "$program"

# ---- profile ----
"$program" train run.yaml --out profiled --set train.steps=7 --workers 2 --profile --quiet >profile.txt 2>profile.err; code=$?
check "--profile prints a table, also when it is quiet" sh -c 'test "$1" -eq 0 && test ! -s profile.err && grep -q "^linear  *forward  *[0-9]" profile.txt && grep -q "^linear_grad_weight  *backward " profile.txt && grep -q "^update  *[0-9]" profile.txt && grep -q "^roof: " profile.txt' - $code
"$program" train run.yaml --out profiled2 --set train.steps=7 --workers 3 --profile --json --quiet >profile.json 2>profile.err
check_json "--profile --json is a member of the result" profile.json '(lambda p: p["steps"] == 7 and p["workers"] == 3 and p["fma"] > 0 and p["triad"] > 0 and {"data", "fold", "reduce", "update", "wait"} == set(p["phases"]) and p["phases"]["update"]["bytes"] > p["phases"]["reduce"]["bytes"] > 0 and sum(o["calls"] for o in p["operations"] if o["operation"] == "output_loss") == 7 * 4 and all(o["seconds"] > 0 for o in p["operations"]))(d["profile"])'
check "a profile changes no bit" test "$("$program" train run.yaml --out profiled3 --set train.steps=7 --workers 1 --quiet --json | digest /dev/stdin)" = "$(digest profile.json)"

# ---- bench ----
"$program" bench >bench.txt; code=$?
check "bench ends with 0 and has a row for each roof" sh -c 'test "$1" -eq 0 && grep -q "^fma  *generic .*GFLOP/s" bench.txt && grep -q "^product .*GFLOP/s" bench.txt && grep -q "^triad .*GB/s" bench.txt' - $code
STENTOR_ISA=generic "$program" bench --json >bench.json
check_json "bench --json takes the instruction set that is asked for" bench.json 'd["isa"] == "generic" and d["fma"] == d["fma_by_isa"]["generic"] and d["cores"] >= 1 and all(d[k][n] > 0 for k in ("fma", "product", "triad") for n in ("one_thread", "all_cores"))'
check "bench takes exchange or nothing" sh -c '! "$1" bench run.yaml 2>bench.err && grep -q "exchange.*run.yaml" bench.err' - "$program"
"$program" bench exchange --replicas 3 --sizes 40k,1M --rounds 2 --bucket-mb 0.1 >exchange.txt; code=$?
check "bench exchange has a row for each way and size" sh -c 'test "$1" -eq 0 && test "$(grep -c -E "^(40.0 kB|1.0 MB) +(direct|tree|ring|server|native) " exchange.txt)" -eq 10' - $code
"$program" bench exchange --replicas 4 --sizes 4194304 --rounds 2 --bucket-mb 0 --json >exchange.json
check "bench exchange --json: a line for each, bytes equal to the formula" sh -c 'test "$(wc -l <exchange.json)" -eq 5 && test "$(grep -c "\"sent\": 6291456.0.*\"formula\": 6291456.0" exchange.json)" -eq 5'
check "bench exchange refuses what is no size or transport" sh -c '! "$1" bench exchange --sizes 1M,x 2>e1 && grep -q "\"x\"" e1 && ! "$1" bench exchange --transport tcp 2>e2 && grep -q "threads or mpi" e2' - "$program"

# ---- a padded vocabulary ----
"$program" train run.yaml --out padded --set model.vocabulary=300 --set train.steps=4 --quiet 2>padded.err
check "model.vocabulary pads the token table" sh -c '"$1" inspect padded --tensors | grep -q "transformer.wte.weight.*\[300, 16\]"' - "$program"
check "inspect of a run file counts the padded table" sh -c '"$1" inspect run.yaml --set model.vocabulary=300 | grep -q "context 16, 300 tokens: "' - "$program"
check "no id is drawn that means nothing" sh -c '"$1" generate padded --prompt line --max-tokens 400 --temperature 100 >g.txt' - "$program"
check "the padded model is evaluated" sh -c '"$1" eval padded --data text.txt --json >e.json' - "$program"
check "run.yaml keeps what was asked for" sh -c 'grep -q "^  vocabulary: 300$" padded/run.yaml && grep -q "^  vocabulary: 0$" a/run.yaml'
"$program" train run.yaml --out small --set model.vocabulary=9 --quiet 2>small.err; code=$?
check "a vocabulary that is too small is told, with code 2" sh -c 'test "$1" -eq 2 && grep -q "model.vocabulary: 9 is less than the [0-9]* ids of the tokenizer (char)" small.err' - $code
# ---- signals while a large text is read ----
# What they made in TMPDIR is gone, and they end soon: the work would take minutes.
yes "$(head -1 text.txt)" | head -c 40000000 >large.txt
# Reading takes a tenth of a second: it is looked for without a pause, and at its end at the latest the signal comes.
begun() { until [ -n "$(ls tmp)" ] || grep -q tokenized err.txt || ! kill -0 $job 2>/dev/null; do :; done; }
stopped() { # stopped CODE: the job ends with it, soon, and leaves nothing
    within 300 sh -c "! kill -0 $job 2>/dev/null"
    kill -KILL $job 2>/dev/null
    wait $job; code=$?
    check "$what: ends with $1" test $code -eq "$1"
    check "$what: nothing stays in TMPDIR" test -z "$(ls tmp)"
}
mkdir tmp
: >err.txt
TMPDIR=$work/tmp "$program" eval a large.txt --workers 1 >out.txt 2>err.txt & job=$!
what="eval, SIGINT" && begun && kill -INT $job; stopped 130
check "$what: it says that nothing is measured" grep -q "; nothing is measured$" err.txt
TMPDIR=$work/tmp "$program" eval a large.txt --workers 1 >out.txt 2>err.txt & job=$!
what="eval, SIGTERM in the middle" && within 600 grep -q tokenized err.txt && kill -TERM $job; stopped 143
: >err.txt
TMPDIR=$work/tmp "$program" inspect run.yaml --set data.train=large.txt --set data.tokenizer=word >out.txt 2>err.txt & job=$!
what="inspect RUN.yaml, SIGTERM" && begun && kill -TERM $job; stopped 75

conclude
