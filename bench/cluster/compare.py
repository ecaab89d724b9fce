#!/usr/bin/env python3
"""Train one network on one rank and on two, in efcn and in PyTorch, in turns, and fit a model of cost.

compare.py --mpirun MPIRUN [--python PYTHON] [--rounds N] [--epochs N] [--steps N]

The network is the dense eFCN of the 64-channel net of arXiv 1906.06766, 74 million weights, batch
250, random images. Sides, each rank on one thread:

  efcn, 1 rank        efcn finetune
  efcn, 2 ranks       mpirun -n 2 efcn finetune
  PyTorch, 1 process  the same matrices
  DDP, 2 processes    DistributedDataParallel over gloo, half of the batch each
  columns, 2          each layer cut by output channels, over gloo: what efcn does

A turn trains some epochs; the first is not counted. What efcn's ranks send is compared with the
formula of docs/mpi.md. The exchanges alone are timed by exchange.go on the same two ranks; the rate
of one rank and their cost predict the step of two ranks, which is compared with the one measured.
Then a table of what the model says of larger nets on a cluster: derived, not measured.

Needs go, and a Python (--python) with numpy, onnx and torch, which is best the one that runs this.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 250
# Inputs and outputs of the large layers, and the values of a sample that are gathered behind each, which
# pooling has made fewer.
LAYERS = [(3 * 32 * 32, 64 * 17 * 17), (64 * 8 * 8, 64 * 8 * 8), (64 * 3 * 3, 64 * 3 * 3)]
GATHERED = [64 * 8 * 8, 64 * 3 * 3, 64]
SUMMED = GATHERED[:-1]  # the classifier, which every rank has whole, sums its gradient for itself

# One node of LUMI-C: two AMD EPYC 7763 of 64 cores, 256 GB, 200 Gbit/s of Slingshot 11
# (doi.org/10.5281/zenodo.10683366).
CLUSTER = {"name": "LUMI-C", "cores": 128, "bytes": 256e9, "bytes per second": 25e9}


def flops(batch, layers):
    """Return the operations of a step: products forward, for the gradients of weights, and of inputs but the first."""
    return sum(2 * batch * fan_in * fan_out * (3 if i else 2) for i, (fan_in, fan_out) in enumerate(layers))


class Efcn:
    """efcn finetune on so many ranks."""

    def __init__(self, args, folder, ranks):
        self.name = f"efcn, {ranks} rank{'s' if ranks > 1 else ''}"
        self.ranks, self.args, self.folder = ranks, args, folder
        self.steps, self.sent, self.loss = [], [], None  # seconds; bytes by rank and call, of the last turn; of its end

    def turn(self):
        """Train and note the seconds of a step in each epoch but the first."""
        folder = self.folder
        command = [folder / "efcn", "finetune", folder / "dense.onnx", "--data", f"npz:{folder}/data.npz"]
        command += ["-o", folder / "trained.onnx", "--epochs", self.args.epochs, "--batch", BATCH, "--lr", 0.01]
        command += ["--threads", 1, "--json", "-v"]
        if self.ranks > 1:
            command = [*self.args.mpirun.split(), "-n", self.ranks, *command]
        ran = run(command)
        epochs = json.loads(ran.stdout)["epochs"]
        self.steps += [e["seconds"] / self.args.steps for e in epochs[1:]]
        self.loss = epochs[-1]["train_loss"]
        self.sent = [int(n) for n in re.findall(r"(?:Iallgatherv|Ireduce_scatter) sent (\d+)", ran.stderr)]


class Torch:
    """torch_ranks.py of one kind."""

    def __init__(self, args, name, kind, ranks):
        self.name, self.kind, self.ranks, self.args = name, kind, ranks, args
        self.steps, self.loss = [], None

    def turn(self):
        """Make as many steps as efcn's counted epochs have."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        steps = self.args.steps * (self.args.epochs - 1)
        script = pathlib.Path(__file__).with_name("torch_ranks.py")
        processes = []
        for rank in range(self.ranks):
            env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            env |= {"RANK": str(rank), "WORLD_SIZE": str(self.ranks)}
            command = [self.args.python, script, self.kind, str(steps), "1"]
            processes.append(subprocess.Popen(command, env=os.environ | env, stdout=subprocess.PIPE, text=True))
        outputs = [p.communicate()[0] for p in processes]
        if any(p.returncode for p in processes):
            sys.exit(f"{self.name}: failed")
        *times, self.loss = map(float, outputs[0].split())
        self.steps += times


def run(command):
    """Run a command, which has to succeed."""
    ran = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{ran.stdout}{ran.stderr}")
    return ran


