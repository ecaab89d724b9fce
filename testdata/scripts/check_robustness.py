#!/usr/bin/env python3
"""Let Marabou decide whether a net is locally robust, as a CNN and as its eFCN.

check_robustness.py EFCN makes a small CNN with a MaxPool and converts it by the program EFCN to matrices
and Relu (--maxpool relu --fold=all). Marabou reads both, and is asked for every other class whether an
input within a distance of a sample reaches it, in a property of VNN-LIB 2.0 that vnnlib reads: the answers have to be the same, each an input that ONNX
Runtime confirms, or none. Both answers have to occur.

It prints how wide the bounds of interval arithmetic on the outputs are in either form, and how long
Marabou takes to read and to answer: the figures of docs/for-verifiers.md.

Needs maraboupy, numpy, onnx, onnxruntime and vnnlib.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import vnnlib
import vnnlib.compat
from maraboupy import Marabou
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

SIDE, CLASSES = 6, 3
DISTANCES = [0.02, 0.25]


def make(path):
    """Write the CNN."""
    rng = np.random.default_rng(8)

    def weights(name, *shape):
        array = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(array.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    initializers = [
        weights("w1", 2, 1, 3, 3), weights("b1", 2), weights("w2", 3, 2, 2, 2), weights("b2", 3),
        weights("w3", CLASSES, 12), weights("b3", CLASSES),
    ]  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "small", [x], [y], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def widths(path, x, distance):
    """Return how wide interval arithmetic leaves the outputs: middle and radius, node by node."""
    model = onnx.load(path)
    constants = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
    (feed,) = model.graph.input
    low, high = {feed.name: x - distance}, {feed.name: x + distance}
    for node in model.graph.node:
        first, weights = node.input[0], [constants[name] for name in node.input[1:] if name in constants]

        def run(value, *rest):
            feeds = dict(zip(node.input, (value, *rest)))
            return ReferenceEvaluator(node).run(None, feeds)[0]

        if node.op_type in ("Conv", "Gemm"):
            middle, radius = (low[first] + high[first]) / 2, (high[first] - low[first]) / 2
            centre = run(middle, *weights)
            spread = run(radius, np.abs(weights[0]), *(np.zeros_like(b) for b in weights[1:]))
            low[node.output[0]], high[node.output[0]] = centre - spread, centre + spread
        else:  # Relu, MaxPool, Flatten and Reshape do not decrease
            assert node.op_type in ("Relu", "MaxPool", "Flatten", "Reshape", "Identity"), node.op_type
            low[node.output[0]], high[node.output[0]] = run(low[first], *weights), run(high[first], *weights)
    out = model.graph.output[0].name
    return high[out] - low[out]


def property_of(x, distance, label, other):
    """Return, in VNN-LIB, that an input within a distance of x has the class other."""
    lines = [
        "(vnnlib-version <2.0>)",
        f"(declare-network f (declare-input X float32 [1,1,{SIDE},{SIDE}]) (declare-output Y float32 [1,{CLASSES}]))",
    ]
    for index, value in np.ndenumerate(x.astype(float)):
        at = f"X{list(index)}".replace(" ", "")
        lines.append(f"(assert (>= {at} {value - distance:.9f}))")
        lines.append(f"(assert (<= {at} {value + distance:.9f}))")
    return "\n".join([*lines, f"(assert (<= Y[0,{label}] Y[0,{other}]))"])


def reachable(path, x, distance, label):
    """Return the classes that Marabou reaches, with an input each, and the seconds to read and to solve."""
    found, reading, solving = {}, 0.0, 0.0
    for other in range(CLASSES):
        if other == label:
            continue
        start = time.monotonic()
        network = Marabou.read_onnx(str(path))
        reading += time.monotonic() - start
        inputs, outputs = network.inputVars[0].ravel(), network.outputVars[0].ravel()
        (case,) = vnnlib.compat.transform(vnnlib.parse_query_string(property_of(x, distance, label, other)))
        for variable, (low, high) in zip(inputs, case.input_box):
            network.setLowerBound(variable, low)
            network.setUpperBound(variable, high)
        (polytope,) = case.output_constraints
        for row, bound in zip(np.atleast_2d(polytope.coeff_matrix), np.ravel(polytope.rhs)):
            network.addInequality(list(outputs), list(row), bound)
        start = time.monotonic()
        answer, values, _ = network.solve(verbose=False, options=Marabou.createOptions(verbosity=0))
        solving += time.monotonic() - start
        assert answer in ("sat", "unsat"), answer
        if answer == "sat":
            found[other] = np.array([values[v] for v in inputs], np.float32).reshape(x.shape)
    return found, reading, solving


def main():
    """Ask both, and compare."""
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        cnn, efcn = pathlib.Path(folder, "cnn.onnx"), pathlib.Path(folder, "efcn.onnx")
        make(cnn)
        command = [sys.argv[1], "convert", cnn, "-o", efcn, "--maxpool", "relu", "--fold=all", "--layout", "dense"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        session = onnxruntime.InferenceSession(cnn)
        samples = np.random.default_rng(9).standard_normal((50, 1, 1, SIDE, SIDE)).astype(np.float32)
        scores = [np.sort(session.run(None, {"x": x})[0][0]) for x in samples]
        x = samples[np.argmin([s[-1] - s[-2] for s in scores])]  # the one that is closest to another class
        label = int(session.run(None, {"x": x})[0].argmax())
        for distance in DISTANCES:
            results = {}
            for name, path in ("CNN", cnn), ("eFCN", efcn):
                found, reading, solving = reachable(path, x, distance, label)
                width = widths(path, x.astype(np.float64), distance).max()
                print(f"distance {distance}: {name}: reaches {sorted(found)}, interval width {width:.3g}, "
                      f"read in {reading:.2f} s, solved in {solving:.2f} s")  # fmt: skip
                for other, at in found.items():
                    scores = session.run(None, {"x": at})[0][0]
                    assert np.abs(at - x).max() <= distance + 1e-5, "an input that is too far"
                    assert scores[other] >= scores[label] - 1e-4, f"ONNX Runtime: {scores}"
                results[name] = sorted(found)
                answers.update("sat" if other in found else "unsat" for other in range(CLASSES) if other != label)
            assert results["CNN"] == results["eFCN"], results
    assert answers == {"sat", "unsat"}, f"only {answers} occurs"


if __name__ == "__main__":
    main()
