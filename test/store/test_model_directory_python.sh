#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Model directories against transformers: it loads what we write without a missing or unexpected tensor, to the bit; generates with it;
# and we read what it writes: as float32, as bfloat16, in shards, without the prefix, and after training of biases.
BUILD=${BUILD:-build/release}
program=$BUILD/test/store/test_model_directory
python=${STENTOR_PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, safetensors.torch' 2>/dev/null; then
    echo "ok 1 - model_directory_against_transformers # SKIP Python with torch and transformers is not here (STENTOR_PYTHON names one)"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for kind in bias nobias classes; do
    "$program" save "$folder/$kind" $kind || { echo "not ok 1 - $kind can be saved"; exit 1; }
done
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$python" - "$folder" "$program" <<'PYTHON'
import hashlib, json, os, subprocess, sys, warnings
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config,
                          GPT2ForSequenceClassification, GPT2LMHeadModel)

warnings.simplefilter("ignore")
transformers.utils.logging.disable_progress_bar()
folder, program = sys.argv[1:]
number = failed = 0

def report(name, good, why=""):
    global number, failed
    number += 1
    failed += not good
    print(("ok" if good else "not ok"), number, "-", name)
    if not good:
        print("#", str(why)[:2000].replace("\n", " | "))

def digest(tensor):
    return hashlib.sha256(tensor.detach().to(torch.float32).contiguous().numpy().tobytes()).hexdigest()

def show(path):
    lines = subprocess.run([program, "show", path], capture_output=True, text=True).stdout.splitlines()
    return (lines or [""])[0], dict(line.split(" ") for line in lines[1:])

def state(model, bias=True):
    return {name: digest(tensor) for name, tensor in model.state_dict().items()
            if name != "lm_head.weight" and (bias or not name.endswith(".bias"))}

for kind in ("bias", "nobias"):
    path = f"{folder}/{kind}"
    model, info = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True)
    first, ours = show(path)
    report(f"{kind}_loads_with_no_tensor_missing_or_unexpected",
           isinstance(model, GPT2LMHeadModel) and not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info)
    report(f"{kind}_has_the_same_bits_there", state(model, kind == "bias") == ours and ours, first)
    config = AutoConfig.from_pretrained(path)
    wanted = dict(vocab_size=256, n_positions=16, n_embd=8, n_layer=2, n_head=2, activation_function="gelu_new", embd_pdrop=0.1,
                  attn_pdrop=0.2, resid_pdrop=0.3, layer_norm_epsilon=1e-5, initializer_range=0.02, tie_word_embeddings=True,
                  n_inner=24 if kind == "bias" else None, bos_token_id=None, eos_token_id=None)
    got = {key: getattr(config, key) for key in wanted}
    report(f"{kind}_has_the_same_configuration_there", got == wanted, got)
    tokens = model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=5, do_sample=False)
    report(f"{kind}_generates_there", tokens.shape == (1, 8), tokens)
    tokenizer = AutoTokenizer.from_pretrained(path)
    report(f"{kind}_has_its_tokenizer_there", len(tokenizer("abc")["input_ids"]) == 3, tokenizer)
    # And back: what transformers saves, we read, to the bit, also after it kept our own key.
    model.save_pretrained(path + "-again")
    again, back = show(path + "-again")
    report(f"{kind}_comes_back_to_the_bit", back == ours and again == first, again)
    kept = json.load(open(path + "-again/config.json")).get("stentor")
    report(f"{kind}_keeps_our_key_in_config_json", kept == (None if kind == "bias" else {"bias": False}), kept)

model = AutoModelForCausalLM.from_pretrained(folder + "/bias")
model.save_pretrained(folder + "/shards", max_shard_size="4KB")
first, ours = show(folder + "/shards")
files = [name for name in os.listdir(folder + "/shards") if name.startswith("model-")]
report("shards_of_transformers_are_read", ours == state(model) and len(files) > 2, first)
half = AutoModelForCausalLM.from_pretrained(folder + "/bias").to(torch.bfloat16)
half.save_pretrained(folder + "/bfloat16")
first, ours = show(folder + "/bfloat16")
report("bfloat16_of_transformers_is_read", ours == state(half), first)
double = AutoModelForCausalLM.from_pretrained(folder + "/bias").to(torch.float16)
double.save_pretrained(folder + "/float16")
first, ours = show(folder + "/float16")
report("float16_of_transformers_is_read", ours == state(double), first)
# The bare model, as the first GPT-2 files on the hub: no prefix, causal masks beside the weights.
model.transformer.save_pretrained(folder + "/bare")
tensors = load_file(folder + "/bare/model.safetensors")
tensors["h.0.attn.bias"] = torch.tril(torch.ones(16, 16, dtype=torch.uint8)).view(1, 1, 16, 16)
tensors["h.1.attn.masked_bias"] = torch.tensor(-1e4)
save_file(tensors, folder + "/bare/model.safetensors", metadata={"format": "pt"})
first, ours = show(folder + "/bare")
report("a_bare_model_with_masks_is_read", ours == state(model) and any(not name.startswith("transformer.") for name in tensors), first)
trained = AutoModelForCausalLM.from_pretrained(folder + "/nobias")
torch.nn.init.constant_(trained.transformer.h[1].mlp.c_fc.bias, 0.5)
trained.save_pretrained(folder + "/trained")
first, ours = show(folder + "/trained")
report("biases_that_were_trained_there_are_used", ours == state(trained) and first.startswith("bias 1"), first)
# A head over classes, both ways: the same scores of the last token.
def same_scores(model, path):
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    with torch.no_grad():
        theirs = model.eval()(torch.tensor([ids])).logits[0]
    lines = subprocess.run([program, "scores", path] + [str(i) for i in ids], capture_output=True, text=True).stdout.split()
    try:
        ours = torch.tensor([float(line) for line in lines])
    except ValueError:
        return False, lines
    return ours.shape == theirs.shape and (ours - theirs).abs().max() < 1e-5, (ours, theirs)
path = folder + "/classes"
model, info = AutoModelForSequenceClassification.from_pretrained(path, output_loading_info=True)
report("a_classifier_loads_with_no_tensor_missing_or_unexpected", isinstance(model, GPT2ForSequenceClassification) and
       model.config.num_labels == 3 and not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info)
report("a_classifier_scores_alike_there", *same_scores(model, path))
for labels in (1, 2, 4):
    torch.manual_seed(labels)
    config = GPT2Config(vocab_size=97, n_positions=16, n_embd=8, n_layer=2, n_head=2, num_labels=labels)
    model = GPT2ForSequenceClassification(config)
    torch.nn.init.normal_(model.score.weight, std=1.0)
    path = f"{folder}/theirs-{labels}"
    model.save_pretrained(path)
    first, ours = show(path)
    report(f"a_classifier_of_theirs_with_{labels}_is_read", ours == state(model), first)
    report(f"a_classifier_of_theirs_with_{labels}_scores_alike", *same_scores(model, path))
print(f"1..{number}")
sys.exit(failed > 0)
PYTHON
