"""Tests of the installed package: the program's answers, as Python has them."""

import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import numpy_helper

import efcn

TESTDATA = pathlib.Path(__file__).resolve().parents[3] / "testdata"
CNN = TESTDATA / "models" / "plain-torchscript" / "model.onnx"
IMAGES = TESTDATA / "fashion-mnist"


@pytest.fixture(scope="module")
def converted():
    return efcn.convert(CNN, layout="local")


def test_convert_returns_model_or_path(tmp_path, converted):
    onnx.checker.check_model(converted, full_check=True)
    path = efcn.convert(onnx.load(CNN), tmp_path / "efcn.onnx", layout="local")
    assert path == tmp_path / "efcn.onnx"
    assert onnx.load(path) == converted
    with pytest.raises(efcn.Error, match="over the budget|allowed"):
        efcn.convert(CNN, layout="dense", max_bytes="10kB")


def test_verify_reports(converted):
    report = efcn.verify(CNN, converted, samples=3)
    assert report.equal and str(report).startswith("EQUAL")
    assert [check.status for check in report.checks] == ["ok"] * 3
    assert report.document["samples"] == 3 and not report.findings

    changed = onnx.ModelProto()
    changed.CopyFrom(converted)
    bias = next(t for t in changed.graph.initializer if t.name == "fc.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 1, bias.name))
    report = efcn.verify(CNN, changed, samples=3)
    assert not report.equal and report.findings


def test_matrix_is_that_of_the_convolution(converted):
    # What ONNX's reference implementation computes of the convolution alone.
    cnn = onnx.load(CNN)
    conv = next(node for node in cnn.graph.node if node.op_type == "Conv")
    constants = {t.name: numpy_helper.to_array(t) for t in cnn.graph.initializer}
    x = np.random.default_rng(1).standard_normal((1, 1, 28, 28)).astype(np.float32)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in conv.attribute}
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    weights = constants[conv.input[1]]
    want = onnx.reference.ReferenceEvaluator(node).run(None, {"x": x, "w": weights})[0]

    a = efcn.matrix(converted, conv.name)
    assert a.shape == (want.size, x.size)
    np.testing.assert_allclose(a @ x.ravel(), want.ravel(), rtol=0, atol=1e-5)
    mask = efcn.matrix(converted, conv.name, mask=True)
    assert mask.nnz == a.nnz and set(mask.data) == {1}


def test_measure(tmp_path, converted):
    assert efcn.measure(converted).from_cnn is None
    deviation = efcn.measure(converted, CNN)
    assert (deviation.distance, deviation.off_local, deviation.from_cnn) == (0, 0, 0)
    assert [layer.op for layer in deviation.layers] == ["Conv", "Conv", "Gemm"]
    assert deviation.layers[2].not_measured and not deviation.layers[0].not_measured

    moved = onnx.ModelProto()
    moved.CopyFrom(efcn.convert(CNN, layout="dense"))
    weight = next(t for t in moved.graph.initializer if t.name == deviation.layers[0].node + ".weight")
    array = numpy_helper.to_array(weight).copy()
    inside = np.linalg.norm(array)
    array[0, -1] = 3  # outside the support: the first output does not see the last pixel
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    layer = efcn.measure(moved).layers[0]
    assert layer.off_local == pytest.approx(3 / np.hypot(inside, 3), rel=1e-6)


def test_errors_are_one_line(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(efcn.Error) as caught:
        efcn.convert(bad)
    assert str(caught.value).startswith(str(bad)) and "\n" not in str(caught.value)
    assert caught.value.code == 2
    with pytest.raises(efcn.Error, match="it has"):
        efcn.matrix(efcn.convert(CNN), "conv9")
    with pytest.raises(efcn.Error, match="unknown flag"):
        efcn.convert(CNN, flags=["--nonsense"])


def test_warnings():
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 4]) for n in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with pytest.warns(efcn.Warning, match="it has no linear layer"):
        efcn.convert(model)


def test_study(tmp_path):
    def images(name, count):
        files = ",".join(
            str(IMAGES / f"{name}-{kind}-ubyte.gz") for kind in (f"images-{count}-idx3", f"labels-{count}-idx1")
        )
        return f"idx:{files}?normalize=0.2860/0.3530&resize=14x14&limit=200"

    efcn.run(
        "relax", TESTDATA / "study" / "cnn.onnx", f"--data={images('train', '10k')}", f"--test={images('test', '2k')}",
        f"--output={tmp_path / 'study'}", "--epochs=1", "--relax-epochs=0", "--batch=100", "--reinit", "--seeds=1",
    )  # fmt: skip
    study = efcn.read_study(tmp_path / "study")
    assert {"cnn", "efcn", "fcn"} <= set(study.results["kind"])
    assert study.epochs["epoch"].max() == 1
    assert study.epochs["test_top1"].between(0, 1).all()
    assert {"layer", "distance"} <= set(study.layers.columns)
    assert study.summary["runs"].min() == 1
    with pytest.raises(FileNotFoundError):
        efcn.read_study(tmp_path)


def test_command_is_installed():
    program = efcn.program()
    assert program.parent == pathlib.Path(sys.executable).parent
    printed = subprocess.run([program, "version"], check=True, capture_output=True, text=True).stdout
    assert printed.startswith("efcn ")
