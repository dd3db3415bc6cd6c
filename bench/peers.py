#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast is PyTorch at the same? The same model on the same text, the same number of tokens a step, in PyTorch's newest CPU
build and in `stentor train`, in turns on the same machine: medians of ratios within one run.

    bench/peers.py --setup                     makes a virtual environment of its own with PyTorch (build/peers)
    bench/peers.py --text input.txt            all cases; --case char,gpt2-4x256,gpt2-8x512,ddp-char chooses
    bench/peers.py --text wiki.train.tokens --case lstm
                                               words in a language model of LSTM layers (nn.LSTM), state carried from step to step
    bench/peers.py --text input.txt --to-loss  time from the command line to validation loss 1.88, against nanoGPT's recipe
                                               (its estimate: 20 random batches; ours: all that is held out)

One JSON line a measurement on standard output, a summary at the end. PyTorch is given its best: of eager and torch.compile and
every number of threads, the fastest is found first (--mode fixes it); scaled_dot_product_attention, fused AdamW, clipping and
tied weights are in both. A machine that does other work too slows both, but not alike: `cpu` ratios are of processor time.
Python is needed for this comparison only. STENTOR_PYTHON names an interpreter that has PyTorch.
"""
import argparse, json, os, pathlib, shutil, socket, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

# warm: steps before the clock runs; steps: of one measurement; log: steps from one line of Stentor's log to the next.
CASES = {
    "char": dict(layers=4, heads=4, width=128, context=64, batch=12, vocabulary=65, activation="gelu",
                 warm=20, steps=100, log=10),
    "gpt2-4x256": dict(layers=12, heads=12, width=768, context=256, batch=4, vocabulary=50257, activation="gelu_tanh",
                       warm=1, steps=3, log=1),
    "gpt2-8x512": dict(layers=12, heads=12, width=768, context=512, batch=8, vocabulary=50257, activation="gelu_tanh",
                       warm=1, steps=1, log=1),
}
for name in list(CASES):
    CASES["ddp-" + name] = dict(CASES[name], processes=2)
# The vocabulary is the text's; embedding and output share a table.
CASES["lstm"] = dict(recurrent=True, layers=2, width=200, context=35, batch=20, dropout=0.2, warm=20, steps=40, log=20)


def process_status(pid, key):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


# ---- the PyTorch side: a process of its own that trains when told to ----

def make_model(torch, c, bias=True, deviation=0.02):
    nn, F = torch.nn, torch.nn.functional

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            w = c["width"]
            self.ln_1, self.ln_2 = nn.LayerNorm(w, bias=bias), nn.LayerNorm(w, bias=bias)
            self.c_attn, self.attn_proj = nn.Linear(w, 3 * w, bias=bias), nn.Linear(w, w, bias=bias)
            self.c_fc, self.mlp_proj = nn.Linear(w, 4 * w, bias=bias), nn.Linear(4 * w, w, bias=bias)

        def forward(self, x):
            b, t, w = x.shape
            q, k, v = self.c_attn(self.ln_1(x)).split(w, dim=2)
            q, k, v = (y.view(b, t, c["heads"], w // c["heads"]).transpose(1, 2) for y in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.attn_proj(y.transpose(1, 2).contiguous().view(b, t, w))
            approximate = "tanh" if c["activation"] == "gelu_tanh" else "none"
            return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate=approximate))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte = nn.Embedding(c["vocabulary"], c["width"])
            self.wpe = nn.Embedding(c["context"], c["width"])
            self.h = nn.ModuleList(Layer() for _ in range(c["layers"]))
            self.ln_f = nn.LayerNorm(c["width"], bias=bias)
            for name, p in self.named_parameters():
                if p.dim() > 1:
                    scale = (2 * c["layers"]) ** -0.5 if "_proj" in name else 1
                    nn.init.normal_(p, std=deviation * scale)
                elif name.endswith("bias"):
                    nn.init.zeros_(p)

        def forward(self, tokens, targets):
            x = self.wte(tokens) + self.wpe(torch.arange(tokens.size(1)))
            for layer in self.h:
                x = layer(x)
            logits = F.linear(self.ln_f(x), self.wte.weight)
            return F.cross_entropy(logits.view(-1, c["vocabulary"]), targets.view(-1))

    return Model()


def make_recurrent(torch, c):
    nn, F = torch.nn, torch.nn.functional

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(c["vocabulary"], c["width"])
            self.layers = nn.LSTM(c["width"], c["width"], c["layers"], dropout=c["dropout"])
            self.bias = nn.Parameter(torch.zeros(c["vocabulary"]))
            nn.init.uniform_(self.table.weight, -0.1, 0.1)
            self.state = None

        def forward(self, tokens, targets):
            x = F.dropout(self.table(tokens.t()), c["dropout"])
            x, state = self.layers(x, self.state)
            self.state = tuple(s.detach() for s in state)
            logits = F.linear(F.dropout(x, c["dropout"]), self.table.weight, self.bias)
            return F.cross_entropy(logits.view(-1, c["vocabulary"]), targets.t().reshape(-1))

    return Model()


class Peer:
    def __init__(self, how):
        import torch
        self.torch, self.how, self.c = torch, how, how["case"]
        torch.set_num_threads(how["threads"])
        torch.manual_seed(how.get("seed", 1337))
        text = open(how["text"], encoding="utf-8").read()
        if self.c.get("recurrent"):
            text = [word for line in text.splitlines() for word in line.split() + ["<eos>"]]
        ids = {token: i for i, token in enumerate(sorted(set(text)))}
        tokens = torch.tensor([ids[token] for token in text])
        held = int(len(tokens) * (1 - how.get("held_out", 0)))
        self.train, self.valid = tokens[:held], tokens[held:]
        if how["processes"] > 1:
            torch.distributed.init_process_group("gloo", rank=how["rank"], world_size=how["processes"],
                                                 init_method=f"tcp://127.0.0.1:{how['port']}")
        if self.c.get("recurrent"):
            self.c["vocabulary"], self.place = len(ids), 0
            self.model = make_recurrent(torch, self.c)
        else:
            self.model = make_model(torch, self.c, how.get("bias", True), how.get("deviation", 0.02))
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                                           lr=1e-3, betas=(0.9, 0.99), fused=True)
        self.parameters = list(self.model.parameters())
        self.run = self.model
        if how["processes"] > 1:
            self.run = torch.nn.parallel.DistributedDataParallel(self.model)
        if how["mode"] == "compile":
            self.run = torch.compile(self.run)
        self.rows = self.c["batch"] // how["processes"]

    # Rows that go on where they ended in the step before, or rows from anywhere.
    def batch(self, tokens):
        t = self.c["context"]
        if self.c.get("recurrent"):
            columns = tokens[:len(tokens) // self.rows * self.rows].view(self.rows, -1)
            if self.place + t + 1 > columns.size(1):
                self.place = 0
            at, self.place = self.place, self.place + t
            return columns[:, at:at + t], columns[:, at + 1:at + t + 1]
        start = self.torch.randint(len(tokens) - t, (self.rows,))
        x = self.torch.stack([tokens[i:i + t] for i in start])
        y = self.torch.stack([tokens[i + 1:i + 1 + t] for i in start])
        return x, y

    def loss(self, x, y):
        if self.how["precision"] == "bf16":
            with self.torch.autocast("cpu", dtype=self.torch.bfloat16):
                return self.run(x, y)
        return self.run(x, y)

    def step(self):
        loss = self.loss(*self.batch(self.train))
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def steps(self, count):
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            loss = self.step()
        return dict(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu, steps=count, loss=loss,
                    peak_bytes=process_status("self", "VmHWM"), version=self.torch.__version__)

    # nanoGPT's train.py: warm-up, cosine, an estimate from 20 batches of the held-out tenth every 250 steps.
    def to_loss(self, goal, began):
        import math
        torch, reached, estimate = self.torch, None, None
        for i in range(2001):
            if i and i % 250 == 0:
                with torch.no_grad():
                    estimate = statistics.mean(self.loss(*self.batch(self.valid)).item() for _ in range(20))
                print(f"peers: step {i}, estimate {estimate:.3f}, {time.time() - began:.1f} s", file=sys.stderr, flush=True)
                if estimate <= goal:
                    reached = i
                    break
            if i == 2000:
                break
            rate = 1e-3 * i / 100 if i < 100 else 1e-4 + 0.5 * (1 + math.cos(math.pi * (i - 100) / 1900)) * 9e-4
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.step()
        return dict(seconds=time.time() - began, cpu_seconds=time.process_time(), reached_step=reached, estimate=estimate)


def child(how):
    peer = Peer(how)
    if how.get("goal"):
        print(json.dumps(peer.to_loss(how["goal"], how["began"])), flush=True)
        return
    peer.steps(how["case"]["warm"])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.steps(int(line))), flush=True)


class Torch:
    """PyTorch processes that stay, warm, while Stentor has its turn."""

    def __init__(self, options, case, mode, threads, precision):
        processes, port = case.get("processes", 1), 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), TORCHINDUCTOR_COMPILE_THREADS="1")
        self.processes = []
        for rank in range(processes):
            how = dict(case=case, mode=mode, threads=threads, precision=precision, text=str(options.text), processes=processes,
                       rank=rank, port=port)
            self.processes.append(subprocess.Popen([options.python, __file__, "--child", json.dumps(how)], env=environment,
                                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self.answers()

    def answers(self):
        lines = [p.stdout.readline() for p in self.processes]
        if not all(lines):
            self.close()
            raise RuntimeError("PyTorch's process ended")
        return [json.loads(line) for line in lines]

    def steps(self, count):
        for p in self.processes:
            p.stdin.write(f"{count}\n")
            p.stdin.flush()
        answers = self.answers()
        return dict(answers[0], peak_bytes=sum(a["peak_bytes"] for a in answers),
                    cpu_seconds=sum(a["cpu_seconds"] for a in answers))

    def close(self):
        for p in self.processes:
            p.kill()
            p.wait()


# ---- our side ----

def settings(options, case, precision, folder):
    c, workers = case, options.workers
    # Products of at least 512 rows, where a worker's share of the batch has them; larger ones only take memory.
    micro = options.micro_batch or next(m for m in range(1, c["batch"] + 1) if c["batch"] % m == 0 and
                                        (m * c["context"] >= 512 or m * workers >= c["batch"]))
    if c.get("recurrent"):
        kind = {"model.type": "lstm_lm", "model.hidden": c["width"], "model.tied": "true", "model.dropout": c["dropout"],
                "data.tokenizer": "word", "data.carry": "true"}
    else:
        kind = {"model.heads": c["heads"], "model.activation": c["activation"], "model.vocabulary": c["vocabulary"],
                "data.tokenizer": "char"}
    pairs = {**kind, "model.layers": c["layers"], "model.width": c["width"], "model.context": c["context"],
             "data.train": options.text, "data.valid_fraction": 0, "data.cache": f"{folder}/cache", "train.batch": c["batch"],
             "train.micro_batch": micro, "train.leaves": workers, "train.eval_every": 0, "train.save_every": 0, "train.log_every": c["log"],
             "train.steps": 1000000, "train.learning_rate": 1e-3, "train.clip": 1, "parallel.workers": workers,
             "train.precision": precision, "out": f"{folder}/run"}
    words = [word for pair in pairs.items() for word in ("--set", f"{pair[0]}={pair[1]}")]
    return words + [word for one in options.set for word in ("--set", one)]


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
        except OSError:
            pass
    return total * 1e-9


def log_lines(path):
    try:
        return [json.loads(line) for line in open(path) if line.endswith("\n")]
    except OSError:
        return []


# Trains until the log has warm + steps steps, and is then ended: what it took between the two, and its peak memory.
def stentor_steps(options, case, precision, folder):
    shutil.rmtree(f"{folder}/run", ignore_errors=True)
    empty = pathlib.Path(folder, "empty.yaml")
    empty.write_text("task: lm\n")
    began = max(case["warm"], case["log"])
    ended = began + case["steps"]
    with open(f"{folder}/stentor.txt", "w+") as said:
        process = subprocess.Popen([options.program, "train", str(empty), "--quiet"] + settings(options, case, precision, folder),
                                   stderr=said, stdout=said)
        first = last = None
        log, size = pathlib.Path(folder, "run/log.jsonl"), -1
        while last is None:
            time.sleep(0.004)
            if process.poll() is not None:
                said.seek(0)
                raise RuntimeError(f"stentor ended: {said.read().strip()}")
            if not log.exists() or log.stat().st_size == size:
                continue
            cpu, size = cpu_seconds(process.pid), log.stat().st_size
            for line in log_lines(log):
                if line["_step"] >= began and first is None:
                    first = (line["_step"], line["_time"], cpu)
                if line["_step"] >= ended:
                    last = (line["_step"], line["_time"], cpu)
                    break
        peak = process_status(process.pid, "VmHWM")
        process.kill()
        process.wait()
    return dict(seconds=last[1] - first[1], cpu_seconds=last[2] - first[2], steps=last[0] - first[0], loss=line["train/loss"],
                peak_bytes=peak)


def stentor_operations(options, case, folder):
    empty = pathlib.Path(folder, "empty.yaml")
    empty.write_text("task: lm\n")
    words = [options.program, "inspect", str(empty), "--json"] + settings(options, case, "auto", folder)
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["operations_per_step"]


# The FMA peak of all cores, operations a second, measured between the turns.
def stentor_peak(options):
    done = subprocess.run([options.program, "bench", "--json"], capture_output=True, text=True)
    if done.returncode:
        return 0
    return json.loads(done.stdout)["fma"]["all_cores"]


# ---- the comparison ----

def say(text):
    print("peers:", text, file=sys.stderr, flush=True)


def per_step(measured):
    return measured["seconds"] / measured["steps"]


# PyTorch's fastest of modes and threads, still running.
def best_torch(options, case, precision):
    if case.get("processes", 1) > 1:
        choices = [("eager", max(1, CORES // case["processes"]))]
    elif options.mode:
        mode, threads = options.mode.split(":")
        choices = [(mode, int(threads))]
    else:
        choices = [(mode, threads) for mode in ("eager", "compile") for threads in sorted({1, (CORES + 1) // 2, CORES}, reverse=True)]
    best, found = None, None
    for mode, threads in choices:
        try:
            torch = Torch(options, case, mode, threads, precision)
            # Of three, the fastest: neighbours on the machine only ever slow one down.
            measured = min((torch.steps(case["steps"]) for _ in range(1 if len(choices) == 1 else 3)), key=per_step)
        except RuntimeError as error:
            say(f"{mode}, {threads} threads: {error}")
            continue
        say(f"{precision} {mode}, {threads} threads: {1e3 * per_step(measured):.1f} ms a step")
        if best is None or per_step(measured) < per_step(found[2]):
            if best:
                best.close()
            best, found = torch, (mode, threads, measured)
        else:
            torch.close()
    if best is None:
        raise RuntimeError("PyTorch runs in no mode")
    return best, found[0], found[1]


def compare(options, name, precision, summary):
    case = CASES[name]
    folder = tempfile.mkdtemp(prefix="stentor-peers-")
    torch = None
    try:
        operations = stentor_operations(options, case, folder)
        stentor_steps(options, case, precision, folder)  # its tokens are kept from here on; fails early where it must
        torch, mode, threads = best_torch(options, case, precision)
        tokens, rows = case["batch"] * case["context"], []
        for turn in range(options.rounds):
            peak = stentor_peak(options)
            pair = {"pytorch": torch.steps(case["steps"]), "stentor": stentor_steps(options, case, precision, folder)}
            for who, measured in pair.items():
                line = dict(bench="peers", case=name, precision=precision, who=who, turn=turn, ms=1e3 * per_step(measured),
                            cpu_ms=1e3 * measured["cpu_seconds"] / measured["steps"], tokens_per_second=tokens / per_step(measured),
                            peak_bytes=measured["peak_bytes"], loss=measured["loss"])
                if who == "pytorch":
                    line.update(mode=mode, threads=threads, version=measured["version"])
                if peak:
                    line.update(fma_peak=peak, of_fma_peak=operations / per_step(measured) / peak)
                print(json.dumps(line), flush=True)
                rows.append(line)
    except RuntimeError as error:
        say(f"{name}, {precision}: skipped: {error}")
        return
    finally:
        if torch:
            torch.close()
        shutil.rmtree(folder, ignore_errors=True)
    of = {who: [r for r in rows if r["who"] == who] for who in ("pytorch", "stentor")}
    median = lambda who, key: statistics.median(r[key] for r in of[who])
    ratio = lambda key: statistics.median(p[key] / s[key] for p, s in zip(of["pytorch"], of["stentor"]))
    line = dict(bench="peers", case=name, precision=precision, mode=mode, threads=threads, rounds=options.rounds,
                workers=options.workers, speed_ratio=ratio("ms"), cpu_ratio=ratio("cpu_ms"), memory_ratio=1 / ratio("peak_bytes"),
                pytorch={key: median("pytorch", key) for key in ("ms", "cpu_ms", "tokens_per_second", "peak_bytes")},
                stentor={key: median("stentor", key) for key in ("ms", "cpu_ms", "tokens_per_second", "peak_bytes")})
    if rows[0].get("fma_peak"):
        for who in of:
            line[who]["of_fma_peak"] = median(who, "of_fma_peak")
    print(json.dumps(line), flush=True)
    summary.append(line)


def print_summary(summary):
    print(f"\n{'case':16} {'precision':9} {'PyTorch':>16} {'tokens/s':>9} {'of peak':>7} {'MB':>6}   {'Stentor':>9} {'of peak':>7} "
          f"{'MB':>6}   {'speed':>6} {'cpu':>6} {'memory':>6}", file=sys.stderr)
    for s in summary:
        p, o = s["pytorch"], s["stentor"]
        share = lambda side: f"{100 * side['of_fma_peak']:5.1f} %" if "of_fma_peak" in side else "      -"
        print(f"{s['case']:16} {s['precision']:9} {s['mode'] + ' ' + str(s['threads']):>16} {p['tokens_per_second']:9.0f} {share(p)} "
              f"{p['peak_bytes'] / 1e6:6.0f}   {o['tokens_per_second']:9.0f} {share(o)} {o['peak_bytes'] / 1e6:6.0f}   "
              f"{s['speed_ratio']:6.2f} {s['cpu_ratio']:6.2f} {s['memory_ratio']:6.2f}", file=sys.stderr)


# Seconds from the command line to a held-out loss of at most 1.88. Ours is over the whole held-out tenth.
def stentor_to_loss(options, folder):
    began = time.time()
    process = subprocess.Popen([options.program, "train", str(HERE / "examples/shakespeare.yaml"), "--quiet", "--set",
                                f"data.train={options.text}", "--set", f"out={folder}/run", "--set", "train.save_every=0",
                                "--workers", str(options.workers)] + [w for one in options.set for w in ("--set", one)])
    log, found = pathlib.Path(folder, "run/log.jsonl"), None
    while found is None and process.poll() is None:
        time.sleep(0.01)
        found = next((line for line in log_lines(log) if line.get("val/loss", 9) <= options.goal), None)
    seconds = time.time() - began
    process.kill()
    usage = os.wait4(process.pid, 0)[2]
    return dict(seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, reached_step=found and found["_step"], estimate=found and found["val/loss"])


def torch_to_loss(options, deviation, bias, mode, threads):
    how = dict(case=CASES["char"], mode=mode, threads=threads, precision="float32", text=str(options.text), processes=1, rank=0,
               port=0, held_out=0.1, bias=bias, deviation=deviation, goal=options.goal, began=time.time())
    done = subprocess.run([options.python, __file__, "--child", json.dumps(how)], stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, OMP_NUM_THREADS=str(threads)))
    return json.loads(done.stdout.splitlines()[-1])


def compare_to_loss(options):
    mode, threads = (options.mode or f"eager:{CORES}").split(":")
    for turn in range(options.rounds):
        folder = tempfile.mkdtemp(prefix="stentor-peers-")
        turns = [("stentor", lambda: stentor_to_loss(options, folder)),
                 ("pytorch, nanoGPT's recipe", lambda: torch_to_loss(options, 0.02, False, mode, int(threads))),
                 ("pytorch, our biases and initial deviation", lambda: torch_to_loss(options, 0.06, True, mode, int(threads)))]
        ours = None
        for who, measure in turns:
            measured = measure()
            ours = ours or measured
            print(json.dumps(dict(bench="to-loss", goal=options.goal, turn=turn, who=who, **measured,
                                  stentor_over_this=ours["seconds"] / measured["seconds"],
                                  cpu_stentor_over_this=ours["cpu_seconds"] / measured["cpu_seconds"])), flush=True)
        shutil.rmtree(folder, ignore_errors=True)


# PyTorch itself comes from its index of CPU builds (or where pip has been told to look for files), never from PyPI, whose build
# brings gigabytes for GPUs; what it needs comes from where pip looks by itself.
def setup(folder):
    python, index = str(folder / "bin/python"), "https://download.pytorch.org/whl/cpu"
    pip = [python, "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "30"]
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    found = subprocess.run(pip + ["--no-deps", "--index-url", index, "torch"], env=dict(os.environ, PIP_EXTRA_INDEX_URL=index))
    if found.returncode:
        sys.exit(f"peers: no CPU build of PyTorch from {index}; set STENTOR_PYTHON to a Python that has one")
    subprocess.run(pip + ["torch", "setuptools", "numpy"], check=True)
    version = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], check=True, capture_output=True, text=True)
    say(f"PyTorch {version.stdout.strip()} is in {folder}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--child":
        return child(json.loads(sys.argv[2]))
    own = HERE / "build/peers"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="makes the virtual environment, and ends")
    parser.add_argument("--text", type=pathlib.Path, help="tiny Shakespeare: any text of 65 characters or fewer does but for --to-loss")
    parser.add_argument("--case", default="char,gpt2-4x256,gpt2-8x512,ddp-char", help="of " + ", ".join(CASES))
    parser.add_argument("--precision", default="float32", help="float32, bf16 or both, with a comma")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--mode", help="PyTorch's, as eager:2 or compile:1, instead of searching")
    parser.add_argument("--workers", type=int, default=CORES)
    parser.add_argument("--micro-batch", type=int, default=0, help="ours; 0: chosen")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="more of our run file")
    parser.add_argument("--steps", type=int, help="steps of one measurement, instead of the case's own")
    parser.add_argument("--program", default=os.path.join(os.environ.get("BUILD", str(HERE / "build/release")), "stentor"))
    parser.add_argument("--to-loss", action="store_true")
    parser.add_argument("--goal", type=float, default=1.88)
    options = parser.parse_args()
    if options.setup:
        return setup(own)
    options.python = os.environ.get("STENTOR_PYTHON") or str(own / "bin/python")
    if not options.text or not options.text.exists():
        parser.error("--text FILE is missing")
    if subprocess.run([options.python, "-c", "import torch"], capture_output=True).returncode:
        sys.exit("peers: no PyTorch; run bench/peers.py --setup, or set STENTOR_PYTHON to a Python that has it")
    if options.to_loss:
        return compare_to_loss(options)
    summary = []
    for name in options.case.split(","):
        if name not in CASES:
            parser.error(f"--case {name}: there are {', '.join(CASES)}")
        if options.steps:
            CASES[name]["steps"] = options.steps
        for precision in options.precision.split(","):
            compare(options, name, precision, summary)
    print_summary(summary)


if __name__ == "__main__":
    main()
