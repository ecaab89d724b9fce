#!/usr/bin/env python3
"""Check what efcn makes of ONNX Runtime against ONNX Runtime's own Python package.

check_engines.py EFCN

Every command that takes --engine is run with onnxruntime, on each model of testdata: run has to
give to the bit what the Python package gives, eval has to find as many images right as the
embedded engine, within two, and verify has to find the CNN equal to its eFCN, in a file and with
external data, and to its optimised forms, and different from an eFCN with a weight changed. Then
models with nodes that the embedded engine does not have (an LSTM, a quantized convolution, a
classifier, …), which verify has to run in ONNX Runtime, and what ONNX Runtime's quantizers make of
the trained models. Then models made here: every element type, scalars and empty arrays, several inputs and outputs, a model
past 2 GiB, one that ONNX Runtime refuses, and a library that is none. Needs numpy, onnx and
onnxruntime.
"""

import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARY = next(iter(sorted((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))))
THREADS = "2"


def fail(text):
    sys.exit(f"FAIL: {text}")


def efcn(*args, code=0, env=None):
    """Run efcn, which has to end with that exit code, and return stdout and stderr."""
    done = subprocess.run([EFCN, *map(str, args), "--threads", THREADS], capture_output=True, text=True, env=env)
    if done.returncode != code:
        fail(f"efcn {' '.join(map(str, args))}: exit code {done.returncode}, want {code}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


ORT = ["--engine", "onnxruntime", "--ort-lib", LIBRARY]


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(THREADS)
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def same_run(path, inputs, folder):
    """efcn run and the Python package give the same outputs, types and bits."""
    given, got = folder / "given.npz", folder / "got.npz"
    np.savez(given, **inputs)
    efcn("run", path, "--inputs", given, "-o", got, *ORT)
    s = session(path)
    want = dict(zip([o.name for o in s.get_outputs()], s.run(None, inputs)))
    with np.load(got) as arrays:
        if sorted(arrays.files) != sorted(want):
            fail(f"{path}: outputs {arrays.files}, want {sorted(want)}")
        for name, value in want.items():
            value, array = np.asarray(value), arrays[name]
            if array.dtype != value.dtype or array.shape != value.shape or array.tobytes() != value.tobytes():
                fail(f"{path}: output {name}: {array.dtype} {array.shape}, want {value.dtype} {value.shape} and the same bits")


def trained(folder):
    """The models of testdata."""
    images = ROOT / "fashion-mnist"
    count = 0
    for source in sorted((ROOT / "models").iterdir()):
        keras = source.name.startswith("keras-")
        cnn = source / "model.onnx"
        out = folder / source.name
        out.mkdir()
        local, external, changed = out / "local.onnx", out / "external.onnx", out / "changed.onnx"
        efcn("convert", cnn, "-o", local, "--layout", "local")
        efcn("convert", cnn, "-o", external, "--no-fold-bn", "--external-data", "always")
        spec = f"idx:{images}/test-images-2k-idx3-ubyte.gz,{images}/test-labels-2k-idx1-ubyte.gz?normalize=0.2860/0.3530&layout={'nhwc' if keras else 'nchw'}"
        with np.load(source / "inputs.npz") as arrays:
            inputs = {name: arrays[name] for name in arrays.files}
        for path in cnn, local, external:
            same_run(path, inputs, out)
            right = [json.loads(efcn("eval", path, "--data", spec, "--json", *engine)[0]) for engine in ([], ORT)]
            if abs(right[0]["correct"] - right[1]["correct"]) > 2 or abs(right[0]["loss"] - right[1]["loss"]) > 1e-4 or right[1]["engine"] != "onnxruntime":
                fail(f"{path}: eval {right}")
        # A Softmax has no bound in another engine, so there a tolerance has to judge.
        tolerance = ["--atol", "1e-4"] if keras else []
        for path in local, external:
            report = json.loads(efcn("verify", cnn, path, "--json", *ORT, *tolerance)[0])
            judged = {c["name"]: c["status"] for c in report["checks"][3:]}
            if judged != {"embedded:onnxruntime": "ok", "onnxruntime:embedded": "ok", "onnxruntime": "ok"}:
                fail(f"{path}: {judged}")
            for e in report["engines"]:
                if any(o["argmax_agree"] != o["argmax_of"] for o in e["outputs"]):
                    fail(f"{path}: {e['cnn']}:{e['efcn']}: classes differ")

        model = onnx.load(external)
        weights = max((t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 2), key=lambda t: np.prod(t.dims))
        values = numpy_helper.to_array(weights).copy()
        values.flat[np.argmax(np.abs(values))] *= 1.25
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))
        onnx.save(model, changed)
        out_text = efcn("verify", cnn, changed, "--skip", "structure,float64,float32", "--engine", "onnxruntime:onnxruntime", "--ort-lib", LIBRARY, "--rtol", "1e-4", "--atol", "1e-4", code=1)[0]
        if "the CNN in onnxruntime and the eFCN in onnxruntime" not in out_text:
            fail(f"{changed}: {out_text}")
        count += 1
    if count != 9:
        fail(f"{count} models, want 9")
    optimised = sorted((ROOT / "optimised").glob("*.onnx"))
    for path in optimised:
        cnn = ROOT / "models" / path.stem.rsplit("-", 1)[0] / "model.onnx"
        report = json.loads(efcn("verify", cnn, path, "--json", *ORT)[0])
        if [c["status"] for c in report["checks"][3:]] != ["ok"] * 3:
            fail(f"{path}: {report['checks']}")
    if len(optimised) != 4:
        fail(f"{len(optimised)} optimised models, want 4")
    print(f"{count} trained models and {len(optimised)} optimised ones: run, eval and verify")


