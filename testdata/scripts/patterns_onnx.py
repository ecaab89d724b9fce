#!/usr/bin/env python3
"""Export patterns of other tools and of old versions, written node by node. Needs numpy and onnx.

patterns_onnx.py FOLDER writes skeletons (see patterns.py) into FOLDER: what PaddlePaddle,
scikit-learn, MXNet, Caffe2, JAX and quantisers write, where their packages are not at hand.
"""

import argparse
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import patterns

PATTERNS = {}


class Graph:
    """A graph under construction."""

    def __init__(self, opset=17, ir=8):
        self.nodes, self.weights, self.inputs, self.outputs, self.infos, self.shapes = [], [], [], [], [], {}
        self.opset, self.ir, self.imports = opset, ir, []
        self.rng = np.random.default_rng(1)

    def input(self, name, dims, given, kind=TensorProto.FLOAT):
        """Add an input of symbolic or fixed dims, to be run with the shape given."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        if given:
            self.shapes[name] = given
        return name

    def output(self, name, dims, kind=TensorProto.FLOAT):
        """Add an output."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, dims))

    def node(self, op, *inputs, outputs=1, **attributes):
        """Add a node; return its output, or outputs."""
        names = [f"{op.lower()}_{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"{op}.{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values, dtype=np.int64):
        """Add an initializer."""
        name = f"const_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape):
        """Add an initializer of random weights."""
        scale = max(1, np.prod(shape[1:])) ** -0.5
        return self.constant(self.rng.standard_normal(shape) * scale, np.float32)

    def positive(self, *shape):
        """Add an initializer of random numbers from 0.5 to 1.5."""
        return self.constant(self.rng.uniform(0.5, 1.5, shape), np.float32)

    def conv(self, x, channels, cin, kernel=3, **attributes):
        """Add a Conv that keeps the size."""
        attributes = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, **attributes}
        return self.node("Conv", x, self.random(channels, cin, kernel, kernel), self.random(channels), **attributes)

    def norm(self, x, channels, **attributes):
        """Add a BatchNormalization."""
        numbers = self.positive(channels), self.random(channels), self.random(channels), self.positive(channels)
        return self.node("BatchNormalization", x, *numbers, **attributes)

    def end(self, value, name, dims, kind=TensorProto.FLOAT):
        """Name a value and make it an output."""
        self.nodes.append(helper.make_node("Identity", [value], [name], f"out.{name}"))
        self.output(name, dims, kind)

    def model(self):
        """Return the model."""
        graph = helper.make_graph(self.nodes, "graph", self.inputs, self.outputs, self.weights, value_info=self.infos)
        imports = [helper.make_opsetid("", self.opset), *self.imports]
        return helper.make_model(graph, opset_imports=imports, ir_version=self.ir)


def pattern(build):
    """Add a pattern: a function that returns a Graph."""
    PATTERNS[build.__name__] = build
    return build


@pattern
def paddle_classifier():
    """PaddlePaddle: dims called "?", BatchNormalization apart, Shape and Slice before MatMul."""
    g = Graph(11, 6)
    x = g.input("x", ["?", 3, "?", "?"], [2, 3, 12, 16])
    y = g.node("Relu", g.norm(g.conv(x, 4, 3, strides=[2, 2]), 4))
    y = g.node("GlobalAveragePool", y)
    batch = g.node("Slice", g.node("Shape", y), g.constant([0]), g.constant([1]), g.constant([0]))
    y = g.node("Reshape", y, g.node("Concat", batch, g.constant([-1]), axis=0))
    y = g.node("Add", g.node("MatMul", y, g.random(4, 5)), g.random(5))
    g.end(g.node("Softmax", y, axis=1), "probabilities", ["?", 5])
    return g


