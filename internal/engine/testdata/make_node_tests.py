#!/usr/bin/env python3
"""Pack the ONNX backend node tests into node_tests.tar.gz.

    pip install onnx==1.23.2
    python make_node_tests.py

Every case becomes two ONNX models in the archive: NAME/model.onnx, as the
backend test has it, and NAME/data.onnx, whose initializers in.0, in.1, ... and
out.0, out.1, ... are the inputs and expected outputs in the order of the
model's. What is left out is listed in left_out.txt of the archive, one
"NAME<tab>REASON" a line.
"""

import gzip
import io
import sys
import tarfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

HELD = {
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.BOOL,
    TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
}
LARGEST = 140_000  # bytes of inputs and outputs in one case
NEWEST = 28
OTHER_DOMAIN = ("ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.preview")


def tensors(values, infos, prefix):
    """The values as named TensorProtos, None where an optional one is left out."""
    out = []
    for i, (v, info) in enumerate(zip(values, infos)):
        if not info.type.HasField("tensor_type"):
            raise ValueError("values that are not tensors")
        elem = info.type.tensor_type.elem_type
        if isinstance(v, TensorProto):
            t = TensorProto()
            t.CopyFrom(v)
        else:
            v = np.asarray(v)
            if elem == TensorProto.BFLOAT16:
                t = helper.make_tensor("", elem, v.shape, v.astype(np.float32).flatten().tolist())
            else:
                t = numpy_helper.from_array(v)
        if t.data_type not in HELD:
            raise ValueError("element type " + TensorProto.DataType.Name(t.data_type))
        t.name = f"{prefix}.{i}"
        out.append(t)
    return out


def main():
    left_out, packed = [], 0
    with (
        open("node_tests.tar.gz", "wb") as f,
        gzip.GzipFile("", "wb", 9, f, mtime=0) as z,
        tarfile.open(fileobj=z, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):

        def put(name, content):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

        for case in sorted(collect_testcases(""), key=lambda c: c.name):
            try:
                graph = case.model.graph
                if any(o.domain in OTHER_DOMAIN for o in case.model.opset_import):
                    raise ValueError("operators of another domain")
                if not case.data_sets:
                    raise ValueError("no data")
                inputs, outputs = case.data_sets[0]
                data = tensors(inputs, graph.input, "in") + tensors(outputs, graph.output, "out")
                size = sum(t.ByteSize() for t in data)
                if size > LARGEST:
                    raise ValueError(f"large: {size} bytes")
            except ValueError as err:
                left_out.append(f"{case.name}\t{err}\n")
                continue
            model = helper.make_model(helper.make_graph([], "data", [], [], data))
            put(case.name + "/model.onnx", case.model.SerializeToString())
            put(case.name + "/data.onnx", model.SerializeToString())
            packed += 1
        put("left_out.txt", "".join(left_out).encode())
    print(onnx.__version__, "packed", packed, "left out", len(left_out), file=sys.stderr)


main()
