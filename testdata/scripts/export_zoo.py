#!/usr/bin/env python3
"""Export torchvision's architectures to ONNX and keep their graphs in testdata/zoo, without weights.

Every architecture is built with random weights, put into evaluation mode and exported by both of
PyTorch's exporters, "torchscript" (dynamo=False, opset 17) and "dynamo" (its default opset), with a
symbolic batch. See zoo.py for what a skeleton is; scale_zoo.py has to run next. Needs torch,
torchvision, onnx and onnxscript.
"""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
import time
import warnings
from typing import Callable, Optional

import onnx
import torch
import torchvision.models as tv
from torch import nn

import onnx_tidy
import zoo

TORCHSCRIPT_OPSET = 17


class Segmenter(nn.Module):
    """A segmentation network that returns its main output only, not a dict."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Return scores, N×classes×H×W, of images x, N×3×H×W."""
        return self.network(x)["out"]


class Pyramid(nn.Module):
    """A detection backbone, its feature maps as a tuple instead of a dict."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Return the feature maps, N×C×H×W each, of images x, N×3×H×W."""
        return tuple(self.network(x).values())


def segmenter(make):
    """Return what builds the segmentation network make(), without pretrained weights."""
    return lambda: Segmenter(make(weights=None, weights_backbone=None, num_classes=5))


def pyramid():
    """Return ResNet-18 with a feature pyramid: the backbone of torchvision's detectors."""
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    return Pyramid(resnet_fpn_backbone(backbone_name="resnet18", weights=None))


@dataclasses.dataclass
class Architecture:
    """How one architecture is built and how large its input is."""

    make: Callable[[], nn.Module]
    shape: tuple = (3, 64, 64)  # without the batch
    outputs: tuple = ("logits",)
    torchscript_shape: Optional[tuple] = None  # where that exporter needs another than shape


# alexnet and vgg end in AdaptiveAvgPool2d to 6×6 and 7×7: the TorchScript exporter takes it only
# where the size divides, that is at 224×224. The dynamo exporter writes the general form out.
ARCHITECTURES = {
    "alexnet": Architecture(tv.alexnet, torchscript_shape=(3, 224, 224)),
    "vgg11_bn": Architecture(tv.vgg11_bn, torchscript_shape=(3, 224, 224)),
    "resnet18": Architecture(tv.resnet18),
    "resnet50": Architecture(tv.resnet50),
    "resnext50_32x4d": Architecture(tv.resnext50_32x4d),
    "densenet121": Architecture(tv.densenet121),
    "googlenet": Architecture(lambda: tv.googlenet(init_weights=False, aux_logits=False)),
    "inception_v3": Architecture(
        lambda: tv.inception_v3(init_weights=False, aux_logits=False), (3, 96, 96)
    ),
    "mobilenet_v2": Architecture(tv.mobilenet_v2),
    "mobilenet_v3_small": Architecture(tv.mobilenet_v3_small),
    "shufflenet_v2_x1_0": Architecture(tv.shufflenet_v2_x1_0),
    "squeezenet1_1": Architecture(tv.squeezenet1_1),
    "mnasnet1_0": Architecture(tv.mnasnet1_0),
    "efficientnet_b0": Architecture(tv.efficientnet_b0),
    "regnet_y_400mf": Architecture(tv.regnet_y_400mf),
    "convnext_tiny": Architecture(tv.convnext_tiny),
    "fcn_resnet50": Architecture(segmenter(tv.segmentation.fcn_resnet50), outputs=("scores",)),
    "deeplabv3_mobilenet_v3_large": Architecture(
        segmenter(tv.segmentation.deeplabv3_mobilenet_v3_large), outputs=("scores",)
    ),
    "lraspp_mobilenet_v3_large": Architecture(
        segmenter(tv.segmentation.lraspp_mobilenet_v3_large), outputs=("scores",)
    ),
    "resnet18_fpn": Architecture(pyramid, outputs=("p2", "p3", "p4", "p5", "pool")),
    "mc3_18": Architecture(tv.video.mc3_18, (3, 4, 32, 32)),
}


@torch.no_grad()
def build(architecture, seed):
    """Return the module in evaluation mode, every parameter and statistic another random number.

    The exporters merge initializers with equal contents, as the zeros and ones of an untrained
    network are; those of a trained one differ.
    """
    torch.manual_seed(seed)
    module = architecture.make().eval()
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if name.endswith("running_var") else value.normal_(std=0.02)
    return module


def export_torchscript(module, architecture, path):
    """Export through TorchScript, with Conv and BatchNormalization left apart (PRESERVE)."""
    example = torch.randn(2, *(architecture.torchscript_shape or architecture.shape))
    names = ("input", *architecture.outputs)
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=False,
        opset_version=TORCHSCRIPT_OPSET,
        input_names=["input"],
        output_names=list(architecture.outputs),
        dynamic_axes={name: {0: "batch"} for name in names},
        training=torch.onnx.TrainingMode.PRESERVE,
    )


def export_dynamo(module, architecture, path):
    """Export through torch.export with the exporter's defaults."""
    torch.onnx.export(
        module,
        (torch.randn(2, *architecture.shape),),
        str(path),
        dynamo=True,
        verbose=False,
        input_names=["input"],
        output_names=list(architecture.outputs),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )


def export(name, exporter, module):
    """Export one architecture and write its skeleton; return the skeleton's size in bytes."""
    architecture = ARCHITECTURES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        if exporter == "torchscript":
            export_torchscript(module, architecture, path)
        else:
            export_dynamo(module, architecture, path)
        # Small constants lie in the external file too: in with all of it, then out with the large.
        model = onnx.load(path)
    onnx_tidy.strip_model(model)
    for graph in onnx_tidy.graphs(model.graph):
        for tensor in graph.initializer:
            zoo.hollow(tensor)
    return zoo.write(f"{name}-{exporter}", model)


def main():
    """Parse the command line and write the skeletons asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ARCHITECTURES)} (default: all)")
    parser.add_argument("--exporter", choices=zoo.EXPORTERS, help="only this one (default: both)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(ARCHITECTURES))
    if unknown:
        parser.error(f"no architecture {', '.join(unknown)}")
    warnings.filterwarnings("ignore")
    zoo.FOLDER.mkdir(exist_ok=True)
    code = 0
    for name in args.names or ARCHITECTURES:
        module = build(ARCHITECTURES[name], args.seed)
        for exporter in [args.exporter] if args.exporter else zoo.EXPORTERS:
            start = time.time()
            try:
                size = export(name, exporter, module)
            except Exception as e:  # an exporter's failure is that skeleton's only
                print(f"FAIL {name}-{exporter} {type(e).__name__}: {str(e)[:300]}", flush=True)
                code = 1
            else:
                print(f"{name}-{exporter} {size} bytes {time.time() - start:.1f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