@pattern
def paddle_resize_like():
    """PaddlePaddle: Resize to another map's size, through int32."""
    g = Graph(11, 6)
    x = g.input("x", ["?", 3, "?", "?"], [2, 3, 12, 16])
    a = g.node("Relu", g.conv(x, 4, 3))
    b = g.conv(g.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 4, 4)
    size = g.node("Cast", g.node("Slice", g.node("Shape", a), g.constant([2]), g.constant([4])), to=TensorProto.INT32)
    front = g.node("Slice", g.node("Shape", b), g.constant([0]), g.constant([2]))
    sizes = g.node("Concat", front, g.node("Cast", size, to=TensorProto.INT64), axis=0)
    y = g.node("Resize", b, g.constant([], np.float32), g.constant([], np.float32), sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    g.end(g.conv(g.node("Concat", y, a, axis=1), 2, 8), "map", ["?", 2, "?", "?"])
    return g


@pattern
def paddle_hard_activations():
    """PaddlePaddle: hard_swish written out, and a Squeeze with axes as attribute."""
    g = Graph(11, 6)
    x = g.input("x", ["?", 3, 10, 12], [2, 3, 10, 12])
    y = g.norm(g.conv(x, 4, 3), 4)
    gate = g.node("Clip", g.node("Add", y, g.constant(3.0, np.float32)), g.constant(0.0, np.float32), g.constant(6.0, np.float32))
    y = g.node("Div", g.node("Mul", y, gate), g.constant(6.0, np.float32))
    y = g.node("AveragePool", g.conv(y, 5, 4), kernel_shape=[10, 12])
    g.end(g.node("Squeeze", y, axes=[2, 3]), "features", ["?", 5])
    return g


@pattern
def sklearn_mlp():
    """scikit-learn: the default opset imported twice, scaling, products, ArgMax and labels."""
    g = Graph(15)
    g.imports = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)]
    x = g.input("X", [None, 6], [3, 6])
    y = g.node("Div", g.node("Sub", x, g.random(6)), g.positive(6))
    y = g.node("Relu", g.node("Add", g.node("MatMul", y, g.random(6, 9)), g.random(9)))
    y = g.node("Softmax", g.node("Add", g.node("MatMul", y, g.random(9, 4)), g.random(4)), axis=1)
    label = g.node("ArrayFeatureExtractor", g.constant([3, 5, 7, 9]), g.node("ArgMax", y, axis=1, keepdims=0))
    g.nodes[-1].domain = "ai.onnx.ml"
    g.end(g.node("Reshape", label, g.constant([-1])), "label", [None], TensorProto.INT64)
    g.end(y, "probabilities", [None, 4])
    return g


@pattern
def sklearn_linear():
    """scikit-learn: Gemm on raw features with the labels in an output of integers."""
    g = Graph(13)
    x = g.input("X", [None, 6], [3, 6])
    y = g.node("Gemm", x, g.random(6, 4), g.random(1, 4), alpha=1.0)
    g.end(g.node("ArgMax", y, axis=1), "label", [None, 1], TensorProto.INT64)
    g.end(y, "scores", [None, 4])
    return g


@pattern
def ir3_initializers_as_inputs():
    """Caffe2 and old PyTorch: IR 3, every initializer an input, Identity and Mul of some."""
    g = Graph(9, 3)
    x = g.input("x", ["N", 3, 10, 12], [2, 3, 10, 12])
    y = g.node("Relu", g.norm(g.conv(x, 4, 3), 4))
    w = g.node("Mul", g.node("Identity", g.random(4, 4, 3, 3)), g.constant(0.5, np.float32))
    y = g.node("Conv", y, w, pads=[1, 1, 1, 1])
    y = g.node("Gemm", g.node("Flatten", g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])), g.random(5, 120), g.random(5), transB=1)
    g.end(y, "scores", ["N", 5])
    for weight in g.weights:
        g.inputs.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    return g


