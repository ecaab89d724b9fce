"""Trains the CNNs of testdata/models and their eFCNs with PyTorch, for
finetune/reference_test.go to compare with.

    python finetune/testdata/make_reference.py        # from the root of the repository

Needs torch, onnx and numpy. Every run is 20 steps, of torch.optim.SGD if not said otherwise, batches of
50 in the order of the training set, pixels divided by 255; the rate is 0.1, and
0.01 for the net with batch normalisation, whose loss jumps about at 0.1 so that
rounding grows tenfold every few steps. What is kept, in reference.json: the loss
of every step and, of every weight after the last, its norm and 64 entries spread
over it.

The other optimisers, the schedules and clipping train one of the CNNs, and keep 16
entries. Epochs there are 5 steps. PyTorch has no beta-LASSO; it is three lines.

Three small nets of the operators that move, select and sum elements are made and
exported here, to NAME.onnx beside this file, and trained for 5 steps: adaptive, an
AlexNet whose AdaptiveAvgPool2d the dynamo exporter writes as GatherND and Where;
shuffle, a block of ShuffleNetV2 (chunk and channel shuffle), and unet
(ConvTranspose2d and Concat; a bilinear Upsample and a reflecting pad as well). A net
that is there is not exported anew: its weights are read from the file.

The eFCN is made here from scratch, not read from a file that efcn wrote: its
matrices are the responses of the convolution to every unit vector.
"""

import gzip
import json
import pathlib

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS, BATCH, ENTRIES = 20, 50, 64
# The file holds epsilon in float32; double precision sees the difference.
EPSILON = float(np.float32(1e-5))


def idx(path, header):
    with gzip.open(path) as f:
        return np.frombuffer(f.read()[header:], np.uint8)


def plain():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(392, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16, eps=EPSILON), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(576, 10))


# Name in reference.json: model folder, network, and the initializers of its
# parameters in order.
PLAIN = ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc.weight", "fc.bias"]
LENET = ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "bn2.weight", "bn2.bias", "fc.weight", "fc.bias"]


def load(folder, net, names):
    model = onnx.load(ROOT / "testdata/models" / folder / "model.onnx")
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    with torch.no_grad():
        for p, name in zip(net.parameters(), names, strict=True):
            p.copy_(torch.from_numpy(stored[name].copy()))
    return net


def embed(conv, shape):
    """The Linear that a convolution is on inputs of that shape."""
    size = int(np.prod(shape))
    with torch.no_grad():
        units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
        exact = torch.nn.functional.conv2d(units, conv.weight.double(), None, conv.stride, conv.padding)
        out = exact.shape[1:]
        linear = nn.Linear(size, int(np.prod(out)))
        linear.weight.copy_(exact.reshape(size, -1).T)
        linear.bias.copy_(conv.bias[:, None, None].expand(*out).reshape(-1))
    return linear


def efcn_of_plain():
    cnn = load("plain-torchscript", plain(), PLAIN)
    return nn.Sequential(
        nn.Flatten(), embed(cnn[0], (1, 28, 28)), nn.ReLU(), embed(cnn[2], (4, 14, 14)), nn.ReLU(), cnn[5])


class Adaptive(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d((3, 4)), nn.Flatten(), nn.Linear(72, 10))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=3)
        self.branch = nn.Sequential(
            nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, eps=EPSILON), nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4, eps=EPSILON),
            nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, eps=EPSILON), nn.ReLU())
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(2):
            x1, x2 = x.chunk(2, dim=1)
            x = torch.cat((x1, self.branch(x2)), dim=1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.fc(x.mean([2, 3]))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(1, 4, 3, padding=1)
        self.down2 = nn.Conv2d(4, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3)
        self.up2 = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.mix2 = nn.Conv2d(16, 6, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False)
        self.mix1 = nn.Conv2d(12, 10, 1)

    def forward(self, x):
        a = self.down1(x).relu()
        b = self.down2(nn.functional.max_pool2d(a, 2)).relu()
        c = self.deep(nn.functional.pad(nn.functional.max_pool2d(b, 2), (1, 1, 1, 1), mode="reflect")).relu()
        d = self.mix2(torch.cat((self.up2(c), b), dim=1)).relu()
        wide = nn.functional.interpolate(c[:, ::2], scale_factor=4, mode="bilinear", align_corners=False)
        y = self.mix1(torch.cat((self.up1(d), a, wide), dim=1))
        return y.amax(dim=(2, 3)) + y.mean(dim=(2, 3))


# Name in reference.json and of the file: the net, whether dynamo exports it, the rate.
NETS = {"adaptive": (Adaptive, True, 0.05), "shuffle": (Shuffle, False, 0.05), "unet": (UNet, True, 0.02)}


def exported(name):
    """The net with the weights of its file, which is made if it is not there."""
    make, dynamo, _ = NETS[name]
    net = make()
    path = pathlib.Path(__file__).with_name(name + ".onnx")
    if not path.exists():
        torch.manual_seed(len(name))
        net = make().eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):  # of equal ones the exporter keeps one
                for value in (module.weight, module.running_var):
                    nn.init.uniform_(value, 0.5, 1.5)
                for value in (module.bias, module.running_mean):
                    nn.init.normal_(value)
        x = torch.randn(2, 1, 28, 28)
        if dynamo:
            torch.onnx.export(
                net, (x,), path, dynamo=True, external_data=False, verbose=False, input_names=["input"], output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},))
        else:
            torch.onnx.export(
                net, (x,), path, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                input_names=["input"], output_names=["logits"], dynamic_axes={"input": {0: "batch"}})
        model = onnx.load(path)
        model.producer_name, model.doc_string = "pytorch", ""
        del model.metadata_props[:]
        for node in model.graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
            del value.metadata_props[:]
        onnx.save(model, path)
    names = [n for n, _ in net.named_parameters()]
    model = onnx.load(path)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    with torch.no_grad():
        for p, n in zip(net.parameters(), names, strict=True):
            p.copy_(torch.from_numpy(stored[n].copy()))
    return net, names


