#!/usr/bin/env python3
"""Check efcn on the export patterns of testdata/patterns.tar.xz. Needs numpy, onnx, onnxruntime.

check_patterns.py EFCN [--quick] [--only PATTERN] [--jobs N] fills every skeleton with random
weights, converts it with the program EFCN in a layout that its name chooses, and gives each model
one of these outcomes, the worst that holds:

    crash        a command died or ran too long
    missed       wrong, and efcn verify says EQUAL
    wrong        ONNX Runtime computes something else from the eFCN than from the CNN
    invalid      onnx.checker refuses the eFCN, though it takes the CNN
    silent       a linear layer was left in the eFCN and nothing says so
    false alarm  efcn verify says NOT EQUAL, though ONNX Runtime gets the same from both
    refused      efcn check, convert or verify refuses what ONNX Runtime runs
    kept         a linear layer was not embedded, with a reason
    ok           none of these

What is expected otherwise is in patterns_accepted.txt, with the reason. The exit code is 1 if an
outcome is not the expected one, a line there accepts nothing, or the archive holds another number
of models than COUNT. --folder takes the skeletons from a folder instead of the archive.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np
import onnx
import onnx.checker
import onnxruntime

import patterns

ACCEPTED = pathlib.Path(__file__).resolve().parent / "patterns_accepted.txt"
COUNT = 1883  # models in the archive
OUTCOMES = ("crash", "missed", "wrong", "invalid", "silent", "false alarm", "refused", "kept", "ok")
WAYS = (
    ["--layout", "auto"],
    ["--layout", "dense"],
    ["--layout", "local"],
    ["--layout", "sparse"],
    ["--fold=all"],
    ["--layout", "dense", "--maxpool", "relu"],
)
SPARSE_OPSET = 11
LINEAR = ("Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "BatchNormalization")
OTHER_TYPES = ("DOUBLE", "FLOAT16", "BFLOAT16")  # which are converted as float32
TOLERANCE = 1e-4  # of an output's largest element
COARSE = 2e-2  # the same, where the CNN computes in float16
STEPS = ("Round", "Floor", "Ceil", "QuantizeLinear", "ArgMax", "ArgMin", "TopK", "Equal", "Greater", "Less")
FLIPS = 0.02  # share of an output that rounding may put on the other side of a step
QUICK = 4  # one of how many models --quick checks
LIBRARY = next((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


class Stop(Exception):
    """Nothing more can be checked of this model."""


def types(model):
    """Return the element types of the model's inputs, weights and casts, by name."""
    found = {t.data_type for t in model.graph.initializer}
    found |= {v.type.tensor_type.elem_type for v in model.graph.input}
    found |= {a.i for n in model.graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"}
    return {onnx.TensorProto.DataType.Name(t) for t in found}


def has_steps(model):
    """Say whether the model has an operator whose result may jump where its input is rounded."""
    real = {getattr(onnx.TensorProto, name) for name in ("FLOAT", *OTHER_TYPES)}
    return any(
        node.op_type in STEPS or node.op_type == "Cast" and not real & {a.i for a in node.attribute if a.name == "to"}
        for node in model.graph.node
    )


def as_float32(arrays):
    """Return the arrays with every floating-point one in float32."""
    return {n: a.astype(np.float32) if np.issubdtype(a.dtype, np.floating) else a for n, a in arrays.items()}


def difference(got, want, tolerance, share):
    """Return in words how outputs differ by more than rounding, or None.

    Of each output that share of the elements may be off by anything.
    """
    if list(got) != list(want):
        return f"outputs {list(got)}, want {list(want)}"
    for name, w in want.items():
        g = got[name]
        if g.shape != w.shape or g.dtype != w.dtype:
            return f"output {name!r} is {g.dtype}{g.shape}, want {w.dtype}{w.shape}"
        if not w.size:
            continue
        off = np.abs(g.astype(np.float64) - w.astype(np.float64))
        largest = float(np.abs(w.astype(np.float64)).max())
        allowed = tolerance * max(largest, 1e-3) if np.issubdtype(w.dtype, np.floating) else 0.0
        count = int((~(off <= allowed)).sum())  # a NaN is off
        if count > int(share * w.size):
            return f"output {name!r}: {count} of {w.size} elements differ, by {off.max():.3g} of {largest:.3g}"
    return None


def graphs(graph, inside=None):
    """Yield every node of the graph and of its subgraphs, with the outermost node around it."""
    for node in graph.node:
        yield node, inside or node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g, inside or node)


def label(node):
    """Return what efcn calls a node: its name, else its first output."""
    return node.name or node.output[0]


