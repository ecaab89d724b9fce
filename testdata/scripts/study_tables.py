#!/usr/bin/env python3
"""Collect runs over several seeds into the tables and the plot of docs/any-size.md. Needs onnx.

study_tables.py [--than NAME]... [--plot FILE.svg] [--title TEXT] SERIES[/POINT]=GLOB...

A GLOB names what is of one kind, a path for each seed, which are paired in the order of their
names: a folder that efcn relax or finetune --checkpoint made (metrics.jsonl, and model.onnx in it
or beside it as FOLDER.onnx), or the output of efcn eval --json. Printed, in Markdown: number of
runs, weights stored, size of the file, accuracies in % as mean ± standard deviation (n - 1) of the last epoch and of
the best one, s and d; and for every --than, "SERIES" or "SERIES POINT", the differences to it seed
by seed. --plot draws the last epoch's accuracy against the weights stored; the points of a series
are joined.

Weights are the floating-point numbers of a file, constants among them: not the indices of the
local form, which are integers.
"""

import argparse
import glob
import json
import math
import pathlib
import statistics
from xml.sax.saxutils import escape

import onnx

FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}


class Kind:
    """The runs of one kind: a row of the table and a point of the plot."""

    def __init__(self, argument):
        label, _, pattern = argument.partition("=")
        self.series, _, self.point = label.partition("/")
        self.name = f"{self.series} {self.point}".strip()
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise SystemExit(f"{label}: no path is like {pattern}")
        runs = [read_run(pathlib.Path(p)) for p in paths]
        self.final = [100 * r["final"] for r in runs]
        self.best = [100 * r["best"] for r in runs if r["best"] is not None]
        self.off_local = [r["off_local"] for r in runs if r["off_local"] is not None]
        self.distance = [r["distance"] for r in runs if r["distance"] is not None]
        self.weights = round(statistics.mean(weights(r["model"]) for r in runs))
        self.bytes = statistics.mean(r["model"].stat().st_size for r in runs)


def read_run(path):
    """Return what is known of the run at path, a folder or a JSON file."""
    if path.is_file():
        result = json.loads(path.read_text("utf-8"))
        return {
            "final": result["top1"],
            "best": None,
            "off_local": None,
            "distance": None,
            "model": pathlib.Path(result["model"]),
        }
    lines = [json.loads(s) for s in (path / "metrics.jsonl").read_text("utf-8").splitlines()]
    model = path / "model.onnx"
    if not model.exists():
        model = path.with_name(path.name + ".onnx")
    deviation = lines[-1].get("deviation") or {}
    return {
        "final": lines[-1]["test_top1"],
        "best": max(line["test_top1"] for line in lines),
        "off_local": deviation.get("off_local"),
        "distance": deviation.get("distance"),
        "model": model,
    }


def weights(path):
    """Return how many floating-point numbers a model stores."""
    graph = onnx.load(path, load_external_data=False).graph
    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                tensors.append(attribute.t)
            if attribute.HasField("sparse_tensor"):
                tensors.append(attribute.sparse_tensor.values)
    return sum(math.prod(t.dims) for t in tensors if t.data_type in FLOATS)


def mean(values, digits):
    """Write mean and standard deviation."""
    if not values:
        return ""
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.{digits}f}"
    return text


def print_tables(kinds, than):
    """Print the table of all kinds, and that of their differences."""
    print("| model | runs | weights | kB | final | best | s | d |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for k in kinds:
        cells = [k.name, str(len(k.final)), f"{k.weights:,}", f"{k.bytes / 1000:,.0f}"]
        cells += [mean(k.final, 2), mean(k.best, 2), mean(k.off_local, 3), mean(k.distance, 3)]
        print(f"| {' | '.join(cells)} |")
    if not than:
        return
    print("\n| final | " + " | ".join(f"− {t.name}" for t in than) + " |")
    print("|---|" + "---|" * len(than))
    for k in kinds:
        print(f"| {k.name} | " + " | ".join(differences(k, t) for t in than) + " |")


def differences(kind, than):
    """Write the differences of the runs of a kind to those of another, and their mean."""
    if kind is than or len(kind.final) != len(than.final):
        return ""
    pairs = [a - b for a, b in zip(kind.final, than.final)]
    return ", ".join(f"{d:+.2f}" for d in pairs) + f"; mean {statistics.mean(pairs):+.2f}"


# Colours of Okabe and Ito, which people with any kind of colour vision tell apart.
COLOURS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #000000".split()
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 820, 480, 60, 220, 40, 50


def scale(low, high, start, end):
    """Return the function that takes low to start and high to end, in between linearly."""
    return lambda v: start + (v - low) * (end - start) / (high - low)


def plot(kinds, title):
    """Return the plot as SVG."""
    fewest, most = min(k.weights for k in kinds), max(k.weights for k in kinds)
    ticks = [m * 10**p for p in range(12) for m in (1, 2, 5)]
    ticks = [t for t in ticks if fewest / 1.2 <= t <= most * 1.2]
    spreads = [statistics.stdev(k.final) if len(k.final) > 1 else 0 for k in kinds]
    ends = [statistics.mean(k.final) + s * sign for k, s in zip(kinds, spreads) for sign in (1, -1)]
    low, high = math.floor(min(ends)), math.ceil(max(ends))
    x = scale(math.log10(fewest / 1.2), math.log10(most * 1.2), LEFT, WIDTH - RIGHT)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="Liberation Sans,Arial,Helvetica,sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for t in ticks:
        at = x(math.log10(t))
        out.append(line(at, TOP, at, HEIGHT - BOTTOM, "#ddd"))
        out.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{t:,}</text>'
        )
    for v in range(low, high + 1):
        out.append(line(LEFT, y(v), WIDTH - RIGHT, y(v), "#ddd"))
        out.append(f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v}</text>')
    out.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">weights stored</text>')
    out.append(f'<text x="{LEFT - 30}" y="{TOP - 6}" font-size="11">% right</text>')
    names = list(dict.fromkeys(k.series for k in kinds))
    for i, name in enumerate(names):
        colour = COLOURS[i % len(COLOURS)]
        points = [(k, s) for k, s in zip(kinds, spreads) if k.series == name]
        places = [(x(math.log10(k.weights)), y(statistics.mean(k.final))) for k, _ in points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for (k, s), (a, b) in zip(points, places):
            centre = statistics.mean(k.final)
            out.append(line(a, y(centre - s), a, y(centre + s), colour))
            out.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>')
            out.append(
                f'<text x="{a + 6:.1f}" y="{b + (14 if i % 2 else -6):.1f}" '
                f'font-size="10" fill="{colour}">'
                f"{escape(k.point)}</text>"
            )
        row = TOP + 16 * i + 6
        out.append(f'<circle cx="{WIDTH - RIGHT + 20}" cy="{row}" r="4" fill="{colour}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 30}" y="{row + 4}">{escape(name)}</text>')
    return "\n".join(out + ["</svg>", ""])


def line(x1, y1, x2, y2, colour):
    """Return a line as SVG."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def main():
    """Parse the command line, print the tables, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="+", metavar="SERIES[/POINT]=GLOB")
    parser.add_argument("--than", action="append", default=[], metavar="NAME")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE.svg")
    parser.add_argument("--title", default="accuracy after the last epoch")
    args = parser.parse_args()
    kinds = [Kind(k) for k in args.kinds]
    named = {k.name: k for k in kinds}
    print_tables(kinds, [named[t] for t in args.than])
    if args.plot:
        args.plot.write_text(plot(kinds, args.title), "utf-8")


if __name__ == "__main__":
    main()