class BetaLasso(torch.optim.Optimizer):
    """Neyshabur, arXiv 2007.13657, algorithm 1."""

    def __init__(self, parameters, lr, lambda_, beta):
        super().__init__(parameters, {"lr": lr, "lambda_": lambda_, "beta": beta})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * (p.grad + group["lambda_"] * torch.sign(p))
                p *= p.abs() >= group["beta"] * group["lambda_"]


sched = torch.optim.lr_scheduler


def warm_cosine(o):
    return sched.SequentialLR(o, [sched.LinearLR(o, 1 / 5, 1, total_iters=4), sched.CosineAnnealingLR(o, 15)], [5])


# Name: rate, optimiser, schedule by steps, greatest norm of the gradients.
SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
OPTIMISERS = {
    "momentum": (0.05, lambda p, r: SGD(p, r, momentum=0.9), None, None),
    "nesterov": (0.05, lambda p, r: SGD(p, r, momentum=0.9, nesterov=True, weight_decay=0.01), None, None),
    "decay": (0.1, lambda p, r: SGD(p, r, weight_decay=0.05), None, None),
    "adam": (0.001, lambda p, r: ADAM(p, r), None, None),
    "adam-decay": (0.001, lambda p, r: ADAM(p, r, weight_decay=0.05), None, None),
    "adamw": (0.001, lambda p, r: ADAMW(p, r, weight_decay=0.5), None, None),
    "beta-lasso": (0.1, lambda p, r: BetaLasso(p, r, 0.0005, 50), None, None),
    "step": (0.1, lambda p, r: SGD(p, r), lambda o: sched.StepLR(o, 5, 0.5), None),
    "cosine": (0.1, lambda p, r: SGD(p, r, momentum=0.5), lambda o: sched.CosineAnnealingLR(o, 20, 0.01), None),
    "warmup": (0.1, lambda p, r: SGD(p, r), warm_cosine, None),
    "clip": (0.1, lambda p, r: SGD(p, r), None, 0.5),
}


def train(net, names, x, y, dtype, rate=0.1, optimiser=SGD, schedule=None, clip=None, entries=ENTRIES, steps=STEPS):
    net = net.to(dtype)
    net.train()
    optimiser = optimiser(net.parameters(), rate)
    schedule = schedule and schedule(optimiser)
    losses = []
    for step in range(steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        loss = nn.functional.cross_entropy(net(x[rows].to(dtype)), y[rows])
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimiser.step()
        if schedule:
            schedule.step()
    weights = {}
    for p, name in zip(net.parameters(), names, strict=True):
        flat = p.detach().reshape(-1).double()
        at = torch.linspace(0, len(flat) - 1, min(entries, len(flat))).long()
        weights[name] = {"norm": flat.norm().item(), "at": at.tolist(), "values": flat[at].tolist()}
    return {"rate": rate, "losses": losses, "weights": weights}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    data = ROOT / "testdata/fashion-mnist"
    pixels = idx(data / "train-images-10k-idx3-ubyte.gz", 16)[: STEPS * BATCH * 784]
    x = torch.from_numpy((pixels.astype(np.float64) / 255).astype(np.float32).reshape(-1, 1, 28, 28))
    y = torch.from_numpy(idx(data / "train-labels-10k-idx1-ubyte.gz", 8)[: STEPS * BATCH].astype(np.int64))
    runs = {}
    for dtype in (torch.float32, torch.float64):
        runs[str(dtype).removeprefix("torch.")] = {
            "plain": train(load("plain-torchscript", plain(), PLAIN), PLAIN, x, y, dtype),
            "lenet": train(load("lenet-torchscript", lenet(), LENET), LENET, x, y, dtype, rate=0.01),
            "efcn": train(efcn_of_plain(), PLAIN, x, y, dtype),
        } | {
            name: train(load("plain-torchscript", plain(), PLAIN), PLAIN, x, y, dtype, *how, entries=16)
            for name, how in OPTIMISERS.items()
        } | {
            name: train(*exported(name), x, y, dtype, rate, entries=16, steps=5)
            for name, (_, _, rate) in NETS.items()
        }
    out = {"torch": torch.__version__, "steps": STEPS, "batch": BATCH, "runs": runs}
    path = pathlib.Path(__file__).with_name("reference.json")
    path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
