#!/usr/bin/env python3
"""Check the folder of a study that efcn relax made: files, tables, and models in ONNX Runtime.

check_study.py DIR --runs N [--size 14]
    DIR is of a study on the test images of testdata/fashion-mnist, averaged to size×size pixels and
    normalised with the figures of fashion_mnist.py. N runs have to be there. Every model that
    results.csv names is run in ONNX Runtime and has to be right as often as the table says, but for
    two images (scores that are equal but for rounding). Means and deviations are computed again.
"""

import argparse
import csv
import json
import math
import pathlib
import statistics

import numpy as np

import check_models
import fashion_mnist

COLUMNS = {
    "results.csv": "run file kind seed relax_epoch weight_bytes epochs start_test_loss start_test_top1"
    " final_train_loss final_train_top1 final_test_loss final_test_top1 best_test_top1 best_epoch"
    " distance off_local travelled entries support nonzero nonzero_local projected_test_loss"
    " projected_test_top1 seconds failed",
    "summary.csv": "kind relax_epoch runs start_test_top1_mean start_test_top1_sd"
    " final_test_top1_mean final_test_top1_sd best_test_top1_mean best_test_top1_sd"
    " final_train_loss_mean final_train_loss_sd distance_mean distance_sd off_local_mean"
    " off_local_sd travelled_mean travelled_sd projected_test_top1_mean projected_test_top1_sd",
    "epochs.csv": "run kind seed relax_epoch epoch time rate train_loss train_top1 test_loss"
    " test_top1 test_top5 distance off_local travelled nonzero nonzero_local gradient_local"
    " gradient_off_local seconds",
    "layers.csv": "run kind seed relax_epoch epoch time layer op norm distance off_local"
    " bias_distance travelled nonzero nonzero_local gradient_local gradient_off_local",
}
NEAR_TIES = 2
PLOTS = 37  # 12 figures of all kinds of runs, and what each of four kinds has of them by itself; no figure of zeros


class Failure(Exception):
    """A folder that is not what it should be."""


def read_table(folder, name):
    """Return the rows of a table as dictionaries."""
    with open(folder / name, encoding="utf-8", newline="") as f:
        reader = csv.DictReader(f)
        want = COLUMNS[name].split()
        if reader.fieldnames != want:
            raise Failure(f"{name}: columns {reader.fieldnames}: want {want}")
        return list(reader)


def averaged(images, size):
    """Return images, N×28×28 bytes, as N×1×size×size means of equal blocks, normalised."""
    block = images.shape[1] // size
    blocks = images.reshape(len(images), size, block, size, block).astype(np.float64)
    pixels = blocks.mean(axis=(2, 4)) / 255
    return ((pixels - fashion_mnist.MEAN) / fashion_mnist.STD).astype(np.float32)[:, None]


def right(path, images, labels):
    """Return how many images ONNX Runtime classifies as they are labelled."""
    session = check_models.session(path)
    name = session.get_inputs()[0].name
    scores = np.concatenate([session.run(None, {name: x})[0] for x in np.array_split(images, 8)])
    return int((scores.argmax(axis=1) == labels).sum())


def check_models_of(folder, rows, images, labels):
    """Compare the accuracy of every model with what results.csv says. Return their number."""
    count = 0
    for row in rows:
        run = folder / row["run"]
        models = [(folder / row["file"], row["final_test_top1"])]
        if row["kind"] != "snapshot":
            models.append((run / "start.onnx", row["start_test_top1"]))
        if row["projected_test_top1"]:
            models.append((run / "projected.onnx", row["projected_test_top1"]))
        for path, top1 in models:
            theirs, ours = right(path, images, labels), round(float(top1) * len(labels))
            if abs(theirs - ours) > NEAR_TIES:
                raise Failure(f"{path}: the table has {ours} right, ONNX Runtime {theirs}")
            count += 1
    return count


