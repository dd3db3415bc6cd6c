# SPDX-License-Identifier: Apache-2.0
# Usage: transformers_agree.py EXCHANGE FOLDER. Prints TAP; exits with 1 when a test failed.
import json
import pathlib
import subprocess
import sys
import traceback

import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)  # others use the machine, too
EXCHANGE, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
# Everything that the char tokenizer has to keep apart: case, blanks, controls, accents composed and not,
# Chinese, beyond the first plane.
TEXT = (
    "To be, or\tnot  to be:\r\n that is the question. \n\n  Être? E\u0301! "
    "众声 ＡＢ ½ ﬁ 🎺\u200d\u00a0<|endoftext|> ##a ▁b\x7f"
)


def exchange(*arguments):
    done = subprocess.run([EXCHANGE, *map(str, arguments)], capture_output=True)
    if done.returncode:
        raise RuntimeError(f"exchange {arguments[0]}: {done.stderr.decode()}")
    return done.stdout


def our_logits(directory, ids):
    np.asarray(ids, np.int32).tofile(FOLDER / "ids")
    exchange("logits", directory, FOLDER / "ids", FOLDER / "logits")
    return np.fromfile(FOLDER / "logits", np.float32).reshape(len(ids), -1)


def their_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def load(directory):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{kind}: {info[kind]}"
    assert type(model).__name__ == "GPT2LMHeadModel"
    return model.eval()


def compare(directory, model):
    config = model.config
    ids = [int(i) for i in np.random.default_rng(1).integers(0, config.vocab_size, config.n_positions)]
    ours, theirs = our_logits(directory, ids), their_logits(model, ids)
    assert ours.shape == theirs.shape, f"{ours.shape} against {theirs.shape}"
    difference = np.abs(ours - theirs).max()
    print(f"# largest difference {difference:.2e} of logits up to {np.abs(theirs).max():.3g}")
    assert difference <= 1e-4


def written(kind, bias):
    directory, text = FOLDER / f"{kind}-{bias}", FOLDER / "text"
    text.write_bytes(TEXT.encode())
    exchange("write", directory, kind, bias, text)
    return directory


def ours_with_bias():
    directory = written("char", "bias")
    compare(directory, load(directory))


def ours_without_bias():
    directory = written("char", "nobias")
    compare(directory, load(directory))


def a_model_of_theirs(save_as, **more):
    torch.manual_seed(3)
    config = transformers.GPT2Config(vocab_size=97, n_positions=40, n_embd=48, n_layer=2, n_head=3, **more)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    directory = FOLDER / "theirs"
    (model.transformer if save_as == "GPT2Model" else model).save_pretrained(directory)
    compare(directory, model)


def theirs():
    a_model_of_theirs("GPT2LMHeadModel")


def theirs_without_prefix():
    a_model_of_theirs("GPT2Model")


def theirs_with_other_settings():
    a_model_of_theirs("GPT2LMHeadModel", activation_function="relu", n_inner=100, layer_norm_epsilon=1e-3)


def same_ids(kind, text):
    directory = written(kind, "bias")
    (FOLDER / "sample").write_bytes(text.encode())
    exchange("encode", directory, FOLDER / "sample", FOLDER / "out")
    ours = np.fromfile(FOLDER / "out", np.int32).tolist()
    file = directory / "tokenizer.json"
    for tokenizer in (
        transformers.PreTrainedTokenizerFast(tokenizer_file=str(file)),
        transformers.AutoTokenizer.from_pretrained(directory),
    ):
        assert tokenizer.encode(text, add_special_tokens=False) == ours, type(tokenizer).__name__
        assert tokenizer.decode(ours, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text
    print(f"# {len(ours)} ids of {len(json.loads(file.read_text())['model']['vocab'])}")


def char_ids():
    same_ids("char", TEXT + TEXT[::-1])


def byte_ids():
    same_ids("byte", TEXT + "ж")


def same_text():
    directory = written("char", "bias")
    model, tokenizer = load(directory), transformers.AutoTokenizer.from_pretrained(directory)
    ids = tokenizer("To be", return_tensors="pt", add_special_tokens=False).input_ids
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40, pad_token_id=0)
    wanted = tokenizer.decode(out[0][ids.shape[1] :], clean_up_tokenization_spaces=False)
    assert exchange("greedy", directory, "To be", 40).decode() == wanted


TESTS = {
    "transformers gives our logits": ours_with_bias,
    "transformers gives our logits of a model without biases": ours_without_bias,
    "we give transformers' logits": theirs,
    "we give transformers' logits of a file without prefix": theirs_without_prefix,
    "we give transformers' logits with other settings": theirs_with_other_settings,
    "transformers gives the ids of the char tokenizer": char_ids,
    "transformers gives the ids of the byte tokenizer": byte_ids,
    "transformers writes the same greedy text": same_text,
}
print(f"1..{len(TESTS)}")
failed = 0
for number, (name, test) in enumerate(TESTS.items(), 1):
    try:
        test()
        print(f"ok {number} - {name}")
    except Exception:
        failed += 1
        print(f"not ok {number} - {name}")
        print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
sys.exit(failed > 0)
