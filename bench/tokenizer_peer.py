#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encoding beside Hugging Face's tokenizers, one thread each, in turns: ratios of processor time, medians.

    bench/tokenizer_peer.py BENCH TOKENIZER.json TEXT [rounds, default 5]

BENCH is the built bench_tokenizer. Theirs encodes the text's lines as one batch (encode_batch_fast: no offsets), which is its
quickest way; a text as a whole takes it longer. Prints one JSON line.
"""
import json, os, statistics, subprocess, sys, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer

bench, name, path = sys.argv[1:4]
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
text = open(path, encoding="utf-8", newline="").read()
lines, size = text.split("\n"), len(text.encode())
theirs = Tokenizer.from_file(name)
speeds = {"whole": [], "lines": [], "theirs": []}
for _ in range(rounds):
    for line in subprocess.run([bench, name, path, "1"], capture_output=True, check=True, text=True).stdout.splitlines():
        row = json.loads(line)
        speeds[row["how"]].append(row["megabytes_per_second"])
    start = time.process_time()
    theirs.encode_batch_fast(lines, add_special_tokens=False)
    speeds["theirs"].append(size * 1e-6 / (time.process_time() - start))
ratio = {how: statistics.median(a / b for a, b in zip(speeds[how], speeds["theirs"])) for how in ("whole", "lines")}
print(json.dumps({"bench": "tokenizer_peer", "tokenizer": name, "text": path, **{f"{how}_megabytes_per_second": round(statistics.median(v), 2) for how, v in speeds.items()},
                  **{f"{how}_over_theirs": round(v, 2) for how, v in ratio.items()}}))
