"""Exports small networks with normalisations, by both exporters of PyTorch, and trains them with
PyTorch, for finetune/nets_test.go to compare with.

    python finetune/testdata/make_nets.py        # from the root of the repository

Needs torch, onnx, onnxscript and numpy. The networks are written to finetune/testdata/nets, and what is
kept of five steps each, by torch.optim.SGD as in make_reference.py, to nets.json there. Weights have
there the names that the exporter gave them, and its order of elements: a Linear on more than two axes
becomes a MatMul by the transposed matrix.
"""

import json
import pathlib
import sys

import make_reference as reference
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

sys.path.append(str(reference.ROOT / "testdata/scripts"))
import onnx_tidy  # noqa: E402

STEPS, RATE = 5, 0.05
FOLDER = pathlib.Path(__file__).with_name("nets")
EPSILON = reference.EPSILON


class ChannelsLast(nn.Module):
    """LayerNorm over the channels of an image, as in ConvNeXt."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=EPSILON)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A block of ConvNeXt (Liu et al., arXiv 2201.03545)."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.wide = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.5))
        self.gelu = nn.GELU()

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(self.gelu(self.wide(y)))
        return x + self.scale * y.permute(0, 3, 1, 2)


class WrittenGelu(nn.Module):
    """GELU as the exporter writes it for old opsets: with the root of 2 in float32, which double precision sees."""

    def forward(self, x):
        return x * (torch.erf(x / float(np.sqrt(np.float32(2)))) + 1) * 0.5


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def convnext():
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=4), ChannelsLast(8), Block(8), Block(8), Mean(), nn.LayerNorm(8, eps=EPSILON), nn.Linear(8, 10))


def norms():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8, eps=EPSILON), nn.PReLU(8),
        nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.InstanceNorm2d(6, eps=EPSILON, affine=True), nn.PReLU(),
        nn.Conv2d(6, 4, 3, stride=2, padding=1), nn.Softmax(dim=1), nn.Mish(), nn.Flatten(), nn.Linear(64, 10))


def filled(net, seed):
    """Move what would be the same in every module apart."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn_like(p)
    return net


# Name of the file: network, its exporter, opset.
NETS = {
    "convnext-dynamo": (convnext, "dynamo", 20),
    "convnext-torchscript": (convnext, "torchscript", 17),
    "convnext-opset13": (convnext, "torchscript", 13),
    "norms-dynamo": (norms, "dynamo", 20),
    "norms-torchscript": (norms, "torchscript", 17),
}


def export(net, path, exporter, opset):
    x = torch.zeros(2, 1, 28, 28)
    names = {"input_names": ["input"], "output_names": ["logits"], "opset_version": opset}
    if exporter == "dynamo":
        torch.onnx.export(net, (x,), path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("N")},), external_data=False, **names)
    else:
        torch.onnx.export(net, x, path, dynamo=False, dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}}, **names)
    model = onnx.load(path)
    onnx_tidy.strip_model(model)
    onnx.save(model, path)
    return model


def layouts(model, net):
    """Return, for every parameter of the network, the initializer that holds it and whether transposed."""
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = []
    for p in net.parameters():
        values = p.detach().numpy()
        for name, a in stored.items():
            if a.size == values.size and a.dtype == values.dtype:
                if np.array_equal(a.ravel(), values.ravel()):
                    found.append((name, False))
                    break
                if values.ndim == 2 and np.array_equal(a.ravel(), values.T.ravel()):
                    found.append((name, True))
                    break
        else:
            raise ValueError(f"no initializer holds the parameter of shape {values.shape}")
    return found


def train(net, where, x, y, dtype):
    result = reference.train(net, [str(i) for i in range(len(where))], x, y, dtype, rate=RATE)
    result["weights"] = {}
    for p, (name, transposed) in zip(net.parameters(), where, strict=True):
        flat = (p.detach().T if transposed else p.detach()).reshape(-1).double()
        at = torch.linspace(0, len(flat) - 1, min(16, len(flat))).long()
        result["weights"][name] = {"norm": flat.norm().item(), "at": at.tolist(), "values": flat[at].tolist()}
    return result


def main():
    torch.set_num_threads(1)
    reference.STEPS = STEPS
    data = reference.ROOT / "testdata/fashion-mnist"
    count = STEPS * reference.BATCH
    pixels = reference.idx(data / "train-images-10k-idx3-ubyte.gz", 16)[: count * 784]
    x = torch.from_numpy((pixels.astype(np.float64) / 255).astype(np.float32).reshape(-1, 1, 28, 28))
    y = torch.from_numpy(reference.idx(data / "train-labels-10k-idx1-ubyte.gz", 8)[:count].astype(np.int64))
    FOLDER.mkdir(exist_ok=True)
    runs = {"float32": {}, "float64": {}}
    for name, (make, exporter, opset) in NETS.items():
        torch.manual_seed(1)
        net = filled(make(), 2).eval()
        where = layouts(export(net, str(FOLDER / f"{name}.onnx"), exporter, opset), net)
        if exporter == "torchscript":
            for block in net.modules():
                if isinstance(block, Block):
                    block.gelu = WrittenGelu()
        start = {k: v.clone() for k, v in net.state_dict().items()}
        for dtype in (torch.float32, torch.float64):
            net.float().load_state_dict(start)
            runs[str(dtype).removeprefix("torch.")][name] = train(net, where, x, y, dtype)
    out = {"torch": torch.__version__.split("+")[0], "steps": STEPS, "batch": reference.BATCH, "runs": runs}
    (FOLDER / "nets.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
