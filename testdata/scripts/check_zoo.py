#!/usr/bin/env python3
"""Check efcn on torchvision's architectures against ONNX Runtime. Needs numpy, onnx, onnxruntime.

check_zoo.py EFCN [--only NAME...] [--convert] fills every skeleton of testdata/zoo with random
weights, in a folder of its own that is gone afterwards, and checks, with the program EFCN:

    run       its outputs are ONNX Runtime's, to 1e-4 of the largest of them
    inspect   it describes the model
    convert   (--convert) the eFCN passes onnx.checker, has no Conv, ConvTranspose, AveragePool,
              GlobalAveragePool or BatchNormalization left, and ONNX Runtime computes the CNN's
              outputs from it, to the same tolerance; or, if that takes more than --max-bytes, it is
              refused in one line with exit code 2 and no file

One line a model, with the seconds each step took; the exit code is 1 if one of them failed.
"""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnx.checker

import check_models
import fill_zoo
import zoo
from check_models import Failure

TOLERANCE = 1e-4  # of the largest element of the output
SPREAD = 5e-3  # the least that outputs may differ between images, of the same
EMBEDDED = ("Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "BatchNormalization")


def compare(got, want):
    """Return the greatest difference relative to the largest element of each output."""
    if sorted(got) != sorted(want):
        raise Failure(f"outputs are {sorted(got)}: want {sorted(want)}")
    worst = 0.0
    for name, w in want.items():
        g = got[name]
        if g.shape != w.shape or g.dtype != w.dtype:
            raise Failure(f"output {name!r} is {g.dtype}{g.shape}: want {w.dtype}{w.shape}")
        if not np.isfinite(g).all():
            raise Failure(f"output {name!r}: not finite")
        difference = np.abs(g.astype(np.float64) - w.astype(np.float64)).max()
        relative = float(difference / np.abs(w).max())
        if relative > TOLERANCE:
            raise Failure(f"output {name!r}: differs by {relative:.3g} of its largest element")
        worst = max(worst, relative)
    return worst


def reference(path, inputs):
    """Return ONNX Runtime's outputs, after a look at whether comparing with them means anything."""
    onnx.checker.check_model(str(path))
    want = check_models.run(path, inputs)
    for name, w in want.items():
        if not np.isfinite(w).all():
            raise Failure(f"output {name!r}: not finite")
        if np.abs(w[0] - w[1]).max() < SPREAD * np.abs(w).max():
            raise Failure(f"output {name!r} hardly depends on the input: fill_zoo.py scales badly")
    return want


@dataclasses.dataclass
class Program:
    """The efcn program under test."""

    path: str
    timeout: float  # seconds a command may take

    def call(self, *arguments):
        """Run a command; raise Failure with its message unless it exits with 0."""
        code, message = self.result(*arguments)
        if code != 0:
            raise Failure(f"exit code {code}: {message}")

    def result(self, *arguments):
        """Run a command; return its exit code and what it wrote to stderr."""
        command = [self.path, "--quiet", *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.timeout)
        except subprocess.TimeoutExpired as e:
            raise Failure(f"more than {self.timeout:g} s") from e
        return done.returncode, done.stderr.strip()


def check_run(program, folder, want):
    """Check the outputs that efcn computes; return the greatest relative difference."""
    out = folder / "out.npz"
    inputs = folder / "inputs.npz"
    program.call("run", folder / "model.onnx", "--inputs", inputs, "-o", out)
    return f"{compare(check_models.load_npz(out), want):.1e}"


def check_convert(program, folder, want, options, must):
    """Check the conversion; return the greatest relative difference, or that it was refused.

    It may be, for its size, unless it must not.
    """
    out = folder / "efcn" / "model.onnx"
    out.parent.mkdir()
    code, message = program.result("convert", folder / "model.onnx", "-o", out, *options)
    if code == 2 and "--max-bytes" in message:
        if "\n" in message or any(out.parent.iterdir()):
            raise Failure(f"refused, but not in one line and without a file: {message}")
        if must:
            raise Failure(message)
        return "too large"
    if code != 0:
        raise Failure(f"exit code {code}: {message}")
    onnx.checker.check_model(str(out), full_check=True)
    graph = onnx.load(out, load_external_data=False).graph
    left = [f"{n.op_type} {n.name!r}" for n in graph.node if n.op_type in EMBEDDED]
    if left:
        raise Failure(f"not embedded: {', '.join(left)}")
    inputs = check_models.load_npz(folder / "inputs.npz")
    return f"{compare(check_models.run(out, inputs), want):.1e}"


def check(program, name, folder, args):
    """Check one model, print its line, and return whether it passed."""
    times, results, failures = [], [], []

    def step(label, action, *arguments):
        start = time.time()
        try:
            result = action(*arguments)
        except Exception as e:  # whatever a library raises is this step's failure
            failures.append(f"  {label}: {' '.join(str(e).split())}")
            result = "FAIL"
        times.append(f"{label} {time.time() - start:.1f} s")
        if isinstance(result, str):
            results.append(f"{label} {result}")
        return result

    step("fill", fill_zoo.write, name, folder, args.size)
    inputs = check_models.load_npz(folder / "inputs.npz")
    want = step("reference", reference, folder / "model.onnx", inputs)
    if isinstance(want, dict):
        step("run", check_run, program, folder, want)
        step("inspect", program.call, "inspect", folder / "model.onnx")
        if args.convert:
            options = ["--max-bytes", args.max_bytes]
            if args.layout:
                options += ["--layout", args.layout]
            step("convert", check_convert, program, folder, want, options, args.fits)
    print("FAIL" if failures else "ok  ", name, ", ".join(results), f"({', '.join(times)})")
    for failure in failures:
        print(failure)
    sys.stdout.flush()
    return not failures


def main():
    """Parse the command line, check the models asked for, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("efcn", metavar="EFCN", help="the program to check")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="skeletons (default: all)"
    )
    parser.add_argument("--size", type=int, help="height and width where another is possible")
    parser.add_argument("--convert", action="store_true", help="check conversions too")
    parser.add_argument("--max-bytes", default="1GiB", help="of an eFCN (default: %(default)s)")
    parser.add_argument("--fits", action="store_true", help="none may be too large")
    parser.add_argument("--layout", help="of the eFCN (default: the program's)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds (default: %(default)g)")
    args = parser.parse_args()
    checked = zoo.chosen(parser, args.only)
    program = Program(str(pathlib.Path(args.efcn).resolve()), args.timeout)
    start = time.time()
    passed = 0
    for name in checked:
        with tempfile.TemporaryDirectory() as folder:
            passed += check(program, name, pathlib.Path(folder), args)
    print(f"{passed} of {len(checked)} passed in {time.time() - start:.0f} s")
    return 0 if passed == len(checked) else 1


if __name__ == "__main__":
    sys.exit(main())
