#!/usr/bin/env python3
"""Check eFCNs of nothing but matrices and Relu, and let a network verifier evaluate them.

check_relu.py EFCN converts models with --maxpool relu --fold=all --layout dense by the program EFCN:

    operators   of PyTorch's models only Gemm, MatMul, Add, Relu, Flatten and a last Softmax are
                left, of Keras's their other activations too; onnx.checker accepts the result
    outputs     ONNX Runtime computes from it what it computes from the CNN, to 1e-5 of the largest
    Marabou     reads plain-torchscript and a small net with two poolings, and its solver finds the
                outputs of ONNX Runtime from its own equations, to 1e-4 of the largest

check_relu.py EFCN --read MODEL.onnx converts one model and only lets Marabou read it and its eFCN, and
prints the variables, the processor's seconds and the memory that takes: Marabou writes out every zero of
a matrix, so that the eFCN of lenet-dynamo takes about 7 GB.

Needs numpy, onnx, onnxruntime and maraboupy.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnx.checker
from maraboupy import Marabou
from onnx import TensorProto, helper, numpy_helper

import check_models
from check_models import Failure

MODELS = pathlib.Path(__file__).parent.parent / "models"
DENSE = {"Gemm", "MatMul", "Add", "Relu", "Flatten"}
NAMES = {  # and the operators that may be left besides
    "lenet-torchscript": set(),
    "plain-torchscript": set(),
    "keras-tf2onnx": {"LeakyRelu", "Clip", "Softmax"},
}


def convert(efcn, cnn, out):
    """Convert a CNN to matrices and Relu, and return the operators that are left."""
    command = [efcn, "convert", "-q", cnn, "-o", out, "--maxpool", "relu", "--fold=all"]
    subprocess.run([*command, "--layout", "dense"], check=True, stdout=subprocess.DEVNULL)
    onnx.checker.check_model(str(out), full_check=True)
    return [node.op_type for node in onnx.load(out).graph.node]


def small(path):
    """Write a net with overlapping poolings, one behind a Relu and one behind a convolution."""
    rng = np.random.default_rng(5)

    def weights(name, *shape):
        array = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(array.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"]),
        helper.make_node("MaxPool", ["c2"], ["p2"], kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
        helper.make_node("Relu", ["p2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    initializers = [
        weights("w1", 3, 1, 3, 3), weights("b1", 3), weights("w2", 4, 3, 2, 2), weights("b2", 4),
        weights("w3", 5, 16), weights("b3", 5),
    ]  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 7, 7])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])
    graph = helper.make_graph(nodes, "small", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def largest(got, want):
    """Return the largest difference as a part of the largest wanted value."""
    return max(float(np.abs(got[n] - want[n]).max() / np.abs(want[n]).max()) for n in want)


def check(name, efcn, cnn, allowed, inputs, out):
    """Check the operators and the outputs of one model."""
    left = convert(efcn, cnn, out)
    strange = set(left) - DENSE - allowed
    if strange or left.count("Flatten") > 1 or "Softmax" in left[:-1]:
        raise Failure(f"{name}: operators {left}")
    difference = largest(check_models.run(out, inputs), check_models.run(cnn, inputs))
    if not difference <= 1e-5:
        raise Failure(f"{name}: ONNX Runtime's outputs differ by {difference:.3g}")
    print(f"ok {name}: {' '.join(left)}, largest difference {difference:.2g}")


def evaluate(name, out, inputs, samples):
    """Let Marabou's solver evaluate a model, and compare with ONNX Runtime."""
    network = Marabou.read_onnx(str(out))
    (feed,) = inputs
    for i in range(samples):
        x = inputs[feed][i : i + 1]
        want = check_models.run(out, {feed: x})
        log = str(out) + ".log"
        options = Marabou.createOptions(verbosity=0)
        got = network.evaluateWithMarabou([x], filename=log, options=options)
        if got is None:
            raise Failure(f"{name}: Marabou finds no solution for sample {i}")
        difference = largest(dict(zip(want, got)), want)
        if not difference <= 1e-4:
            raise Failure(f"{name}: Marabou's outputs differ by {difference:.3g} for sample {i}")
    relus = len(network.reluList)
    print(f"ok {name}: Marabou, {network.numVars} variables, {relus} Relu, {samples} samples")


def read(name, path):
    """Let Marabou read a model, and print what that takes."""
    start = time.process_time()
    network = Marabou.read_onnx(str(path))
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {network.numVars} variables, {len(network.reluList)} Relu: {seconds:.1f} s, {memory:.1f} GiB")


def main():
    """Parse the command line and check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("efcn", help="the program")
    parser.add_argument("--read", type=pathlib.Path, metavar="MODEL", help="model to read only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if args.read:
            convert(args.efcn, args.read, folder / "model.onnx")
            read("CNN", args.read)
            read("eFCN", folder / "model.onnx")
            return 0
        try:
            for name, allowed in NAMES.items():
                inputs = check_models.load_npz(MODELS / name / "inputs.npz")
                out = folder / f"{name}.onnx"
                check(name, args.efcn, MODELS / name / "model.onnx", allowed, inputs, out)
                if name == "plain-torchscript":
                    evaluate(name, out, inputs, 2)
                out.unlink()
            small(folder / "small.onnx")
            x = np.random.default_rng(6).standard_normal((20, 1, 7, 7)).astype(np.float32)
            out = folder / "small-relu.onnx"
            check("small", args.efcn, folder / "small.onnx", set(), {"x": x}, out)
            evaluate("small", out, {"x": x}, 20)
        except Failure as e:
            print(f"FAIL {e}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
