#!/usr/bin/env python3
"""The archive of export patterns: testdata/patterns.tar.xz. Needs numpy, onnx and onnxruntime.

patterns.py FOLDER packs what export_patterns.py, patterns_keras.py and patterns_onnx.py wrote into
FOLDER, without what ONNX Runtime does not run.

Each pattern is a small ONNX model that an exporter wrote, without its random weights: an
initializer of more than zoo.KEEP random floats is a skeleton's as in testdata/zoo, and says what to
fill it with. The manifest says for every model what shapes its inputs get.
"""

import argparse
import io
import json
import lzma
import pathlib
import sys
import tarfile
import tempfile
import zlib

import numpy as np
import onnx
from onnx import numpy_helper

import onnx_tidy
import zoo

ARCHIVE = pathlib.Path(__file__).resolve().parent.parent / "patterns.tar.xz"
MANIFEST = "manifest.json"


def is_random(values):
    """Say whether an array looks like random weights rather than a grid, a mask or a table."""
    if not np.isfinite(values).all():
        return False
    flat = values.astype(np.float64).ravel()
    if np.unique(flat).size < 0.9 * flat.size or np.std(flat) == 0:
        return False
    return abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.6


def hollow(model):
    """Take the random weights out of the model, and say what to fill them with."""
    onnx_tidy.strip_model(model)
    for tensor in model.graph.initializer:
        if tensor.data_type not in zoo.FLOATS or zoo.elements(tensor) <= zoo.KEEP:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float64)
        if not is_random(values):
            continue
        recipe = f"normal {values.std():.3g}"
        if values.min() > 0:
            recipe = f"uniform {values.min():.3g} {values.max():.3g}"
        zoo.hollow(tensor)
        zoo.set_recipe(tensor, recipe)


def fill(name, model):
    """Put random weights into the model called name; the same name gives the same weights."""
    for tensor in model.graph.initializer:
        if zoo.is_hollow(tensor):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            rng = zoo.generator(name, tensor.name)
            values = zoo.draw(zoo.recipe(tensor), tuple(tensor.dims), rng).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def inputs(name, model, entry):
    """Return the random inputs of the model called name, of the shapes in its manifest entry."""
    arrays = {}
    for value in model.graph.input:
        if value.name not in entry["inputs"]:
            continue
        shape = entry["inputs"][value.name]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        rng = zoo.generator(name, value.name)
        if np.issubdtype(dtype, np.floating):
            arrays[value.name] = np.asarray(rng.standard_normal(shape, np.float32), dtype)
        else:
            arrays[value.name] = rng.integers(0, entry.get("integers", 2), shape).astype(dtype)
    return arrays


def single(model):
    """Return the model with float32 for float64, in its inputs, outputs and constants."""
    double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT
    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                tensors.append(attribute.t)
            if node.op_type == "Cast" and attribute.i == double:
                attribute.i = single
    for tensor in tensors:
        if tensor.data_type == double:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        if value.type.tensor_type.elem_type == double:
            value.type.tensor_type.elem_type = single
    return model


def run(path, feeds):
    """Return the outputs of the model in a file by name, as ONNX Runtime computes them.

    Where it has no kernel, as for Conv in float64, they are those of the model in float32. (ONNX's
    reference implementation would do, but for its BatchNormalization before opset 14.) What
    quantises is not optimised: ONNX Runtime would multiply integers.
    """
    import onnxruntime  # which Keras's environment does not have
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Unknown

    model = onnx.load(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Unknown:
        feeds = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in feeds.items()}
        data = single(model).SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=providers)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def runs(name, model, entry):
    """Raise unless the skeleton called name, filled, runs with finite outputs."""
    filled = fill(name, onnx.ModelProto.FromString(model.SerializeToString()))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        onnx.save(filled, path)
        outputs = run(path, inputs(name, filled, entry))
    for output in outputs.values():
        if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
            raise ValueError("an output is not finite")


def identity(model):
    """Return a number that is the same for models that differ in nothing but their names."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    copy.graph.name = ""
    return zlib.crc32(copy.SerializeToString(deterministic=True))


def save(folder, name, model, entry):
    """Write a skeleton (see hollow) and its manifest entry into the folder."""
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / f"{name}.json").write_text(json.dumps(entry, sort_keys=True))


def pack(folder):
    """Pack the folder's skeletons that run, once each; return how many and how large that is."""
    manifest, contents, seen = {}, {}, set()
    for path in sorted(folder.glob("*.onnx")):
        data = path.read_bytes()
        model = onnx.ModelProto.FromString(data)
        entry = json.loads(path.with_suffix(".json").read_text())
        key = identity(model), json.dumps(entry, sort_keys=True)
        if key in seen:
            continue
        seen.add(key)
        try:
            runs(path.stem, model, entry)
        except Exception as e:  # an exporter may write what no runtime takes
            print(f"left out: {path.stem}: {' '.join(str(e).split())[:160]}", flush=True)
            continue
        manifest[path.stem] = entry
        contents[path.name] = data
    listing = json.dumps(manifest, indent=0, sort_keys=True).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in [(MANIFEST, listing), *contents.items()]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]
    ARCHIVE.write_bytes(lzma.compress(packed.getvalue(), filters=filters))
    return len(manifest), ARCHIVE.stat().st_size


def read(archive=ARCHIVE):
    """Return the manifest and the serialised skeletons by name."""
    with tarfile.open(archive, "r:xz") as tar:
        manifest = json.load(tar.extractfile(MANIFEST))
        models = {}
        for member in tar.getmembers():
            if member.name != MANIFEST:
                models[member.name.removesuffix(".onnx")] = tar.extractfile(member).read()
    if sorted(models) != sorted(manifest):
        raise ValueError(f"{archive}: the manifest names other models than there are")
    return manifest, models


def main():
    """Parse the command line and pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER", help="of the skeletons")
    count, size = pack(parser.parse_args().folder)
    print(f"{ARCHIVE.name}: {count} models in {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
