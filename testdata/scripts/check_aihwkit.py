#!/usr/bin/env python3
"""Let IBM's Analog Hardware Acceleration Kit run an eFCN on simulated crossbars.

check_aihwkit.py EFCN converts a model by the program EFCN to matrices, which aihwkit-lightning cuts into
crossbars of at most 256 inputs:

    ideal       cells and converters without error compute what ONNX Runtime computes, to 1e-5 of the largest
    cells       of 4, 6, 8 and 10 bits give in the first layer what NumPy computes from rounded weights;
                two bits more at least halve the error of the outputs, and 8 keep every class
    converters  of 8 bits for inputs and 10 for outputs, behind cells of 8 bits, keep every class
    noise       of the cells gives the first layer's outputs the deviation that follows from matrix and image

aihwkit itself is compiled for one version of PyTorch from PyPI, which comes with 3 GB of CUDA. Its
authors' aihwkit-lightning has the same layers and settings for inference, in PyTorch alone.

Needs numpy, onnxruntime, torch, onnx2torch and aihwkit-lightning.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx2torch
import onnxruntime
import torch
from aihwkit_lightning.nn import AnalogLinear
from aihwkit_lightning.nn.conversion import convert_to_analog
from aihwkit_lightning.simulator.configs import (
    TorchInferenceRPUConfig,
    WeightNoiseInjectionType,
    WeightQuantizationType,
)

MODEL = pathlib.Path(__file__).parent.parent / "models" / "plain-torchscript"
NOISE = 0.02  # of the largest weight of a crossbar
PASSES = 100


def settings():
    """Return those of ideal crossbars."""
    config = TorchInferenceRPUConfig()
    config.mapping.max_input_size = 256
    return config


def with_cells(bits):
    """Return settings with cells of so many bits."""
    config = settings()
    config.modifier.quantization_type = WeightQuantizationType.DISCRETIZE
    config.modifier.res = 2**bits - 2
    return config


def with_converters():
    """Return settings with converters on both sides of cells of 8 bits."""
    config = with_cells(8)
    config.pre_post.input_range.enable = config.pre_post.input_range.dynamic = True
    config.forward.inp_res = 2**8 - 2
    config.forward.out_res = 2**10 - 2
    config.forward.out_bound = 10
    return config


def first_layer(module):
    """Return the first layer of matrices."""
    return next(m for m in module.modules() if isinstance(m, (AnalogLinear, torch.nn.Linear)))


def crossbars(layer, x):
    """Return the weights of each crossbar of a layer, and its part of the inputs."""
    ends = np.cumsum(layer.in_sizes)[:-1]
    assert len(ends) == 3, f"{len(ends) + 1} crossbars"
    return zip(np.split(layer.weight.detach().numpy(), ends, axis=1), np.split(x, ends, axis=1))


def check_cells(module, x, want):
    """Check cells of several bits; want are the outputs."""
    classes, flat, errors = want.argmax(axis=1), x.reshape(len(x), -1), []
    for bits in 4, 6, 8, 10:
        analog = convert_to_analog(module, with_cells(bits)).eval()
        layer = first_layer(analog)
        by_numpy = layer.bias.detach().numpy().astype(float)
        for weights, part in crossbars(layer, flat):
            step = 2 * np.abs(weights).max() / np.float32(2**bits - 2)
            by_numpy = by_numpy + part.astype(float) @ (np.rint(weights / step) * step).T.astype(float)
        off = np.abs(layer(torch.from_numpy(flat)).numpy() - by_numpy).max() / np.abs(by_numpy).max()
        assert off <= 1e-5, f"{bits} bits: the first layer is off by {off}"
        y = analog(torch.from_numpy(x)).numpy()
        errors.append(np.abs(y - want).max() / np.abs(want).max())
        kept = (y.argmax(axis=1) == classes).mean()
        print(f"cells of {bits} bits: outputs off by {errors[-1]:.2%}, {kept:.0%} of classes")
        assert bits < 8 or kept == 1, f"{bits} bits change a class"
    assert all(after < before / 2 for before, after in zip(errors, errors[1:])), errors


def check_noise(module, x):
    """Check the deviation that noise of the cells gives the first layer."""
    config = settings()
    config.modifier.noise_type = WeightNoiseInjectionType.ADD_NORMAL
    config.modifier.std_dev = NOISE
    layer = first_layer(convert_to_analog(module, config)).train()  # aihwkit-lightning is noisy in training only
    flat = x.reshape(len(x), -1)
    exact = first_layer(module)(torch.from_numpy(flat)).numpy()
    off = np.stack([layer(torch.from_numpy(flat)).numpy() - exact for _ in range(PASSES)])
    got = off.std(axis=(0, 2))
    expected = NOISE * np.sqrt(sum(np.abs(w).max() ** 2 * (part**2).sum(axis=1) for w, part in crossbars(layer, flat)))
    print(f"noise of {NOISE:.0%}: deviation {got.mean():.4f}, expected {expected.mean():.4f}")
    assert (np.abs(got / expected - 1) < 0.03).all(), got / expected


def main():
    """Convert, and check."""
    x = np.load(MODEL / "inputs.npz")
    x = x[x.files[0]].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "efcn.onnx")
        command = [sys.argv[1], "convert", MODEL / "model.onnx", "-o", file, "--layout", "dense"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        want = onnxruntime.InferenceSession(file).run(None, {"input": x})[0]
        module = onnx2torch.convert(str(file)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        analog = convert_to_analog(module, settings()).eval()
        matrices = [m for m in analog.modules() if isinstance(m, AnalogLinear)]
        difference = np.abs(analog(torch.from_numpy(x)).numpy() - want).max() / np.abs(want).max()
        print(f"{len(matrices)} matrices, {sum(len(m.in_sizes) for m in matrices)} crossbars, ideal: {difference:.2g}")
        assert len(matrices) == 3 and difference <= 1e-5, difference
        check_cells(module, x, want)
        y = convert_to_analog(module, with_converters()).eval()(torch.from_numpy(x)).numpy()
        print(f"with converters: outputs off by {np.abs(y - want).max() / np.abs(want).max():.2%}")
        assert (y.argmax(axis=1) == want.argmax(axis=1)).all()
        check_noise(module, x)


if __name__ == "__main__":
    main()
