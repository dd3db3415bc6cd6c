# SPDX-License-Identifier: Apache-2.0
"""Repeats with PyTorch the steps that `test_optimizer trace` printed (standard input); one line of TAP per optimizer."""
import sys

import torch

LIMIT = 1e-6  # of the norm of the weights


def build(c, parameter):
    number = lambda key: float(c[key])
    l2 = number("l2")
    if c["optimizer"] == "sgd":
        return torch.optim.SGD([parameter], lr=number("lr"), momentum=number("momentum"),
                               nesterov=c["nesterov"] == "1", weight_decay=l2)
    if c["optimizer"] == "rmsprop":
        return torch.optim.RMSprop([parameter], lr=number("lr"), alpha=number("beta2"), eps=number("epsilon"),
                                   momentum=number("momentum"), weight_decay=l2)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[c["optimizer"]]
    return kind([parameter], lr=number("lr"), betas=(number("beta1"), number("beta2")), eps=number("epsilon"),
                weight_decay=number("weight_decay"))


def row(words):
    return torch.tensor([float.fromhex(word) for word in words], dtype=torch.float32)


done = failed = 0
for line in sys.stdin:
    kind, *words = line.split()
    if kind == "case":
        name = words[0]
        config = dict(word.split("=") for word in words[1:])
    elif kind == "weights":
        start = row(words)
        parameter = torch.nn.Parameter(start.clone())
        optimizer = build(config, parameter)
    elif kind == "gradient":
        parameter.grad = row(words)
        optimizer.step()
    elif kind == "result":
        ours, theirs = row(words), parameter.detach()
        error = float(torch.linalg.vector_norm(ours - theirs) / torch.linalg.vector_norm(theirs))
        moved = float(torch.linalg.vector_norm(theirs - start) / torch.linalg.vector_norm(start))
        good = error <= LIMIT and moved > 0.01
        done += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {done} - 50 steps of {name} as PyTorch: relative difference {error:.1e}, "
              f"weights moved by {moved:.2f}")
print(f"1..{done}")
sys.exit(failed > 0 or done == 0)
