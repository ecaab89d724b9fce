#!/usr/bin/env python3
"""Check what `efcn verify --as int8` reports of the models of testdata/quantized.

check_quantized.py EFCN compares with numpy and ONNX Runtime, for each model on the samples that it was calibrated on,
as it is and with a range of its output that is half as wide:

    constants   how many integers there are, how many are cut off, and the largest distance from the number of the
                floating-point model in steps, to 1e-4
    values      how many numbers lie more than half a step outside the range of each value, from the floating-point
                model with every value as an output
    outputs     the largest difference of either model's outputs, as ONNX Runtime computes them without merging
                nodes, is that of the report but for one step of the output

Needs numpy, onnx and onnxruntime.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODELS = [
    ("lenet-torchscript", "uint8"),
    ("lenet-torchscript", "channels"),
    ("plain-torchscript", "uint8"),
    ("resnet-torchscript", "symmetric"),
    ("keras-tf2onnx", "channels"),
    ("separable", "mixed"),
    ("separable", "symmetric"),
]


def run(model, feeds):
    """Return all values of a model by name, each node computed by itself."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    every = onnx.ModelProto()
    every.CopyFrom(model)
    declared = {v.name for v in every.graph.output}
    for node in every.graph.node:
        every.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in node.output if name not in declared)
    session = onnxruntime.InferenceSession(every.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([v.name for v in session.get_outputs()], session.run(None, feeds)))


def per_channel(values, node, shape):
    """Return scales or zero points of a node in a shape that broadcasts to the tensor's."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    full = [1] * len(shape)
    if values.size > 1:
        full[axis] = values.size
    return values.astype(np.float64).reshape(full)


def halved(path, out, to):
    """Write a model with half the scale of its output, whose range then cuts off what is in the other half."""
    model = onnx.load(path)
    scale = next(t for t in model.graph.initializer if t.name == f"{out}_scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / 2, scale.name))
    onnx.save(model, to)
    return to


def check(efcn, name, kind, work=None):
    folder = ROOT / "models" / name
    cnn_path, inputs = folder / "model.onnx", folder / "inputs.npz"
    if name == "separable":
        cnn_path, inputs = ROOT / "quantized" / "separable-folded.onnx", ROOT / "quantized" / "separable-inputs.npz"
    path = ROOT / "quantized" / f"{name}-{kind}.onnx"
    if work:
        path = halved(path, onnx.load(cnn_path).graph.output[0].name, pathlib.Path(work) / path.name)
    command = [efcn, "verify", cnn_path, path, "--as", "int8", "--samples", "0", "--inputs", inputs, "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    cnn, model, feeds = onnx.load(cnn_path), onnx.load(path), dict(np.load(inputs))

    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    floats = {t.name: numpy_helper.to_array(t) for t in cnn.graph.initializer}
    dequantized = {n.input[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
    stored = {k for k in dequantized if k in constants}
    assert {c["efcn_name"] for c in report["quantized_constants"]} == stored, "constants"
    for c in report["quantized_constants"]:
        codes, w, node = constants[c["efcn_name"]], floats[c["name"]].astype(np.float64), dequantized[c["efcn_name"]]
        scale, zero = (per_channel(constants[i], node, codes.shape) for i in node.input[1:])
        limits = np.iinfo(codes.dtype)
        beyond = (w < (limits.min - zero - 0.5) * scale) | (w > (limits.max - zero + 0.5) * scale)
        steps = np.where(beyond, 0, np.abs((codes.astype(np.float64) - zero) - w / scale)).max()
        found = (c["elements"], c["cut_off"], c["wrong"])
        assert found == (codes.size, beyond.sum(), 0) and abs(c["furthest_steps"] - steps) < 1e-4, (c, steps)

    values, theirs = run(cnn, feeds), run(model, feeds)
    values.update(feeds)
    producer = {o: n for n in model.graph.node for o in n.output}
    outside = 0
    for v in report["quantized_values"]:
        quantize = producer[producer[v["efcn_name"]].input[0]]
        scale, zero = (constants[i] for i in quantize.input[1:])
        limits, x = np.iinfo(zero.dtype), values[v["name"]].astype(np.float64)
        low, high = (float(scale) * (end - float(zero)) for end in (limits.min, limits.max))
        readers = [n.op_type for n in model.graph.node if v["efcn_name"] in n.input]
        if readers and set(readers) <= {"Relu", "Clip"}:
            x = np.maximum(x, 0)  # all of them begin at 0, and none ends within a range
        beyond = (x < low - scale / 2) | (x > high + scale / 2)
        outside += beyond.sum()
        assert (v["given"]["elements"], v["given"]["outside"]) == (x.size, beyond.sum()), (v, beyond.sum())
        furthest = max((low - x[beyond]).max(), (x[beyond] - high).max()) if beyond.any() else 0
        assert abs(v["given"]["furthest"] - furthest) <= 1e-4 * (high - low), (v, furthest)
        assert np.isclose(v["least"], low) and np.isclose(v["greatest"], high) and np.isclose(v["step"], scale), v

    out = cnn.graph.output[0].name
    step = next(v["step"] for v in report["quantized_values"] if v["name"] == out)
    apart = np.abs(values[out].astype(np.float64) - theirs[model.graph.output[0].name]).max()
    reported = next(o["max"] for o in report["outputs"] if o["precision"] == "float32")
    assert abs(apart - reported) <= step, (apart, reported, step)
    print(f"{name} {kind}: {len(stored)} constants, {len(report['quantized_values'])} values, {outside} numbers outside, "
          f"largest difference {apart:.4g}, reported {reported:.4g}")


def main():
    with tempfile.TemporaryDirectory() as work:
        for name, kind in MODELS:
            check(sys.argv[1], name, kind)
            check(sys.argv[1], name, kind, work)


if __name__ == "__main__":
    main()
