#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Our safetensors against Hugging Face's own reader and writer: the corpus is taken or refused alike (but for the stricter cases),
# what we write reads back there to the bit, and what it writes here.
BUILD=${BUILD:-build/release}
program=$BUILD/test/store/test_safetensors
python=${STENTOR_PYTHON:-python3}
if ! "$python" -c 'import numpy, safetensors.numpy' 2>/dev/null; then
    echo "ok 1 - safetensors_against_python # SKIP Python with numpy and safetensors is not here (STENTOR_PYTHON names one)"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/corpus"
"$program" corpus "$folder/corpus" || { echo "not ok 1 - the corpus can be written"; exit 1; }
"$python" - "$folder" "$program" <<'PYTHON'
import glob, hashlib, os, subprocess, sys
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

folder, program = sys.argv[1:]
number = failed = 0

def report(name, good, why=""):
    global number, failed
    number += 1
    failed += not good
    print(("ok" if good else "not ok"), number, "-", name)
    if not good:
        print("#", why)

different, stricter, cases = [], [], 0
for path in sorted(glob.glob(folder + "/corpus/*.*.safetensors")):
    verdict, name = os.path.basename(path).split(".")[:2]
    try:
        with safe_open(path, framework="np") as file:
            file.keys()
        theirs = "accepted"
    except Exception as error:
        theirs = "refused"
    cases += 1
    if verdict == "stricter":
        stricter.append(name)
        if theirs != "accepted":
            different.append(f"{name}: documented as stricter, but the Rust reader refuses it too")
    elif verdict != theirs:
        different.append(f"{name}: {verdict} here, {theirs} there")
report("corpus_is_judged_as_the_rust_reader_judges_it", not different and cases > 90, "; ".join(different))
print(f"# {cases} files; {len(stricter)} of them only we refuse: {' '.join(stricter)}")

def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<f4").tobytes()).hexdigest()

def lines(tensors, kinds):
    return [f"{name} {kinds[name]}" + "".join(f" {size}" for size in tensors[name].shape) + " " + digest(tensors[name])
            for name in sorted(tensors, key=lambda name: name.encode())]

def show(path):
    return subprocess.run([program, "show", path], capture_output=True, text=True).stdout.splitlines()

written = load_file(folder + "/corpus/written.safetensors")
ours = show(folder + "/corpus/written.safetensors")
report("what_we_write_reads_back_in_python_to_the_bit", lines(written, {name: "F32" for name in written}) == ours, str(ours))
with safe_open(folder + "/corpus/written.safetensors", framework="np") as file:
    report("metadata_says_pt", file.metadata() == {"format": "pt"}, str(file.metadata()))

random = np.random.default_rng(1)
tensors = {
    "transformer.wte.weight": random.standard_normal((65, 16)).astype("<f4"),
    "half": random.standard_normal((7, 3)).astype("<f2"),
    "double": random.standard_normal((5,)).astype("<f8"),
    "none": np.zeros((0, 4), "<f4"),
    "scalar": np.array(3.5, "<f4"),
}
kinds = {"transformer.wte.weight": "F32", "half": "F16", "double": "F64", "none": "F32", "scalar": "F32"}
save_file(tensors, folder + "/theirs.safetensors", metadata={"format": "pt", "note": "众声"})
shown = show(folder + "/theirs.safetensors")
report("what_python_writes_reads_back_here_to_the_bit", shown == lines(tensors, kinds), str(shown))

# Files of the Rust writer with one changed byte of the header: both judge alike, or we are the stricter.
original = open(folder + "/theirs.safetensors", "rb").read()
header = int.from_bytes(original[:8], "little")
looser = []
for i in range(400):
    data = bytearray(original)
    data[int(random.integers(0, 8 + header))] = int(random.choice(list(b'{}[]",:0123456789 -.eE\\ux\x00\xff')))
    path = folder + "/changed.safetensors"
    open(path, "wb").write(data)
    try:
        with safe_open(path, framework="np") as file:
            file.keys()
        continue
    except Exception:
        if not (show(path) or [""])[0].startswith("refused"):
            looser.append(i)
report("nothing_that_the_rust_reader_refuses_is_read_here", not looser, str(looser))
print(f"1..{number}")
sys.exit(failed > 0)
PYTHON
