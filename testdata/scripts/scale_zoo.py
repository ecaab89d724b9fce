#!/usr/bin/env python3
"""Find out which random weights keep a network's signal alive. Needs numpy, onnx, onnxruntime.

scale_zoo.py [NAME...] writes into skeletons of testdata/zoo what to fill every weight with.

Deep networks with arbitrary random weights forget their input: the outputs are then the same for
all images, and a comparison sees the last layers only. So the weights of every linear layer, in the
order of the graph, get the standard deviation with which what depends on the input, the layer's
output less its mean over images and positions, has a standard deviation of one, one half where it
is added to another branch (layer-sequential unit variance: Mishkin and Matas, arXiv 1511.06422).
Normalisations get scales and variances from 0.5 to 1.5, and means and biases of the order of 0.1.
"""

import argparse
import sys

import numpy as np
import onnx
import onnxruntime as ort

import fill_zoo
import zoo

SMALL = "normal 0.1"  # biases and means
POSITIVE = "uniform 0.5 1.5"  # scales and variances
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Graph:
    """Who makes and who uses each value of an onnx graph."""

    def __init__(self, graph):
        self.made = {name for node in graph.node for name in node.output}
        self.uses = {}
        for node in graph.node:
            for position, name in enumerate(node.input):
                self.uses.setdefault(name, []).append((node, position))

    def use(self, name):
        """Return the first node that uses an initializer and the input it is, past Transpose."""
        if name not in self.uses:
            raise ValueError(f"initializer {name!r}: no node of the main graph uses it")
        node, position = self.uses[name][0]
        return self.use(node.output[0]) if node.op_type == "Transpose" else (node, position)

    def is_branch(self, value):
        """Say whether value is added to another branch, as in a residual block."""
        for node, _ in self.uses.get(value, []):
            if node.op_type == "Add" and all(name in self.made for name in node.input):
                return True
            if node.op_type == "BatchNormalization" and self.is_branch(node.output[0]):
                return True
        return False


def first_recipe(node, position, dims):
    """Return what to fill the initializer with that is the given input of node."""
    if position == 1 and node.op_type in LINEAR:
        # A depthwise filter sees one channel: without that channel's mean little would be left.
        centred = node.op_type == "Conv" and dims[1] > 1
        return "centred 1" if centred else "normal 1"
    # BatchNormalization: x, scale, bias, mean, variance; LayerNormalization: x, scale, bias.
    # Mul and Div by a constant are what a normalisation or a layer scale became.
    normalises = node.op_type.endswith("Normalization")
    if normalises and position in (1, 4) or node.op_type in ("Mul", "Div"):
        return POSITIVE
    return SMALL


def signal(node, output):
    """Return the standard deviation of what depends on the input in the output of node."""
    channel = 1 if node.op_type.startswith("Conv") else output.ndim - 1
    others = tuple(axis for axis in range(output.ndim) if axis != channel)
    return float(np.sqrt(output.var(axis=others, ddof=1).mean()))


def open_for_weights(model, layers):
    """Return a session that takes hollow initializers as inputs and gives the layers' outputs."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    hollow = [t for t in graph.initializer if zoo.is_hollow(t)]
    kept = [t for t in graph.initializer if not zoo.is_hollow(t)]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for tensor in hollow:
        graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    outputs = {value.name for value in graph.output}
    for node in layers:
        if node.output[0] not in outputs:
            graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def scale(name, model):
    """Write into the hollow initializers of the skeleton called name what to fill them with."""
    graph = Graph(model.graph)
    weights = {}  # initializer by the output of the linear layer whose weights it is
    feeds = fill_zoo.inputs(name, model)

    def fill(tensor, recipe):
        zoo.set_recipe(tensor, recipe)
        rng = zoo.generator(name, tensor.name)
        feeds[tensor.name] = zoo.draw(recipe, tuple(tensor.dims), rng)

    for tensor in model.graph.initializer:
        if zoo.is_hollow(tensor):
            node, position = graph.use(tensor.name)
            fill(tensor, first_recipe(node, position, tensor.dims))
            if node.op_type in LINEAR and position == 1:
                weights.setdefault(node.output[0], tensor)
    layers = [node for node in model.graph.node if node.output and node.output[0] in weights]
    session = open_for_weights(model, layers)
    options = ort.RunOptions()
    options.only_execute_path_to_fetches = True
    for node in layers:
        tensor = weights[node.output[0]]
        (output,) = session.run([node.output[0]], feeds, options)
        target = 0.5 if graph.is_branch(node.output[0]) else 1.0
        strength = signal(node, output)
        if not np.isfinite(strength) or strength < 1e-6:
            raise ValueError(f"{name}: {node.name!r}: signal of {strength:.3g}")
        fill(tensor, f"{zoo.recipe(tensor).split()[0]} {target / strength:.3g}")


def main():
    """Parse the command line and rewrite the skeletons asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a skeleton (default: all)")
    args = parser.parse_args()
    for name in zoo.chosen(parser, args.names):
        model = zoo.read(name)
        scale(name, model)
        zoo.write(name, model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