def lacking(folder):
    """Nodes that the embedded engine lacks run in ONNX Runtime, and the rest is verified around them."""
    rng = np.random.default_rng(0)
    node = helper.make_node
    f, u8, i8 = np.float32, np.uint8, np.int8

    def normal(*shape):
        return (rng.standard_normal(shape) / 4).astype(f)

    body = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "c1", pads=[1] * 4), node("Relu", ["c1"], ["r1"], "r1"),
    ]
    weights = {"w1": normal(8, 3, 3, 3), "b1": normal(8), "w2": normal(4, 8, 3, 3)}
    conv2 = [node("Conv", ["dq", "w2"], ["y"], "c2", pads=[1] * 4)]
    flat = node("Flatten", ["r1"], ["flat"], "flat")
    steps = node("Transpose", ["rows"], ["steps"], "steps", perm=[1, 0, 2])
    rows = node("Reshape", ["r1", "shape"], ["rows"], "rows")
    shape = {"shape": np.array([0, 8, 64])}
    scales = {"xs": f(0.02), "xz": u8(10), "ws": f(0.02), "wz": i8(0), "ys": f(0.1), "yz": u8(120), "qw": rng.integers(-127, 127, (8, 8, 3, 3)).astype(i8)}
    dynamic = node("DynamicQuantizeLinear", ["r1"], ["q", "qs", "qz"], "dynamic")
    rescale = [node("Cast", ["sums"], ["float"], "float", to=1), node("Mul", ["qs", "ws"], ["s"], "s")]
    ml, ms = "ai.onnx.ml", "com.microsoft"
    integer, floating = TensorProto.INT64, TensorProto.FLOAT
    models = {
        "lstm": ([*body, rows, steps, node("LSTM", ["steps", "W", "R"], ["", "hn"], "lstm", hidden_size=5), node("Squeeze", ["hn", "zero"], ["y"], "squeeze")],
                 {**shape, "W": normal(1, 20, 64), "R": normal(1, 20, 5), "zero": np.array([0])}, [("y", floating, 2)], ["lstm"]),
        "gru": ([*body, rows, steps, node("GRU", ["steps", "W", "R"], ["y"], "gru", hidden_size=5)], {**shape, "W": normal(1, 15, 64), "R": normal(1, 15, 5)}, [("y", floating, 4)], ["gru"]),
        "qlinearconv": ([*body, node("QuantizeLinear", ["r1", "xs", "xz"], ["q"], "q"), node("QLinearConv", ["q", "xs", "xz", "qw", "ws", "wz", "ys", "yz"], ["qy"], "qconv", pads=[1] * 4),
                         node("DequantizeLinear", ["qy", "ys", "yz"], ["dq"], "dq"), *conv2], scales, [("y", floating, 4)], ["qconv"]),
        "convinteger": ([*body, dynamic, node("ConvInteger", ["q", "qw", "qz", "wz"], ["sums"], "sums", pads=[1] * 4), *rescale, node("Mul", ["float", "s"], ["dq"], "dq"), *conv2],
                        scales, [("y", floating, 4)], ["dynamic", "sums"]),
        "matmulinteger": ([*body, dynamic, node("Flatten", ["q"], ["fq"], "fq"), node("MatMulInteger", ["fq", "mw", "qz", "wz"], ["sums"], "sums"), *rescale, node("Mul", ["float", "s"], ["y"], "dq")],
                          {**scales, "mw": rng.integers(-127, 127, (512, 10)).astype(i8)}, [("y", floating, 2)], ["dynamic", "sums"]),
        "normalizer": ([*body, flat, node("Normalizer", ["flat"], ["y"], "normalizer", domain=ml, norm="L2")], {}, [("y", floating, 2)], ["normalizer"]),
        "scaler": ([*body, node("GlobalAveragePool", ["r1"], ["gap"], "gap"), node("Flatten", ["gap"], ["flat"], "flat"),
                    node("Scaler", ["flat"], ["y"], "scaler", domain=ml, offset=[0.1] * 8, scale=[2.0] * 8)], {}, [("y", floating, 2)], ["scaler"]),
        "classifier": ([*body, flat, node("LinearClassifier", ["flat"], ["label", "p"], "classifier", domain=ml, classlabels_ints=[0, 1, 2],
                                          coefficients=normal(1536).tolist(), intercepts=[0.1, 0.2, 0.3], multi_class=1, post_transform="SOFTMAX")],
                       {}, [("label", integer, 1), ("p", floating, 2)], ["classifier"]),
        "fusedconv": ([node("FusedConv", ["x", "w1", "b1"], ["dq"], "fused", domain=ms, activation="Relu", pads=[1] * 4), *conv2], {}, [("y", floating, 4)], ["fused"]),
    }
    for name, (nodes, constants, outputs, names) in models.items():
        read = {i for n in nodes for i in n.input}
        graph = helper.make_graph(
            nodes, name, [helper.make_tensor_value_info("x", floating, ["N", 3, 8, 8])],
            [helper.make_tensor_value_info(o, t, [f"{o}{k}" for k in range(rank)]) for o, t, rank in outputs],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in {**weights, **constants}.items() if k in read],
        )
        cnn = folder / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ml, 3), helper.make_opsetid(ms, 1)], ir_version=8), cnn)
        for layout in "dense", "local":
            made = folder / f"{name}-{layout}.onnx"
            efcn("convert", cnn, "-o", made, "--layout", layout)
            report = json.loads(efcn("verify", cnn, made, "--json", "--ort-lib", LIBRARY)[0])
            ran = sorted({e["node"] for e in report["elsewhere"]})
            if [c["status"] for c in report["checks"]] != ["ok"] * 3 or ran != names or len(report["elsewhere"]) != 2 * len(names) or onnxruntime.__version__ not in report["elsewhere"][0]["engine"]:
                fail(f"{made}: {report['checks']}, {report['elsewhere']}")
        changed = folder / f"{name}-changed.onnx"
        model = onnx.load(made)
        largest = max((t for t in model.graph.initializer if t.data_type in (floating, TensorProto.INT8) and np.prod(t.dims) > 1), key=lambda t: np.prod(t.dims))
        values = numpy_helper.to_array(largest).copy()
        values[:] = values * 0.5 if values.dtype == f else values // 2
        largest.CopyFrom(numpy_helper.from_array(values, largest.name))
        onnx.save(model, changed)
        text = efcn("verify", cnn, changed, "--skip", "structure", "--ort-lib", LIBRARY, code=1)[0]
        if "NOT EQUAL" not in text:
            fail(f"{changed}: {text}")
        line = efcn("verify", cnn, made, code=2, env={**os.environ, "EFCN_ORT": "off"})[1]
        if line.count("\n") != 1 or f'node "{names[0]}" (' not in line or "neither can ONNX Runtime: ONNX Runtime is switched off" not in line:
            fail(f"{line!r}")
    print(f"{len(models)} models with nodes that run in ONNX Runtime: verify")


