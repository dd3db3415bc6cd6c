#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers beside PyTorch's nn.LSTM, nn.GRU and nn.RNN: forward and backward of the same stack by one thread each, in turns
on the same machine; medians of ratios within one run. Needs build/release/bench/bench_recurrent (FILTER=recurrent make bench).

    bench/recurrent.py [layers width tokens batch]
"""
import json, os, pathlib, statistics, subprocess, sys, time

import torch

BUILD = os.environ.get("BUILD", str(pathlib.Path(__file__).resolve().parent.parent / "build/release"))
LAYERS, WIDTH, TOKENS, BATCH = [int(x) for x in sys.argv[1:5]] or (2, 200, 35, 20)
torch.set_num_threads(1)


def peer(kind, runs=30):
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "tanh": torch.nn.RNN}[kind](WIDTH, WIDTH, LAYERS)
    x = torch.randn(TOKENS, BATCH, WIDTH, requires_grad=True)
    dy = torch.randn(TOKENS, BATCH, WIDTH)
    times = []
    for i in range(runs + 3):
        module.zero_grad(set_to_none=True)
        x.grad = None
        start = time.process_time()
        module(x)[0].backward(dy)
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times[3:])


for kind in ("lstm", "gru", "tanh"):
    ours, theirs = [], []
    for turn in range(7):
        command = [BUILD + "/bench/bench_recurrent", kind, *map(str, (LAYERS, WIDTH, TOKENS, BATCH))]
        ours.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["ms"])
        theirs.append(peer(kind))
    ratio = statistics.median(b / a for a, b in zip(ours, theirs))
    print(json.dumps({"cell": kind, "layers": LAYERS, "width": WIDTH, "tokens": TOKENS, "batch": BATCH,
                      "ms": round(statistics.median(ours), 2), "torch": torch.__version__,
                      "torch_ms": round(statistics.median(theirs), 2), "torch_over_ours": round(ratio, 2)}))
