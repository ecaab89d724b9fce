"""Writes networks quantized to 8-bit integers by ONNX Runtime's quantizer, for `efcn verify --as int8`: those of
testdata/models, calibrated on their 16 images, and a small one of depthwise convolutions with random weights.

    python3 testdata/scripts/quantize.py

Needs numpy, onnx, onnxruntime (written with 2.4.6, 1.23.2, 1.32.0).
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = ROOT / "quantized"

UINT8 = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8)
CHANNELS = dict(activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=True)
SYMMETRIC = dict(CHANNELS, extra_options={"ActivationSymmetric": True, "WeightSymmetric": True})
MIXED = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True)


class Images(CalibrationDataReader):
    """Hands out the arrays of an archive, eight samples at a time."""

    def __init__(self, archive):
        self.batches = [{k: archive[k][i : i + 8] for k in archive} for i in (0, 8)]

    def get_next(self):
        return self.batches.pop() if self.batches else None


def separable(seed=0):
    """A network of depthwise convolutions on images of 3×16×16: BatchNormalization behind each Conv, ReLU6, a
    residual sum, and a Concat of two poolings."""
    random = np.random.default_rng(seed)
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(x, name, out, ins, kernel, groups=1, strides=1):
        weights = random.normal(size=(out, ins // groups, kernel, kernel)) / np.sqrt(ins // groups * kernel**2)
        y = node(
            "Conv",
            [x, constant(f"{name}.weight", weights)],
            name,
            group=groups,
            kernel_shape=[kernel] * 2,
            pads=[kernel // 2] * 4,
            strides=[strides] * 2,
        )
        norm = [random.uniform(0.5, 2, out), random.normal(size=out), random.normal(size=out) / 4, random.uniform(0.5, 2, out)]
        names = [constant(f"{name}_bn.{k}", v) for k, v in zip(["scale", "bias", "mean", "var"], norm)]
        return node("BatchNormalization", [y, *names], f"{name}_bn")

    def relu6(x):
        return node("Clip", [x, "zero", "six"], f"{x}_relu6")

    constant("zero", 0), constant("six", 6)
    stem = relu6(conv("image", "stem", 8, 3, 3, strides=2))
    depthwise = relu6(conv(stem, "depthwise", 8, 8, 3, groups=8))
    block = node("Add", [stem, conv(depthwise, "pointwise", 8, 8, 1)], "sum")
    leaky = node("LeakyRelu", [conv(block, "wide", 12, 8, 3)], "leaky", alpha=0.1)
    most = node("MaxPool", [leaky], "most", kernel_shape=[2, 2], strides=[2, 2])
    mean = node("AveragePool", [leaky], "mean", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    joined = node("Concat", [most, mean], "joined", axis=1)
    flat = node("Flatten", [node("GlobalAveragePool", [joined], "gap")], "flat")
    head = [constant("head.weight", random.normal(size=(5, 24)) / 5), constant("head.bias", random.normal(size=5))]
    node("Gemm", [flat, *head], "logits", transB=1)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "separable",
        [value("image", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [value("logits", TensorProto.FLOAT, ["N", 5])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model, {"image": random.uniform(-1, 1, size=(16, 3, 16, 16)).astype(np.float32)}


def main():
    OUT.mkdir(exist_ok=True)
    for name, kind, how in [
        ("lenet-torchscript", "uint8", UINT8),
        ("lenet-torchscript", "channels", CHANNELS),
        ("plain-torchscript", "uint8", UINT8),
        ("resnet-torchscript", "symmetric", SYMMETRIC),
        ("keras-tf2onnx", "channels", CHANNELS),
    ]:
        folder = ROOT / "models" / name
        images = Images(dict(np.load(folder / "inputs.npz")))
        quantize_static(folder / "model.onnx", OUT / f"{name}-{kind}.onnx", images, quant_format=QuantFormat.QDQ, **how)
    model, images = separable()
    onnx.save(model, OUT / "separable.onnx")
    np.savez_compressed(OUT / "separable-inputs.npz", **images)
    quant_pre_process(OUT / "separable.onnx", OUT / "separable-folded.onnx")
    for kind, how in [("mixed", MIXED), ("symmetric", SYMMETRIC)]:
        quantize_static(
            OUT / "separable-folded.onnx",
            OUT / f"separable-{kind}.onnx",
            Images(images),
            quant_format=QuantFormat.QDQ,
            **how,
        )


if __name__ == "__main__":
    main()