def quantised(folder):
    """What ONNX Runtime's quantizers make of the trained models is equal to its eFCN, and a wrong zero point is not."""
    logging.disable(logging.CRITICAL)

    class Images(quantization.CalibrationDataReader):
        def __init__(self, source):
            with np.load(source / "inputs.npz") as arrays:
                self.batches = iter([{name: arrays[name][:16] for name in arrays.files}])

        def get_next(self):
            return next(self.batches, None)

    kinds = quantization.QuantType
    formats = {
        "qdq": {"quant_format": quantization.QuantFormat.QDQ, "activation_type": kinds.QUInt8, "weight_type": kinds.QInt8},
        "int8": {"quant_format": quantization.QuantFormat.QDQ, "activation_type": kinds.QInt8, "weight_type": kinds.QInt8},
        "uint16": {"quant_format": quantization.QuantFormat.QDQ, "activation_type": kinds.QUInt16, "weight_type": kinds.QInt8},
        "axis": {"quant_format": quantization.QuantFormat.QDQ, "activation_type": kinds.QInt8, "weight_type": kinds.QInt8, "per_channel": True},
        "operators": {"quant_format": quantization.QuantFormat.QOperator, "activation_type": kinds.QUInt8, "weight_type": kinds.QInt8},
        "dynamic": None,
    }
    count = 0
    for name in "lenet-torchscript", "resnet-torchscript", "keras-tf2onnx":
        source = ROOT / "models" / name
        for kind, options in formats.items():
            cnn, made, changed = folder / f"{name}-{kind}.onnx", folder / "efcn.onnx", folder / "changed.onnx"
            if options is None:
                quantization.quantize_dynamic(source / "model.onnx", cnn)
            else:
                quantization.quantize_static(source / "model.onnx", cnn, Images(source), **options)
            efcn("convert", cnn, "-o", made, "--layout", "local")
            library = ["--ort-lib", LIBRARY] if kind in ("operators", "dynamic") else []
            for seed in 0, 1:
                report = json.loads(efcn("verify", cnn, made, "--samples", 16, "--seed", seed, "--json", *library)[0])
                if [c["status"] for c in report["checks"]] != ["ok"] * 3:
                    fail(f"{cnn}: {report['checks']}")
            count += 1
            if kind != "qdq":
                continue
            model = onnx.load(made)
            zeros = next(t for t in model.graph.initializer if t.data_type == TensorProto.UINT8 and not t.dims)
            zeros.CopyFrom(numpy_helper.from_array(np.uint8(numpy_helper.to_array(zeros) ^ 1), zeros.name))
            onnx.save(model, changed)
            efcn("verify", cnn, changed, "--samples", 16, "--skip", "structure", code=1)
    print(f"{count} quantized models: verify")


