"""The PyTorch side of bench/step: arguments threads, batch, the name of a net (see NETS
below) and a device (default cpu; cuda computes in float32 without TF32); for every number read
from stdin that many steps of SGD, answered with the seconds of one and those of the processors."""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

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


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, fan_in, channels):
        super().__init__()
        stride = channels // fan_in
        self.inner = nn.Sequential(*normalised(fan_in, channels, 3, stride), nn.ReLU(), *normalised(channels, channels, 3, 1))
        self.shortcut = nn.Sequential(*normalised(fan_in, channels, 1, stride)) if stride > 1 else nn.Identity()

    def forward(self, x):
        return functional.relu(self.inner(x) + self.shortcut(x))


def normalised(fan_in, channels, kernel, stride, groups=1):
    return nn.Conv2d(fan_in, channels, kernel, stride, kernel // 2, groups=groups), nn.BatchNorm2d(channels)


def residual(blocks):
    """The residual net with so many blocks a stage."""
    stages = [block for c in (16, 32, 64) for block in (Block(max(16, c // 2), c), *(Block(c, c) for _ in range(blocks - 1)))]
    return nn.Sequential(
        *normalised(3, 16, 3, 1), nn.ReLU(), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)
    )


def mobile():
    """MobileNetV2 for images of 32 x 32, with one block a stage."""
    layers, fan_in = [*normalised(3, 32, 3, 1), nn.ReLU6()], 32
    for expand, channels, stride in (1, 16, 1), (6, 24, 1), (6, 32, 2), (6, 64, 2), (6, 96, 1), (6, 160, 2), (6, 320, 1):
        wide = fan_in * expand
        if expand > 1:
            layers += [*normalised(fan_in, wide, 1, 1), nn.ReLU6()]
        layers += [*normalised(wide, wide, 3, stride, wide), nn.ReLU6(), *normalised(wide, channels, 1, 1)]
        fan_in = channels
    layers += [*normalised(fan_in, 1280, 1, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES))


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


class Local(nn.Module):
    """A locally connected layer: for every output position the product of a matrix of its own,
    out × (channels · kernel²), by what it sees, (channels · kernel²) × batch. A class below says how that
    is put together: positions × slots × batch."""

    def __init__(self, fan_in, fan_out, kernel, stride, padding, size):
        super().__init__()
        self.window = {"kernel_size": kernel, "stride": stride, "padding": padding}
        self.shape = (fan_out, size, size)
        slots = fan_in * kernel**2
        self.weight = nn.Parameter(torch.randn(size**2, fan_out, slots) * (2 / slots) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(fan_out, size**2))

    def forward(self, x):
        product = torch.bmm(self.weight, self.seen(x)).permute(2, 1, 0)
        return (product + self.bias).unflatten(1, self.shape[:1]).unflatten(-1, self.shape[1:])


class Unfold(Local):
    """What a position sees by im2col."""

    def seen(self, x):
        return functional.unfold(x, **self.window).permute(2, 1, 0).contiguous()


class Views(Local):
    """Windows as views, which one copy lays out."""

    def seen(self, x):
        kernel, stride, padding = self.window["kernel_size"], self.window["stride"], self.window["padding"]
        x = functional.pad(x, (padding,) * 4)
        windows = x.unfold(2, kernel, stride).unfold(3, kernel, stride)  # batch, channels, rows, columns, kernel, kernel
        return windows.permute(2, 3, 1, 4, 5, 0).reshape(*self.weight.shape[::2], -1)


class Rows(Local):
    """With the batch last from the start, what a position sees is a selection of rows."""

    def __init__(self, fan_in, fan_out, kernel, stride, padding, size):
        super().__init__(fan_in, fan_out, kernel, stride, padding, size)
        edge = (size - 1) * stride + kernel  # of the padded image, as far as it is read
        numbers = torch.arange(fan_in * edge**2, dtype=torch.float64).reshape(1, fan_in, edge, edge)
        self.edge = edge
        self.register_buffer("index", functional.unfold(numbers, kernel, stride=stride)[0].long().T.flatten())

    def seen(self, x):
        padding = self.window["padding"]
        x = functional.pad(x, (padding,) * 4)[:, :, : self.edge, : self.edge]
        return x.flatten(1).T.index_select(0, self.index).reshape(*self.weight.shape[::2], -1)


class Sparse(nn.Module):
    """A locally connected layer as one sparse matrix, (out · positions) × (channels · pixels)."""

    def __init__(self, fan_in, fan_out, kernel, stride, padding, size, pixels):
        super().__init__()
        self.shape = (fan_out, size, size)
        numbers = torch.arange(1, fan_in * pixels**2 + 1, dtype=torch.float64).reshape(1, fan_in, pixels, pixels)
        seen = functional.unfold(numbers, kernel, stride=stride, padding=padding)[0].long().T  # 0 is padding
        rows = torch.arange(fan_out * size**2).reshape(fan_out, size**2, 1).expand(-1, -1, seen.shape[1])
        cols = seen.expand_as(rows)
        at = torch.stack([rows[cols > 0], cols[cols > 0] - 1])
        values = torch.randn(at.shape[1]) * (2 / seen.shape[1]) ** 0.5
        matrix = torch.sparse_coo_tensor(at, values, (fan_out * size**2, fan_in * pixels**2)).coalesce()
        self.weight = nn.Parameter(matrix.to_sparse_csr())
        self.bias = nn.Parameter(torch.zeros(fan_out * size**2, 1))

    def forward(self, x):
        return (torch.sparse.mm(self.weight, x.flatten(1).T) + self.bias).T.unflatten(1, self.shape)


def local(layer):
    """The eLCN of cnn."""
    return skinny(layer(3, 64, 4, 2, 2, 17), layer(64, 64, 5, 1, 2, 8), layer(64, 64, 3, 1, 1, 3))


def sparse():
    """The same on sparse matrices."""
    return skinny(Sparse(3, 64, 4, 2, 2, 17, 32), Sparse(64, 64, 5, 1, 2, 8, 8), Sparse(64, 64, 3, 1, 1, 3, 3))


NETS = {
    "strided": strided,
    "cnn": cnn,
    "cnn, channels last": cnn,
    "resnet": lambda: residual(1),
    "resnet, channels last": lambda: residual(1),
    "resnet20": lambda: residual(3),
    "resnet20, channels last": lambda: residual(3),
    "mobilenet": mobile,
    "mobilenet, channels last": mobile,
    "authors": authors,
    "folded": folded,
    "unfold, bmm": lambda: local(Unfold),
    "views, bmm": lambda: local(Views),
    "rows, bmm": lambda: local(Rows),
    "sparse CSR": sparse,
}


def main():
    threads, batch, name, device = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], (sys.argv[4:] or ["cpu"])[0]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    net = NETS[name]().to(device)
    x, y = torch.randn(batch, 3, 32, 32).to(device), torch.randint(0, CLASSES, (batch,)).to(device)
    if "channels last" in name:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad()
        loss(net(x), y).backward()
        optimiser.step()

    def wait():
        if device != "cpu":
            torch.cuda.synchronize()

    step()
    wait()
    weights = sum(p._nnz() if p.layout == torch.sparse_csr else p.numel() for p in net.parameters())
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {weights / 1e6:.2f} million weights", flush=True)
    for line in sys.stdin:
        count = int(line)
        begin, busy = time.perf_counter(), time.process_time()
        for _ in range(count):
            step()
        wait()
        print((time.perf_counter() - begin) / count, (time.process_time() - busy) / count, flush=True)


if __name__ == "__main__":
    main()
