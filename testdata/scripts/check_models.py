#!/usr/bin/env python3
"""Check ONNX models with onnx and ONNX Runtime. Needs numpy, onnx and onnxruntime only.

check_models.py DIR...
    Each model.onnx below a folder (or each file named): full onnx.checker, strict shape inference,
    and ONNX Runtime's outputs on the folder's inputs.npz against outputs.npz, what the framework
    that trained the model computed. One line a model.
check_models.py --accuracy MODEL.onnx --images F.gz --labels F.gz --mean 0.2860 --std 0.3530
    Classify gzipped IDX images and print how many are right.
check_models.py --same A.onnx B.onnx --inputs X.npz --rtol R --atol A
    Compare the outputs of two models on the same inputs.
"""

import argparse
import pathlib
import sys

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
import onnxruntime as ort

import fashion_mnist


class Failure(Exception):
    """A model that is not what it should be."""


def session(path):
    """Return an ONNX Runtime session on the CPU for the model at path."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(model, inputs):
    """Return the model's outputs by name; model is a path or an open session."""
    if not isinstance(model, ort.InferenceSession):
        model = session(model)
    want = [i.name for i in model.get_inputs()]
    if sorted(want) != sorted(inputs):
        raise Failure(f"inputs are {sorted(inputs)}: the model has {want}")
    names = [o.name for o in model.get_outputs()]
    return dict(zip(names, model.run(names, inputs)))


def load_npz(path):
    """Return the arrays of an .npz file by name."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def compare(got, want, rtol, atol):
    """Return the greatest absolute difference; raise Failure unless all are within tolerance."""
    if not want:
        raise Failure("no outputs to compare")
    if sorted(got) != sorted(want):
        raise Failure(f"outputs are {sorted(got)}: want {sorted(want)}")
    greatest = 0.0
    for name, w in want.items():
        g = got[name]
        if g.shape != w.shape or g.dtype != w.dtype:
            raise Failure(f"output {name!r} is {g.dtype}{g.shape}: want {w.dtype}{w.shape}")
        if not (np.isfinite(g).all() and np.isfinite(w).all()):
            raise Failure(f"output {name!r}: not finite")
        difference = np.abs(g.astype(np.float64) - w.astype(np.float64))
        greatest = max(greatest, float(difference.max(initial=0)))
        allowed = atol + rtol * np.abs(w.astype(np.float64))
        if (difference > allowed).any():
            count = int((difference > allowed).sum())
            raise Failure(
                f"output {name!r}: {count} of {w.size} values differ by more than "
                f"{atol:g} + {rtol:g}·|want|, at most by {difference.max():.3g}"
            )
    return greatest


def check(path, rtol, atol):
    """Check one model file, against its folder's reference; return the greatest difference."""
    onnx.checker.check_model(str(path), full_check=True)
    onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    inputs, outputs = path.parent / "inputs.npz", path.parent / "outputs.npz"
    for reference in (inputs, outputs):
        if not reference.exists():
            raise Failure(f"{reference.name} is missing")
    return compare(run(path, load_npz(inputs)), load_npz(outputs), rtol, atol)


def find_models(arguments):
    """Return the model files that the arguments name: files, folders, folders of folders."""
    found = []
    for argument in arguments:
        if argument.is_dir():
            models = sorted(argument.rglob("model.onnx"))
            if not models:
                raise Failure(f"{argument}: no model.onnx in it")
            found.extend(models)
        else:
            found.append(argument)
    return found


def check_all(arguments, rtol, atol):
    """Check every model, print a line for each, and return the exit code."""
    code = 0
    for path in find_models(arguments):
        name = path.parent.name if path.name == "model.onnx" else str(path)
        try:
            difference = check(path, rtol, atol)
        except Exception as e:  # whatever onnx or ONNX Runtime raise is this model's failure
            reason = " ".join(str(e).split())
            print(f"FAIL {name} {type(e).__name__}: {reason}")
            code = 1
        else:
            print(f"ok {name} max-abs-diff {difference:.3g}")
    return code


def accuracy(path, images, labels, mean, std, batch=100):
    """Return how many images the model classifies right, and how many there are."""
    model = session(path)
    inputs = model.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise Failure(f"{path}: want one input of rank 4, got {[i.shape for i in inputs]}")
    shape = inputs[0].shape
    x = fashion_mnist.normalise(fashion_mnist.read_idx(images), mean, std)
    if shape[1] == 1:
        x = x[:, np.newaxis]
    elif shape[3] == 1:
        x = x[..., np.newaxis]
    else:
        raise Failure(f"{path}: input is {shape}: want one channel, N×1×H×W or N×H×W×1")
    y = fashion_mnist.read_idx(labels)
    if len(x) != len(y):
        raise Failure(f"{len(x)} images but {len(y)} labels")
    if isinstance(shape[0], int):
        batch = shape[0]
        if len(x) % batch:
            raise Failure(f"{path}: batch is {batch}: {len(x)} images are no multiple of it")
    correct = 0
    for start in range(0, len(x), batch):
        scores = model.run(None, {inputs[0].name: x[start : start + batch]})[0]
        correct += int((scores.argmax(1) == y[start : start + batch]).sum())
    return correct, len(y)


def main():
    """Parse the command line, do what it asks, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path = pathlib.Path
    parser.add_argument("models", nargs="*", type=path, metavar="DIR", help="to check")
    parser.add_argument("--accuracy", type=path, metavar="MODEL", help="model to measure")
    parser.add_argument("--images", type=path, help="gzipped IDX, for --accuracy")
    parser.add_argument("--labels", type=path, help="gzipped IDX, for --accuracy")
    parser.add_argument("--mean", type=float, default=fashion_mnist.MEAN, help="of pixel/255")
    parser.add_argument("--std", type=float, default=fashion_mnist.STD, help="of pixel/255")
    parser.add_argument("--same", nargs=2, type=path, metavar="MODEL", help="models to compare")
    parser.add_argument("--inputs", type=path, help=".npz with an array per input, for --same")
    parser.add_argument("--rtol", type=float, default=1e-4, help="default: %(default)s")
    parser.add_argument("--atol", type=float, default=1e-5, help="default: %(default)s")
    args = parser.parse_args()
    if bool(args.models) + bool(args.accuracy) + bool(args.same) != 1:
        parser.error("want one of: DIR..., --accuracy, --same")
    if args.accuracy and not (args.images and args.labels):
        parser.error("--accuracy needs --images and --labels")
    if args.same and not args.inputs:
        parser.error("--same needs --inputs")
    try:
        if args.models:
            return check_all(args.models, args.rtol, args.atol)
        if args.accuracy:
            correct, total = accuracy(args.accuracy, args.images, args.labels, args.mean, args.std)
            print(f"accuracy {correct}/{total}")
            return 0
        inputs = load_npz(args.inputs)
        a, b = (run(model, inputs) for model in args.same)
        print(f"same max-abs-diff {compare(b, a, args.rtol, args.atol):.3g}")
        return 0
    except Failure as e:
        print(f"FAIL {e}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
