"""Convert random geometries of the linear operators and run the results in ONNX Runtime.

check_geometries.py EFCN [--count 200] [--layouts dense,sparse,local] [--ops Conv,...] [--seed 0]

For each operator one model of that many nodes, 1-D to 3-D, each with an input and an output of its
own, is converted with each layout by the program EFCN; onnx.checker (full) has to accept the
result, and ONNX Runtime has to compute from it what it computes from the original, to 1e-5 of the
largest value of an output. Needs numpy, onnx and onnxruntime.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET = 19
BATCH = 2


def ints(rng, low, high, count):
    """Count random integers from low to high."""
    return [int(v) for v in rng.integers(low, high + 1, count)]


def conv(rng, axes, weights):
    """A Conv: groups, strides, dilations, asymmetric pads or auto_pad."""
    group, per_in, per_out = ints(rng, 1, 3, 3)
    kernel, dilations = ints(rng, 1, 3, axes), ints(rng, 1, 2, axes)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    size = [e + v for e, v in zip(extent, ints(rng, 0, 4, axes))]
    attributes = dict(group=group, strides=ints(rng, 1, 4, axes), dilations=dilations)
    auto = rng.choice(["pads", "SAME_UPPER", "SAME_LOWER", "VALID"], p=[0.7, 0.1, 0.1, 0.1])
    if auto == "pads":
        attributes["pads"] = ints(rng, 0, 3, 2 * axes)
    else:
        attributes["auto_pad"] = auto
        if auto.startswith("SAME"):  # which ONNX Runtime takes without dilation only
            attributes["dilations"] = [1] * axes
    inputs = [weights(group * per_out, per_in, *kernel)]
    if rng.random() < 0.5:
        inputs.append(weights(group * per_out))
    return [group * per_in, *size], inputs, attributes


def conv_transpose(rng, axes, weights):
    """A ConvTranspose: groups, strides, dilations, pads, output_padding."""
    group, per_in, per_out = ints(rng, 1, 3, 3)
    kernel, dilations, strides = ints(rng, 1, 3, axes), ints(rng, 1, 2, axes), ints(rng, 1, 3, axes)
    size = ints(rng, 2, 4, axes)
    pads = [int(rng.integers(0, (k - 1) * d + 1)) for k, d in zip(kernel, dilations)] + [0] * axes
    # ONNX allows less than the dilation as well, ONNX Runtime does not.
    extra = [int(rng.integers(0, s)) for s in strides]
    inputs = [weights(group * per_in, per_out, *kernel)]
    if rng.random() < 0.5:
        inputs.append(weights(group * per_out))
    attributes = dict(
        group=group, strides=strides, dilations=dilations, pads=pads, output_padding=extra
    )
    return [group * per_in, *size], inputs, attributes


def average_pool(rng, axes, weights):
    """An AveragePool: ceil_mode, count_include_pad, pads smaller than the kernel."""
    del weights
    kernel = ints(rng, 1, 4, axes)
    size = [k + v for k, v in zip(kernel, ints(rng, 0, 5, axes))]
    pads = [int(rng.integers(0, k)) for k in kernel * 2]
    include = int(rng.integers(0, 2))
    # With both, ONNX Runtime's divisor counts cells beyond the padding in some versions.
    ceil = 0 if include else int(rng.integers(0, 2))
    attributes = dict(
        kernel_shape=kernel,
        strides=ints(rng, 1, 3, axes),
        pads=pads,
        count_include_pad=include,
        ceil_mode=ceil,
    )
    return [ints(rng, 1, 4, 1)[0], *size], [], attributes


def global_average_pool(rng, axes, weights):
    """A GlobalAveragePool."""
    del weights
    return [*ints(rng, 1, 5, 1), *ints(rng, 1, 6, axes)], [], {}


OPERATORS = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
}


def build(op, count, seed):
    """A model of count nodes of one operator, and its inputs."""
    rng = np.random.default_rng(seed)
    initializers, nodes, inputs, outputs, feeds = [], [], [], [], {}

    def weights(*shape):
        name = f"w{len(initializers)}"
        array = rng.standard_normal(shape).astype(np.float32)
        initializers.append(numpy_helper.from_array(array, name))
        return name

    for i in range(count):
        shape, extra, attributes = OPERATORS[op](rng, 1 + i % 3, weights)
        nodes.append(helper.make_node(op, [f"x{i}", *extra], [f"y{i}"], f"node{i}", **attributes))
        inputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["batch", *shape]))
        unknown = [f"d{i}_{axis}" for axis in range(len(shape))]
        outputs.append(
            helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, ["batch", *unknown])
        )
        feeds[f"x{i}"] = rng.standard_normal((BATCH, *shape)).astype(np.float32)
    graph = helper.make_graph(nodes, op, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return model, feeds


def run(path, feeds):
    """The outputs of a model in ONNX Runtime, by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns where its inference of ceil_mode errs, and runs on
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def check(efcn, op, layouts, count, seed, folder):
    """Check one operator in every layout; returns the number of failures."""
    model, feeds = build(op, count, seed)
    cnn = folder / f"{op}.onnx"
    onnx.save(model, cnn)
    want = run(cnn, feeds)
    failures = 0
    for layout in layouts:
        converted = folder / f"{op}-{layout}.onnx"
        command = [efcn, "convert", "-q", cnn, "-o", converted, "--layout", layout]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        onnx.checker.check_model(str(converted), full_check=True)
        left = {node.op_type for node in onnx.load(converted).graph.node}
        if op in left:
            print(f"FAIL {op} {layout}: some were kept")
            failures += 1
        got = run(converted, feeds)
        worst = 0.0
        for node in model.graph.node:
            name = node.output[0]
            scale = max(1.0, float(np.abs(want[name]).max(initial=0)))
            error = np.inf
            if got[name].shape == want[name].shape:
                error = float(np.abs(got[name] - want[name]).max(initial=0)) / scale
            worst = max(worst, error)
            if not error <= 1e-5:
                print(f"FAIL {op} {layout}: off by {error:.3g}: {helper.printable_node(node)}")
                failures += 1
        print(f"ok {op} {layout}: {count} geometries, largest difference {worst:.2g}")
    return failures


def main():
    """Parse the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn", help="the program")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--layouts", default="dense,sparse,local")
    parser.add_argument("--ops", default=",".join(OPERATORS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for op in args.ops.split(","):
            failures += check(
                args.efcn, op, args.layouts.split(","), args.count, args.seed, pathlib.Path(folder)
            )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
