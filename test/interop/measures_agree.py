# SPDX-License-Identifier: Apache-2.0
"""Computes 1,000 cases with Python's libraries and with ours (measures.c); they must agree to 4 decimals. Prints TAP.

Cases are generated (marks, digits, spaces of Unicode, capitals that change their length, empty lines) and, where the folder of
data is there, cut from real text and damaged. SQuAD's and CMRC's definitions are written out here from their papers' scripts;
torchmetrics stands beside for SQuAD where it is installed.
"""
import collections
import json
import os
import random
import re
import string
import subprocess
import sys

import nltk.tokenize
import numpy
import sacrebleu
import sklearn.metrics
from nltk.stem import porter
from rouge_score import rouge_scorer

program, data = sys.argv[1], sys.argv[2]
random.seed(20)

# ---- texts ----
WORDS = """the a an The cat dogs running runs cannot gimme U.S. 3.14 1,000 5-6 -7 state-of-the-art don't it's rock'n'roll e.g. "quoted"
(hi) [x] {y} <skipped> &quot; &amp;lt; a&b $5.00 50% x_y ... -- ' '' `` don’t “curly” naïve Ünïcode ΟΔΥΣΣΕΥΣ İstanbul STRASSE ß K ĳ Σ
中文 你好，世界。 機械 ２０２０年 日本語 テスト ＡＢＣ 😀 é e\u0301 \u00a0 \u3000 \u2003 \u200b … — · 》《 happily conditional relational
generalization hopefulness skies dying news fully apologi theologi sensibiliti yyy sky by controlling rolled agreed feed conflated""".split(" ")


def sentence(words):
    return "".join(random.choice(words) + random.choice([" ", " ", " ", "  ", "", "\t", ", ", ". "]) for _ in range(random.randint(0, 25)))


def damaged(text, words):
    out = []
    for word in re.split(r"(\s+)", text):
        chance = random.random()
        if chance < 0.1:
            continue
        out.append(random.choice(words) if chance < 0.2 else word.upper() if chance < 0.25 else word)
        if chance > 0.95:
            out.append(" " + word)
    return "".join(out)


def damaged_characters(text):
    return "".join(c if (chance := random.random()) > 0.15 else "" if chance < 0.07 else random.choice(text) for c in text)


def lines(*path):
    name = os.path.join(data, *path)
    return open(name, encoding="utf-8").read().split("\n") if os.path.exists(name) else []


english = [line for line in lines("multi30k", "val.en") if line]
german = [line for line in lines("multi30k", "val.de") if line]
chinese = [row.split("\t")[1] for row in lines("tatoeba-en-zh", "train.tsv")[:3000] if row]
summaries = [json.loads(line) for line in lines("scitldr", "dev.jsonl") if line]
squad = lines("squad", "train.json")
cmrc = lines("cmrc2018", "train.json")


def questions(text):
    return [q["answers"] for a in json.loads("\n".join(text) or '{"data": []}')["data"] for p in a["paragraphs"] for q in p["qas"]]


squad, cmrc = ([[a["text"] for a in answers] for answers in questions(text)] for text in (squad, cmrc))


def examples(kind, count, references=1):
    """`count` hypotheses and for each its references."""
    hypotheses, all_references = [], []
    for _ in range(count):
        if kind == "zh" and chinese:
            truth = random.choice(chinese)
            wrong = damaged_characters
        elif kind in ("en", "de") and english:
            truth = random.choice(english if kind == "en" else german)
            wrong = lambda text: damaged(text, WORDS)
        else:
            truth = sentence(WORDS)
            wrong = lambda text: damaged(text, WORDS)
        hypotheses.append(wrong(truth))
        all_references.append([truth] + [wrong(truth) for _ in range(references - 1)])
    return hypotheses, all_references


# ---- what others compute ----
cases, expected, groups = [], [], []


def case(group, root, values):
    groups.append(group)
    cases.append(json.dumps(root, ensure_ascii=False))
    expected.append(values)


def ours(signature):
    return re.sub(r"version:.*", "version", str(signature))


def bleu_cases(count):
    for i in range(count):
        kind = ["en", "de", "zh", "made"][i % 4]
        references = random.choice([1, 1, 2, 3])
        hypotheses, refs = examples(kind, random.choice([1, 5, 40]), references)
        smoothing = random.choice(["exp", "floor", "add-k", "none"])
        value = random.choice([None, 0.5, 2.0]) if smoothing in ("floor", "add-k") else None
        tokenizer = random.choice(["13a", "zh", "char", "none"])
        lower, effective = random.random() < 0.4, random.random() < 0.3
        metric = sacrebleu.metrics.BLEU(lowercase=lower, tokenize=tokenizer, smooth_method=smoothing, smooth_value=value,
                                        effective_order=effective, force=True)
        score = metric.corpus_score(hypotheses, [list(r) for r in zip(*refs)])
        case("bleu", dict(measure="bleu", tokenizer=tokenizer, smoothing=smoothing, value=value or 0, lower=lower, effective=effective,
                          hypotheses=hypotheses, references=refs), [score.score, ours(metric.get_signature())])


