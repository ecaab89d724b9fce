#!/usr/bin/env python3
"""Train the PyTorch CNNs of testdata/models on Fashion-MNIST and export each to ONNX.

Every network is trained once, from a seed, and exported by one or both of PyTorch's exporters:
"torchscript" (torch.onnx.export with dynamo=False) and "dynamo" (dynamo=True, external data).
Each folder gets model.onnx, inputs.npz (the first 16 test images), outputs.npz (what PyTorch
computes on them in float32) and outputs64.npz (the same module and inputs in float64).
"""

import argparse
import copy
import dataclasses
import pathlib
import warnings
from typing import Callable, Optional

import numpy as np
import onnx
import torch
from torch import nn

import fashion_mnist
import onnx_tidy

REFERENCE_IMAGES = 16


class Plain(nn.Module):
    """conv/ReLU/conv/ReLU/flatten/FC: stride 2 instead of pooling, operators any importer knows."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8 * 7 * 7, 10)

    def forward(self, x):
        """Return logits, N×10, of images x, N×1×28×28."""
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return self.fc(torch.flatten(x, 1))


class LeNet(nn.Module):
    """Two convolutions with max pooling, the second with batch normalisation, then an FC layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(16 * 6 * 6, 10)

    def forward(self, x):
        """Return logits, N×10, of images x, N×1×28×28."""
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))
        # view with x.size(0), not flatten: exported as Shape, Gather, Concat and Reshape.
        return self.fc(x.view(x.size(0), -1))


class ResNet(nn.Module):
    """A small residual network with one of each kind of convolution.

    The even sizes (28, 14) under odd kernels with stride 2 leave the last padded row and column
    unread, so the padding acts on one side only.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(8)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.dilated_bn = nn.BatchNorm2d(8)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.pre_bn = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 16, (3, 5), stride=(2, 1), padding=(1, 2), groups=2)
        self.shortcut = nn.Conv2d(8, 16, 1, stride=(2, 1), bias=False)
        self.shortcut_bn = nn.BatchNorm2d(16)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        """Return logits, N×10, of images x, N×1×28×28."""
        x = torch.relu(self.stem_bn(self.stem(x)))  # 8×14×14
        y = torch.relu(self.depthwise_bn(self.depthwise(x)))
        x = torch.relu(x + self.dilated_bn(self.dilated(y)))
        x = self.pool(x)  # 8×7×7
        # Batch normalisation before the convolution: it cannot be merged into a convolution
        # before it, because the pooled x is read by the shortcut as well.
        y = self.grouped(torch.relu(self.pre_bn(x)))  # 16×4×7
        x = torch.relu(y + self.shortcut_bn(self.shortcut(x)))
        return self.fc(torch.flatten(self.gap(x), 1))


class Padded(nn.Module):
    """Padding as modules of their own before every convolution and pooling.

    So the authors of arXiv 1906.06766 build their networks (models.py of
    github.com/sdascoli/anarchitectural-search); both exporters write Pad nodes.
    """

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.ZeroPad2d(2),
            nn.Conv2d(1, 6, 4, stride=2),
            nn.ReLU(),  # 6×15×15
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.MaxPool2d(3, stride=2),  # 6×7×7
            nn.ZeroPad2d(1),
            nn.Conv2d(6, 12, 3),
            nn.ReLU(),
            nn.ZeroPad2d(1),
            nn.AvgPool2d(3, stride=2),  # 12×4×4
            nn.Flatten(),
            nn.Linear(192, 10),
        )

    def forward(self, x):
        """Return logits, N×10, of images x, N×1×28×28."""
        return self.net(x)


@dataclasses.dataclass
class Net:
    """How one network is built, trained and exported."""

    make: Callable[[], nn.Module]
    epochs: int
    rate: float
    opset: int  # of the TorchScript export
    dynamo_opset: Optional[int]  # of the dynamo export, None for no such export


# The networks are deliberately not trained to convergence: fine-tuning the eFCN has to have
# something left to gain on the same images.
NETS = {
    "plain": Net(Plain, epochs=4, rate=3e-3, opset=11, dynamo_opset=None),
    "lenet": Net(LeNet, epochs=4, rate=2e-3, opset=17, dynamo_opset=20),
    "padded": Net(Padded, epochs=4, rate=5e-3, opset=17, dynamo_opset=18),
    "resnet": Net(ResNet, epochs=6, rate=1e-2, opset=17, dynamo_opset=18),
}


def train(net, seed, batch=50):
    """Return the network trained on the 10,000 images, in evaluation mode."""
    torch.manual_seed(seed)
    module = net.make()
    optimizer = torch.optim.Adam(module.parameters(), lr=net.rate)
    images, labels = fashion_mnist.load("train")
    x = torch.from_numpy(images).unsqueeze(1)
    y = torch.from_numpy(labels)
    for epoch in range(net.epochs):
        total = 0.0
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        print(f"  epoch {epoch + 1}: training loss {total / len(x):.4f}")
    return module.eval()


@torch.no_grad()
def count_correct(module):
    """Return how many of the 2,000 test images the module classifies right, and their number."""
    images, labels = fashion_mnist.load("test")
    logits = module(torch.from_numpy(images).unsqueeze(1))
    return int((logits.argmax(1).numpy() == labels).sum()), len(labels)


def export_torchscript(module, example, path, opset):
    """Export through TorchScript, with Conv and BatchNormalization left apart.

    TrainingMode.PRESERVE on a module in evaluation mode exports inference operators without the
    merging of BatchNormalization into Conv that TrainingMode.EVAL does.
    """
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )


def export_dynamo(module, example, path, opset):
    """Export through torch.export, with the exporter's defaults: optimised, external data."""
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=True,
        verbose=False,
        opset_version=opset,
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )


@torch.no_grad()
def write_reference(module, x, folder):
    """Write inputs.npz, outputs.npz and outputs64.npz: what PyTorch computes on x."""
    np.savez(folder / "inputs.npz", input=x.numpy())
    np.savez(folder / "outputs.npz", logits=module(x).numpy())
    double = copy.deepcopy(module).double()
    np.savez(folder / "outputs64.npz", logits=double(x.double()).numpy())


def main():
    """Parse the command line, train and write the folders asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", help=f"of {', '.join(NETS)} (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=fashion_mnist.TESTDATA / "models",
        help="folder to write to (default: testdata/models)",
    )
    args = parser.parse_args()
    unknown = set(args.nets) - set(NETS)
    if unknown:
        parser.error(f"no network called {', '.join(sorted(unknown))}: want {', '.join(NETS)}")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    print(f"torch {torch.__version__}, onnx {onnx.__version__}, {args.threads} threads")
    for name in args.nets or NETS:
        net = NETS[name]
        print(name)
        module = train(net, args.seed)
        correct, total = count_correct(module)
        print(f"  accuracy {correct}/{total}")
        images, _ = fashion_mnist.load("test")
        x = torch.from_numpy(images[:REFERENCE_IMAGES]).unsqueeze(1)
        exports = [("torchscript", export_torchscript, net.opset)]
        if net.dynamo_opset:
            exports.append(("dynamo", export_dynamo, net.dynamo_opset))
        for exporter, export, opset in exports:
            folder = args.out / f"{name}-{exporter}"
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("model.onnx*"):
                old.unlink()
            export(module, x[:2], folder / "model.onnx", opset)
            onnx_tidy.strip_source_paths(folder / "model.onnx")
            write_reference(module, x, folder)
            print(f"  wrote {folder.name}")


if __name__ == "__main__":
    main()
