#!/usr/bin/env python3
"""Let Nengo run an eFCN as a spiking network, whose connections are its matrices.

check_nengo.py EFCN converts a model by the program EFCN. Every Gemm becomes a connection, every Relu a
population of spiking rectified linear neurons, which fire at the rate of their current. What the last
layer is sent, averaged over time, has to go to the outputs of the network of rates: the largest error
falls below 2 % of the largest output, and by more than half from the first tenth of the time on.

Needs nengo, numpy, onnx and scipy.
"""

import pathlib
import subprocess
import sys
import tempfile

import nengo
import numpy as np
import onnx
import scipy.sparse
from onnx import numpy_helper

MODELS = pathlib.Path(__file__).parent.parent / "models" / "plain-torchscript"
LAYERS = ["/conv1/Conv", "/conv2/Conv", "/fc/Gemm"]
RATE = 500  # spikes a second for an activation of 1
SECONDS = 2.0


def load(efcn, folder):
    """Return matrix and bias of each layer, from the eFCN of a model."""
    out = folder / "efcn.onnx"
    command = [efcn, "convert", MODELS / "model.onnx", "-o", out, "--layout", "dense"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer}
    products = [n for n in onnx.load(out).graph.node if n.op_type == "Gemm"]
    assert [n.name for n in products] == LAYERS, [n.name for n in products]
    return [(constants[n.input[1]].astype(float), constants[n.input[2]].astype(float)) for n in products]


def spiking(layers, x):
    """Return what a network of spiking neurons sends to the outputs, at each millisecond."""
    with nengo.Network(seed=1) as net:
        before, first = nengo.Node(x), True
        for matrix, bias in layers[:-1]:
            neurons = nengo.Ensemble(
                len(bias), 1, neuron_type=nengo.SpikingRectifiedLinear(amplitude=1 / RATE),
                gain=np.ones(len(bias)), bias=RATE * bias, seed=2,
            ).neurons  # fmt: skip
            transform = scipy.sparse.csr_matrix(RATE * matrix)
            nengo.Connection(before, neurons, transform=nengo.Sparse(matrix.shape, init=transform),
                             synapse=None if first else 0.01)  # fmt: skip
            before, first = neurons, False
        out = nengo.Node(size_in=len(layers[-1][1]))
        nengo.Connection(before, out, transform=layers[-1][0], synapse=None)
        probe = nengo.Probe(out)
    with nengo.Simulator(net, progress_bar=False) as simulator:
        simulator.run(SECONDS)
    return simulator.data[probe] + layers[-1][1]


def main():
    """Compare the two networks on an image."""
    x = np.load(MODELS / "inputs.npz")
    x = x[x.files[0]][0].ravel().astype(float)
    with tempfile.TemporaryDirectory() as folder:
        layers = load(sys.argv[1], pathlib.Path(folder))
    want = x
    for i, (matrix, bias) in enumerate(layers):
        want = matrix @ want + bias
        if i < len(layers) - 1:
            want = np.maximum(want, 0)
    sent = spiking(layers, x)

    def error(milliseconds):
        return np.abs(sent[:milliseconds].mean(axis=0) - want).max() / np.abs(want).max()

    early, late = error(len(sent) // 10), error(len(sent))
    neurons = sum(len(bias) for _, bias in layers[:-1])
    print(f"{neurons} neurons, {SECONDS:g} s: error {early:.2%} after a tenth, {late:.2%} in the end")
    assert late <= 0.02 and late < early / 2, (early, late)
    assert sent.mean(axis=0).argmax() == want.argmax()


if __name__ == "__main__":
    main()
