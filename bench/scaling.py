#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is a second worker worth? One and two workers, as threads and as MPI processes, and PyTorch alone and in DDP with gloo: the
same model on the same text, every one of them with one thread a worker, in turns on the same machine.

    bench/scaling.py --text input.txt          --case char,gpt2-2x256 chooses; --rounds 5 turns of each

Strong: the same batch shared by two; efficiency is t(1) / (2 t(2)). Weak: twice the batch for two; efficiency is t(1) / t(2). Medians
of ratios within one turn. One JSON line a measurement on standard output, a table at the end. PyTorch is left out, and said so, where
there is no Python that has it (STENTOR_PYTHON, or bench/peers.py --setup); MPI where there is no mpirun.
"""
import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import peers

CASES = {
    "char": dict(peers.CASES["char"], batch=12, steps=200, log=20),
    "gpt2-2x256": dict(peers.CASES["gpt2-4x256"], batch=2, steps=3),
}
WAYS = {"threads": (0, 2), "mpi": (2, 1)}  # processes of mpirun, workers of each


# Milliseconds a step, from the log of a run that is left to end by itself.
def stentor(options, case, processes, workers, folder):
    shutil.rmtree(f"{folder}/run", ignore_errors=True)
    empty = pathlib.Path(folder, "empty.yaml")
    empty.write_text("task: lm\n")
    began = -(-max(case["warm"], case["log"]) // case["log"]) * case["log"]
    # Both of two leaves have a micro-batch, also where one worker computes both: the same arithmetic whoever shares it.
    shares = max(2, max(1, processes) * workers)
    micro = max(1, min(case["batch"] // shares, 512 // case["context"]))
    while case["batch"] % (micro * shares):
        micro -= 1
    words = [options.program, "train", str(empty), "--quiet"] + peers.settings(options, case, "float32", folder)
    for pair in (f"train.steps={began + case['steps']}", f"parallel.workers={workers}", "train.leaves=2", f"train.micro_batch={micro}"):
        words += ["--set", pair]
    if processes:
        as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        words = [options.mpirun] + as_root + ["--oversubscribe", "-n", str(processes)] + words
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:6])} …: {done.stderr.strip()[-400:]}")
    lines = {line["_step"]: line for line in peers.log_lines(f"{folder}/run/log.jsonl") if "train/loss" in line}
    return 1e3 * (lines[began + case["steps"]]["_time"] - lines[began]["_time"]) / case["steps"]


def torch(options, case, processes):
    peer = peers.Torch(options, dict(case, processes=processes), "eager", 1, "float32")
    try:
        return 1e3 * peers.per_step(peer.steps(case["steps"]))
    finally:
        peer.close()


def measure(options, who, count, case, folder):
    if who == "pytorch":
        return torch(options, case, count)
    processes, workers = WAYS[who] if count == 2 else (1 if who == "mpi" else 0, 1)
    return stentor(options, case, processes, workers, folder)


def compare(options, name, summary):
    case, folder, found = CASES[name], tempfile.mkdtemp(prefix="stentor-scaling-"), {}
    doubled = dict(case, batch=2 * case["batch"])
    try:
        for turn in range(options.rounds):
            for who in options.who:
                one = measure(options, who, 1, case, folder)
                pairs = {"strong": one / (2 * measure(options, who, 2, case, folder)), "weak": one / measure(options, who, 2, doubled, folder)}
                for kind, efficiency in pairs.items():
                    found.setdefault((who, kind), []).append(efficiency)
                    print(json.dumps(dict(bench="scaling", case=name, turn=turn, who=who, kind=kind, ms_one=one, efficiency=efficiency)), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for (who, kind), values in found.items():
        summary.append((name, who, kind, statistics.median(values), min(values), max(values)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--case", default="char,gpt2-2x256", help="of " + ", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="more of our run file")
    parser.add_argument("--program", default=os.path.join(os.environ.get("BUILD", str(peers.HERE / "build/release")), "stentor"))
    parser.add_argument("--mpirun", default=shutil.which("mpirun.openmpi") or shutil.which("mpirun"))
    options = parser.parse_args()
    options.workers, options.micro_batch, options.who = 2, 0, ["threads"]
    options.python = os.environ.get("STENTOR_PYTHON") or str(peers.HERE / "build/peers/bin/python")
    has_torch = shutil.which(options.python) and not subprocess.run([options.python, "-c", "import torch"], capture_output=True).returncode
    for who, there, lacking in (("mpi", options.mpirun, "no mpirun here: MPI is left out"),
                                ("pytorch", has_torch, "no PyTorch here: it is left out (bench/peers.py --setup)")):
        if there:
            options.who.append(who)
        else:
            peers.say(lacking)
    summary = []
    for name in options.case.split(","):
        if name not in CASES:
            parser.error(f"--case {name}: there are {', '.join(CASES)}")
        compare(options, name, summary)
    print(f"\n{'case':12} {'who':9} {'kind':7} efficiency (least, most)", file=sys.stderr)
    for name, who, kind, median, least, most in summary:
        print(f"{name:12} {who:9} {kind:7} {median:10.3f} ({least:.3f}, {most:.3f})", file=sys.stderr)


if __name__ == "__main__":
    main()
