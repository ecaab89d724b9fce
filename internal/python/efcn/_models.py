"""The commands on models: convert, verify, measure, export."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, overload

from ._program import flag, run
from ._results import Deviation, Report

if TYPE_CHECKING:
    import onnx
    import scipy.sparse

Path: TypeAlias = str | os.PathLike[str]
Model: TypeAlias = "Path | onnx.ModelProto"


@overload
def convert(
    model: Model,
    output: None = None,
    *,
    layout: str | None = None,
    max_bytes: int | str | None = None,
    flags: Sequence[str] = (),
) -> onnx.ModelProto: ...


@overload
def convert(
    model: Model,
    output: Path,
    *,
    layout: str | None = None,
    max_bytes: int | str | None = None,
    flags: Sequence[str] = (),
) -> pathlib.Path: ...


def convert(
    model: Model,
    output: Path | None = None,
    *,
    layout: str | None = None,
    max_bytes: int | str | None = None,
    flags: Sequence[str] = (),
) -> onnx.ModelProto | pathlib.Path:
    """Make the eFCN of a CNN, and return it or, where it went to a file, the path of that.

    layout is auto (the default), dense, local, factored, sparse or keep; max_bytes what the weights may
    take: a number, or a text such as "500MB". A result over 2 GiB needs an output.
    """
    with contextlib.ExitStack() as stack:
        source = _file(stack, model)
        target = pathlib.Path(output) if output is not None else _folder(stack) / "efcn.onnx"
        run("convert", source, f"--output={target}", *flag("layout", layout), *flag("max-bytes", max_bytes), *flags)
        if output is not None:
            return target
        import onnx

        return onnx.load(str(target))


def verify(
    cnn: Model,
    efcn: Model,
    *,
    samples: int | None = None,
    seed: int | None = None,
    inputs: Path | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    flags: Sequence[str] = (),
) -> Report:
    """Prove that an eFCN computes what its CNN computes, or report where any two models part.

    That they part is no error: see Report.equal. samples random inputs are run (64), and besides them
    those in the file inputs (.npz, .npy, or a folder of ONNX test data).
    """
    options = {"samples": samples, "seed": seed, "inputs": inputs, "rtol": rtol, "atol": atol}
    with contextlib.ExitStack() as stack:
        files = [_file(stack, cnn), _file(stack, efcn)]
        given = [text for name, value in options.items() for text in flag(name, value)]
        done = run("verify", *files, "--json", *given, *flags, answer=True)
    return Report.read(json.loads(done.stdout))


def measure(efcn: Model, cnn: Model | None = None, *, flags: Sequence[str] = ()) -> Deviation:
    """Measure how far training took an eFCN from the CNN subspace and, if it is given, from its CNN."""
    with contextlib.ExitStack() as stack:
        origin = None if cnn is None else _file(stack, cnn)
        done = run("measure", _file(stack, efcn), "--json", *flag("cnn", origin), *flags)
    return Deviation.read(json.loads(done.stdout))


def matrix(efcn: Model, layer: str, *, mask: bool = False) -> scipy.sparse.csr_matrix:
    """Return the matrix of an eFCN's layer, outputs × inputs, or where mask is true its support of ones.

    layer is the name of the CNN's node. The bias is not part of it.
    """
    import scipy.sparse

    with contextlib.ExitStack() as stack:
        target = _folder(stack) / "layer.npz"
        run("export", _file(stack, efcn), f"--layer={layer}", f"--output={target}", *(["--mask"] if mask else []))
        return scipy.sparse.csr_matrix(scipy.sparse.load_npz(target))


def _folder(stack: contextlib.ExitStack) -> pathlib.Path:
    """Make a folder that is removed when stack ends."""
    return pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="efcn-")))


def _file(stack: contextlib.ExitStack, model: Model) -> str:
    """Return the path of a model, which is written to a file first if it is none."""
    if isinstance(model, (str, os.PathLike)):
        path = os.fspath(model)
        return path if path != "-" else os.path.join(".", path)
    import onnx

    target = str(_folder(stack) / "model.onnx")
    large = model.ByteSize() > onnx.checker.MAXIMUM_PROTOBUF
    onnx.save_model(model, target, save_as_external_data=large)
    return target
