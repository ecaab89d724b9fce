#!/usr/bin/env python3
"""Let Marabou decide whether a net is locally robust, as a CNN and as its eFCN.

check_robustness.py EFCN makes a small CNN with a MaxPool and converts it by the program EFCN to matrices
and Relu (--maxpool relu --fold=all). Marabou reads both, and is asked for every other class whether an
input within a distance of a sample reaches it, in a property of VNN-LIB 2.0 that vnnlib reads: the answers
have to be the same, each an input that ONNX Runtime confirms, or none. Both answers have to occur.

It prints how wide the bounds of interval arithmetic on the outputs are in either form, and how long
Marabou takes to read and to answer: the figures of docs/for-verifiers.md.

Needs maraboupy, numpy, onnx, onnxruntime and vnnlib.
"""

import sys
import tempfile
import time

import numpy as np
import onnx
from maraboupy import Marabou
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import robustness


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


def reachable(case, path, distance):
    """Return the classes that Marabou reaches, with an input each, and the seconds to read and to solve."""
    found, reading, solving = {}, 0.0, 0.0
    for other in case.others():
        start = time.monotonic()
        network = Marabou.read_onnx(str(path))
        reading += time.monotonic() - start
        inputs, outputs = network.inputVars[0].ravel(), network.outputVars[0].ravel()
        low, high, matrix, bounds = robustness.query(case.x, distance, case.label, other)
        for i, variable in enumerate(inputs):
            network.setLowerBound(variable, low[i])
            network.setUpperBound(variable, high[i])
        for row, bound in zip(matrix, bounds):
            network.addInequality(list(outputs), list(row), bound)
        start = time.monotonic()
        answer, values, _ = network.solve(verbose=False, options=Marabou.createOptions(verbosity=0))
        solving += time.monotonic() - start
        assert answer in ("sat", "unsat"), answer
        if answer == "sat":
            found[other] = np.array([values[v] for v in inputs], np.float32).reshape(case.x.shape)
    return found, reading, solving


def main():
    """Ask both, and compare."""
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        case = robustness.prepare(sys.argv[1], folder)
        for distance in robustness.DISTANCES:
            results = {}
            for name, path in ("CNN", case.cnn), ("eFCN", case.efcn):
                found, reading, solving = reachable(case, path, distance)
                width = widths(path, case.x.astype(np.float64), distance).max()
                print(f"distance {distance}: {name}: reaches {sorted(found)}, interval width {width:.3g}, "
                      f"read in {reading:.2f} s, solved in {solving:.2f} s")  # fmt: skip
                for other, at in found.items():
                    case.confirm(at, distance, other)
                results[name] = sorted(found)
                answers.update("sat" if other in found else "unsat" for other in case.others())
            assert results["CNN"] == results["eFCN"], results
    assert answers == {"sat", "unsat"}, f"only {answers} occurs"


if __name__ == "__main__":
    main()
