#!/usr/bin/env python3
"""Time two checkouts of efcn against each other, in turns.

compare.py OLD NEW [--rounds 5] [CASE ...]

Builds efcn and bench/step of both checkouts and lets them take turns in every case: a step of
training for each net of bench/step, `efcn run --bench` of the models of bench/engine and
bench/local, `efcn convert` of the paper's AlexNet-32 in three layouts (without the sync, which
times the disk), and `efcn verify` of its local form. Printed are the medians, the ratio new : old
of the medians and of the fastest turns, and at the end their geometric means. Give the same
checkout twice to see what noise alone does. Needs onnx and numpy.
"""

import argparse
import importlib.util
import math
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "testdata" / "scripts"))

import fill_zoo  # noqa: E402
import make_paper_nets  # noqa: E402

STEPS = ("cnn", "efcn", "elcn", "sparse", "resnet", "strided")
ENGINE = ("resnet18-torchscript", "mobilenet_v2-dynamo")
BENCH = re.compile(r"fastest ([\d.]+) ms, median ([\d.]+) ms")


def build(tree, folder):
    """Build efcn and bench/step of a checkout into folder."""
    folder.mkdir()
    for name, package in (("efcn", "./cmd/efcn"), ("step", "./bench/step")):
        subprocess.run(["go", "build", "-o", folder / name, package], cwd=tree, check=True)
    return folder


def output(*command):
    """Run a command and return what it printed."""
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def seconds(*command):
    """Return how long a command takes."""
    begin = time.perf_counter()
    output(*command)
    return time.perf_counter() - begin


class Step:
    """Turns of bench/step, which stays alive between them and trains when told."""

    def __init__(self, folder, net):
        command = [folder / "step", "-answer", "-net", net, "-steps", "4"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()  # its version
        self.turn()

    def turn(self):
        """Return the seconds of a step."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


class Command:
    """Turns of a function that times a process of its own."""

    def __init__(self, turn):
        self.turn = turn
        self.turn()

    def close(self):
        """Nothing stays behind."""


def running(folder, model, batch, work):
    """Return a turn of efcn run --bench: the median, in seconds."""
    source = onnx.load(model, load_external_data=False).graph.input[0]
    shape = [batch, *(d.dim_value for d in source.type.tensor_type.shape.dim[1:])]
    inputs = work / "inputs.npz"
    np.savez(inputs, **{source.name: np.random.default_rng(batch).standard_normal(shape, np.float32)})
    command = (folder / "efcn", "run", model, "--inputs", inputs, "-o", work / "outputs.npz", "--bench", 5 if batch == 1 else 2)
    return lambda: float(BENCH.search(output(*command))[2]) / 1e3


def load(path):
    """Return a script as a module of its folder's name; several are called compare.py."""
    spec = importlib.util.spec_from_file_location(path.parent.name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(old, work):
    """Return the cases: a name, and what makes a side of it from a folder of binaries."""
    local = load(ROOT / "bench" / "local" / "compare.py")
    for net in STEPS:
        yield f"step {net}", lambda folder, net=net: Step(folder, net)
    for name in ENGINE:
        for batch in (1, 16):
            model = work / name / "model.onnx"
            if not model.exists():
                fill_zoo.write(name, model.parent, 224)
            yield f"run {name} × {batch}", lambda f, m=model, b=batch: Command(running(f, m, b, work))
    for name, (layers, classes, layout, batch) in local.CASES.items():
        model = work / f"{name}.onnx"
        onnx.save(local.cnn(layers, classes), work / "cnn.onnx")
        output(old / "efcn", "convert", work / "cnn.onnx", "-o", model, "--layout", layout)
        yield f"run {name} × {batch}", lambda f, m=model, b=batch: Command(running(f, m, b, work))
    output(sys.executable, make_paper_nets.__file__, work, "--only", "alexnet32")
    net, made = work / "alexnet32.onnx", work / "made.onnx"
    for layout in ("dense", "local", "sparse"):
        command = ("convert", net, "-o", made, "--layout", layout, "--no-sync", "-q")
        yield f"convert alexnet32, {layout}", lambda f, c=command: Command(lambda: seconds(f / "efcn", *c))
    output(old / "efcn", "convert", net, "-o", work / "held.onnx", "--layout", "local")
    command = ("verify", net, work / "held.onnx", "-q")
    yield "verify alexnet32, local", lambda f: Command(lambda: seconds(f / "efcn", *command))


def main():
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only those whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{'':34}{'old, ms':>10}{'new, ms':>10}{'medians':>10}{'fastest':>10}")
    medians, fastest = [], []
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        builds = [build(args.old.resolve(), work / "old"), build(args.new.resolve(), work / "new")]
        for name, side in cases(builds[0], work):
            if args.cases and not any(c in name for c in args.cases):
                continue
            sides = [side(b) for b in builds]
            turns = [[s.turn() for s in sides[:: -1 if r % 2 else 1]][:: -1 if r % 2 else 1] for r in range(args.rounds)]
            for s in sides:
                s.close()
            old, new = ([t[i] for t in turns] for i in (0, 1))
            medians.append(statistics.median(new) / statistics.median(old))
            fastest.append(min(new) / min(old))
            times = f"{statistics.median(old) * 1e3:10.1f}{statistics.median(new) * 1e3:10.1f}"
            print(f"{name:34}{times}{medians[-1]:10.3f}{fastest[-1]:10.3f}", flush=True)
    means = [math.exp(statistics.fmean(map(math.log, r))) for r in (medians, fastest)]
    print(f"{'geometric mean':34}{'':20}{means[0]:10.3f}{means[1]:10.3f}")


if __name__ == "__main__":
    main()
