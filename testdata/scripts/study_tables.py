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


# Colours of Okabe and Ito, which people with any kind of colour vision tell apart, each with the one
# in its place on a dark page.
COLOURS = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#f08228"),
    ("#009e73", "#1ebe91"),
    ("#cc79a7", "#de96be"),
    ("#b57d00", "#f0be3c"),
    ("#3a86c8", "#86b8ee"),
    ("#000000", "#ffffff"),
]
WORDS, NOTES, RULES, PAPER = ("#1a1a1a", "#e8e8e8"), ("#505050", "#b0b0b0"), ("#dedede", "#3c3c3c"), ("#ffffff", "#181a1b")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, ROW = 560, 400, 36, 150, 52, 44, 16


def scale(low, high, start, end):
    """Return the function that takes low to start and high to end, in between linearly."""
    return lambda v: start + (v - low) * (end - start) / (high - low)


def plot(kinds, title):
    """Return the plot as SVG, with the names of the series at their ends."""
    fewest, most = min(k.weights for k in kinds), max(k.weights for k in kinds)
    ticks = [m * 10**p for p in range(12) for m in (1, 2, 5)]
    ticks = [t for t in ticks if fewest / 1.2 <= t <= most * 1.2]
    spreads = {k.name: statistics.stdev(k.final) if len(k.final) > 1 else 0 for k in kinds}
    ends = [statistics.mean(k.final) + spreads[k.name] * sign for k in kinds for sign in (1, -1)]
    low, high = math.floor(min(ends)), math.ceil(max(ends))
    x = scale(math.log10(fewest / 1.2), math.log10(most * 1.2), LEFT, WIDTH - RIGHT)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}" font-family="\'Liberation Sans\',Arial,Helvetica,sans-serif" '
        'font-size="12">',
        "<style>@media (prefers-color-scheme:dark){.l{stroke:var(--D)}.f{fill:var(--D)}}</style>",
        f'<rect class="f" {fill(PAPER)} width="{WIDTH}" height="{HEIGHT}"/>',
        text(6, 18, title, WORDS, size=14),
        text(6, TOP - 14, "accuracy (%)", NOTES),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "weights stored", NOTES, "middle"),
    ]
    for v in range(low, high + 1):
        out.append(line(LEFT, y(v), WIDTH - RIGHT, y(v), RULES))
        out.append(text(LEFT - 6, y(v) + 4, v, NOTES, "end"))
    for t in ticks:
        at = x(math.log10(t))
        out.append(line(at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 4, NOTES))
        out.append(text(at, HEIGHT - BOTTOM + 17, f"{t:,}", NOTES, "middle"))
    names = []
    for i, name in enumerate(dict.fromkeys(k.series for k in kinds)):
        colour = COLOURS[i % len(COLOURS)]
        points = sorted((k for k in kinds if k.series == name), key=lambda k: k.weights)
        places = [(x(math.log10(k.weights)), y(statistics.mean(k.final))) for k in points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        out.append(f'<polyline class="l" points="{path}" fill="none" {stroke(colour)} stroke-width="1.8"/>')
        for k, (a, b) in zip(points, places):
            centre, spread = statistics.mean(k.final), spreads[k.name]
            out.append(line(a, y(centre - spread), a, y(centre + spread), colour))
            note = f"{k.name}: {centre:.2f} ± {spread:.2f} %, {k.weights:,} weights"
            out.append(
                f'<circle class="f" cx="{a:.1f}" cy="{b:.1f}" r="3" {fill(colour)}><title>{escape(note)}</title></circle>'
            )
            if k.point:  # above the first of the series that are joined, below the others
                above = name == next(k.series for k in kinds if k.point)
                shift, anchor = ((-5, -6), "end") if above else ((6, 13), "start")
                out.append(text(a + shift[0], b + shift[1], k.point, colour, anchor, 10))
        names.append((places[-1], name, colour))
    return "\n".join(out + beside(names) + ["</svg>", ""])


def beside(names):
    """Return the names of the series in a column, each joined with the end of its line."""
    out, free = [], TOP
    for (a, b), name, colour in sorted(names, key=lambda n: n[0][1]):
        row = max(b, free)
        free = row + ROW
        edge = WIDTH - RIGHT + 10
        out.append(f'<polyline class="l" points="{a + 4:.1f},{b:.1f} {edge},{row:.1f}" fill="none" {stroke(colour)} '
                   'stroke-width=".7" stroke-dasharray="1 2"/>')
        out.append(text(edge + 4, row + 4, name, WORDS))
    return out


def fill(colour):
    """Return the attributes of a filling in a colour and the one in its place on a dark page."""
    return f'fill="{colour[0]}" style="--D:{colour[1]}"'


def stroke(colour):
    """Return the attributes of a stroke in a colour and the one in its place on a dark page."""
    return f'stroke="{colour[0]}" style="--D:{colour[1]}"'


def text(x, y, words, colour, anchor="start", size=12):
    """Return a text as SVG."""
    return (f'<text class="f" x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {fill(colour)}>'
            f"{escape(str(words))}</text>")


def line(x1, y1, x2, y2, colour):
    """Return a line as SVG."""
    return f'<line class="l" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {stroke(colour)}/>'


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
