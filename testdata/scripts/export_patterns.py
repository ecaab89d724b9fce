#!/usr/bin/env python3
"""Export the torch patterns by both exporters. Needs torch, onnx, onnxscript and onnxruntime.

export_patterns.py FOLDER [--only PATTERN] [--shard I/N] writes skeletons (see patterns.py) into
FOLDER: NAME-ts-fixed, -ts-batch, -ts-size by torch.onnx.export(dynamo=False) and NAME-dy-fixed,
-dy-batch, -dy-size by dynamo=True. The batch is symbolic in the second of each, height and width
too in the third. What an exporter or ONNX Runtime does not take is listed and left out.
"""

import argparse
import fnmatch
import pathlib
import sys
import tempfile
import warnings
import zlib

import onnx
import torch

import patterns
import patterns_torch
import patterns_torch_layers  # noqa: F401: it fills the table
import patterns_torch_nets  # noqa: F401
import patterns_torch_shapes  # noqa: F401

VARIANTS = {"f": "fixed", "b": "batch", "s": "size"}
OPSETS = {"f": (17,), "b": (11, 13, 17), "s": (17, 18)}


def names(chosen):
    """Return the names of the pattern's inputs."""
    return ["x", "y", "z"][: len(chosen.shapes)]


def by_torchscript(chosen, module, variant, path):
    """Export through TorchScript: oldest opset first, BatchNormalization apart where variant is b."""
    axes = {}
    for name, shape in zip(names(chosen), chosen.shapes):
        axes[name] = {} if variant == "f" else {0: "batch"}
        if variant == "s":
            axes[name].update({1 + i: f"{name}_{i}" for i in range(1, len(shape))})
    keep = torch.onnx.TrainingMode.PRESERVE if variant == "b" else torch.onnx.TrainingMode.EVAL
    error = None
    for opset in OPSETS[variant]:
        try:
            torch.onnx.export(
                module, patterns_torch.inputs(chosen, batch(chosen, variant)), str(path),
                dynamo=False, opset_version=opset, input_names=names(chosen), dynamic_axes=axes, training=keep,
            )  # fmt: skip
            return
        except Exception as e:  # another opset may know the operator
            error = e
    raise error


def by_dynamo(chosen, module, variant, path):
    """Export through torch.export: fixed shapes, a named batch, or whatever can be dynamic."""
    shapes = None
    if variant == "b":
        shapes = {0: torch.export.Dim("batch")}
    elif variant == "s":
        shapes = {0: torch.export.Dim.DYNAMIC}
    if shapes:
        shapes = tuple(
            {**shapes, **({1 + i: torch.export.Dim.DYNAMIC for i in range(1, len(s))} if variant == "s" else {})}
            for s in chosen.shapes
        )
        # The inputs are the function's *inputs: one argument that is a tuple.
        if isinstance(module, patterns_torch.Fn):
            shapes = (shapes,)
    torch.onnx.export(
        module, patterns_torch.inputs(chosen, batch(chosen, variant)), str(path), dynamo=True, verbose=False,
        external_data=False, input_names=names(chosen), dynamic_shapes=shapes,
    )  # fmt: skip


def batch(chosen, variant):
    """Return the batch to export with: where it is fixed mostly one, as most people have it."""
    if variant == "f":
        return 2 if zlib.crc32(chosen.name.encode()) % 4 == 0 and chosen.name != "reshape_fixed_batch" else 1
    return 2


def shapes(chosen, model, swap):
    """Return the shapes for the model's inputs; dynamic height and width in each other's place."""
    found = {}
    for value in model.graph.input:
        if value.name not in names(chosen):
            continue
        shape = chosen.shapes[names(chosen).index(value.name)]
        given = [2, *shape[:-2], *(shape[:-3:-1] if swap else shape[-2:])] if len(shape) > 2 else [2, *shape]
        dims = value.type.tensor_type.shape.dim
        found[value.name] = [d.dim_value or g for d, g in zip(dims, given)]
    return found


def export(chosen, module, exporter, variant, folder):
    """Export one model and write its skeleton; raise where that is not possible."""
    name = f"{chosen.name}-{exporter}-{VARIANTS[variant]}"
    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(temporary) / "model.onnx"
        (by_torchscript if exporter == "ts" else by_dynamo)(chosen, module, variant, path)
        model = onnx.load(path)
    patterns.hollow(model)
    error = None
    for swap in (True, False) if variant == "s" and chosen.swap else (False,):
        entry = {"inputs": shapes(chosen, model, swap)}
        if chosen.integers:
            entry["integers"] = chosen.integers
        try:
            patterns.runs(name, model, entry)
        except Exception as e:  # a traced size may hold for the example alone
            error = e
            continue
        patterns.save(folder, name, model, entry)
        return
    raise error


def main():
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER", help="to write into")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="of names")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="every Nth pattern from I")
    parser.add_argument("--exporter", choices=("ts", "dy"), help="only this one")
    parser.add_argument("--variants", default="bsf", help="of f, b, s: which, in which order")
    parser.add_argument("--missing", action="store_true", help="only what FOLDER does not hold")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    first, step = map(int, args.shard.split("/"))
    wanted = [c for n, c in sorted(patterns_torch.PATTERNS.items()) if fnmatch.fnmatch(n, args.only)]
    written, left = 0, 0
    for chosen in wanted[first::step]:
        for exporter, asked in (("ts", chosen.torchscript), ("dy", chosen.dynamo)):
            if not asked or args.exporter not in (None, exporter):
                continue
            for variant in args.variants:
                path = args.folder / f"{chosen.name}-{exporter}-{VARIANTS[variant]}.onnx"
                if variant not in chosen.variants or args.missing and path.exists():
                    continue
                try:
                    export(chosen, patterns_torch.build(chosen), exporter, variant, args.folder)
                    written += 1
                except Exception as e:  # an exporter's failure is that model's only
                    text = " ".join(str(e).split())[:160]
                    print(f"not exported: {path.stem}: {type(e).__name__}: {text}", flush=True)
                    left += 1
    print(f"{written} models, {left} not exported")
    return 0


if __name__ == "__main__":
    sys.exit(main())
