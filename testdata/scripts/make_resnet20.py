#!/usr/bin/env python3
"""Train a ResNet-20 on 32×32 images and write it as ONNX, with the images.

make_resnet20.py FOLDER writes FOLDER/resnet20.onnx, and FOLDER/train.npz and FOLDER/test.npz with
x (uint8 N×3×32×32) and y. The images are those of testdata/fashion-mnist, enlarged from 28×28
(bilinear) and given three channels. The net is that of He, Zhang, Ren and Sun, Deep Residual
Learning for Image Recognition (arXiv 1512.03385, §4.2) with n = 3: 270 thousand weights; where it
halves the image, the shortcut takes every second pixel and pads the channels with zeros (option
A). It is trained with their settings, but for fewer epochs, and written by PyTorch's TorchScript
exporter with its BatchNormalizations. The same seed, versions and threads give the same files.
"""

import argparse
import pathlib
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import fashion_mnist
import onnx_tidy
import train_pytorch

SIZE = 32
BATCH = 128


class Block(nn.Module):
    """Two convolutions and a shortcut around them."""

    def __init__(self, channels_in, channels):
        super().__init__()
        self.stride = channels // channels_in
        self.more = channels - channels_in
        self.conv1 = nn.Conv2d(channels_in, channels, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        """Return the block's output of images x."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.more:
            half = self.more // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        return torch.relu(x + y)


def resnet20(width=16):
    """Return a ResNet-20 with new weights, as the paper initialises them.

    width is the channels of the first third; it is 16 in the paper.
    """
    blocks, channels_in = [], width
    for channels in (width, 2 * width, 4 * width):
        for _ in range(3):
            blocks.append(Block(channels_in, channels))
            channels_in = channels
    net = nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


def images(split):
    """Return the images, uint8 N×3×32×32, and the labels of "train" or "test"."""
    size = {"train": "10k", "test": "2k"}[split]
    folder = fashion_mnist.TESTDATA / "fashion-mnist"
    x = torch.from_numpy(
        fashion_mnist.read_idx(folder / f"{split}-images-{size}-idx3-ubyte.gz").astype(np.float32)
    )
    x = functional.interpolate(x[:, None], (SIZE, SIZE), mode="bilinear").round().to(torch.uint8)
    y = fashion_mnist.read_idx(folder / f"{split}-labels-{size}-idx1-ubyte.gz")
    return x.repeat(1, 3, 1, 1).numpy(), y.astype(np.int64)


def train(net, x, y, epochs):
    """Train by SGD at a rate of 0.1, divided by 10 after a half and three quarters."""
    steps = epochs * ((len(x) + BATCH - 1) // BATCH)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [steps // 2, steps * 3 // 4])
    for epoch in range(epochs):
        net.train()
        for batch in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"  epoch {epoch + 1} of {epochs}: loss of the last batch {loss.item():.4f}")


@torch.no_grad()
def right(net, x, y):
    """Return how many images the net classifies as they are labelled."""
    net.eval()
    return sum(int((net(a).argmax(1) == b).sum()) for a, b in zip(x.split(250), y.split(250)))


def main():
    """Parse the command line, train, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER", help="to write into")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the images (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.folder.mkdir(parents=True, exist_ok=True)
    data = {}
    for split in ("train", "test"):
        x, y = images(split)
        np.savez(args.folder / f"{split}.npz", x=x, y=y)
        data[split] = torch.from_numpy(fashion_mnist.normalise(x)), torch.from_numpy(y)
    net = resnet20()
    train(net, *data["train"], args.epochs)
    total = len(data["test"][1])
    print(f"right: {right(net, *data['test'])} of {total}")
    path = args.folder / "resnet20.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train_pytorch.export_torchscript(net.eval(), data["test"][0][:2], path, 17)
    onnx_tidy.strip_source_paths(path)
    size = sum(p.numel() for p in net.parameters())
    print(f"{path}: {size:,} parameters, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
