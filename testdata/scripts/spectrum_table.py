#!/usr/bin/env python3
"""Print the share of the off-local energy that the first singular values have, over seeds.

spectrum_table.py NAME=GLOB...
    A GLOB names the output of efcn measure --spectrum --json of one model for each seed. For every
    layer and NAME, the norm of the part outside the support and the shares in % of its square are
    printed in Markdown, as mean ± standard deviation (n - 1).
"""

import argparse
import glob
import json
import pathlib
import statistics

SHARES = (1, 4, 8, 16, 32, 64)


def mean(values, digits):
    """Write mean and standard deviation."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def main():
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="NAME=GLOB")
    args = parser.parse_args()
    rows = {}
    for argument in args.models:
        name, _, pattern = argument.partition("=")
        seeds = [
            {s["node"]: s for s in json.loads(pathlib.Path(p).read_text("utf-8"))["spectra"]}
            for p in sorted(glob.glob(pattern))
        ]
        if len(seeds) < 2:
            raise SystemExit(f"{name}: want two files or more like {pattern}")
        for node, first in seeds[0].items():
            if first.get("not_measured"):
                continue
            layers = [s[node] for s in seeds]
            cells = [name, mean([s["off_local_norm"] for s in layers], 2)]
            for i in range(len(SHARES)):
                cells.append(mean([100 * s["energy"][i] for s in layers], 1))
            rows.setdefault(node, []).append(cells)
    print("| layer | after | norm | " + " | ".join(f"first {n}" for n in SHARES) + " |")
    print("|---|--:|--:|" + "--:|" * len(SHARES))
    for node, lines in rows.items():
        for cells in lines:
            print("| " + " | ".join([node] + cells) + " |")


if __name__ == "__main__":
    main()
