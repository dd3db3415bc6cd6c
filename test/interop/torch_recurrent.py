# SPDX-License-Identifier: Apache-2.0
# Usage: torch_recurrent.py EXCHANGE FOLDER. Prints TAP; exits with 1 when a test failed.
# The settings are those of `train` in exchange.c, as in torch_training.py.
import json
import pathlib
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)  # others use the machine, too
torch.manual_seed(3)
EXCHANGE, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
STEPS, BATCH, TOKENS, VOCABULARY, WIDTH, MOST = 40, 5, 23, 33, 24, 1e-4
CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "tanh": torch.nn.RNN}


class Model(torch.nn.Module):
    def __init__(self, cell, layers, hidden, tied, bias):
        super().__init__()
        self.encoder = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.rnn = CELLS[cell](WIDTH, hidden, layers, batch_first=True, bias=bias)
        self.decoder = torch.nn.Linear(hidden, VOCABULARY, bias=False)
        torch.nn.init.normal_(self.encoder.weight, std=0.3)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, ids):
        return self.decoder(self.rnn(self.encoder(ids))[0])


def save(model, folder, cell, layers, hidden, tied, bias):
    folder.mkdir()
    config = {"model_type": "lstm_lm", "vocab_size": VOCABULARY, "max_position_embeddings": TOKENS,
              "embedding_size": WIDTH, "hidden_size": hidden, "num_hidden_layers": layers, "rnn": cell,
              "bias": bias, "tie_word_embeddings": tied}
    (folder / "config.json").write_text(json.dumps(config))
    weights = {k: v.detach().clone() for k, v in model.state_dict().items() if not (tied and k == "decoder.weight")}
    save_file(weights, str(folder / "model.safetensors"))


def batches():
    steps = np.random.default_rng(5).integers(-2, 3, (STEPS, BATCH, TOKENS + 1))
    ids = (np.cumsum(steps, axis=2) % VOCABULARY).astype(np.int32)
    return ids[:, :, :-1], ids[:, :, 1:]


def torch_losses(model, tokens, targets):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for x, y in zip(torch.from_numpy(tokens).long(), torch.from_numpy(targets).long()):
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


tokens, targets = batches()
header = np.array([STEPS, BATCH, TOKENS], np.int32)
np.concatenate([header, np.stack([tokens, targets], 1).ravel()]).astype(np.int32).tofile(FOLDER / "batches")
cases = [(cell, layers, hidden, tied, bias)
         for cell in CELLS for layers, hidden, tied, bias in ((2, WIDTH, True, True), (1, 40, False, False))]
print(f"1..{len(cases)}")
failed = 0
for number, case in enumerate(cases, 1):
    model = Model(*case).train()
    save(model, FOLDER / f"model{number}", *case)
    subprocess.run([EXCHANGE, "train", FOLDER / f"model{number}", FOLDER / "batches", FOLDER / "losses"], check=True)
    ours, theirs = np.fromfile(FOLDER / "losses", np.float32), torch_losses(model, tokens, targets)
    difference = (np.abs(ours - theirs) / theirs).max()
    good = len(ours) == STEPS and theirs[-1] < 0.98 * theirs[0] and difference <= MOST
    failed += not good
    print(f"# losses {theirs[0]:.4f} -> {theirs[-1]:.4f}, largest relative difference {difference:.2e}")
    print(f"{'ok' if good else 'not ok'} {number} - %s, %d layers, hidden %d, tied %s, bias %s" % case)
sys.exit(failed > 0)