def check_epochs(folder, rows, results):
    """Epochs and time go up by one, from where the run began, to where the table says it ended."""
    runs = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    for result in results:
        if result["kind"] == "snapshot":
            continue
        points = runs.pop(result["run"])
        began = int(result["relax_epoch"] or 0)
        if [int(p["epoch"]) for p in points] != list(range(int(result["epochs"]) + 1)):
            raise Failure(f"{result['run']}: epochs {[p['epoch'] for p in points]}")
        for p in points:
            if int(p["time"]) != began + int(p["epoch"]):
                raise Failure(f"{result['run']}: epoch {p['epoch']} at time {p['time']}")
            if int(p["epoch"]) and not float(p["seconds"]) > 0:
                raise Failure(f"{result['run']}: epoch {p['epoch']} took {p['seconds']} s")
        best = max(float(p["test_top1"]) for p in points[1:])
        if best != float(result["best_test_top1"]):
            raise Failure(f"{result['run']}: the best epoch has {best}, the table differs")
        if points[-1]["test_top1"] != result["final_test_top1"]:
            raise Failure(f"{result['run']}: the last epoch has {points[-1]['test_top1']}")
        lines = (folder / result["run"] / "metrics.jsonl").read_text("utf-8").splitlines()
        if [json.loads(line)["epoch"] for line in lines] != [int(p["epoch"]) for p in points[1:]]:
            raise Failure(f"{result['run']}: metrics.jsonl has other epochs")
        relaxed = result["kind"] not in ("cnn", "fcn")
        if relaxed and (float(points[0]["distance"]), float(points[0]["travelled"])) != (0, 0):
            raise Failure(f"{result['run']}: it does not begin in the CNN subspace")
        if relaxed and not float(points[-1]["travelled"]) > 0:
            raise Failure(f"{result['run']}: it ends where it began")
    if runs:
        raise Failure(f"epochs.csv has runs that results.csv does not have: {sorted(runs)}")


def check_summary(rows, results):
    """Means and deviations are those of the results."""
    groups = {}
    for result in results:
        groups.setdefault((result["kind"], result["relax_epoch"]), []).append(result)
    if len(groups) != len(rows):
        raise Failure(f"summary.csv has {len(rows)} rows: want {len(groups)}")
    for row in rows:
        group = groups[row["kind"], row["relax_epoch"]]
        if int(row["runs"]) != len(group):
            raise Failure(f"summary.csv: {row['runs']} runs of {len(group)}")
        for column in COLUMNS["summary.csv"].split():
            name, _, what = column.rpartition("_")
            if what not in ("mean", "sd"):
                continue
            values = [float(r[name]) for r in group if r[name]]
            if not values or what == "sd" and len(values) < 2:
                want = None
            else:
                want = statistics.mean(values) if what == "mean" else statistics.stdev(values)
            got = float(row[column]) if row[column] else None
            if (got is None) != (want is None):
                raise Failure(f"summary.csv: {column} of {row['kind']} is {got}: want {want}")
            # The rounding of a handful of float64 operations, of numbers of order one.
            if want is not None and not math.isclose(got, want, rel_tol=1e-12, abs_tol=1e-14):
                raise Failure(f"summary.csv: {column} of {row['kind']} is {got}: want {want}")


def main():
    """Parse the command line and check the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--size", type=int, default=14)
    args = parser.parse_args()
    json.loads((args.folder / "settings.json").read_text("utf-8"))
    tables = {name: read_table(args.folder, name) for name in COLUMNS}
    results = tables["results.csv"]
    failed = [r["run"] for r in results if r["failed"]]
    runs = [r for r in results if r["kind"] != "snapshot"]
    if failed or len(runs) != args.runs:
        raise Failure(f"{len(runs)} runs, of which {failed} failed: want {args.runs}")
    left = list(args.folder.rglob("run.checkpoint")) + list(args.folder.rglob("*.tmp"))
    if left:
        raise Failure(f"left behind: {left}")
    for ending in "svg", "png":
        plots = [p for p in (args.folder / "plots").glob(f"*.{ending}") if p.stat().st_size > 1000]
        if len(plots) != PLOTS:
            raise Failure(f"{len(plots)} plots as {ending}: want {PLOTS}")
    data = fashion_mnist.TESTDATA / "fashion-mnist"
    images = fashion_mnist.read_idx(data / "test-images-2k-idx3-ubyte.gz")
    labels = fashion_mnist.read_idx(data / "test-labels-2k-idx1-ubyte.gz")
    check_epochs(args.folder, tables["epochs.csv"], results)
    check_summary(tables["summary.csv"], results)
    count = check_models_of(args.folder, results, averaged(images, args.size), labels)
    print(f"{args.folder}: {len(runs)} runs, {count} models right as often as the tables say")


if __name__ == "__main__":
    main()
