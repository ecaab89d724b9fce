"""Time `efcn verify` beside reading the file, and beside running both models in ONNX Runtime.

compare.py EFCN CNN MODEL [--samples 64] [--batch 32] [--rounds 5] [--cold] [--structure]

In turns: `cat` of MODEL and its external data to /dev/null, the structure check alone, both models
made ready and run on the samples in ONNX Runtime, in a process of their own whose imports are not
counted, and the whole verify. --cold empties the page cache before each (Linux, as root).
--structure leaves out the last two. Prints medians, processor time, peak memory and the ratios
within each turn.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

RUN = """
import sys, time
import numpy, onnxruntime
samples, batch = int(sys.argv[1]), int(sys.argv[2])
begin, spent = time.monotonic(), time.process_time()
for path in sys.argv[3:]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    x = numpy.random.default_rng(0).standard_normal((samples, *feed.shape[1:])).astype("float32")
    for i in range(0, samples, batch):
        session.run(None, {feed.name: x[i : i + batch]})
    del session
print(time.monotonic() - begin, time.process_time() - spent)
"""


def drop_caches():
    """Empty the page cache."""
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")


def timed(command):
    """Run a command; returns seconds, processor seconds and peak memory in bytes."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    if status:
        sys.exit(f"compare.py: {' '.join(command)}: status {status}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def onnx_runtime(args):
    """Run both models in ONNX Runtime; returns what timed does."""
    command = [sys.executable, "-c", RUN, str(args.samples), str(args.batch), args.cnn, args.model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    printed = process.stdout.read().split()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"compare.py: ONNX Runtime: status {status}")
    return float(printed[0]), float(printed[1]), usage.ru_maxrss * 1024


def main():
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("cnn")
    parser.add_argument("model")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--structure", action="store_true")
    args = parser.parse_args()
    files = [args.model] + ([args.model + ".data"] if os.path.exists(args.model + ".data") else [])
    verify = [args.efcn, "verify", args.cnn, args.model]
    works = {
        "cat": lambda: timed(["cat", *files]),
        "structure": lambda: timed([*verify, "--skip", "float64,float32"]),
    }
    if not args.structure:
        works["ONNX Runtime"] = lambda: onnx_runtime(args)
        works["whole verify"] = lambda: timed([*verify, "--samples", str(args.samples)])
    if not args.cold:
        timed(["cat", *files])
    took = {name: [] for name in works}
    for _ in range(args.rounds):
        for name, work in works.items():
            if args.cold:
                drop_caches()
            took[name].append(work())
    print(f"{sum(os.path.getsize(file) for file in files) / 1e6:,.0f} MB, {'cold' if args.cold else 'warm'}")
    for name, turns in took.items():
        seconds, processor, memory = (statistics.median(values) for values in zip(*turns))
        print(f"{name:13}{seconds:8.3f} s, processor {processor:8.3f} s, memory {memory / 1e6:6,.0f} MB")

    def ratios(what, values):
        print(f"{what}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")

    seconds = {name: [turn[0] for turn in turns] for name, turns in took.items()}
    ratios("structure to cat", [s / c for s, c in zip(seconds["structure"], seconds["cat"])])
    if not args.structure:
        peers = zip(seconds["whole verify"], seconds["ONNX Runtime"], seconds["cat"])
        ratios("whole verify to 3 x ONNX Runtime + 1.5 x cat", [w / (3 * o + 1.5 * c) for w, o, c in peers])


if __name__ == "__main__":
    main()
