"""Makes what the tests of onnxio/shape compare with; run as

    python make_cases.py

in this folder, with the onnx, ml_dtypes and onnxruntime wheels installed. Writes

  node_cases.json.gz    the node tests of the onnx backend test suite for the
                        operators in OPERATORS: the model without output shapes,
                        and the shapes of the outputs that come with the suite.
                        Inputs that an operator takes as arguments (shapes, axes,
                        pads, scales) become initializers; the rest are inputs.
  geometry.json.gz      random convolutions and poolings, and the output sizes that
                        ONNX Runtime computes, where it accepts them.
  model_shapes.json.gz  what onnx.shape_inference says (strict, with data
                        propagation) of every value of ../../../testdata/models,
                        after everything the exporter declared was dropped.
"""

import base64
import glob
import gzip
import json
import os
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper, shape_inference

warnings.filterwarnings("ignore")  # the suite divides by zero on purpose

OPERATORS = set(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv
    ConvTranspose Cos Cosh CumProd CumSum DepthToSpace Div Dropout Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min
    Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round
    ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
    Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()
)

# Which inputs of an operator its output shape depends on.
ARGUMENTS = {
    "ConstantOfShape": [0], "Expand": [1], "If": [0], "OneHot": [1], "Pad": [1, 3], "Range": [0, 1, 2], "Reshape": [1],
    "Resize": [2, 3], "Slice": [1, 2, 3, 4], "Split": [1], "Squeeze": [1], "Tile": [1], "TopK": [1], "Unsqueeze": [1],
    "Upsample": [1],
}
for name in OPERATORS:
    if name.startswith("Reduce"):
        ARGUMENTS[name] = [1]


def write(path, cases):
    with open(path, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(cases, separators=(",", ":")).encode())


def only_tensors(case):
    values = [v for v in list(case.model.graph.input) + list(case.model.graph.output)]
    return all(v.type.HasField("tensor_type") for v in values)


def array(x):
    """The suite keeps types that numpy lacks as TensorProto."""
    return numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x)


def strip(model):
    del model.graph.value_info[:]
    for v in model.graph.output:
        v.ClearField("type")
    model.graph.ClearField("doc_string")
    model.ClearField("producer_name")
    for n in model.graph.node:
        n.ClearField("doc_string")


def node_case(case):
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs, outputs = case.data_sets[0]
    data = {v.name: array(x) for v, x in zip(model.graph.input, inputs)}
    want = {}
    for v, x in zip(model.graph.output, outputs):
        want[v.name] = [v.type.tensor_type.elem_type, list(array(x).shape)]
    arguments = set()
    for n in model.graph.node:
        for i in ARGUMENTS.get(n.op_type, []):
            if i < len(n.input) and n.input[i] in data and data[n.input[i]].size <= 1024:
                arguments.add(n.input[i])
    if "_expanded" in case.name:  # the function that the operator stands for computes with them
        arguments |= {k for k, x in data.items() if x.ndim < 2 and x.size <= 16 and x.dtype.kind == "i"}
    for v in list(model.graph.input):
        if v.name in arguments:
            model.graph.input.remove(v)
            model.graph.initializer.append(numpy_helper.from_array(data[v.name], v.name))
    strip(model)
    return {
        "name": case.name.removeprefix("test_"),
        "model": base64.b64encode(model.SerializeToString(deterministic=True)).decode(),
        "outputs": want,
    }


def node_cases():
    from onnx.backend.test.loader import load_model_tests

    cases = []
    for case in sorted(load_model_tests(kind="node"), key=lambda c: c.name):
        nodes = case.model.graph.node
        known = all(n.op_type in OPERATORS and n.domain == "" for n in nodes)
        if nodes and known and only_tensors(case) and not case.model.functions:
            cases.append(node_case(case))
    write("node_cases.json.gz", cases)
    print(len(cases), "node cases")


def geometry(rng):
    op = str(rng.choice(["Conv", "ConvTranspose", "MaxPool", "AveragePool"]))
    rank = int(rng.integers(1, 4))
    ints = lambda lo, hi: rng.integers(lo, hi, rank).tolist()
    x, kernel = ints(1, 12), ints(1, 5)
    attributes = {"kernel_shape": kernel}
    if rng.random() < 0.7:
        attributes["strides"] = ints(1, 5)
    if rng.random() < 0.5:
        attributes["dilations"] = ints(1, 4)
    if rng.random() < 0.4:
        # Pads of poolings do not count dilations when ONNX Runtime computes them.
        if op.endswith("Pool"):
            attributes.pop("dilations", None)
        attributes["auto_pad"] = str(rng.choice(["VALID", "SAME_UPPER", "SAME_LOWER"]))
    elif rng.random() < 0.8:
        extent = [d * (k - 1) for k, d in zip(kernel, attributes.get("dilations", [1] * rank))]
        # Runtimes refuse a pooling pad as large as the kernel.
        attributes["pads"] = [int(rng.integers(0, e + 1)) for e in extent + extent]
    if op.endswith("Pool") and rng.random() < 0.6:
        attributes["ceil_mode"] = 1
    if op == "ConvTranspose":
        if rng.random() < 0.4:
            attributes["output_padding"] = [int(rng.integers(0, s)) for s in attributes.get("strides", [1] * rank)]
        if rng.random() < 0.2:
            attributes.pop("pads", None)
            attributes["output_shape"] = ints(4, 20)
    return op, x, attributes


def geometry_cases():
    rng = np.random.default_rng(0)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    cases = []
    while len(cases) < 600:
        op, x, attributes = geometry(rng)
        inputs = ["x", "w"] if op.startswith("Conv") else ["x"]
        node = helper.make_node(op, inputs, ["y"], **attributes)
        shapes = {"x": [2, 2, *x], "w": [2, 2, *attributes["kernel_shape"]]}
        graph = helper.make_graph(
            [node], "g", [helper.make_tensor_value_info(n, 1, shapes[n]) for n in inputs],
            [helper.make_tensor_value_info("y", 1, None)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            y = session.run(None, {n: np.zeros(shapes[n], np.float32) for n in inputs})[0]
            out = list(y.shape[2:])
        except Exception:
            continue
        cases.append({"op": op, "x": x, "attributes": attributes, "out": out})
    write("geometry.json.gz", cases)
    print(len(cases), "geometries")


def dims(tensor_type):
    out = []
    for d in tensor_type.shape.dim:
        out.append(d.dim_value if d.HasField("dim_value") else d.dim_param or None)
    return out


def model_shapes():
    shapes = {}
    for path in sorted(glob.glob("../../../testdata/models/*/model.onnx")):
        model = onnx.load(path)
        declared = {d.dim_param for v in model.graph.input for d in v.type.tensor_type.shape.dim if d.dim_param}
        strip(model)
        for v in model.graph.output:  # inference wants a type here
            v.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        values = {}
        for v in list(inferred.graph.value_info) + list(inferred.graph.output):
            t = v.type.tensor_type
            if t.HasField("shape"):
                # A name that inference made up says nothing.
                values[v.name] = [t.elem_type, [None if isinstance(d, str) and d not in declared else d for d in dims(t)]]
        shapes[os.path.basename(os.path.dirname(path))] = values
    write("model_shapes.json.gz", shapes)
    print(sum(map(len, shapes.values())), "values of", len(shapes), "models")


if __name__ == "__main__":
    node_cases()
    geometry_cases()
    model_shapes()
