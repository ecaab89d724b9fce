#!/usr/bin/env python3
"""Let SciPy read the matrix of a convolution, and hold its singular values against FFT bounds.

check_scipy.py EFCN converts models by the program EFCN and exports convolutions of stride 1. Sedghi,
Gupta and Long (arXiv 1805.10408, theorem 6) give the singular values of a convolution on a torus: those
of the kernel's Fourier transform at each frequency. The matrix of a convolution that pads with zeros is a
part of that on the torus that has room for the padding, so that its i-th singular value is at most the
i-th there. That bound holds for every i, and the largest value reaches at least 0.6 of it.

Needs numpy, onnx and scipy.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import scipy.sparse
import scipy.sparse.linalg
from onnx import helper, numpy_helper

MODELS = pathlib.Path(__file__).parent.parent / "models"
LAYERS = {"lenet-torchscript": ["/conv1/Conv", "/conv2/Conv"], "resnet-torchscript": ["/dilated/Conv"]}
FIRST = 8  # singular values that are compared


def torus(kernel, height, width):
    """Return the singular values of a convolution with kernel O×I×H×W on a torus, the largest first."""
    transform = np.fft.fft2(kernel.astype(np.float64), (height, width), axes=(2, 3))
    return np.sort(np.linalg.svd(transform.transpose(2, 3, 0, 1), compute_uv=False).ravel())[::-1]


def dilated(kernel, down, right):
    """Return a kernel with the zeros between its entries that a dilation puts there."""
    height, width = ((n - 1) * step + 1 for n, step in zip(kernel.shape[2:], (down, right)))
    out = np.zeros((*kernel.shape[:2], height, width), kernel.dtype)
    out[:, :, ::down, ::right] = kernel
    return out


def check(efcn, name, layers, folder):
    """Check some layers of one model."""
    cnn = onnx.load(MODELS / name / "model.onnx")
    constants = {t.name: numpy_helper.to_array(t) for t in cnn.graph.initializer}
    out = folder / "efcn.onnx"
    command = [efcn, "convert", MODELS / name / "model.onnx", "-o", out, "--layout", "local", "--no-fold-bn"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for layer in layers:
        node = next(n for n in cnn.graph.node if n.name == layer)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kernel = dilated(constants[node.input[1]], *attributes.get("dilations", [1, 1]))
        matrix = folder / "matrix.npz"
        subprocess.run([efcn, "export", out, "--layer", layer, "-o", matrix], check=True, stdout=subprocess.DEVNULL)
        a = scipy.sparse.load_npz(matrix)
        pads = attributes.get("pads", [0, 0, 0, 0])
        side = round((a.shape[1] / kernel.shape[1]) ** 0.5)
        assert a.shape[1] == kernel.shape[1] * side * side, f"{layer}: the input is no square"
        assert attributes.get("strides", [1, 1]) == [1, 1] and attributes.get("group", 1) == 1
        got = np.sort(scipy.sparse.linalg.svds(a.astype(np.float64), FIRST, return_singular_vectors=False))[::-1]
        bound = torus(kernel, side + pads[0] + pads[2], side + pads[1] + pads[3])[:FIRST]
        ratio = got / bound
        print(f"{name} {layer}: {a.shape[0]}×{a.shape[1]}, largest {got[0]:.4f}, bound {bound[0]:.4f}")
        assert (ratio <= 1 + 1e-9).all(), f"{layer}: {got} is over {bound}"
        assert ratio[0] >= 0.6, f"{layer}: {got[0]} is far below {bound[0]}"


def main():
    """Check all models."""
    with tempfile.TemporaryDirectory() as folder:
        for name, layers in LAYERS.items():
            check(sys.argv[1], name, layers, pathlib.Path(folder))


if __name__ == "__main__":
    main()
