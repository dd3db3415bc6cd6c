#!/bin/sh
# TensorBoard reads what a run and its resumption wrote: every step once, with the values of log.jsonl.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
if ! "$python" -c 'from tensorboard.backend.event_processing.event_accumulator import EventAccumulator' 2>/dev/null; then
    echo "ok 1 - TensorBoard reads a resumed run # SKIP no Python with tensorboard (STENTOR_PYTHON names one)"
    echo "1..1"
    exit 0
fi
quick_text 100 >text.txt
cat >run.yaml <<'END'
model: {layers: 1, heads: 1, width: 8, context: 8}
data: {train: text.txt}
train: {steps: 30, batch: 2, warmup: 2, eval_every: 5, save_every: 10, log_every: 1}
END
# The second run goes on from step 20 and must hide what the first one wrote of steps 21 to 27.
"$program" train run.yaml --out o --set train.steps=27 --set train.decay_steps=30 --quiet &&
    rm -r o/checkpoints/step-27 && sleep 1 &&
    "$program" train run.yaml --out o --set train.decay_steps=30 --resume --quiet &&
    "$python" - >log 2>&1 <<'END'
import json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
e = EventAccumulator("o"); e.Reload()
lines = [json.loads(line) for line in open("o/log.jsonl")]
for tag in ("train/loss", "train/lr", "train/grad_norm", "val/loss", "perf/tokens_per_s"):
    ours = [(l["_step"], l[tag]) for l in lines if tag in l]
    theirs = [(s.step, s.value) for s in e.Scalars(tag)]
    assert [s for s, _ in ours] == [s for s, _ in theirs], (tag, ours, theirs)
    assert all(abs(a - b) <= 1e-6 * abs(a) for (_, a), (_, b) in zip(ours, theirs)), tag
assert [s.step for s in e.Scalars("train/loss")] == list(range(1, 31))
END
code=$?
if [ $code -eq 0 ]; then echo "ok 1 - TensorBoard reads a resumed run"; else echo "not ok 1 - TensorBoard reads a resumed run"; sed 's/^/# /' log | tail -8; fi
echo "1..1"
exit $code
