"""Time `efcn convert` beside copying what it writes.

compare.py EFCN MODEL [--layout dense] [--max-bytes 64GiB] [--rounds 5] [--folder DIR]

In turns: the conversion, and a copy of its output to the same disk that is synced to it, as the
conversion's output is. Prints the medians, their ratio, and the conversion's peak memory.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def convert(args, folder):
    """Convert once; returns seconds, peak memory in bytes and the files written."""
    out = folder / "efcn.onnx"
    command = [args.efcn, "convert", "-q", args.model, "-o", str(out)]
    command += ["--layout", args.layout, "--max-bytes", args.max_bytes]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    if status:
        sys.exit(f"compare.py: {' '.join(command)}: status {status}")
    return seconds, usage.ru_maxrss * 1024, sorted(folder.glob("efcn.onnx*"))


def copy(files):
    """Copy the files once, and have the copies on the disk; returns seconds."""
    begin = time.monotonic()
    for file in files:
        target = file.with_name("copy-" + file.name)
        shutil.copyfile(file, target)
        with open(target, "rb+") as handle:
            os.fsync(handle.fileno())
    seconds = time.monotonic() - begin
    for file in files:
        file.with_name("copy-" + file.name).unlink()
    return seconds


def main():
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("model")
    parser.add_argument("--layout", default="dense")
    parser.add_argument("--max-bytes", default="64GiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to write; default the system's temporary folder")
    args = parser.parse_args()
    conversions, copies, ratios, peak, size = [], [], [], 0, 0
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for _ in range(args.rounds):
            seconds, memory, files = convert(args, pathlib.Path(folder))
            conversions.append(seconds)
            copies.append(copy(files))
            ratios.append(seconds / copies[-1])
            peak, size = max(peak, memory), sum(file.stat().st_size for file in files)
    print(f"output   {size / 1e6:,.0f} MB, {args.layout}")
    print(f"convert  {statistics.median(conversions):.2f} s, peak memory {peak / 1e6:,.0f} MB")
    print(f"copy     {statistics.median(copies):.2f} s")
    print(f"ratio    {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
