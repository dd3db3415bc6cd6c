# SPDX-License-Identifier: Apache-2.0
"""Compares `stentor tokenizer` with Hugging Face's tokenizers on every line of real texts (where the folder of data is there)
and on generated lines: files of theirs that we read, files of ours that they read, training on both sides. Prints TAP."""
import glob
import json
import os
import random
import subprocess
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

program, data, folder = sys.argv[1:4]
random.seed(6)
results = []


def check(name, good, say=""):
    results.append(good)
    print(f"{'' if good else 'not '}ok {len(results)} - {name}")
    if not good:
        print(say, file=sys.stderr)


def run(*arguments, text=None):
    done = subprocess.run([program, "tokenizer", *arguments], input=text, capture_output=True)
    if done.returncode:
        raise SystemExit(f"stentor tokenizer {arguments}: {done.stderr.decode()}")
    return done.stdout


# ---- lines ----
PARTS = """a A ab 's 'S 'll 'LL don't I'm 've 1 12 123 1234 12345678 ½ ² ٣ ．
, . ... !!! -- — “q” (x) [y] {z} <|endoftext|> <|im_start|> <unk> ## @@ _x_ a_b $5 50% C++ e.g. http://a.b/c?d=e&f
é e\u0301 Å ﬁ ㎏ ｶﾞ 가 각 中文 你好，世界。 日本語のテスト Ünïcode ΑΒΓ ΛΟΓΟΣ İİ русский עברית العربية हिन्दी क़ ไทย 😀 👨‍👩‍👧 🇨🇳
\u00a0 \u2003 \u3000 \u200b \ufeff \ufffd \u2028 \u180e \x0b \x1c \x7f \x85 \r""".split(" ") + [" ", "  ", "   ", "\t", "\n"]
made = ["".join(random.choice(PARTS + [" "] * 20) for _ in range(random.randint(0, 30))).replace("\n", "") for _ in range(2000)]
made += ["a" * 3000, " " * 3000, "中" * 2000, "ab" * 2000, "1" * 999, "!?" * 500, "'" * 100, "\t \t" * 300]
# Characters of every block, alone and in company; those that came after Unicode 14, or go to other versions' letters, are left out.
for code in list(range(1, 0x3000, 3)) + list(range(0x3000, 0x10000, 37)) + list(range(0x10000, 0x1FA00, 97)):
    if code != 10 and not 0xD800 <= code < 0xE000:
        made.append(chr(code) + "x" + chr(code) * 2 + " " + chr(code))
made = [line for line in made if all(__import__("unicodedata").category(c) != "Cn" for c in line)]
real = []
for name in ["english-books/*.txt", "wikitext-2/valid.txt", "chinese-poetry/tang.txt", "multi30k/val.*", "chnsenticorp/dev.tsv", "thucnews/train.txt",
             "tatoeba-en-zh/train.tsv", "scitldr/dev.jsonl"]:
    for path in sorted(glob.glob(os.path.join(data, name))):
        real += open(path, encoding="utf-8", newline="\n").read().split("\n")
# STENTOR_LINES=0: all of them.
most = int(os.environ.get("STENTOR_LINES", "20000")) or len(real)
real = random.sample(real, min(len(real), most))


def compare(name, ours, theirs, lines):
    """ours: a folder or file; theirs: a Tokenizer."""
    text = "\n".join(lines) + "\n"
    mine = run("encode", ours, text=text.encode()).decode().split("\n")[:-1]
    wrong = [i for i, batch in enumerate(theirs.encode_batch(lines, add_special_tokens=False)) if " ".join(map(str, batch.ids)) != mine[i]]
    check(f"{name}: equal ids on {len(lines):,} lines", not wrong and len(mine) == len(lines),
          "".join(f"{lines[i][:200]!r}\n ours {mine[i][:300]}\n theirs {theirs.encode(lines[i], add_special_tokens=False).ids[:60]}\n" for i in wrong[:3]) + f"{len(wrong)} differ")
    back = run("decode", ours, text="\n".join(mine).encode() + b"\n")
    return back.decode(errors="replace").split("\n")[:-1]


