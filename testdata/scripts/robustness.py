"""The question that verifiers are asked of a small CNN and of its eFCN: is it locally robust.

A property of VNN-LIB 2.0 has every input within a distance of a sample, and one other class that is to
be at least as likely as the sample's own. prepare() comes first.
"""

import dataclasses
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import vnnlib
import vnnlib.compat
from onnx import TensorProto, helper, numpy_helper

SIDE, CLASSES = 6, 3
DISTANCES = [0.02, 0.25]  # every class out of reach, and one within


@dataclasses.dataclass
class Case:
    """A CNN, its eFCN, and a sample, with ONNX Runtime's session of the CNN and the class it gives the sample."""

    cnn: pathlib.Path
    efcn: pathlib.Path
    x: np.ndarray
    session: onnxruntime.InferenceSession
    label: int

    def confirm(self, at, distance, other):
        """Check that an input within the distance has the class other, by ONNX Runtime."""
        scores = self.session.run(None, {"x": at})[0][0]
        assert np.abs(at - self.x).max() <= distance + 1e-5, "an input that is too far"
        assert scores[other] >= scores[self.label] - 1e-4, f"ONNX Runtime: {scores}"

    def others(self):
        """Return the other classes."""
        return [c for c in range(CLASSES) if c != self.label]


def prepare(program, folder):
    """Write the CNN and, by the program efcn, matrices and Relu; choose the sample closest to another class."""
    cnn, efcn = pathlib.Path(folder, "cnn.onnx"), pathlib.Path(folder, "efcn.onnx")
    make(cnn)
    convert(program, cnn, efcn)
    session = onnxruntime.InferenceSession(cnn)
    samples = np.random.default_rng(9).standard_normal((50, 1, 1, SIDE, SIDE)).astype(np.float32)
    scores = [np.sort(session.run(None, {"x": x})[0][0]) for x in samples]
    x = samples[np.argmin([s[-1] - s[-2] for s in scores])]
    return Case(cnn, efcn, x, session, int(session.run(None, {"x": x})[0].argmax()))


def convert(program, cnn, efcn):
    """Convert a CNN to matrices and Relu by the program efcn."""
    command = [program, "convert", "-q", cnn, "-o", efcn, "--maxpool", "relu", "--fold=all", "--layout", "dense"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


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


def query(x, distance, label, other):
    """Return what vnnlib reads of that property: bounds of the inputs, and A and b where A·outputs ≤ b is asked."""
    (case,) = vnnlib.compat.transform(vnnlib.parse_query_string(property_of(x, distance, label, other)))
    low, high = np.array(case.input_box).T
    (polytope,) = case.output_constraints
    return low, high, np.atleast_2d(polytope.coeff_matrix), np.ravel(polytope.rhs)