def prepare(args, folder):
    """Build the programs, and make the network and the data."""
    run(["go", "build", "-o", folder / "efcn", "./cmd/efcn"])
    run(["go", "build", "-o", folder / "exchange", "./bench/cluster"])
    run([args.python, "testdata/scripts/make_paper_nets.py", folder, "--only", "skinnycnn"])
    run([folder / "efcn", "convert", folder / "skinnycnn.onnx", "--layout", "dense", "-o", folder / "dense.onnx"])
    rng = np.random.default_rng(0)
    n = args.steps * BATCH
    np.savez(folder / "data.npz", x=rng.standard_normal((n, 3, 32, 32), dtype=np.float32), y=rng.integers(0, 10, n))


def exchanges(args, folder):
    """Return the seconds of a message and of a byte, by least squares over what exchange.go times, and its rows."""
    ran = run([*args.mpirun.split(), "-n", 2, folder / "exchange"])
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    a = np.array([[r["messages"], r["bytes"]] for r in rows])
    seconds = np.array([r["seconds"] for r in rows])
    weights = 1 / seconds  # relative errors count alike
    (message, byte), *_ = np.linalg.lstsq(a * weights[:, None], seconds * weights, rcond=None)
    return max(message, 0), byte, rows


def exchanged(batch, ranks, gathered, summed):
    """Return the bytes that a rank sends in a step, and in how many calls."""
    return 4 * batch * (sum(gathered) + sum(summed)) * (ranks - 1) / ranks, len(gathered) + len(summed)


def cluster(rate, message):
    """Return a table of what the model says of larger nets, three layers of n to n each."""
    c = CLUSTER
    lines = [
        "| weights | layers | nodes | weights on a node | products | exchange | step | of it exchange |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for weights in (1e9, 1e10, 1e11, 1e12):
        n = (weights / 3) ** 0.5
        for nodes in (8, 64, 512):
            held = 4 * weights / nodes
            if held > c["bytes"]:
                lines.append(f"| {weights:.0e} | 3 × {n:,.0f}² | {nodes} | {held / 1e9:,.1f} GB | does not fit | | | |")
                continue
            products = flops(BATCH, [(n, n)] * 3) / nodes / (rate * c["cores"])
            sent, calls = exchanged(BATCH, nodes, [n] * 3, [n] * 2)
            exchange = calls * (nodes - 1) * message + sent / c["bytes per second"]
            step = products + exchange
            lines.append(
                f"| {weights:.0e} | 3 × {n:,.0f}² | {nodes} | {held / 1e9:,.2f} GB | {products * 1e3:,.1f} ms | "
                f"{exchange * 1e3:,.1f} ms | {step * 1e3:,.1f} ms | {exchange / step:.0%} |"
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mpirun", required=True, help="launcher, with flags that it needs")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--epochs", type=int, default=3, help="epochs in a turn, of which the first is not counted")
    parser.add_argument("--steps", type=int, default=4, help="steps in an epoch")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(args, folder)
        one, two = Efcn(args, folder, 1), Efcn(args, folder, 2)
        torch = [
            Torch(args, "PyTorch, 1 process", "single", 1),
            Torch(args, "DDP, 2 processes", "ddp", 2),
            Torch(args, "columns, 2 processes", "columns", 2),
        ]
        sides = [one, two, *torch]
        for _ in range(args.rounds):
            for side in sides:
                side.turn()
        message, byte, rows = exchanges(args, folder)

    print("| side | median of a step | fastest | to one rank of the same | fastest |\n|---|---:|---:|---:|---:|")
    for side in sides:
        base = one if isinstance(side, Efcn) else torch[0]
        median, fastest = statistics.median(side.steps), min(side.steps)
        print(
            f"| {side.name} | {median * 1e3:.1f} ms | {fastest * 1e3:.1f} ms | "
            f"{statistics.median(base.steps) / median:.2f} | {min(base.steps) / fastest:.2f} |"
        )
    losses = [(side.name, side.loss) for side in sides]
    print("\nlosses at the end: " + ", ".join(f"{name} {loss:.9g}" for name, loss in losses))

    sent, calls = exchanged(BATCH, 2, GATHERED, SUMMED)
    steps = args.steps * args.epochs
    counted = sum(two.sent) / two.ranks / steps
    print(f"a rank sends {counted:,.1f} bytes in a step; the formula says {sent:,.1f}")
    for r in rows:
        model = message * r["messages"] + byte * r["bytes"]
        print(f"{r['call']:16} {r['bytes']:>9,} bytes: {r['seconds'] * 1e6:9.1f} µs, of the model {model * 1e6:9.1f}")
    rate = flops(BATCH, LAYERS) / statistics.median(one.steps)
    predicted = statistics.median(one.steps) / 2 + calls * message + sent * byte
    print(
        f"model: {rate / 1e9:.1f} GF/s on a rank, {message * 1e6:.1f} µs for a message, {1 / byte / 1e9:.2f} GB/s\n"
        f"two ranks: {predicted * 1e3:.1f} ms of the model, {statistics.median(two.steps) * 1e3:.1f} ms measured"
    )
    print(f"\nDerived, not measured: {CLUSTER['name']}, one rank a node, {CLUSTER['cores']} cores at this rate\n")
    print(cluster(rate, message))


if __name__ == "__main__":
    main()
