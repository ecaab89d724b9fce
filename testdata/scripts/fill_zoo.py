#!/usr/bin/env python3
"""Fill skeletons of testdata/zoo with reproducible random weights. Needs numpy and onnx only.

fill_zoo.py FOLDER [NAME...] writes FOLDER/NAME/model.onnx and FOLDER/NAME/inputs.npz, a batch of
two random images, for each name (default: every skeleton). The same name gives the same files.
"""

import argparse
import pathlib
import sys

import numpy as np
from onnx import numpy_helper

import zoo

BATCH = 2


def filled(name):
    """Return the skeleton called name with weights."""
    model = zoo.read(name)
    for tensor in model.graph.initializer:
        if zoo.is_hollow(tensor):
            rng = zoo.generator(name, tensor.name)
            values = zoo.draw(zoo.recipe(tensor), tuple(tensor.dims), rng)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def inputs(name, model):
    """Return the random inputs of the model, symbolic batches as BATCH."""
    arrays = {}
    for value in model.graph.input:
        shape = [d.dim_value or BATCH for d in value.type.tensor_type.shape.dim]
        arrays[value.name] = zoo.generator(name, value.name).standard_normal(shape, np.float32)
    return arrays


def resize(model, size):
    """Make the model take images of another height and width, and forget the shapes that follow."""
    del model.graph.value_info[:]
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim[-2:]:
            dim.dim_value = size
    for value in model.graph.output:
        for i, dim in enumerate(value.type.tensor_type.shape.dim[2:]):
            dim.dim_param = f"{value.name}_{i}"


def write(name, folder, size=None):
    """Write model.onnx and inputs.npz of the skeleton called name into folder.

    size is the images' height and width, None for those of the export; what takes no other size
    keeps its own.
    """
    model = filled(name)
    if size and name not in zoo.FIXED:
        resize(model, size)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.savez(folder / "inputs.npz", **inputs(name, model))


def main():
    """Parse the command line and write the models asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER", help="to write into")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a skeleton (default: all)")
    parser.add_argument("--size", type=int, help="height and width where another is possible")
    args = parser.parse_args()
    for name in zoo.chosen(parser, args.names):
        write(name, args.folder / name, args.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