def path(*parts):
    return os.path.join(folder, *parts)


text = ("\n".join(made) + "\n").encode()
open(path("made.txt"), "wb").write(text)
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# ---- files of theirs ----
for name in ("gpt2", "qwen2.5"):
    file = os.path.join(data, "tokenizers", name, "tokenizer.json")
    if not os.path.exists(file):
        print(f"ok {len(results) + 1} - {name}'s tokenizer.json # SKIP {file} is not here")
        results.append(True)
        continue
    theirs = Tokenizer.from_file(file)
    compare(f"{name}, generated", file, theirs, made)
    back = compare(f"{name}, real", file, theirs, real)
    normal = (lambda line: normalizers.NFC().normalize_str(line)) if name == "qwen2.5" else (lambda line: line)
    check(f"{name}: decoding gives the lines back", back == [normal(line) for line in real])
    # Whole texts, with their newlines.
    whole = b"\n".join(line.encode() for line in made)
    mine = run("encode", file, "--whole", text=whole).decode().split()
    check(f"{name}: equal ids of a whole text", list(map(int, mine)) == theirs.encode(whole.decode(), add_special_tokens=False).ids)

# ---- training ----
for pattern, regex in (("gpt2", None), ("llama3", LLAMA3)):
    bpe = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex is None)
    bpe.pre_tokenizer = level if regex is None else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), level])
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=["<|endoftext|>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    sources = [path("made.txt")] + ([os.path.join(data, "multi30k", "train.en"), os.path.join(data, "tatoeba-en-zh", "train.tsv")] if real else [])
    texts = [open(source, encoding="utf-8", newline="").read() for source in sources]
    os.makedirs(path("texts"), exist_ok=True)
    for i, one in enumerate(texts):
        open(path("texts", f"{i}.txt"), "w", encoding="utf-8", newline="").write(one)
    bpe.train_from_iterator(texts, trainer)
    files = []
    for threads in ("1", "2", "5"):
        run("train", path("texts"), "--out", path("bpe" + threads), "--vocabulary", "3000", "--pattern", pattern, "--special", "<|endoftext|>", "--special", "<pad>",
            "--threads", threads)
        files.append(open(path("bpe" + threads, "tokenizer.json")).read())
    check(f"BPE, {pattern}: 1, 2 and 5 threads learn the same", len(set(files)) == 1)
    mine, theirs = json.loads(files[0])["model"], json.loads(bpe.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in theirs["merges"]]
    own = [tuple(m.split(" ")) for m in mine["merges"]]
    first = next((i for i, (a, b) in enumerate(zip(own, merges)) if a != b), None)
    check(f"BPE, {pattern}: their trainer learns the same {len(merges):,} merges", own == merges and mine["vocab"] == theirs["vocab"],
          f"first difference at {first}: {own[first:first + 3] if first is not None else len(own)} {merges[first:first + 3] if first is not None else len(merges)}")
    compare(f"BPE, {pattern}: our file, read by them", path("bpe1"), Tokenizer.from_file(path("bpe1", "tokenizer.json")), made + real[:10000])
    bpe.save(path("theirs.json"))
    compare(f"BPE, {pattern}: their file, read by us", path("theirs.json"), bpe, made)

# ---- words ----
for pattern, lower in (("spaces", False), ("words", True)):
    run("train", path("texts"), "--out", path("word"), "--type", "word", "--pattern", pattern, "--minimum-count", "2", *(["--lower"] if lower else []))
    # Python and we call the same things spaces and letters as long as both know the character.
    compare(f"words, {pattern}: our file, read by them", path("word"), Tokenizer.from_file(path("word", "tokenizer.json")), made + real[:10000])
print(f"1..{len(results)}")
sys.exit(0 if all(results) else 1)
