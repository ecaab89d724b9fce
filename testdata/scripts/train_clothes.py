#!/usr/bin/env python3
"""Train a ResNet-20 of half width on photographs of clothes, and write it as ONNX.

train_clothes.py CLOTHES OUT.onnx; CLOTHES is what make_clothing.py made. Images are resized to
64×64 pixels (bilinear, antialiased) and normalised with ImageNet's figures, as efcn does with
folder:CLOTHES/train?resize=64x64&channels=3&normalize=imagenet. The net is that of
make_resnet20.py with 8, 16 and 32 channels: 67 thousand weights, 41 million where each position
has its own, and 9.2 billion (37 GB) where all pairs have. It is trained with the settings there, first
on images of 32×32 pixels, which takes a quarter of the time: it averages over all positions, and so
takes images of any size. The same seed, versions and threads give the same file.
"""

import argparse
import pathlib
import time

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

import make_resnet20
import onnx_tidy
import train_pytorch

SIZE = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images(folder):
    """Return the images, normalised, N×3×64×64, and the labels, in the order of names."""
    pixels, labels = [], []
    for label, kind in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for path in sorted(kind.iterdir()):
            image = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
            pixels.append(np.asarray(image))
            labels.append(label)
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(), torch.tensor(labels)


def main():
    """Parse the command line, train, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clothes", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--small-epochs", type=int, default=6, help="epochs on 32×32 pixels")
    parser.add_argument("--epochs", type=int, default=2, help="epochs on 64×64 pixels after that")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train, test = images(args.clothes / "train"), images(args.clothes / "test")
    net = make_resnet20.resnet20(8)
    small = functional.avg_pool2d(train[0], 2)
    make_resnet20.train(net, small, train[1], args.small_epochs)
    make_resnet20.train(net, *train, args.epochs)
    print(f"{time.process_time():.0f} s of processor time")
    print(f"right: {make_resnet20.right(net, *test)} of {len(test[1])} test images")
    train_pytorch.export_torchscript(net.eval(), test[0][:2], args.output, 17)
    onnx_tidy.strip_source_paths(args.output)


if __name__ == "__main__":
    main()
