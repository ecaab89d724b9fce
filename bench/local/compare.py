#!/usr/bin/env python3
"""Time layers and nets in FC space in efcn and beside ONNX Runtime on the same file, in turns.

Cases:
  layer  one locally connected layer, the local form of a 3×3 convolution of 16 to 32 channels on
         32×32, batch 16; efcn runs it in sparse form too, and torch and scipy multiply with the
         same weights as a CSR matrix
  local  the eFCN paper's net of three convolutions to 64 channels in local form, 1,000 images
  dense  the same net in dense form, 1,000 images

Weights are random: time does not depend on them. efcn takes its turns twice, with OpenBLAS if it
finds it and with its own kernels alone. All sides run on the same number of threads. Printed are
the median over the rounds of the rounds' medians, and the fastest run of all. Needs onnx,
onnxruntime and numpy, for the layer also torch and scipy; builds efcn with go unless --efcn names
one.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx
from onnx import helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "engine"))

import compare as engine  # noqa: E402


class Own(engine.Efcn):
    """Rounds of efcn without OpenBLAS."""

    def round(self, runs):
        """Return the fastest and the median time of so many runs, in milliseconds."""
        before = os.environ.get("EFCN_OPENBLAS")
        os.environ["EFCN_OPENBLAS"] = "off"
        try:
            return super().round(runs)
        finally:
            del os.environ["EFCN_OPENBLAS"]
            if before is not None:
                os.environ["EFCN_OPENBLAS"] = before


class Product:
    """Rounds of a function in this process."""

    def __init__(self, function):
        self.function = function
        self.output = np.asarray(function())

    def round(self, runs):
        """Return the fastest and the median time of so many runs, in milliseconds."""
        times = []
        self.function()
        for _ in range(runs):
            start = time.perf_counter()
            self.function()
            times.append((time.perf_counter() - start) * 1e3)
        return min(times), statistics.median(times)


def cnn(layers, classes):
    """Return a CNN on 32×32 images; layers are (in, out, kernel, stride, pad)."""
    rng = np.random.default_rng(1)
    nodes, initializers, at = [], [], "input"

    def add(op, weights=(), **attributes):
        nonlocal at
        names = []
        for shape in weights:
            scale = np.sqrt(2 / max(1, np.prod(shape[1:])))
            names.append(f"w{len(initializers)}")
            initializers.append(numpy_helper.from_array(rng.standard_normal(shape, np.float32) * np.float32(scale), names[-1]))
        nodes.append(helper.make_node(op, [at, *names], [f"v{len(nodes)}"], name=f"{op}{len(nodes)}", **attributes))
        at = nodes[-1].output[0]

    for fan_in, out, kernel, stride, pad in layers:
        add("Conv", [(out, fan_in, kernel, kernel), (out,)], strides=[stride] * 2, pads=[pad] * 4)
        if classes:
            add("Relu")
            add("MaxPool", kernel_shape=[3, 3], strides=[2, 2])
    if classes:
        add("Flatten")
        add("Gemm", [(classes, layers[-1][1]), (classes,)], transB=1)
    inputs = [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["batch", layers[0][0], 32, 32])]
    shape = ["batch", classes] if classes else ["batch", layers[-1][1], "height", "width"]
    outputs = [helper.make_tensor_value_info(at, onnx.TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "cnn", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


LAYER = [(16, 32, 3, 1, 1)]
SKINNY = [(3, 64, 4, 2, 2), (64, 64, 5, 1, 2), (64, 64, 3, 1, 1)]
CASES = {"layer": (LAYER, 0, "local", 16), "local": (SKINNY, 10, "local", 1000), "dense": (SKINNY, 10, "dense", 1000)}


def csr(binary, model, feeds, threads, folder):
    """Return the sides that multiply with the layer as a CSR matrix."""
    import scipy.sparse
    import torch

    warnings.filterwarnings("ignore", message="Sparse")  # that its support is in beta
    torch.set_num_threads(threads)
    subprocess.run([binary, "export", model, "--layer", "Conv0", "-o", folder / "matrix.npz"], check=True, stdout=subprocess.DEVNULL)
    matrix = scipy.sparse.load_npz(folder / "matrix.npz")
    x = np.ascontiguousarray(feeds["input"].reshape(len(feeds["input"]), -1).T)
    theirs, rows = torch.sparse_csr_tensor(matrix.indptr, matrix.indices, matrix.data, matrix.shape), torch.from_numpy(x)
    return {"torch CSR": Product(lambda: torch.sparse.mm(theirs, rows)), "scipy CSR": Product(lambda: matrix @ x)}


def sparse(binary, source, inputs, threads, folder):
    """Return efcn on the CNN's sparse form."""
    model, own = folder / "sparse.onnx", folder / "sparse"
    own.mkdir()
    subprocess.run([binary, "convert", source, "-o", model, "--layout", "sparse"], check=True, stdout=subprocess.DEVNULL)
    return engine.Efcn(binary, model, inputs, threads, own)


def compare(binary, name, args, folder):
    """Time one case and print its lines."""
    layers, classes, layout, batch = CASES[name]
    batch = args.batch or batch
    source, model, inputs = folder / "cnn.onnx", folder / f"{name}.onnx", folder / f"{name}.npz"
    onnx.save(cnn(layers, classes), source)
    subprocess.run([binary, "convert", source, "-o", model, "--layout", layout], check=True, stdout=subprocess.DEVNULL)
    runtime = engine.Runtime(model, batch, args.threads)
    np.savez(inputs, **runtime.feeds)
    sides = {
        "efcn": engine.Efcn(binary, model, inputs, args.threads, folder),
        "efcn, no OpenBLAS": Own(binary, model, inputs, args.threads, folder),
        "ONNX Runtime": runtime,
    }
    if name == "layer":
        sides["efcn, sparse form"] = sparse(binary, source, inputs, args.threads, folder)
        sides |= csr(binary, model, runtime.feeds, args.threads, folder)
    rounds = [{side: runner.round(args.runs) for side, runner in sides.items()} for _ in range(args.rounds)]
    print(f"{name}, batch {batch}")
    for side, runner in sides.items():
        if isinstance(runner, engine.Efcn):
            apart = np.abs(np.load(runner.outputs)[runtime.name] - runtime.output).max() / np.abs(runtime.output).max()
            print(f"  {side:20}outputs {apart:.1e} of the largest from ONNX Runtime's")
    ours = None
    for side, runner in sides.items():
        median, fastest = statistics.median(r[side][1] for r in rounds), min(r[side][0] for r in rounds)
        ours = ours or (median, fastest)
        note = f"  ({runner.blas})" if isinstance(runner, engine.Efcn) else ""
        print(f"  {side:20}median {median:9.3f} ms  ×{median / ours[0]:6.2f}  fastest {fastest:9.3f} ms  ×{fastest / ours[1]:6.2f}{note}", flush=True)


def main():
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--efcn", type=pathlib.Path, help="a built efcn (default: build one)")
    parser.add_argument("--batch", type=int, help="another batch than the case's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5, help="timed runs in each round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        binary = args.efcn.resolve() if args.efcn else engine.build(folder)
        for name in args.names or CASES:
            compare(binary, name, args, folder)
    print(f"onnxruntime {engine.onnxruntime.__version__}, {args.threads} threads")


if __name__ == "__main__":
    main()
