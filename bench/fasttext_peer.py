#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fastText on the rows of a run file's task, beside `stentor train`: the best of a few of its settings on the held-out rows.

    bench/fasttext_peer.py ../shared/data/sst2/train.tsv ../shared/data/sst2/dev.tsv --text 1 --target 2
    bench/fasttext_peer.py ../shared/data/trec/train.txt --spaced --text 2 --target 1

Without a second file a tenth of the rows is held out (every tenth); --split FOLDER writes both parts there, for `stentor train` on the same:

    bench/fasttext_peer.py ../shared/data/ag_news/train.csv --text 2 --target 1 --split build/ag-news
    stentor train examples/articles/ag-news.yaml --set data.train=build/ag-news/train.csv --set data.valid=build/ag-news/valid.csv

Texts are cut into words and marks, small letters, and each Chinese character,
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


# Every tenth line of the file, and the others, as they are.
def split(path, folder):
    os.makedirs(folder, exist_ok=True)
    ending = os.path.splitext(path)[1]
    with open(path, "rb") as file:
        lines = file.readlines()
    with open(os.path.join(folder, "valid" + ending), "wb") as file:
        file.writelines(lines[::10])
    with open(os.path.join(folder, "train" + ending), "wb") as file:
        file.writelines(line for i, line in enumerate(lines) if i % 10)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("valid", nargs="?")
    parser.add_argument("--text", type=int, default=1)
    parser.add_argument("--target", type=int, default=2)
    parser.add_argument("--header", action="store_true")
    parser.add_argument("--spaced", action="store_true")
    parser.add_argument("--split", metavar="FOLDER", help="a row is a line: writes train and valid there")
    args = parser.parse_args()
    if args.split and (args.valid or args.header):
        parser.error("--split is for one file without a header")
    if args.split:
        split(args.train, args.split)
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
