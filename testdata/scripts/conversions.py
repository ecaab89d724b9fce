#!/usr/bin/env python3
"""Print the SHA-256 of what a build of efcn writes, for comparing two builds. Needs numpy, onnx.

conversions.py EFCN [--quick] [--jobs N] converts the models of testdata/models in every layout, with
and without products and maxima, and those of testdata/patterns.tar.xz in one way each; of the
former it also projects, measures and exports the eFCN. It prints a line for each: the digest of the
files written, the exit code, the digest of what was printed, and the case. A change that is meant
to leave the output alone leaves these lines alone:

    python testdata/scripts/conversions.py ./old > old.txt
    python testdata/scripts/conversions.py ./new > new.txt
    diff old.txt new.txt
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import zlib

import onnx
import patterns

MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"
LAYOUTS = ("auto", "dense", "sparse", "local", "keep")
EXTRAS = (
    [],
    ["--no-fold-bn"],
    ["--fold=auto"],
    ["--fold=all"],
    ["--maxpool", "relu"],
    ["--fold=all", "--maxpool", "relu"],
    ["--for", "training"],
    ["--for", "inference"],
    ["--for", "verifier"],
    ["--external-data", "always"],
)
WAYS = (
    ["--layout", "auto"],
    ["--layout", "dense", "--fold=auto"],
    ["--layout", "local"],
    ["--layout", "sparse"],
    ["--layout", "local", "--fold=all", "--maxpool", "relu"],
    ["--layout", "dense", "--maxpool", "relu"],
    ["--layout", "local", "--no-fold-bn"],
)
QUICK = 8  # one of how many cases --quick takes


def digest(*parts):
    """Return the first half of the SHA-256 of the parts."""
    h = hashlib.sha256()
    for part in parts:
        h.update(len(part).to_bytes(8, "little"))
        h.update(part)
    return h.hexdigest()[:32]


class Build:
    """A program to try."""

    def __init__(self, efcn):
        self.efcn = str(pathlib.Path(efcn).resolve())

    def line(self, name, folder, *arguments):
        """Run a command in a folder of its own; return the line for it."""
        before = {p.name for p in folder.iterdir()}
        command = [self.efcn, *map(str, arguments), "--quiet", "--threads", "1"]
        environment = {**os.environ, "EFCN_OPENBLAS": "off", "EFCN_ORT": "off"}
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=600, env=environment)
        written = [p for p in sorted(folder.iterdir()) if p.name not in before]
        files = [b for p in written for b in (p.name.encode(), p.read_bytes())]
        return f"{digest(*files)} {done.returncode} {digest(done.stdout)} {name}: {' '.join(map(str, arguments))}"

    def model(self, name, layout, extra):
        """Return the lines for one model of testdata/models, converted in one way."""
        # A path that is the same on every machine: it is printed.
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for p in (MODELS / name).glob("model.onnx*"):
                shutil.copy(p, folder)
            convert = ["convert", "model.onnx", "-o", "efcn.onnx", "--json", *extra]
            if layout != "auto":
                convert += ["--layout", layout]
            lines = [self.line(name, folder, *convert)]
            if not (folder / "efcn.onnx").exists():
                return lines
            lines.append(self.line(name, folder, "measure", "efcn.onnx", "--json"))
            lines.append(self.line(name, folder, "project", "efcn.onnx", "-o", "cnn.onnx", "--json"))
            metadata = onnx.load(folder / "efcn.onnx", load_external_data=False).metadata_props
            record = json.loads(next(m.value for m in metadata if m.key == "efcn"))
            layers = [layer["node"] for layer in record["layers"]]
            for i, ending in enumerate(("npz", "mtx")):
                for layer in layers[i::4]:
                    out = f"layer{i}-{len(lines)}.{ending}"
                    lines.append(self.line(name, folder, "export", "efcn.onnx", "--layer", layer, "-o", out))
            return lines

    def pattern(self, name, data, entry):
        """Return the lines for one model of the archive."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = patterns.fill(name, onnx.ModelProto.FromString(data))
            onnx.save(model, folder / "model.onnx")
            way = list(WAYS[zlib.crc32(b"build" + name.encode()) % len(WAYS)])
            for value in model.graph.input:
                dims = value.type.tensor_type.shape.dim
                if any(d.dim_param for d in dims[1:]):
                    given = entry["inputs"][value.name]
                    text = "x".join(["?" if dims[0].dim_param else str(given[0]), *map(str, given[1:])])
                    way += ["--input-shape", f"{value.name}={text}"]
            types = {t.data_type for t in model.graph.initializer}
            if types & {onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}:
                way += ["--as", "float32"]
            return [self.line(name, folder, "convert", "model.onnx", "-o", "efcn.onnx", "--json", *way)]


def main():
    """Parse the command line and print the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("efcn", metavar="EFCN", help="the program to try")
    parser.add_argument("--quick", action="store_true", help=f"one of {QUICK} cases, always the same")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count(), 8), help="commands at once")
    args = parser.parse_args()
    build = Build(args.efcn)
    cases = []
    for model in sorted(p.name for p in MODELS.iterdir() if p.is_dir()):
        for layout in LAYOUTS:
            for extra in EXTRAS:
                if layout != "auto" and "--for" in extra:
                    continue
                cases.append((f"{model} {layout} {extra}", build.model, (model, layout, extra)))
    manifest, models = patterns.read()
    for name in sorted(models):
        cases.append((name, build.pattern, (name, models[name], manifest[name])))
    if args.quick:
        cases = [c for c in cases if zlib.crc32(c[0].encode()) % QUICK == 0]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for lines in pool.map(lambda c: c[1](*c[2]), cases):
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
