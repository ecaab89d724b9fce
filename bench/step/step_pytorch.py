"""The PyTorch side of bench/step: arguments threads, batch and the name of a net (see nets
below); for every number read from stdin that many steps of SGD, answered with the seconds of one."""

import sys
import time

import torch
from torch import nn

CLASSES = 10


def strided():
    """The eFCN of three stride-2 convolutions: dense layers alone."""
    widths = (3072, 3072, 1536, 768, CLASSES)
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def skinny(first, second, third):
    """Three layers to 64 channels, each followed by ReLU and max pooling, and a linear classifier."""
    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(
        first, nn.ReLU(), pool, second, nn.ReLU(), pool, third, nn.ReLU(), pool, nn.Flatten(), nn.Linear(64, CLASSES)
    )


def cnn():
    """The CNN of the authors' paper that they call skinny."""
    return skinny(
        nn.Conv2d(3, 64, 4, stride=2, padding=2), nn.Conv2d(64, 64, 5, padding=2), nn.Conv2d(64, 64, 3, padding=1)
    )


def dense(pad, fan_in, channels, size):
    """One embedded convolution; with pad, its padding is part of the input, as the authors have it."""
    layers = [nn.ZeroPad2d(pad)] if pad else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(fan_in, channels * size**2), nn.Unflatten(1, (channels, size, size)))


def authors():
    """The eFCN of cnn on the authors' layout."""
    return skinny(dense(2, 3 * 36**2, 64, 17), dense(2, 64 * 12**2, 64, 8), dense(1, 64 * 5**2, 64, 3))


def folded():
    """The same without the columns that only ever meet padding: the matrices that efcn has."""
    return skinny(dense(0, 3 * 32**2, 64, 17), dense(0, 64 * 8**2, 64, 8), dense(0, 64 * 3**2, 64, 3))


def main():
    threads, batch, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    nets = {"strided": strided, "cnn": cnn, "cnn, channels last": cnn, "authors": authors, "folded": folded}
    net = nets[name]()
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, CLASSES, (batch,))
    if "channels last" in name:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad()
        loss(net(x), y).backward()
        optimiser.step()

    step()
    weights = sum(p.numel() for p in net.parameters())
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {weights / 1e6:.2f} million weights", flush=True)
    for line in sys.stdin:
        count = int(line)
        begin = time.perf_counter()
        for _ in range(count):
            step()
        print((time.perf_counter() - begin) / count, flush=True)


main()
