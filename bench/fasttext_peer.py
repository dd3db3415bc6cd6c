#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fastText on the rows of a run file's task, beside `stentor train`: the best of a few of its settings on the held-out rows.

    bench/fasttext_peer.py ../shared/data/sst2/train.tsv ../shared/data/sst2/dev.tsv --text 1 --target 2
    bench/fasttext_peer.py ../shared/data/trec/train.txt --spaced --text 2 --target 1

Without a second file a tenth of the rows is held out (every tenth). Texts are cut into words and marks, small letters, and each Chinese character,
as `data.split: words` cuts them. Needs Python with fasttext; STENTOR_PYTHON names one."""
import argparse
import csv
import itertools
import os
import re
import tempfile


def rows(path, args):
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        if args.spaced:
            table = (line.rstrip("\n").split(" ", 1) for line in file)
        elif path.endswith(".csv"):
            table = csv.reader(file)
        else:
            table = (line.rstrip("\n").split("\t") for line in file)
        for i, row in enumerate(table):
            if args.header and i == 0:
                continue
            words = re.findall(r"[一-鿿]|[^\W_]+|[^\w\s]+", row[args.text - 1].lower())
            yield row[args.target - 1], " ".join(words)


def write(path, examples):
    with open(path, "w", encoding="utf-8") as file:
        for label, text in examples:
            file.write(f"__label__{label.replace(' ', '_')} {text}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("valid", nargs="?")
    parser.add_argument("--text", type=int, default=1)
    parser.add_argument("--target", type=int, default=2)
    parser.add_argument("--header", action="store_true")
    parser.add_argument("--spaced", action="store_true")
    args = parser.parse_args()
    import fasttext

    examples = list(rows(args.train, args))
    held_out = list(rows(args.valid, args)) if args.valid else examples[::10]
    if not args.valid:
        examples = [row for i, row in enumerate(examples) if i % 10]
    best = (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("train.txt", "valid.txt")]
        write(paths[0], examples)
        write(paths[1], held_out)
        for epochs, ngrams, rate in itertools.product((5, 25), (1, 2, 3), (0.1, 0.5)):
            model = fasttext.train_supervised(
                paths[0], epoch=epochs, wordNgrams=ngrams, lr=rate, bucket=200000, thread=1, verbose=0
            )
            accuracy = model.test(paths[1])[1]
            best = max(best, (accuracy, f"{epochs} epochs, n-grams to {ngrams}, rate {rate}"))
    print(f"fastText: {best[0]:.4f} of {len(held_out)} held-out rows ({best[1]}, the best of 12 settings)")


if __name__ == "__main__":
    main()
