#!/usr/bin/env python3
"""Count the instructions of the kernels for arm64, vector code and plain code, in emulation.

Prints a table of instructions per product or element, which BenchmarkVectors of internal/kernel
reports: the difference between so many calls and twice as many, so that what goes before is left
out. Needs Go, gcc, qemu-user and libc6-arm64-cross.
"""

import argparse
import os
import pathlib
import re
import subprocess
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", help="such as CSR_forward; default: all")
    works = parser.parse_args().works
    with tempfile.TemporaryDirectory() as folder:
        counter, program = os.path.join(folder, "count.so"), os.path.join(folder, "kernel.test")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", counter, FOLDER / "count.c"], check=True)
        subprocess.run(
            ["go", "test", "-c", "-o", program, "./internal/kernel"],
            check=True, cwd=ROOT, env=os.environ | {"GOARCH": "arm64", "CGO_ENABLED": "0"},
        )

        def run(benchmark, calls):
            """Return the instructions of a benchmark, and what it printed."""
            done = subprocess.run(
                ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-plugin", counter, program, "-test.run=^$",
                 f"-test.bench=^BenchmarkVectors$/{benchmark}", f"-test.benchtime={calls}x"],
                check=True, cwd=ROOT / "internal/kernel", capture_output=True, text=True,
                env=os.environ | {"GOGC": "off", "GOMAXPROCS": "1", "EFCN_OPENBLAS": "off"},
            )
            return int(re.search(r"instructions (\d+)", done.stderr)[1]), done.stdout

        found = re.findall(r"BenchmarkVectors/(\S+)/(float\d\d)/vectors .* ([\d.]+) products", run("", 1)[1])
        print("| work | elements | plain Go | NEON | ratio |\n|---|---|---:|---:|---:|")
        for work, precision, products in found:
            if works and work not in works:
                continue
            products = float(products)
            # As many calls as make a million products: what is left of the clock is then small.
            calls = 1 + int(1_000_000 / products)
            plain, vectors = (
                (run(name, 2 * calls)[0] - run(name, calls)[0]) / calls / products
                for name in (f"^{work}$/^{precision}$/^{code}$" for code in ("plain", "vectors"))
            )
            row = [work.replace("_", " "), precision, f"{plain:.2f}", f"{vectors:.2f}", f"{plain / vectors:.1f}"]
            print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