def chrf_cases(count):
    for i in range(count):
        hypotheses, refs = examples(["en", "zh", "made"][i % 3], random.choice([1, 5, 40]), random.choice([1, 1, 2]))
        words, beta = random.choice([0, 2]), random.choice([1, 2, 3])
        lower, spaces, epsilon = (random.random() < 0.3 for _ in range(3))
        metric = sacrebleu.metrics.CHRF(word_order=words, beta=beta, lowercase=lower, whitespace=spaces, eps_smoothing=epsilon)
        score = metric.corpus_score(hypotheses, [list(r) for r in zip(*refs)])
        case("chrf", dict(measure="chrf", words=words, beta=beta, lower=lower, spaces=spaces, epsilon=epsilon, hypotheses=hypotheses,
                          references=refs), [score.score, ours(metric.get_signature())])


class Characters:
    def tokenize(self, text):
        return [c for c in text.lower() if not c.isspace()]


def rouge_cases(count):
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    for i in range(count):
        characters, stem = i % 3 == 2, random.random() < 0.5
        if i % 3 == 0 and summaries:
            hypotheses, refs = [], []
            for row in random.sample(summaries, 5):
                hypotheses.append("\n".join(row["source"][:3]))
                refs.append([damaged(t, WORDS).replace(", ", "\n") for t in row["target"]][:3])
        else:
            hypotheses, refs = examples("zh" if characters else "made", random.choice([1, 5, 20]), random.choice([1, 2]))
            hypotheses = [h.replace(". ", "\n").replace("，", "\n") for h in hypotheses]
            refs = [[r.replace(". ", ".\n").replace("。", "\n") for r in row] for row in refs]
        scorer = rouge_scorer.RougeScorer(types, use_stemmer=stem, tokenizer=Characters() if characters else None)
        scores = [scorer.score_multi(r, h) for h, r in zip(hypotheses, refs)]
        values = [numpy.mean([getattr(s[t], part) for s in scores]) for t in types for part in ("precision", "recall", "fmeasure")]
        case("rouge", dict(measure="rouge", characters=characters, stem=stem, hypotheses=hypotheses, references=refs), values)


