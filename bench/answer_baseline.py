# SPDX-License-Identifier: Apache-2.0
"""What answers without any training are worth on a file in SQuAD's layout (English), for `stentor answer --reference` beside it.

    python3 bench/answer_baseline.py FILE.json

One line of JSON a guess: the first sentence of the context; the sentence with most words of the question; the three words behind the last
word of the question in that sentence. Words are compared as SQuAD 1.1's script does.
"""
import json
import re
import string
import sys
from collections import Counter


def words(text):
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def f1(guess, answer):
    common = sum((Counter(words(guess)) & Counter(words(answer))).values())
    return 2 * common / (len(words(guess)) + len(words(answer))) if common else 0.0


def guesses(context, question):
    sentences = re.split(r"(?<=[.!?]) ", context)
    asked = set(words(question))
    best = max(sentences, key=lambda s: len(asked & set(words(s))))
    parts = best.split()
    hits = [i for i, part in enumerate(parts) if asked & set(words(part))]
    behind = parts[hits[-1] + 1 : hits[-1] + 4] if hits else []
    return {"first sentence": sentences[0], "nearest sentence": best, "three words behind": " ".join(behind or parts[:3])}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        articles = json.load(file)["data"]
    exact, score, count = Counter(), Counter(), 0
    for paragraph in (p for article in articles for p in article["paragraphs"]):
        for asked in paragraph["qas"]:
            answers = [a["text"] for a in asked["answers"]] or [""]
            count += 1
            for name, guess in guesses(paragraph["context"], asked["question"]).items():
                exact[name] += any(words(guess) == words(a) for a in answers)
                score[name] += max(f1(guess, a) for a in answers)
    for name in score:
        print(json.dumps({"guess": name, "questions": count, "exact": 100 * exact[name] / count, "f1": 100 * score[name] / count}))


if __name__ == "__main__":
    main()
