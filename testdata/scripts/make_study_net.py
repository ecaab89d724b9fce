#!/usr/bin/env python3
"""Make testdata/study/cnn.onnx, the CNN of docs/relax-time.md, untrained.

A convolution 3×3 to 16 channels, ReLU, MaxPool 2, a convolution 3×3 to 32 channels, ReLU, a
linear layer, without padding, on 1×14×14 images: 9,930 parameters, and 754,442 when it is embedded.
The weights are those that PyTorch gives new layers, from a seed. Written by PyTorch's TorchScript
exporter.
"""

import argparse
import pathlib
import warnings

import torch
from torch import nn

import onnx_tidy


def main():
    """Parse the command line and write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = pathlib.Path(__file__).parents[1] / "study" / "cnn.onnx"
    parser.add_argument("--output", type=pathlib.Path, default=default)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (torch.zeros(1, 1, 14, 14),),
            str(args.output),
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        )
    onnx_tidy.strip_source_paths(args.output)
    size = sum(p.numel() for p in net.parameters())
    print(f"{args.output}: {size:,} parameters, {args.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