@pattern
def mxnet_opset8():
    """MXNet: opset 8, Pad and Slice with attributes, spatial BatchNormalization, Dropout, LRN."""
    g = Graph(8, 3)
    x = g.input("data", [1, 3, 12, 12], [1, 3, 12, 12])
    y = g.node("Pad", g.norm(x, 3, epsilon=1e-3), pads=[0, 0, 1, 2, 0, 0, 2, 1], mode="constant", value=0.0)
    y = g.node("LeakyRelu", g.conv(y, 4, 3, pads=[0, 0, 0, 0]), alpha=0.1)
    y = g.node("LRN", y, size=3, alpha=1e-3, beta=0.75, bias=2.0)
    y = g.node("Dropout", g.node("Slice", y, axes=[2, 3], starts=[1, 0], ends=[100, -1]), ratio=0.5)
    y = g.node("AveragePool", g.conv(y, 5, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    g.end(g.node("Reshape", y, g.constant([0, -1])), "features", [1, 180])
    for weight in g.weights:
        g.inputs.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    return g


@pattern
def upsample_opset9():
    """Old PyTorch: Upsample with constant scales, in opset 9."""
    g = Graph(9, 4)
    x = g.input("x", [1, 3, 6, 8], [1, 3, 6, 8])
    y = g.node("Upsample", g.node("Relu", g.conv(x, 4, 3)), g.constant([1, 1, 2, 2], np.float32), mode="nearest")
    g.end(g.conv(y, 3, 4), "map", [1, 3, 12, 16])
    return g


@pattern
def resize_opset10():
    """Old exporters: Resize of opset 10, computed scales."""
    g = Graph(10, 5)
    x = g.input("x", ["N", 3, 6, 8], [2, 3, 6, 8])
    y = g.node("Relu", g.conv(x, 4, 3))
    size = g.node("Cast", g.node("Slice", g.node("Shape", y), g.constant([2]), g.constant([4])), to=TensorProto.FLOAT)
    scales = g.node("Div", g.node("Floor", g.node("Mul", size, g.constant([2.0, 2.0], np.float32))), size)
    y = g.node("Resize", y, g.node("Concat", g.constant([1, 1], np.float32), scales, axis=0), mode="nearest")
    g.end(g.conv(y, 3, 4), "map", ["N", 3, 12, 16])
    return g


@pattern
def jax_nhwc():
    """JAX and Flax: channels last, a Transpose around every convolution, Einsum-like products."""
    g = Graph(18, 9)
    x = g.input("x", ["b", 10, 12, 3], [2, 10, 12, 3])
    y = g.node("Transpose", g.conv(g.node("Transpose", x, perm=[0, 3, 1, 2]), 4, 3), perm=[0, 2, 3, 1])
    y = g.node("Max", y, g.constant(0.0, np.float32))
    y = g.node("Transpose", g.conv(g.node("Transpose", y, perm=[0, 3, 1, 2]), 6, 4, strides=[2, 2]), perm=[0, 2, 3, 1])
    y = g.node("Div", g.node("ReduceSum", y, g.constant([1, 2]), keepdims=0), g.constant(30.0, np.float32))
    y = g.node("Add", g.node("MatMul", y, g.random(6, 5)), g.node("Expand", g.node("Reshape", g.random(5), g.constant([1, 5])), g.constant([1, 5])))
    g.end(y, "logits", ["b", 5])
    return g


def quantised(g, x, scale, zero):
    """Quantise and dequantise x."""
    numbers = g.constant(scale, np.float32), g.constant(zero, np.uint8)
    return g.node("DequantizeLinear", g.node("QuantizeLinear", x, *numbers), *numbers)


def quantised_conv(g, x, channels, cin):
    """Convolve with int8 weights that are dequantised per channel."""
    w = g.constant(g.rng.integers(-127, 128, (channels, cin, 3, 3)), np.int8)
    w = g.node("DequantizeLinear", w, g.constant(g.rng.uniform(0.001, 0.004, channels), np.float32), g.constant([0] * channels, np.int8), axis=0)
    return g.node("Conv", x, w, g.random(channels), pads=[1, 1, 1, 1])


@pattern
def qdq_chain():
    """ONNX Runtime's quantiser: QuantizeLinear and DequantizeLinear around three convolutions."""
    g = Graph(13)
    y = quantised(g, g.input("x", ["N", 3, 8, 10], [2, 3, 8, 10]), 0.03, 128)
    for cin in (3, 6, 6):
        y = quantised(g, g.node("Relu", quantised_conv(g, y, 6, cin)), 0.02, 0)
    g.end(g.node("GlobalAveragePool", y), "features", ["N", 6, 1, 1])
    return g


@pattern
def cast_through_integers():
    """A value that goes through integers and back, between convolutions."""
    g = Graph(13)
    y = g.node("Relu", g.conv(g.input("x", ["N", 3, 8, 10], [2, 3, 8, 10]), 4, 3))
    y = g.node("Cast", g.node("Mul", y, g.constant(16.0, np.float32)), to=TensorProto.INT32)
    y = g.node("Mul", g.node("Cast", y, to=TensorProto.FLOAT), g.constant(1 / 16, np.float32))
    g.end(g.conv(y, 3, 4), "map", ["N", 3, 8, 10])
    return g


@pattern
def unused_input():
    """An input that no node reads, of another first axis."""
    g = Graph(13)
    y = g.node("Relu", g.conv(g.input("x", ["N", 3, 8, 10], [2, 3, 8, 10]), 4, 3))
    g.input("z", [1, 1, 1, 3], [1, 1, 1, 3])
    g.end(y, "map", ["N", 4, 8, 10])
    return g


@pattern
def if_of_a_constant():
    """An If whose condition is a constant, with a convolution in each branch."""
    g = Graph(13)
    y = g.node("Relu", g.conv(g.input("x", ["N", 3, 8, 10], [2, 3, 8, 10]), 4, 3))
    branches = []
    for name in ("then", "else"):
        w = g.random(3, 4, 3, 3)
        node = helper.make_node("Conv", [y, w], [f"{name}_y"], f"{name}.conv", pads=[1, 1, 1, 1])
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["N", 3, 8, 10])
        branches.append(helper.make_graph([node], name, [], [out]))
    y = g.node("If", g.constant(True, bool), then_branch=branches[0], else_branch=branches[1])
    g.end(y, "map", ["N", 3, 8, 10])
    return g


@pattern
def wrong_value_info():
    """A declared shape of an intermediate value that is wrong; every runtime takes it."""
    g = Graph(13)
    y = g.conv(g.input("x", ["N", 3, 8, 10], [2, 3, 8, 10]), 4, 3)
    g.infos.append(helper.make_tensor_value_info(y, TensorProto.FLOAT, ["N", 4, 8, 9]))
    g.end(g.conv(g.node("Relu", y), 3, 4), "map", ["N", 3, 8, 10])
    return g


@pattern
def padded_maxpool_ceil():
    """Darknet: MaxPool with stride 1 behind SAME_UPPER, and one in ceil mode."""
    g = Graph(12)
    y = g.node("LeakyRelu", g.norm(g.conv(g.input("x", [1, 3, 9, 11], [1, 3, 9, 11]), 4, 3), 4), alpha=0.1)
    y = g.node("MaxPool", y, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    y = g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    g.end(g.conv(y, 3, 4), "map", [1, 3, 5, 6])
    return g


@pattern
def slice_read_only_by_shape():
    """A Slice that only a Shape reads, with a fixed batch."""
    g = Graph(13)
    y = g.conv(g.input("x", [1, 3, 8, 10], [1, 3, 8, 10]), 4, 3)
    part = g.node("Slice", y, g.constant([0]), g.constant([5]), g.constant([2]))
    ones = g.node("Expand", g.constant([[[[0.5]]]], np.float32), g.node("Shape", part))
    g.end(g.node("Concat", y, ones, axis=2), "map", [1, 4, 13, 10])
    return g


@pattern
def external_bias_add():
    """TensorFlow: the bias as an Add behind the convolution, NCHW by a Reshape of the image."""
    g = Graph(12)
    x = g.node("Reshape", g.input("image", ["N", 8, 10, 1], [2, 8, 10, 1]), g.constant([-1, 1, 8, 10]))
    y = g.node("Conv", x, g.random(4, 1, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    y = g.node("Relu", g.node("Add", y, g.random(1, 4, 1, 1)))
    y = g.node("Reshape", g.node("Transpose", y, perm=[0, 2, 3, 1]), g.constant([-1, 80]))
    g.end(g.node("Add", g.node("MatMul", y, g.random(80, 5)), g.random(5)), "logits", ["N", 5])
    return g


def main():
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER", help="to write into")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in PATTERNS.items():
        g = build()
        model = g.model()
        patterns.hollow(model)
        patterns.save(folder, f"o_{name}", model, {"inputs": g.shapes})
    print(f"{len(PATTERNS)} models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
