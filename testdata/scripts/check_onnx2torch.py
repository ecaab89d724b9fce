#!/usr/bin/env python3
"""Let PyTorch train what onnx2torch and onnx2pytorch make of an eFCN, and take it back.

check_onnx2torch.py EFCN converts a model by the program EFCN, and for each of the two tools:

    outputs   the module computes what ONNX Runtime computes from the eFCN, to 1e-5 of the largest
    back      exported again by torch.onnx, without metadata, "efcn verify" finds it equal to the CNN and
              "efcn measure --cnn" recognises the convolutions, which have not moved
    trained   after a step of gradient descent "efcn measure --cnn" finds weights outside the support,
              as far off as NumPy computes from the two matrices

Needs numpy, onnx, onnxruntime, torch, and onnx2torch and onnx2pytorch with their packages.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx2torch
import onnxruntime
import torch
from onnx import numpy_helper
from onnx2pytorch import ConvertModel

CNN = pathlib.Path(__file__).parent.parent / "models" / "plain-torchscript"
MOVED = 1e-6  # a figure that is float32 rounding at most


def run(efcn, *args):
    """Run the program, and return the JSON that it prints."""
    return json.loads(subprocess.run([efcn, *args, "--json"], check=True, capture_output=True, text=True).stdout)


def back(module, x, path):
    """Export a module, as any user of PyTorch does, and check that the record is gone."""
    module.eval()
    torchscript = {"dynamo": False} if torch.__version__ >= "2" else {}  # PyTorch 1 has no other exporter
    torch.onnx.export(module, (x[:1],), str(path), **torchscript, opset_version=17, input_names=["input"],
                      output_names=["logits"], dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}})  # fmt: skip
    assert not onnx.load(path).metadata_props


def off_local(before, after, layer):
    """Return the share of a matrix outside the support of what it was before, from the two files."""
    weights = []
    for path in (before, after):
        model = onnx.load(path)
        shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        weights.append(next(a for a in shapes.values() if a.ndim == 2 and sorted(a.shape) == sorted(layer)))
    start, end = (w if w.shape == layer else w.T for w in weights)
    outside = np.where(start == 0, end, 0).astype(float)
    return np.linalg.norm(outside) / np.linalg.norm(end.astype(float))


def check(tool, module, efcn, file, x, labels, folder):
    """Check one tool's module."""
    want = onnxruntime.InferenceSession(file).run(None, {"input": x})[0]
    images = torch.from_numpy(x)
    with torch.no_grad():
        difference = np.abs(module(images).numpy() - want).max() / np.abs(want).max()
    assert difference <= 1e-5, f"{tool}: outputs differ by {difference}"

    cnn, untrained, trained = CNN / "model.onnx", folder / f"{tool}.onnx", folder / f"{tool}-trained.onnx"
    back(module, images, untrained)
    assert run(efcn, "verify", cnn, untrained, "--samples", "8")["equal"]
    d = run(efcn, "measure", untrained, "--cnn", cnn)
    assert [r["layer"] for r in d["recognised"]] == ["/conv1/Conv", "/conv2/Conv"], d["recognised"]
    assert d["distance"] <= MOVED and d["off_local"] == 0 and d["from_cnn"] <= MOVED, d

    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    torch.nn.functional.cross_entropy(module(images), labels).backward()
    optimizer.step()
    back(module, images, trained)
    d = run(efcn, "measure", trained, "--cnn", cnn)
    layer = d["layers"][0]
    by_numpy = off_local(file, trained, (784, 784))
    assert layer["off_local"] > MOVED and abs(layer["off_local"] / by_numpy - 1) < 1e-5, (layer, by_numpy)
    names = ", ".join(f"{r['layer']} by {r['by']}" for r in d["recognised"])
    print(
        f"ok {tool}: outputs to {difference:.1g}; recognised {names}; off-local after a step {layer['off_local']:.3g}"
    )


def main():
    """Convert, and check both tools."""
    efcn = sys.argv[1]
    inputs = np.load(CNN / "inputs.npz")
    x = inputs[inputs.files[0]][:8].astype(np.float32)
    labels = torch.from_numpy(np.arange(len(x)) % 10)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        file = folder / "efcn.onnx"
        run(efcn, "convert", CNN / "model.onnx", "-o", file, "--layout", "dense")
        torch.manual_seed(0)
        check("onnx2torch", onnx2torch.convert(str(file)), efcn, file, x, labels, folder)
        module = ConvertModel(onnx.load(file), experimental=True)
        check("onnx2pytorch", module, efcn, file, x, labels, folder)


if __name__ == "__main__":
    main()
