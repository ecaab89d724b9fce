"""Time `efcn convert` against the number of non-zeros, from 10^5 to 10^9.

scale.py EFCN [--rounds 3] [--folder DIR] [--sides 2,3,5,9,16,29,52,93,165]

The model is one Conv of 64 to 64 channels, 3x3 with padding 1, on images of each of those sides; it
is written in local form, with external data, synced to the disk (4 GB for the largest), and
removed. Prints a line for each: non-zeros, the least of the times, and that of a --dry-run, which is
what start-up and planning take. The slope is that of a line through log time against log non-zeros,
the time less that of the dry run, where it is at least five times that. Needs numpy and onnx.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 64


def model(side):
    """A model of one Conv on images of that side."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
    shape = ["batch", CHANNELS, side, side]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write; default the system's temporary folder")
    parser.add_argument("--sides", default="2,3,5,9,16,29,52,93,165")
    args = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        cnn, out = pathlib.Path(folder) / "cnn.onnx", pathlib.Path(folder) / "efcn.onnx"
        command = [args.efcn, "convert", "-q", "--json", cnn, "-o", out, "--layout", "local"]
        command += ["--external-data", "always", "--max-bytes", "64GiB"]

        def run(*flags):
            for file in out.parent.glob("efcn.onnx*"):
                file.unlink()
            os.sync()
            begin = time.monotonic()
            printed = subprocess.run([*command, *flags], check=True, capture_output=True).stdout
            return time.monotonic() - begin, json.loads(printed)["plan"]["layers"][0]["non_zeros"]

        for side in map(int, args.sides.split(",")):
            onnx.save(model(side), cnn)
            planned = min(run("--dry-run")[0] for _ in range(args.rounds))
            seconds, non_zeros = min(run() for _ in range(args.rounds))
            rate = non_zeros / seconds / 1e6
            print(
                f"{non_zeros:13,} non-zeros {seconds:8.3f} s, dry run {planned:.3f} s, {rate:5.0f} M/s"
            )
            points.append((non_zeros, seconds, planned))
    fitted = [(n, s - planned) for n, s, planned in points if s >= 5 * planned]
    log_n, log_s = np.log(np.array(fitted).T)
    slope = np.polyfit(log_n, log_s, 1)[0]
    print(f"slope {slope:.3f} over the {len(fitted)} points from {fitted[0][0]:,} non-zeros on")


if __name__ == "__main__":
    main()