class Case:
    """One model under test: what is done with it, and what is found."""

    def __init__(self, efcn, name, data, entry, folder, timeout):
        self.efcn, self.name, self.entry, self.timeout = efcn, name, entry, timeout
        self.model = patterns.fill(name, onnx.ModelProto.FromString(data))
        self.cnn, self.out = folder / f"{name}.onnx", folder / f"{name}-efcn.onnx"
        self.feeds = patterns.inputs(name, self.model, entry)
        computed = types(self.model)
        self.other = bool(computed & set(OTHER_TYPES))
        self.share = FLIPS if has_steps(self.model) else 0.0
        self.tolerance = COARSE if computed & {"FLOAT16", "BFLOAT16"} else TOLERANCE
        self.found = []  # outcome and words

    def find(self, outcome, words):
        """Note an outcome."""
        self.found.append((outcome, " ".join(words.split())))

    def way(self):
        """Return the options of convert."""
        if self.other:
            return ["--as", "float32"]
        chosen = WAYS[zlib.crc32(self.name.encode()) % len(WAYS)]
        opset = next(o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx"))
        return WAYS[2] if "sparse" in chosen and opset < SPARSE_OPSET else chosen

    def shapes(self):
        """Return --input-shape for every input with more than a symbolic batch."""
        options = []
        for value in self.model.graph.input:
            dims = value.type.tensor_type.shape.dim
            if any(d.dim_param for d in dims[1:]):
                given = self.entry["inputs"][value.name]
                text = "x".join(["?" if dims[0].dim_param else str(given[0]), *map(str, given[1:])])
                options += ["--input-shape", f"{value.name}={text}"]
        return options

    def call(self, command, *arguments):
        """Run a command of efcn; return its exit code, stdout and stderr."""
        line = [self.efcn, command, "--quiet", "--threads", "1", *map(str, arguments)]
        environment = {**os.environ, "EFCN_ORT": str(LIBRARY)}
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=self.timeout, env=environment)
        except subprocess.TimeoutExpired:
            self.find("crash", f"{command}: more than {self.timeout:g} s")
            raise Stop from None
        if done.returncode not in (0, 1, 2) or "panic:" in done.stderr or "goroutine " in done.stderr:
            self.find("crash", f"{command}: exit code {done.returncode}: {done.stderr[:300]}")
            raise Stop
        return done.returncode, done.stdout, done.stderr

    def check(self):
        """Compare efcn check with onnx.checker."""
        code, printed, message = self.call("check", self.cnn)
        try:
            onnx.checker.check_model(str(self.cnn), full_check=True)
            self.valid = True
        except Exception:  # whatever the checker raises
            self.valid = False
        if code and self.valid:
            self.find("refused", f"check: {printed[:300]} {message[:300]}")

    def convert(self):
        """Convert, and look for linear layers that are still there."""
        code, printed, message = self.call("convert", self.cnn, "-o", self.out, "--no-sync", "--json", *self.way(), *self.shapes())
        if code:
            self.find("refused", f"convert: {message[:300]}")
            raise Stop
        plan = json.loads(printed)["plan"]
        coverage = plan["coverage"]
        for layer in coverage["not_embedded"]:
            self.find("kept", f"{layer['op']} {layer['node']}: {layer['why']}")
        if coverage["embedded"] + len(coverage["not_embedded"]) != coverage["linear_layers"]:
            self.find("silent", f"the counts do not add up: {coverage}")
        named = {k["node"] for k in [*coverage["not_embedded"], *plan["kept"]]}
        for node, around in graphs(onnx.load(self.out).graph):
            if node.op_type in LINEAR and not {label(node), label(around)} & named:
                self.find("silent", f"{node.op_type} {label(node)} is in the eFCN")
        if self.valid:
            try:
                onnx.checker.check_model(str(self.out), full_check=True)
            except Exception as e:  # whatever the checker raises
                self.find("invalid", str(e)[:300])

    def compare(self):
        """Run both files in ONNX Runtime; say whether they agree."""
        want, feeds = patterns.run(self.cnn, self.feeds), self.feeds
        if self.other:
            want, feeds = as_float32(want), as_float32(feeds)
        try:
            wrong = difference(patterns.run(self.out, feeds), want, self.tolerance, self.share)
        except Exception as e:  # whatever the runtime raises
            wrong = f"ONNX Runtime: {str(e)[:300]}"
        if wrong:
            self.find("wrong", wrong)
        return not wrong

    def verify(self, same):
        """Verify the eFCN; same says whether ONNX Runtime gets the same from both files."""
        options = ["--json", "--samples", "4", *self.shapes()]
        code, printed, message = self.call("verify", self.cnn, self.out, *options)
        if code == 2 and "give it with --inputs" in message:  # which integers it takes, nothing says
            given = self.out.with_suffix(".npz")
            np.savez(given, **self.feeds)
            options += ["--inputs", str(given), "--samples", "0"]
            code, printed, message = self.call("verify", self.cnn, self.out, *options)
        if code == 2:
            self.find("refused", f"verify: {message[:300]}")
        elif code == 1 and same:
            report = json.loads(printed)
            found = [f"{f['check']}: {f['op']} {f['node']}: {f['text']}" for f in report["findings"]]
            failed = [c["name"] for c in report["checks"] if c["status"] == "failed"]
            self.find("false alarm", f"{', '.join(failed)}; {'; '.join(found[:3])}"[:500])
        elif code == 0 and not same:
            self.find("missed", "ONNX Runtime sees a difference, verify says EQUAL")

    def judge(self):
        """Do all of it."""
        onnx.save(self.model, self.cnn)
        try:
            self.check()
            self.convert()
            self.verify(self.compare())
        except Stop:
            pass
        except Exception as e:  # a fault of this script or of a library is shown, not hidden
            self.find("crash", f"{type(e).__name__}: {e}")
        for path in self.cnn.parent.glob(f"{self.name}[.-]*"):
            path.unlink(missing_ok=True)
        self.found.sort(key=lambda f: OUTCOMES.index(f[0]))
        return self.found[0][0] if self.found else "ok"


