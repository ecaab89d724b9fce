"""Writes schemas.json.gz: the signature of every operator of every version.

Run it with the onnx wheel whose operators are wanted:

    python make_schemas.py

The file is one JSON object: "onnx" is the version of the wheel, "latest" the
newest version of each domain's operator set, "ir" the newest version of the
file format, "ops" a list of [domain, op, since_version, min inputs, max inputs,
min outputs, max outputs, leading, deprecated, attributes]. A maximum of -1 means
any number; leading is how many of the first inputs may be left out (Loop's two);
deprecated is 0 or 1; attributes maps a name to the number of its
AttributeProto.AttributeType, negative where it is required.
"""

import gzip
import json
import pathlib

import onnx
import onnx.defs

NO_LIMIT = 2**31 - 1
OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional


def row(s):
    attributes = {
        name: (-1 if a.required else 1) * int(a.type.value)
        for name, a in sorted(s.attributes.items())
    }
    optional = [p.option == OPTIONAL for p in s.inputs[: s.min_input]]
    leading = (optional + [False]).index(False)
    if any(optional[leading:]):
        raise SystemExit(f"{s.name}: an optional input between required ones")
    return [
        s.domain, s.name, s.since_version,
        s.min_input, limit(s.max_input), s.min_output, limit(s.max_output),
        leading, int(s.deprecated), attributes,
    ]


def limit(n):
    return -1 if n == NO_LIMIT else n


def main():
    rows = [row(s) for s in onnx.defs.get_all_schemas_with_history()]
    rows.sort(key=lambda r: r[:3])
    table = {
        "onnx": onnx.__version__,
        "ir": onnx.IR_VERSION,
        "latest": {r[0]: r[2] for r in sorted(rows, key=lambda r: r[2])}
        | {"": onnx.defs.onnx_opset_version()},
        "ops": rows,
    }
    text = json.dumps(table, separators=(",", ":")).encode()
    out = pathlib.Path(__file__).with_name("schemas.json.gz")
    out.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{out.name}: onnx {onnx.__version__}, {len(rows)} signatures, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
