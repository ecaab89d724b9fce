#!/usr/bin/env python3
"""Make the two CNNs of arXiv 1906.06766 as ONNX files, untrained. Needs numpy and onnx.

make_paper_nets.py DIR [--only NAME] [--seed 0] [--pad-nodes] writes DIR/skinnycnn.onnx and
DIR/alexnet32.onnx, the same bytes for the same seed. With --pad-nodes padding is a Pad node in
front of the convolution, as exporters write the nn.ZeroPad2d of SkinnyCNNPrime and AlexNetPrime
in the same models.py; weights and outputs are those without.

Architectures: the text of "Finding the Needle in the Haystack with Convolutions" and the models of
its authors' code (SkinnyCNN and AlexNet of models.py in github.com/sdascoli/anarchitectural-search,
commit 2afc7a2). Input N×3×32×32, ten classes. A convolution below is channels, kernel, stride,
padding; each is followed by a ReLU, and pool is a MaxPool of 3×3 with stride 2.

    skinnycnn   64 4×4 2 2, pool, 64 5×5 1 2, pool, 64 3×3 1 1, pool; linear 10
    alexnet32   64 4×4 2 2, pool, 192 5×5 1 2, pool, 384 3×3 1 1, 256 3×3 1 1, 256 3×3 1 1, pool;
                linear 512, ReLU, linear 512, ReLU, linear 10 (its two Dropouts do nothing here)

Weights and biases are drawn as PyTorch draws them for new layers: uniform between plus and minus
one over the square root of the inputs that an output reads. A net from here can be trained.
"""

import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

POOL = None  # in the lists below
NETS = {
    "skinnycnn": ([(64, 4, 2, 2), POOL, (64, 5, 1, 2), POOL, (64, 3, 1, 1), POOL], [10]),
    "alexnet32": (
        [
            (64, 4, 2, 2),
            POOL,
            (192, 5, 1, 2),
            POOL,
            (384, 3, 1, 1),
            (256, 3, 1, 1),
            (256, 3, 1, 1),
            POOL,
        ],
        [512, 512, 10],
    ),
}
OPSET, IR = 17, 8


class Builder:
    """A chain of nodes from "input" on."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes, self.initializers = [], []
        self.value = "input"

    def add(self, op, name, *inputs, output=None, **attributes):
        """Append a node that reads the last value."""
        output = output or name
        self.nodes.append(
            helper.make_node(op, [self.value, *inputs], [output], name, **attributes)
        )
        self.value = output

    def parameters(self, name, shape):
        """Draw a weight and a bias; returns their names."""
        bound = 1 / np.sqrt(np.prod(shape[1:]))
        names = f"{name}.weight", f"{name}.bias"
        for full, dims in zip(names, (shape, shape[:1])):
            array = self.rng.uniform(-bound, bound, dims).astype(np.float32)
            self.initializers.append(numpy_helper.from_array(array, full))
        return names


def make(name, seed, pad_nodes=False):
    """The model of that name."""
    features, classifier = NETS[name]
    b = Builder(np.random.default_rng(seed))
    channels, side = 3, 32
    convs = pools = 0
    for layer in features:
        if layer is POOL:
            pools += 1
            b.add("MaxPool", f"pool{pools}", kernel_shape=[3, 3], strides=[2, 2])
            side = (side - 3) // 2 + 1
            continue
        out, kernel, stride, pad = layer
        convs += 1
        weights = b.parameters(f"conv{convs}", (out, channels, kernel, kernel))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
        if pad_nodes:
            pads = np.array([0, 0, pad, pad] * 2, np.int64)
            b.initializers.append(numpy_helper.from_array(pads, f"pad{convs}.pads"))
            b.add("Pad", f"pad{convs}", f"pad{convs}.pads")
        else:
            window["pads"] = [pad] * 4
        b.add("Conv", f"conv{convs}", *weights, **window)
        b.add("Relu", f"relu{convs}")
        channels, side = out, (side + 2 * pad - kernel) // stride + 1
    b.add("Flatten", "flatten", axis=1)
    width = channels * side * side
    for i, out in enumerate(classifier, 1):
        last = i == len(classifier)
        weights = b.parameters(f"fc{i}", (out, width))
        b.add("Gemm", f"fc{i}", *weights, output="logits" if last else None, transB=1)
        if not last:
            b.add("Relu", f"relu{convs + i}")
        width = out
    graph = helper.make_graph(
        b.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])],
        b.initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    """Parse the command line and write the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", choices=NETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pad-nodes", action="store_true", help="padding as Pad nodes")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in [args.only] if args.only else NETS:
        path = args.folder / f"{name}.onnx"
        onnx.save(make(name, args.seed, args.pad_nodes), path)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
