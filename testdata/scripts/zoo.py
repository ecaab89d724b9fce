"""The form in which testdata/zoo keeps models. Needs numpy and onnx only.

A skeleton is an exported ONNX model whose weights are taken out: an initializer of floats with more
than KEEP elements keeps its name, type and dims, and says data_location EXTERNAL with the location
MARK instead of data and, with the key "fill", what random numbers to put in (scale_zoo.py finds
out, fill_zoo.py does it). What is small or integer (scalars, shapes, indices) stays.
"""

import gzip
import hashlib
import pathlib

import numpy as np
import onnx

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "zoo"
SUFFIX = ".onnx.gz"
EXPORTERS = ("torchscript", "dynamo")
# What takes images of no other size: an exporter wrote sizes into the graph, or a feature map would
# have no element left (ONNX Runtime dies of that).
FIXED = (
    "alexnet-dynamo", "alexnet-torchscript", "vgg11_bn-dynamo", "vgg11_bn-torchscript",
    "inception_v3-dynamo", "inception_v3-torchscript", "deeplabv3_mobilenet_v3_large-dynamo",
    "lraspp_mobilenet_v3_large-dynamo", "resnet18_fpn-dynamo", "shufflenet_v2_x1_0-dynamo",
)  # fmt: skip
COUNT = 42  # skeletons: 21 architectures from two exporters
KEEP = 64  # elements
MARK = "zoo"
# How much of its mean a filter loses. Behind a ReLU all inputs are positive, and what they have in
# common grows from layer to layer until the image is drowned; without the mean (1.0: Brock et al.,
# arXiv 2101.08692) a filter does not see it, but then differences grow instead, rounding errors
# too: to 6e-5 of the output of an FCN-ResNet-50, where 0.4 leaves 3e-6.
CENTRING = np.float32(0.4)
FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


def elements(tensor):
    """Return how many elements the tensor has."""
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def is_hollow(tensor):
    """Say whether the tensor's data was taken out."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL and any(
        e.key == "location" and e.value == MARK for e in tensor.external_data
    )


def hollow(tensor):
    """Take the tensor's data out, unless it is small or not floats."""
    if tensor.data_type not in FLOATS or elements(tensor) <= KEEP:
        return
    kept = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    kept.data_location = onnx.TensorProto.EXTERNAL
    kept.external_data.add(key="location", value=MARK)
    tensor.CopyFrom(kept)


def set_recipe(tensor, recipe):
    """Say in a hollow tensor what to fill it with; see draw."""
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value=MARK)
    tensor.external_data.add(key="fill", value=recipe)


def recipe(tensor):
    """Return what a hollow tensor is to be filled with."""
    for entry in tensor.external_data:
        if entry.key == "fill":
            return entry.value
    raise ValueError(f"initializer {tensor.name!r} does not say what to fill it with")


def generator(*names):
    """Return a random generator seeded by names."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest[:16], "little")))


def draw(recipe, dims, rng):
    """Return random float32 numbers by a recipe.

    "uniform A B" is uniform from A to B, "normal S" normal with mean 0 and standard deviation S,
    "centred S" the same less CENTRING of the mean of each row of the first axis.
    """
    kind, *numbers = recipe.split()
    if kind == "uniform":
        low, high = map(np.float32, numbers)
        return rng.random(dims, np.float32) * (high - low) + low
    (scale,) = map(np.float32, numbers)
    values = rng.standard_normal(dims, np.float32) * scale
    if kind == "centred":
        values -= CENTRING * values.mean(axis=tuple(range(1, len(dims))), keepdims=True)
    elif kind != "normal":
        raise ValueError(f"no recipe {recipe!r}")
    return values


def write(name, model):
    """Write the skeleton NAME.onnx.gz; the same model gives the same bytes. Return its size."""
    path = FOLDER / (name + SUFFIX)
    packed = gzip.compress(model.SerializeToString(deterministic=True), 9, mtime=0)
    path.write_bytes(packed)
    return len(packed)


def read(name):
    """Return the skeleton called name."""
    packed = (FOLDER / (name + SUFFIX)).read_bytes()
    return onnx.load_model_from_string(gzip.decompress(packed))


def names():
    """Return the names of all skeletons, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob("*" + SUFFIX))


def chosen(parser, given):
    """Return the names given on a command line, all if there are none; end it at unknown ones."""
    known = names()
    unknown = sorted(set(given) - set(known))
    if unknown:
        parser.error(f"no skeleton {', '.join(unknown)}")
    if not given and len(known) != COUNT:
        parser.error(f"{FOLDER} holds {len(known)} skeletons: want {COUNT}")
    return given or known
