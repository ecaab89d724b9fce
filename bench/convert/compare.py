"""Time `efcn convert` beside `cp` of what it writes.

compare.py EFCN MODEL [--layout dense] [--max-bytes 64GiB] [--rounds 9] [--folder DIR]

In turns: the conversion, whose output is on the disk when it ends, `cp` of that output beside it,
as cp does it, which leaves the copy in the page cache, then the sync that puts that on the disk,
and the conversion with --no-sync. Every turn starts on a disk that has nothing left to write.
Prints the medians, the ratios of like with like, and the conversion's peak memory beside what its
plan says.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def convert(args, folder, flags=("-q",)):
    """Convert once; returns seconds, peak memory in bytes and what was printed."""
    command = [args.efcn, "convert", *flags, args.model, "-o", str(folder / "efcn.onnx")]
    command += ["--layout", args.layout, "--max-bytes", args.max_bytes]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    if status:
        sys.exit(f"compare.py: {' '.join(command)}: status {status}")
    return seconds, usage.ru_maxrss * 1024, printed


def copy(files):
    """Copy the files with cp; returns seconds without and with a sync."""
    copies = [str(file.with_name("copy-" + file.name)) for file in files]
    begin = time.monotonic()
    for file, target in zip(files, copies):
        subprocess.run(["cp", str(file), target], check=True)
    cached = time.monotonic() - begin
    for target in copies:
        with open(target, "rb+") as handle:
            os.fsync(handle.fileno())
    synced = time.monotonic() - begin
    for target in copies:
        os.unlink(target)
    return cached, synced


def main():
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("model")
    parser.add_argument("--layout", default="dense")
    parser.add_argument("--max-bytes", default="64GiB")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", help="where to write; default the system's temporary folder")
    args = parser.parse_args()
    conversions, unsynced, cached, synced, peak = [], [], [], [], 0
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        plan = json.loads(convert(args, folder, ("-q", "--dry-run", "--json"))[2])["plan"]
        for _ in range(args.rounds):
            for file in folder.glob("efcn.onnx*"):
                file.unlink()
            os.sync()
            seconds, memory, _ = convert(args, folder)
            files = sorted(folder.glob("efcn.onnx*"))
            plain, whole = copy(files)
            os.sync()
            for file in files:
                file.unlink()
            unsynced.append(convert(args, folder, ("-q", "--no-sync"))[0])
            files = sorted(folder.glob("efcn.onnx*"))
            conversions.append(seconds)
            cached.append(plain)
            synced.append(whole)
            peak, size = max(peak, memory), sum(file.stat().st_size for file in files)

    def line(what, times, of, ours):
        ratios = [c / t for c, t in zip(ours, times)]
        print(
            f"{what:9}{statistics.median(times):.3f} s; {of} takes {statistics.median(ratios):.2f}"
            f" times that ({min(ratios):.2f} to {max(ratios):.2f})"
        )

    said = plan["memory_bytes"]["converting"]
    print(f"output   {size / 1e6:,.0f} MB, {args.layout}")
    print(f"convert  {statistics.median(conversions):.3f} s, synced; best {min(conversions):.3f} s")
    print(f"memory   {peak / 1e6:,.0f} MB at its peak; the plan says {said / 1e6:,.0f} MB")
    print(f"no-sync  {statistics.median(unsynced):.3f} s; best {min(unsynced):.3f} s")
    line("cp", cached, "convert --no-sync", unsynced)
    line("cp, sync", synced, "convert", conversions)


if __name__ == "__main__":
    main()
