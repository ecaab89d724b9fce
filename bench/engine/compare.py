#!/usr/bin/env python3
"""Time efcn's embedded engine beside ONNX Runtime, in turns, on the same number of threads.

The models are skeletons of testdata/zoo with random weights, at 224×224 (fill_zoo.py), so nothing
has to be downloaded, or any file of one input. For each model and batch, `efcn run --bench` and ONNX
Runtime take turns, a few runs each, so that whatever else the machine does meets both. Printed are, for each, the median
over the rounds of the rounds' medians and the fastest run of all, the processor time of a run (all
threads together, the least of the rounds, which a busy machine disturbs least, on one thread at that;
ONNX Runtime's threads do not spin in these runs), their ratios, the peak memory of efcn's process, and how far apart the outputs are. Needs onnx, onnxruntime and numpy; builds efcn
with go unless --efcn names one.
"""

import argparse
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "testdata" / "scripts"))

import fill_zoo  # noqa: E402

MODELS = ("resnet18-torchscript", "resnet18-dynamo", "mobilenet_v2-torchscript", "mobilenet_v2-dynamo")
BENCH = re.compile(r"fastest ([\d.]+) ms, median ([\d.]+) ms, slowest [\d.]+ ms \((.*)\)")


def build(folder):
    """Build efcn into folder and return its path."""
    binary = folder / "efcn"
    subprocess.run(["go", "build", "-o", binary, "./cmd/efcn"], cwd=ROOT, check=True)
    return binary


def peak_memory(pid):
    """Return a process's peak memory in MiB, 0 where the system does not say (not Linux)."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0


class Efcn:
    """Rounds of efcn run --bench, each a process of its own."""

    def __init__(self, binary, model, inputs, threads, folder):
        self.outputs = folder / "outputs.npz"
        self.command = [binary, "run", model, "--inputs", inputs, "-o", self.outputs]
        self.command += ["--threads", str(threads)]
        self.blas, self.peak = "", 0

    def round(self, runs):
        """Return the fastest and the median time of so many runs, in milliseconds."""
        process = subprocess.Popen([*self.command, "--bench", str(runs)], stdout=subprocess.PIPE, text=True)
        while process.poll() is None:
            self.peak = max(self.peak, peak_memory(process.pid))
            time.sleep(0.02)
        text = process.stdout.read()
        if process.returncode:
            sys.exit(f"efcn run: exit code {process.returncode}")
        fastest, median, self.blas = BENCH.search(text).groups()
        return float(fastest), float(median)

    def processor(self, runs):
        """Return the processor time of a run in milliseconds, from two processes' difference."""
        spent = []
        for n in (1, 1 + runs):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.round(n)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return (spent[1] - spent[0]) / runs * 1e3


class Runtime:
    """Rounds of ONNX Runtime in this process."""

    def __init__(self, model, batch, threads):
        # Idle threads are not to spin while it is efcn's turn.
        self.session = self.load(model, threads, "session.force_spinning_stop", "1")
        self.patient = self.load(model, threads, "session.intra_op.allow_spinning", "0")
        source = self.session.get_inputs()[0]
        shape = (batch, *source.shape[1:])
        self.feeds = {source.name: np.random.default_rng(batch).standard_normal(shape, np.float32)}
        self.name = self.session.get_outputs()[0].name
        self.output = self.session.run(None, self.feeds)[0]

    def round(self, runs):
        """Return the fastest and the median time of so many runs, in milliseconds."""
        times = []
        self.session.run(None, self.feeds)
        for _ in range(runs):
            start = time.perf_counter()
            self.session.run(None, self.feeds)
            times.append((time.perf_counter() - start) * 1e3)
        return min(times), statistics.median(times)

    def processor(self, runs):
        """Return the processor time of a run in milliseconds."""
        self.patient.run(None, self.feeds)
        start = time.process_time()
        for _ in range(runs):
            self.patient.run(None, self.feeds)
        return (time.process_time() - start) / runs * 1e3

    @staticmethod
    def load(model, threads, key, value):
        """Return a session with one configuration entry."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry(key, value)
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def compare(binary, name, batch, args, folder):
    """Time one model at one batch; print a line; return the BLAS that efcn found."""
    model = pathlib.Path(name)
    if model.suffix != ".onnx":
        model = folder / name / "model.onnx"
        if not model.exists():
            fill_zoo.write(name, model.parent, args.size)
    theirs = Runtime(model, batch, args.threads)
    inputs = folder / f"inputs-{batch}.npz"
    np.savez(inputs, **theirs.feeds)
    ours = Efcn(binary, model, inputs, args.threads, folder)
    rounds = [(ours.round(args.runs), theirs.round(args.runs)) for _ in range(args.rounds)]
    fastest = [min(r[side][0] for r in rounds) for side in (0, 1)]
    median = [statistics.median(r[side][1] for r in rounds) for side in (0, 1)]
    runs = args.runs * (4 if batch == 1 else 1)
    spent = [(ours.processor(runs), theirs.processor(runs)) for _ in range(args.rounds)]
    processor = [min(r[side] for r in spent) for side in (0, 1)]
    got = np.load(ours.outputs)[theirs.name]
    apart = np.abs(got - theirs.output).max() / np.abs(theirs.output).max()
    print(
        f"{model.stem if model.stem != 'model' else name:26}{batch:6}{median[0]:9.1f}{median[1]:9.1f}{median[0] / median[1]:7.2f}"
        f"{fastest[0]:11.1f}{fastest[1]:9.1f}{fastest[0] / fastest[1]:7.2f}"
        f"{processor[0]:11.1f}{processor[1]:9.1f}{processor[0] / processor[1]:7.2f}{ours.peak:9.0f}{apart:10.1e}",
        flush=True,
    )
    return ours.blas


def main():
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all), or a file")
    parser.add_argument("--efcn", type=pathlib.Path, help="a built efcn (default: build one)")
    parser.add_argument("--models", type=pathlib.Path, help="folder to keep the models in (default: none)")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--batch", type=int, action="append", help="may be repeated (default: 1 and 16)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5, help="timed runs in each round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{'':32}{'median, ms':>18}{'':7}{'fastest, ms':>20}{'':7}{'processor, ms':>20}{'':7}{'efcn’s':>9}{'outputs':>10}")
    print(
        f"{'model':26}{'batch':>6}{'efcn':>9}{'ORT':>9}{'ratio':>7}"
        f"{'efcn':>11}{'ORT':>9}{'ratio':>7}{'efcn':>11}{'ORT':>9}{'ratio':>7}{'peak MiB':>9}{'apart':>10}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        binary = args.efcn.resolve() if args.efcn else build(folder)
        for name in args.names or MODELS:
            for batch in args.batch or (1, 16):
                blas = compare(binary, name, batch, args, args.models or folder)
    print(f"onnxruntime {onnxruntime.__version__}; efcn on {blas}; {args.threads} threads")


if __name__ == "__main__":
    main()