def accepted():
    """Return the accepted exceptions: pattern of names, outcome, reason."""
    lines = []
    for line in ACCEPTED.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            names, outcome, reason = (part.strip() for part in line.split("|"))
            if outcome not in OUTCOMES or not reason:
                raise ValueError(f"{ACCEPTED.name}: {line}")
            lines.append((names, outcome, reason))
    return lines


def expected(exceptions, name):
    """Return the index of the first exception whose pattern the name matches, or None."""
    for i, (names, _, _) in enumerate(exceptions):
        if fnmatch.fnmatch(name, names):
            return i
    return None


def chosen(args):
    """Return manifest entries and skeletons to check."""
    if args.folder:
        models = {p.stem: p.read_bytes() for p in args.folder.glob("*.onnx")}
        manifest = {n: json.loads((args.folder / f"{n}.json").read_text()) for n in models}
    else:
        manifest, models = patterns.read()
        if len(models) != COUNT:
            raise ValueError(f"{patterns.ARCHIVE.name} holds {len(models)} models, want {COUNT}")
    names = sorted(n for n in models if fnmatch.fnmatch(n, args.only))
    if args.quick:
        names = [n for n in names if zlib.crc32(b"quick" + n.encode()) % QUICK == 0]
    return [(n, models[n], manifest[n]) for n in names]


def main():
    """Parse the command line, check, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("efcn", metavar="EFCN", help="the program to check")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="of the models' names")
    parser.add_argument("--quick", action="store_true", help=f"one of {QUICK} models, always the same")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count(), 8), help="models at once")
    parser.add_argument("--folder", type=pathlib.Path, help="skeletons, instead of the archive")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for a command")
    parser.add_argument("--report", type=pathlib.Path, help="file for one JSON line a model")
    args = parser.parse_args()
    efcn = str(pathlib.Path(args.efcn).resolve())
    exceptions, used = accepted(), set()
    counts, unexpected, lines, start = collections.Counter(), 0, [], time.time()
    models = chosen(args)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:

        def work(model):
            case = Case(efcn, *model, pathlib.Path(folder), args.timeout)
            return case, case.judge()

        for case, outcome in pool.map(work, models):
            counts[outcome] += 1
            i = expected(exceptions, case.name)
            want = "ok" if i is None else exceptions[i][1]
            if outcome == want and i is not None:
                used.add(i)
            lines.append({"name": case.name, "outcome": outcome, "expected": want, "way": case.way(), "found": case.found})
            if outcome not in ("ok", want):
                unexpected += 1
                print(f"FAIL {outcome}: {case.name} ({' '.join(case.way())})", flush=True)
                for kind, words in case.found[:4]:
                    print(f"  {kind}: {words}")
    if args.report:
        args.report.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if args.only == "*" and not args.quick:
        for i, (names, outcome, _) in enumerate(exceptions):
            if i not in used:
                print(f"FAIL {ACCEPTED.name}: no model that {names} names is {outcome} any more")
                unexpected += 1
    print(f"{len(models)} models in {time.time() - start:.0f} s:", ", ".join(f"{counts[o]} {o}" for o in reversed(OUTCOMES) if counts[o]) + f"; {unexpected} unexpected")
    return 1 if unexpected or not models else 0


if __name__ == "__main__":
    sys.exit(main())
