"""Writes what optimisers make of two of the models: ONNX Runtime's offline optimisation at the basic
level, and onnxsim. `efcn verify` compares them with what they were made from.

    python3 testdata/scripts/optimise.py

Needs onnx, onnxruntime and onnxsim (written with 1.23.2, 1.32.0 and 0.8.1).
"""

import pathlib

import onnx
import onnxruntime
import onnxsim

ROOT = pathlib.Path(__file__).resolve().parents[1]


def by_onnxruntime(source, target):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def by_onnxsim(source, target):
    model, ok = onnxsim.simplify(onnx.load(source))
    if not ok:
        raise SystemExit(f"{source}: onnxsim's own check failed")
    onnx.save(model, target)


def main():
    out = ROOT / "optimised"
    out.mkdir(exist_ok=True)
    for name in ["lenet-torchscript", "resnet-torchscript"]:
        source = ROOT / "models" / name / "model.onnx"
        by_onnxruntime(source, out / f"{name}-onnxruntime.onnx")
        by_onnxsim(source, out / f"{name}-onnxsim.onnx")


if __name__ == "__main__":
    main()
