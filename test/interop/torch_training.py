# SPDX-License-Identifier: Apache-2.0
# Usage: torch_training.py EXCHANGE FOLDER. Prints TAP; exits with 1 when the test failed.
# The settings are those of `train` in exchange.c: rate 1e-3, betas 0.9 and 0.95, decay 0.1 on matrices,
# clipping by norm 2, which half of the steps reach.
import pathlib
import subprocess
import sys

import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)  # others use the machine, too
EXCHANGE, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
STEPS, BATCH, TOKENS, MOST = 100, 4, 48, 1e-4


def exchange(*arguments):
    subprocess.run([EXCHANGE, *map(str, arguments)], check=True)


def batches(vocabulary):
    """Text-like: ids of a random walk, so that there is something to learn."""
    steps = np.random.default_rng(5).integers(-2, 3, (STEPS, BATCH, TOKENS + 1))
    ids = (np.cumsum(steps, axis=2) % vocabulary).astype(np.int32)
    return ids[:, :, :-1], ids[:, :, 1:]


def torch_losses(model, tokens, targets):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    losses = []
    for x, y in zip(torch.from_numpy(tokens).long(), torch.from_numpy(targets).long()):
        loss = torch.nn.functional.cross_entropy(model(x).logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


(FOLDER / "text").write_text("".join(chr(c) for c in range(32, 97)))
exchange("write", FOLDER / "model", "char", "bias", FOLDER / "text")
model = transformers.GPT2LMHeadModel.from_pretrained(
    FOLDER / "model", attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
).train()
tokens, targets = batches(model.config.vocab_size)
header = np.array([STEPS, BATCH, TOKENS], np.int32)
np.concatenate([header, np.stack([tokens, targets], 1).ravel()]).astype(np.int32).tofile(FOLDER / "batches")
exchange("train", FOLDER / "model", FOLDER / "batches", FOLDER / "losses")
ours = np.fromfile(FOLDER / "losses", np.float32)
theirs = torch_losses(model, tokens, targets)
difference = np.abs(ours - theirs) / theirs
print("1..1")
print(f"# losses {theirs[0]:.4f} -> {theirs[-1]:.4f}")
print(f"# largest relative difference {difference.max():.2e} at step {difference.argmax()}")
good = len(ours) == STEPS and theirs[-1] < theirs[0] / 2 and difference.max() <= MOST
print(f"{'ok' if good else 'not ok'} 1 - {STEPS} steps of AdamW give PyTorch's losses to {MOST:g}")
sys.exit(not good)