def made(folder):
    """Models made here."""

    def save(name, nodes, inputs, outputs, weights=(), opset=17, domains=()):
        graph = helper.make_graph(
            nodes, name,
            [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
            [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
            [numpy_helper.from_array(v, n) for n, v in weights],
        )
        imports = [helper.make_opsetid("", opset), *[helper.make_opsetid(d, 1) for d in domains]]
        path = folder / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
        return path

    rng = np.random.default_rng(0)
    kinds = [np.float32, np.float64, np.float16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
    for kind in kinds:
        t = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        path = save(f"copy-{np.dtype(kind).name}", [helper.make_node("Identity", ["x"], ["y"])], [("x", t, ["n", 3])], [("y", t, ["n", 3])])
        for n in 0, 2:
            same_run(path, {"x": rng.integers(0, 2, (n, 3)).astype(kind)}, folder)
    f, i = TensorProto.FLOAT, TensorProto.INT64
    path = save(
        "several",
        [helper.make_node("Gather", ["x", "at"], ["picked"], axis=0), helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0), helper.make_node("Mul", ["picked", "factor"], ["scaled"])],
        [("x", f, ["n", 3]), ("at", i, ["k"]), ("factor", f, [])],
        [("scaled", f, ["k", 3]), ("sum", f, [])],
    )
    inputs = {"factor": np.array(1.5, np.float32), "at": np.array([2, 0], np.int64), "x": rng.standard_normal((4, 3)).astype(np.float32)}
    same_run(path, inputs, folder)
    efcn("run", path, "--inputs", folder / "given.npz", *ORT, "--bench", "2")

    # Past the 2 GiB of a protobuf message, by its path alone: external data, in sparse files.
    wide = 3 << 26  # elements of each weight, 0.75 GiB
    nodes = [helper.make_node("Gather", [f"w{k}", "at"], [f"y{k}"]) for k in range(3)]
    graph = helper.make_graph(nodes, "large", [helper.make_tensor_value_info("at", i, ["k"])], [helper.make_tensor_value_info(f"y{k}", f, ["k"]) for k in range(3)])
    for k in range(3):
        (folder / f"w{k}.data").touch()
        os.truncate(folder / f"w{k}.data", 4 * wide)
        with open(folder / f"w{k}.data", "r+b") as file:
            file.seek(4 * (wide - 1))
            file.write(np.float32(k + 1).tobytes())
        w = TensorProto(name=f"w{k}", data_type=f, dims=[wide], data_location=TensorProto.EXTERNAL)
        w.external_data.add(key="location", value=f"w{k}.data")
        graph.initializer.append(w)
    path = folder / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    same_run(path, {"at": np.array([0, wide - 1], np.int64)}, folder)

    # Refused: one line each.
    odd = save("odd", [helper.make_node("Odd", ["x"], ["y"], domain="com.example", name="odd")], [("x", f, ["n", 3])], [("y", f, ["n", 3])], domains=["com.example"])
    np.savez(folder / "x.npz", x=np.zeros((2, 3), np.float32))
    copy = folder / "copy-float32.onnx"
    old = dict(os.environ)
    for name in "VIRTUAL_ENV", "CONDA_PREFIX", "EFCN_ORT":
        old.pop(name, None)
    lines = [
        (efcn("run", odd, "--inputs", folder / "x.npz", *ORT, code=2)[1], "odd.onnx: ONNX Runtime: "),
        (efcn("eval", odd, "--data", "npz:none.npz", *ORT, code=2)[1], "none.npz: no such file"),
        (efcn("run", copy, "--inputs", folder / "x.npz", "--engine", "onnxruntime", "--ort-lib", copy, code=2)[1], f"--ort-lib {copy}: "),
        (efcn("run", copy, "--inputs", folder / "x.npz", "--engine", "onnxruntime", code=2, env=old)[1], "ONNX Runtime is not found: "),
        (efcn("run", copy, "--inputs", folder / "x.npz", "--engine", "onnxruntime", code=2, env={**old, "EFCN_ORT": "off"})[1], "switched off by EFCN_ORT=off"),
    ]
    for line, want in lines:
        if line.count("\n") != 1 or want not in line:
            fail(f"{line!r}, want one line with {want!r}")
    # Found by the variable, and in an environment.
    efcn("run", copy, "--inputs", folder / "x.npz", "--engine", "onnxruntime", env={**old, "EFCN_ORT": str(LIBRARY)})
    if sys.prefix != sys.base_prefix:
        text = efcn("run", copy, "--inputs", folder / "x.npz", "--engine", "onnxruntime", "-v", env={**old, "VIRTUAL_ENV": sys.prefix})[1]
        if f"ONNX Runtime {onnxruntime.__version__} (" not in text or f"on {THREADS} threads" not in text:
            fail(text)
    print(f"{len(kinds)} element types, several inputs and outputs, 2.25 GiB of weights, {len(lines)} refusals")


if len(sys.argv) != 2:
    sys.exit(__doc__)
EFCN = str(pathlib.Path(sys.argv[1]).resolve())
with tempfile.TemporaryDirectory() as name:
    trained(pathlib.Path(name))
    lacking(pathlib.Path(name))
    quantised(pathlib.Path(name))
    made(pathlib.Path(name))