def normal(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad_scores(prediction, answer):
    one, two = normal(prediction), normal(answer)
    same = sum((collections.Counter(one) & collections.Counter(two)).values())
    f1 = 2 * same / (len(one) + len(two)) if same else float(one == two)
    return one == two, f1


MARKS = set("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")


def cmrc_words(text):
    words, between = [], ""
    for c in text.lower().strip():
        if c in MARKS:
            continue
        if "\u4e00" <= c <= "\u9fa5":
            words += nltk.tokenize.word_tokenize(between, preserve_line=True) + [c]
            between = ""
        else:
            between += c
    return words + nltk.tokenize.word_tokenize(between, preserve_line=True)


def cmrc_scores(prediction, answer):
    one, two = cmrc_words(prediction), cmrc_words(answer)
    longest, row = 0, [0] * (len(two) + 1)
    for x in one:
        row = [0] + [row[j] + 1 if x == y else 0 for j, y in enumerate(two)]
        longest = max(longest, *row)
    f1 = 2 * longest / (len(one) + len(two)) if longest else 0
    plain = ["".join(c for c in t.lower().strip() if c not in MARKS) for t in (prediction, answer)]
    return plain[0] == plain[1], f1


def answer_cases(count):
    for i in range(count):
        name, pool, judge = ("squad", squad, squad_scores) if i % 2 == 0 else ("cmrc", cmrc, cmrc_scores)
        refs = [random.choice(pool)[:3] if pool and i % 4 < 2 else [sentence(WORDS)[:60] for _ in range(2)] for _ in range(10)]
        hypotheses = []
        for answers in refs:
            chance, answer = random.random(), random.choice(answers)
            wrong = damaged_characters(answer) if name == "cmrc" else damaged(answer, WORDS)
            hypotheses.append(answer if chance < 0.3 else " The " + answer.upper() + "." if chance < 0.5 else wrong)
        scores = [[judge(h, a) for a in r] for h, r in zip(hypotheses, refs)]
        values = [100 * numpy.mean([max(s[k] for s in row) for row in scores]) for k in (0, 1)]
        case(name, dict(measure=name, hypotheses=hypotheses, references=refs), values)


def classify_cases(count):
    for _ in range(count):
        classes, size = random.randint(2, 9), random.choice([1, 7, 300])
        used = random.randint(1, classes)
        truth = [random.randrange(used) for _ in range(size)]
        guess = [t if random.random() < 0.6 else random.randrange(classes) for t in truth]
        values = [sklearn.metrics.accuracy_score(truth, guess)]
        micro = sklearn.metrics.precision_recall_fscore_support(truth, guess, average="micro")[:3]
        assert numpy.allclose(micro, values[0])
        for average in ("macro", "weighted"):
            values += sklearn.metrics.precision_recall_fscore_support(truth, guess, average=average, zero_division=0)[:3]
        each = sklearn.metrics.precision_recall_fscore_support(truth, guess, labels=range(classes), zero_division=0)[:3]
        values += [each[k][c] for c in range(classes) for k in range(3)]
        values += sklearn.metrics.confusion_matrix(truth, guess, labels=range(classes)).flatten().tolist()
        case("classify", dict(measure="classify", classes=classes, truth=truth, predicted=guess), values)
    for i in range(count):
        size = random.choice([2, 10, 500])
        labels = [0, 1] + [random.randrange(2) for _ in range(size)]
        scores = [round(random.gauss(label, 1), i % 3) for label in labels]
        case("auc", dict(measure="auc", scores=scores, labels=labels), [sklearn.metrics.roc_auc_score(labels, scores)])


def text_cases(count):
    stemmer = porter.PorterStemmer()
    stems = sorted({w for line in english + [sentence(WORDS) for _ in range(50)] for w in re.findall("[a-z]+", line.lower())})
    ends = "ies ied eed ing ed ational alli bli logi fulli ization iveness biliti icate ative ness ement ion ll y s".split()
    for i in range(count):
        texts = [sentence(WORDS) for _ in range(20)] + random.sample(english, min(len(english), 20))
        texts += random.sample(chinese, min(len(chinese), 20))
        case("lower", dict(measure="lower", texts=texts), [t.lower() for t in texts])
        for name in ("13a", "zh"):
            tokenizer = sacrebleu.metrics.bleu._get_tokenizer(name)()
            case(name, dict(measure=name, texts=texts), [tokenizer(t.rstrip()) for t in texts])
        words = random.sample(stems, min(len(stems), 200)) + [random.choice(stems) + random.choice(ends) for _ in range(100)]
        words += ["".join(random.choice("aeybcstl") for _ in range(random.randint(1, 5))) + random.choice(ends) for _ in range(100)]
        case("stem", dict(measure="stem", texts=words), [stemmer.stem(w) for w in words])
        n, characters = i % 4 + 1, i % 2 == 1
        grams = [tuple(units[j:j + n]) for t in texts for units in [[c for c in t if not c.isspace()] if characters else t.split()]
                 for j in range(len(units) - n + 1)]
        case("distinct", dict(measure="distinct", n=n, characters=characters, texts=texts), [len(set(grams)) / len(grams)])


bleu_cases(250)
chrf_cases(150)
rouge_cases(150)
answer_cases(200)
classify_cases(75)
text_cases(20)

answers = subprocess.run([program], input="\n".join(cases) + "\n", capture_output=True, text=True, encoding="utf-8")
print(answers.stderr, file=sys.stderr)
got = [json.loads(line) for line in answers.stdout.splitlines()]


def same(one, two):
    if isinstance(two, str):
        return ours(one) == two
    return abs(one - two) < 0.5e-4


wrong = collections.defaultdict(list)
for i, (group, values) in enumerate(zip(groups, expected)):
    mine = got[i] if i < len(got) else []
    bad = [k for k in range(len(values)) if k >= len(mine) or not same(mine[k], values[k])]
    if bad or len(mine) != len(values):
        wrong[group].append(i)
        if len(wrong[group]) <= 3 and bad and bad[0] < len(mine):
            print(group, i, "ours", repr(mine[bad[0]]), "theirs", repr(values[bad[0]]), cases[i][:1500], file=sys.stderr)

names = sorted(set(groups))
print(f"1..{len(names) + 1}")
for number, group in enumerate(names, 1):
    count = groups.count(group)
    print(f"{'not ' if wrong[group] else ''}ok {number} - {group}: {count - len(wrong[group])} of {count} cases agree to 4 decimals")
name = f"SQuAD: torchmetrics' figures for {sum(g == 'squad' for g in groups)} cases"
try:
    from torchmetrics.functional.text import squad as other
    bad = 0
    for i, group in enumerate(groups):
        root = json.loads(cases[i])
        # Where nothing is left of a text it goes by SQuAD 2.0, whose questions may have no answer.
        if group == "squad" and all(normal(t) for t in sum(root["references"], root["hypotheses"])):
            score = other([dict(prediction_text=h, id=str(k)) for k, h in enumerate(root["hypotheses"])],
                          [dict(answers=dict(text=r, answer_start=[0] * len(r)), id=str(k)) for k, r in enumerate(root["references"])])
            bad += abs(float(score["f1"]) - got[i][1]) > 2e-4 or abs(float(score["exact_match"]) - got[i][0]) > 2e-4
    print(f"{'not ' if bad else ''}ok {len(names) + 1} - {name}")
except ImportError:
    print(f"ok {len(names) + 1} - {name} # SKIP torchmetrics is not here")
sys.exit(1 if any(wrong.values()) else 0)
