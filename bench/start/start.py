#!/usr/bin/env python3
"""Time how long a command of efcn takes to start and end.

`efcn --help`, `efcn version` and `efcn inspect` of a small model, and `true` for what starting any
program costs here, take turns. Printed are the fastest and the median time on the clock and the least
processor time, in milliseconds. Needs Python only; builds efcn with go unless --efcn names one.
"""

import argparse
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "testdata" / "models" / "lenet-torchscript" / "model.onnx"


def spent():
    """Return the processor time of the children so far, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command):
    """Return the time on the clock and the processor time of a command, in milliseconds."""
    before, start = spent(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1e3, (spent() - before) * 1e3


def main():
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--efcn", type=pathlib.Path, help="a built efcn (default: build one)")
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        efcn = args.efcn.resolve() if args.efcn else pathlib.Path(folder) / "efcn"
        if not args.efcn:
            subprocess.run(["go", "build", "-o", efcn, "./cmd/efcn"], cwd=ROOT, check=True)
        commands = {
            "true": ["true"],
            "efcn --help": [efcn, "--help"],
            "efcn version": [efcn, "version"],
            "efcn inspect lenet": [efcn, "inspect", MODEL],
        }
        times = {name: [] for name in commands}
        for _ in range(args.runs):
            for name, command in commands.items():
                times[name].append(run(command))
    print(f"{'command':20}{'fastest':>10}{'median':>10}{'processor':>11}")
    for name, pairs in times.items():
        clock, processor = zip(*pairs)
        print(f"{name:20}{min(clock):10.1f}{statistics.median(clock):10.1f}{min(processor):11.1f}")


if __name__ == "__main__":
    main()
