"""Time making the matrices of a CNN: `efcn`, scipy, and a dense tensor of PyTorch.

matrix.py EFCN MODEL [--only efcn,scipy,torch,channels] [--rounds 5]

For all Conv nodes of the model (square images, kernels and pads, one group), each in a process of
its own, which prints its seconds and its peak memory:

    efcn      efcn convert --layout sparse to /dev/null: the values and indices of all non-zeros,
              with reading and planning
    scipy     the same matrices as scipy.sparse.csr_array in memory, from index arithmetic on whole
              NumPy arrays
    torch     the eFCN paper's construction (arXiv 1906.06766) as its authors do it: a dense zero
              matrix, with the padding in its input, into which the kernel of every output channel
              is copied at every position; in memory
    channels  the same with all channels of a position copied at once

Before that it checks that efcn export gives scipy's matrix, bit for bit. Needs onnx, numpy, scipy and
torch.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def convolutions(path):
    """The Conv nodes: name, kernel, stride, pad, and the input's side."""
    import onnx
    from onnx import numpy_helper, shape_inference

    model = shape_inference.infer_shapes(onnx.load(path))
    weights = {t.name: t for t in model.graph.initializer}
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.input, *model.graph.value_info]
    }
    for node in model.graph.node:
        if node.op_type == "Conv":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            kernel = numpy_helper.to_array(weights[node.input[1]])
            stride, pad = attributes["strides"][0], attributes["pads"][0]
            yield node.name, kernel, stride, pad, shapes[node.input[0]][2]


def csr(kernel, stride, pad, side):
    """The matrix of a convolution as a scipy.sparse.csr_array."""
    import numpy as np
    import scipy.sparse

    filters, channels, k, _ = kernel.shape
    out = (side + 2 * pad - k) // stride + 1
    # Along one axis: for every output position and tap, the input position.
    at = np.arange(out)[:, None] * stride + np.arange(k) - pad
    p, t = np.nonzero((at >= 0) & (at < side))
    q = at[p, t]
    # Pairs of taps of both axes, in the order of rows, then columns.
    rows = (p[:, None] * out + p[None, :]).ravel()
    cols = (q[:, None] * side + q[None, :]).ravel()
    taps = (t[:, None] * k + t[None, :]).ravel()
    order = np.lexsort((cols, rows))
    rows, cols, taps = rows[order], cols[order], taps[order]
    counts = np.bincount(rows, minlength=out * out)
    start = np.concatenate(([0], np.cumsum(counts)))
    indices, values = [], []
    flat = kernel.reshape(filters, channels, k * k)
    blocks = np.arange(channels)[:, None] * side * side
    places = []
    for position in range(out * out):
        part = slice(start[position], start[position + 1])
        places.append((taps[part], (blocks + cols[part]).ravel()))
    for o in range(filters):
        for tap, place in places:
            indices.append(place)
            values.append(flat[o][:, tap].ravel())
    lengths = np.tile(counts * channels, filters)
    pointers = np.concatenate(([0], np.cumsum(lengths)))
    shape = (filters * out * out, channels * side * side)
    return scipy.sparse.csr_array(
        (np.concatenate(values), np.concatenate(indices), pointers), shape=shape
    )


def dense(kernel, stride, pad, side, whole):
    """The matrix of a convolution as a dense tensor of PyTorch, padding and all."""
    import torch

    filters, channels, k, _ = kernel.shape
    wide = side + 2 * pad
    out = (wide - k) // stride + 1
    kernel = torch.from_numpy(kernel.copy())
    matrix = torch.zeros(filters, out, out, channels, wide, wide)
    for i in range(out):
        for j in range(out):
            rows, cols = slice(i * stride, i * stride + k), slice(j * stride, j * stride + k)
            if whole:
                matrix[:, i, j, :, rows, cols] = kernel
                continue
            for o in range(filters):
                matrix[o, i, j, :, rows, cols] = kernel[o]
    return matrix


def child(kind, path):
    """Make the matrices and print the seconds that took, imports left out."""
    layers = list(convolutions(path))
    if kind == "scipy":
        import scipy.sparse  # noqa: F401
    else:
        import torch  # noqa: F401
    begin = time.monotonic()
    made = []
    for _, *layer in layers:
        made.append(csr(*layer) if kind == "scipy" else dense(*layer, kind == "channels"))
    print(time.monotonic() - begin)


def timed(command):
    """Run a command; returns seconds, peak memory in bytes, and what it printed."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"matrix.py: {' '.join(command)}: status {status}")
    return time.monotonic() - begin, usage.ru_maxrss * 1024, printed


def same(efcn, path):
    """Check the matrices that efcn exports against scipy's."""
    import numpy as np
    import scipy.sparse

    with tempfile.TemporaryDirectory() as folder:
        converted = pathlib.Path(folder) / "efcn.onnx"
        command = [efcn, "convert", "-q", path, "-o", converted, "--layout", "local"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name, *layer in convolutions(path):
            matrix = converted.with_name("matrix.npz")
            command = [efcn, "export", converted, "--layer", name, "-o", matrix]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            got, want = scipy.sparse.csr_array(scipy.sparse.load_npz(matrix)), csr(*layer)
            for part in ("indptr", "indices", "data"):
                if not np.array_equal(getattr(got, part), getattr(want, part)):
                    sys.exit(f"matrix.py: {name}: {part} of what efcn exports is not scipy's")
            print(f"{name}: {want.nnz:,} non-zeros of {want.shape[0]:,} x {want.shape[1]:,}, equal")


def main():
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("model")
    parser.add_argument("--only", default="efcn,scipy,torch,channels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child == "same":
        same(args.efcn, args.model)
        return
    if args.child:
        child(args.child, args.model)
        return
    # What this process has loaded would count as the peak memory of its children.
    subprocess.run([sys.executable, __file__, "--child", "same", args.efcn, args.model], check=True)
    for kind in args.only.split(","):
        command = [sys.executable, __file__, "--child", kind, args.efcn, args.model]
        if kind == "efcn":
            sink = f'"{args.efcn}" convert -q "{args.model}" --layout sparse -o - >/dev/null'
            command = ["sh", "-c", "exec " + sink]
        times, peak = [], 0
        for _ in range(args.rounds):
            seconds, memory, printed = timed(command)
            times.append(float(printed) if printed else seconds)
            peak = max(peak, memory)
        print(f"{kind:9}{statistics.median(times):.3f} s, peak memory {peak / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
