# SPDX-License-Identifier: Apache-2.0
"""What answers without any training are worth on a file in SQuAD's layout, for `stentor answer --reference` beside it.

    python3 bench/answer_baseline.py FILE.json
    python3 bench/answer_baseline.py --split FILE.json TRAIN.json VALID.json    every tenth article into the second file

One line of JSON a guess: the first sentence of the context; the sentence with most words of the question; the three words behind the last
word of the question in that sentence. English is compared as SQuAD 1.1's script does, Chinese as CMRC 2018's: by the longest run of
characters that both have, without marks (Latin words and numbers count as one character each).
"""
import json
import re
import string
import sys
from collections import Counter

CHINESE = re.compile("[\u4e00-\u9fa5]")
MARKS = set("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")


def is_chinese(text):
    return bool(CHINESE.search(text))


def words(text):
    if is_chinese(text):
        plain = "".join(c for c in text.lower().strip() if c not in MARKS)
        return re.findall("[\u4e00-\u9fa5]|[^\\s\u4e00-\u9fa5]+", plain)
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def longest_run(one, two):
    best, row = 0, [0] * (len(two) + 1)
    for a in one:
        row = [0] + [row[j] + 1 if a == b else 0 for j, b in enumerate(two)]
        best = max(best, *row)
    return best


def f1(guess, answer, chinese):
    one, two = words(guess), words(answer)
    common = longest_run(one, two) if chinese else sum((Counter(one) & Counter(two)).values())
    return 2 * common / (len(one) + len(two)) if common else 0.0


def guesses(context, question):
    chinese = is_chinese(context)
    sentences = [s for s in re.split(r"(?<=[。！？；])" if chinese else r"(?<=[.!?]) ", context) if s] or [""]
    asked = set(words(question))
    best = max(sentences, key=lambda s: len(asked & set(words(s))))
    parts = words(best) if chinese else best.split()
    hits = [i for i, part in enumerate(parts) if asked & set(words(part))]
    behind = parts[hits[-1] + 1 : hits[-1] + 4] if hits else []
    joined = ("" if chinese else " ").join(behind or parts[:3])
    return {"first sentence": sentences[0], "nearest sentence": best, "three words behind": joined}


def measure(path):
    with open(path, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    exact, score, count = Counter(), Counter(), 0
    for paragraph in (p for article in articles for p in article["paragraphs"]):
        chinese = is_chinese(paragraph["context"])
        for asked in paragraph["qas"]:
            answers = [a["text"] for a in asked["answers"]] or [""]
            count += 1
            for name, guess in guesses(paragraph["context"], asked["question"]).items():
                exact[name] += any(words(guess) == words(a) for a in answers)
                score[name] += max(f1(guess, a, chinese) for a in answers)
    for name in score:
        print(json.dumps({"guess": name, "questions": count, "exact": 100 * exact[name] / count, "f1": 100 * score[name] / count}))


def split(path, learned, held_out):
    with open(path, encoding="utf-8") as file:
        whole = json.load(file)
    for into, keeps in (learned, lambda i: i % 10 != 9), (held_out, lambda i: i % 10 == 9):
        part = dict(whole, data=[article for i, article in enumerate(whole["data"]) if keeps(i)])
        with open(into, "w", encoding="utf-8") as file:
            json.dump(part, file, ensure_ascii=False)


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--split":
        return split(*sys.argv[2:])
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    measure(sys.argv[1])


if __name__ == "__main__":
    main()
