"""Writes models of testdata/models with their numbers in 16 bits: float16 by the converter that comes with
ONNX Runtime, with float16 and with float32 at the inputs and outputs, and bfloat16 by ml_dtypes.
`efcn verify --as` compares them with what they were made from.

    python3 testdata/scripts/narrow.py

Needs ml_dtypes, numpy, onnx, onnxruntime (written with 0.6.0, 2.4.6, 1.23.2, 1.32.0).
"""

import pathlib

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

ROOT = pathlib.Path(__file__).resolve().parents[1]


def to_bfloat16(model):
    """Every float32 constant, input, output and Cast becomes bfloat16."""
    for constant in model.graph.initializer:
        if constant.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(constant).astype(ml_dtypes.bfloat16)
            constant.ClearField("float_data")
            constant.data_type = TensorProto.BFLOAT16
            constant.raw_data = values.view(np.uint16).tobytes()
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    del model.graph.value_info[:]
    return model


def main():
    out = ROOT / "narrow"
    out.mkdir(exist_ok=True)
    for name in ["lenet-torchscript", "resnet-torchscript"]:
        source = ROOT / "models" / name / "model.onnx"
        for kind, keep in [("float16", False), ("float16-inside", True)]:
            model = convert_float_to_float16(onnx.load(source), keep_io_types=keep)
            OnnxModel(model).topological_sort()  # the Cast of an input comes last
            onnx.checker.check_model(model)
            onnx.save(model, out / f"{name}-{kind}.onnx")
        model = to_bfloat16(onnx.load(source))
        onnx.checker.check_model(model)
        onnx.save(model, out / f"{name}-bfloat16.onnx")


if __name__ == "__main__":
    main()
