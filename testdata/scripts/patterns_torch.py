"""What the torch patterns are written with: one small module for each idea. Needs torch.

The modules are in patterns_torch_layers.py, patterns_torch_shapes.py and patterns_torch_nets.py;
export_patterns.py exports them.
"""

import dataclasses
from typing import Callable, Optional

import torch
from torch import nn

IMAGE = (3, 12, 16)
PATTERNS = {}


@dataclasses.dataclass
class Pattern:
    """One idea: how its module is built, and what it is exported with."""

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple = (IMAGE,)  # of the inputs, without the batch
    variants: str = "fbs"  # fixed, dynamic batch, dynamic batch and size
    integers: Optional[int] = None  # the last input is of integers below this
    dtype: torch.dtype = torch.float32
    torchscript: bool = True  # whether that exporter is asked
    dynamo: bool = True
    swap: bool = True  # whether height and width may change places where they are dynamic


class Fn(nn.Module):
    """A module whose forward is a function of it and the inputs; parts are its submodules."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs):
        """Apply the function."""
        return self.function(self, *inputs)


def pattern(name, make, *shapes, **options):
    """Add a pattern; make builds the module, shapes are those of its inputs without the batch."""
    if name in PATTERNS:
        raise ValueError(f"two patterns are called {name}")
    PATTERNS[name] = Pattern(name, make, shapes or (IMAGE,), **options)


def fn(name, function, *shapes, parts=None, **options):
    """Add a pattern given by its forward function and what builds its submodules."""
    pattern(name, lambda: Fn(function, **(parts() if parts else {})), *shapes, **options)


def conv(cin=3, cout=4, kernel=3, **options):
    """Return a Conv2d that keeps the size of what it is given, unless told otherwise."""
    if "stride" not in options and "padding" not in options and isinstance(kernel, int):
        options["padding"] = kernel // 2
    return nn.Conv2d(cin, cout, kernel, **options)


def conv_bn(cin=3, cout=4, kernel=3, act=nn.ReLU, **options):
    """Return Conv2d, BatchNorm2d and an activation."""
    options.setdefault("padding", kernel // 2)
    parts = [nn.Conv2d(cin, cout, kernel, bias=False, **options), nn.BatchNorm2d(cout)]
    return nn.Sequential(*parts, *([act()] if act else []))


@torch.no_grad()
def build(chosen, seed=1):
    """Return the pattern's module in evaluation mode with random parameters and statistics."""
    torch.manual_seed(seed)
    module = chosen.make().eval()
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if not value.is_floating_point() or name.rsplit(".", 1)[-1].startswith("kept"):
            continue
        last = name.rsplit(".", 1)[-1]
        if last == "running_var" or (last == "weight" and value.dim() == 1):
            value.uniform_(0.5, 1.5)
        elif value.dim() > 1:
            value.normal_(std=max(1, value[0].numel()) ** -0.5)
        else:
            value.normal_(std=0.2)
    return module.to(chosen.dtype)


def inputs(chosen, batch=2):
    """Return example inputs of the pattern."""
    drawn = [torch.randn(batch, *shape, dtype=chosen.dtype) for shape in chosen.shapes]
    if chosen.integers:
        drawn[-1] = torch.randint(chosen.integers, drawn[-1].shape)
    return tuple(drawn)
