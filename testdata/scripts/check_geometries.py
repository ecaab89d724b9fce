"""Convert random geometries of the linear operators and run the results in ONNX Runtime.

check_geometries.py EFCN [--count 200] [--layouts dense,sparse,local] [--ops Conv,...] [--seed 0]

For each operator one model of that many nodes, 1-D to 3-D, each with an input and outputs of its
own, is converted by the program EFCN: with each layout where the operator becomes a matrix, else
once. No node may be kept on tensors, onnx.checker (full) has to accept the result, and ONNX Runtime
has to compute from it what it computes from the original, to 1e-5 of the largest value of an
output. Needs numpy, onnx and onnxruntime.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BATCH = 2


def ints(rng, low, high, count):
    """Count random integers from low to high."""
    return [int(v) for v in rng.integers(low, high + 1, count)]


class Geometry:
    """One random node: what it is made of, and its constants."""

    def __init__(self, rng, axes, number):
        self.rng, self.axes, self.number = rng, axes, number
        self.initializers = []
        self.shape, self.inputs, self.attributes, self.outputs = [], [], {}, 1
        self.last = False  # whether the data is the last input

    def ints(self, low, high, count):
        """Count random integers from low to high."""
        return ints(self.rng, low, high, count)

    def chance(self, share=0.5):
        """True in that share of cases."""
        return self.rng.random() < share

    def constant(self, values, dtype=np.int64):
        """Append a constant to the inputs."""
        name = f"c{self.number}_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype), name))
        self.inputs.append(name)

    def weights(self, *shape):
        """Append random weights to the inputs."""
        self.constant(self.rng.standard_normal(shape), np.float32)

    def image(self, channels=5, most=6):
        """Draw the shape of an image with that many channels or fewer."""
        self.shape = self.ints(1, channels, 1) + self.ints(1, most, self.axes)


def conv(g):
    """A Conv: groups, strides, dilations, asymmetric pads or auto_pad."""
    group, per_in, per_out = g.ints(1, 3, 3)
    kernel, dilations = g.ints(1, 3, g.axes), g.ints(1, 2, g.axes)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    g.shape = [group * per_in] + [e + v for e, v in zip(extent, g.ints(0, 4, g.axes))]
    g.attributes = dict(group=group, strides=g.ints(1, 4, g.axes), dilations=dilations)
    auto = g.rng.choice(["pads", "SAME_UPPER", "SAME_LOWER", "VALID"], p=[0.7, 0.1, 0.1, 0.1])
    if auto == "pads":
        g.attributes["pads"] = g.ints(0, 3, 2 * g.axes)
    else:
        g.attributes["auto_pad"] = auto
        if auto.startswith("SAME"):  # which ONNX Runtime takes without dilation only
            g.attributes["dilations"] = [1] * g.axes
    g.weights(group * per_out, per_in, *kernel)
    if g.chance():
        g.weights(group * per_out)


def conv_transpose(g):
    """A ConvTranspose: groups, strides, dilations, pads, output_padding."""
    group, per_in, per_out = g.ints(1, 3, 3)
    kernel, dilations = g.ints(1, 3, g.axes), g.ints(1, 2, g.axes)
    strides = g.ints(1, 3, g.axes)
    g.shape = [group * per_in] + g.ints(2, 4, g.axes)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    pads = [int(g.rng.integers(0, e)) for e in extents] + [0] * g.axes
    # ONNX allows less than the dilation as well, ONNX Runtime does not.
    extra = [int(g.rng.integers(0, s)) for s in strides]
    g.weights(group * per_in, per_out, *kernel)
    if g.chance():
        g.weights(group * per_out)
    g.attributes = dict(
        group=group, strides=strides, dilations=dilations, pads=pads, output_padding=extra
    )


def average_pool(g):
    """An AveragePool: ceil_mode, count_include_pad, pads smaller than the kernel."""
    kernel = g.ints(1, 4, g.axes)
    g.shape = g.ints(1, 4, 1) + [k + v for k, v in zip(kernel, g.ints(0, 5, g.axes))]
    pads = [int(g.rng.integers(0, k)) for k in kernel * 2]
    include = int(g.rng.integers(0, 2))
    # With both, ONNX Runtime's divisor counts cells beyond the padding in some versions.
    ceil = 0 if include else int(g.rng.integers(0, 2))
    g.attributes = dict(
        kernel_shape=kernel,
        strides=g.ints(1, 3, g.axes),
        pads=pads,
        count_include_pad=include,
        ceil_mode=ceil,
    )


def global_average_pool(g):
    """A GlobalAveragePool."""
    g.image()


def reduce(g):
    """A ReduceMean or ReduceSum over any axes but the batch."""
    g.image()
    rank = len(g.shape) + 1
    count = int(g.rng.integers(1, rank))
    axes = g.rng.choice(np.arange(1, rank), count, replace=False)
    g.constant([a - rank if g.chance() else a for a in axes])
    g.attributes = dict(keepdims=int(g.rng.integers(0, 2)))


def batch_normalization(g):
    """A BatchNormalization that no layer stands before."""
    g.image()
    for low, high in ((-2, 2), (-2, 2), (-1, 1), (0.1, 3)):
        g.constant(g.rng.uniform(low, high, g.shape[0]), np.float32)
    g.attributes = dict(epsilon=1e-3)


def pad(g):
    """A Pad in every mode; negative pads with a constant."""
    g.image()
    mode = str(g.rng.choice(["constant", "reflect", "edge", "wrap"]))
    pads = []
    for size in g.shape * 2:
        high = min(3, size - 1) if mode == "reflect" else min(3, size)
        pads.append(int(g.rng.integers(-(mode == "constant" and size > 2), high + 1)))
    axes = list(range(1, len(g.shape) + 1))
    if g.chance():
        g.constant([0, *pads[: len(axes)], 0, *pads[len(axes) :]])
        g.constant(g.rng.standard_normal(), np.float32)
    else:
        g.constant(pads)
        g.constant(g.rng.standard_normal(), np.float32)
        g.constant(axes)
    g.attributes = dict(mode=mode)


def factors(g, smaller):
    """Draw scales for the spatial axes that give whole lengths."""
    choice = [1, 1.5, 2, 3] + [0.5, 0.25] * smaller
    drawn = []
    for size in g.shape[1:]:
        fitting = [f for f in choice if f * size == int(f * size)]
        drawn.append(float(g.rng.choice(fitting)))
    return drawn


def resize_nearest(g):
    """A nearest Resize. Factors other than powers of two are left to modes without ties."""
    g.image()
    scales = factors(g, True)
    modes = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    mode, rounding = str(g.rng.choice(modes)), "round_prefer_floor"
    if mode == "asymmetric":
        rounding = "floor"
    elif all(s in (0.25, 0.5, 1, 2) for s in scales) and mode != "align_corners":
        rounding = str(
            g.rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        )
    g.inputs.append("")
    g.constant([1, 1, *scales], np.float32)
    g.attributes = dict(
        mode="nearest", coordinate_transformation_mode=mode, nearest_mode=rounding
    )


def resize_linear(g):
    """A linear Resize."""
    g.image()
    mode = str(g.rng.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]))
    g.inputs.append("")
    g.constant([1, 1, *factors(g, True)], np.float32)
    g.attributes = dict(mode="linear", coordinate_transformation_mode=mode)


def upsample(g):
    """An Upsample, the operator that Resize replaced."""
    g.image()
    g.constant([1, 1, *factors(g, False)], np.float32)
    g.attributes = dict(mode="nearest")


def upsample_linear(g):
    """A linear Upsample, which ONNX Runtime has for two axes."""
    g.axes = 2
    upsample(g)
    g.attributes = dict(mode="linear")


def transpose(g):
    """A Transpose that leaves the batch in front."""
    g.image()
    g.attributes = dict(perm=[0, *(int(a) + 1 for a in g.rng.permutation(len(g.shape)))])


def slice_(g):
    """A Slice with steps in both directions, over part of the axes."""
    g.image()
    starts, ends, axes, steps = [], [], [], []
    rank = len(g.shape) + 1
    for axis, size in enumerate(g.shape, 1):
        if g.chance(0.3):
            continue
        step = int(g.rng.choice([1, 2, -1, -2]))
        first, last = sorted(g.ints(0, size - 1, 2))
        if step < 0:
            starts.append(last - size if g.chance() else last)
            ends.append(first - 1 if first else -size - 1)
        else:
            starts.append(first - size if g.chance() else first)
            ends.append(last + 1 if g.chance() else last + 1 + 100 * (last + 1 == size))
        axes.append(axis - rank if g.chance() else axis)
        steps.append(step)
    if not axes:
        starts, ends, axes, steps = [0], [1], [1], [1]
    for values in (starts, ends, axes, steps):
        g.constant(values)


def gather(g):
    """A Gather with indices of no, one or two axes, from both ends."""
    g.image()
    axis = int(g.rng.integers(0, len(g.shape)))
    size = g.shape[axis]
    g.constant(g.rng.integers(-size, size, g.ints(1, 3, int(g.rng.integers(0, 3)))))
    g.attributes = dict(axis=axis + 1 if g.chance() else axis - len(g.shape))


def split(g):
    """A Split in parts of any length."""
    g.image()
    axis, parts = int(g.rng.integers(0, len(g.shape))), g.ints(1, 3, int(g.rng.integers(2, 4)))
    g.shape[axis], g.outputs = sum(parts), len(parts)
    g.constant(parts)
    g.attributes = dict(axis=axis + 1 if g.chance() else axis - len(g.shape))


def concat(g):
    """A Concat of an input with itself."""
    g.image()
    g.inputs = ["x"] * int(g.rng.integers(0, 3))
    axis = int(g.rng.integers(0, len(g.shape)))
    g.attributes = dict(axis=axis + 1 if g.chance() else axis - len(g.shape))


def depth_to_space(g):
    """A DepthToSpace in both modes."""
    side, depth = g.ints(1, 3, 2)
    g.shape = [depth * side * side, *g.ints(1, 4, 2)]
    g.attributes = dict(blocksize=side, mode=str(g.rng.choice(["DCR", "CRD"])))


def space_to_depth(g):
    """A SpaceToDepth."""
    side = g.ints(1, 3, 1)[0]
    g.shape = [*g.ints(1, 3, 1), *(side * v for v in g.ints(1, 3, 2))]
    g.attributes = dict(blocksize=side)


def gemm(g):
    """A Gemm by a constant."""
    rows, cols = g.ints(1, 6, 2)
    g.shape = [cols]
    trans = int(g.rng.integers(0, 2))
    g.weights(*((rows, cols) if trans else (cols, rows)))
    if g.chance(0.7):
        g.weights(*[(), (1,), (rows,), (1, rows)][int(g.rng.integers(0, 4))])
    g.attributes = dict(transB=trans, alpha=0.5 * trans + 1, beta=1.5)


def matmul(g):
    """A MatMul of a vector by a constant."""
    g.shape = g.ints(1, 6, 1)
    g.weights(g.shape[0], *g.ints(1, 6, 1))


def tensor_matmul(g):
    """A MatMul of a tensor by a constant, or of a constant by it, with leading axes broadcast."""
    lead = g.ints(1, 3, g.ints(0, 2, 1)[0])
    own = [1 if g.chance() else size for size in lead[int(g.rng.integers(0, len(lead) + 1)) :]]
    rows, inner, columns = g.ints(1, 4, 3)
    if g.chance():
        g.shape = [*lead, inner, columns]
        g.weights(*own, rows, inner)
        g.last = True
    else:
        g.shape = [*lead, rows, inner]
        g.weights(*own, inner, columns)


def arithmetic(g):
    """A constant that is broadcast."""
    g.image()
    shape = [1 if g.chance() else size for size in g.shape]
    g.weights(*shape[int(g.rng.integers(0, len(shape))) :])


# By name: the operator, its opset, whether it becomes a matrix, what draws it.
OPERATORS = {
    "Conv": ("Conv", 19, True, conv),
    "ConvTranspose": ("ConvTranspose", 19, True, conv_transpose),
    "AveragePool": ("AveragePool", 19, True, average_pool),
    "GlobalAveragePool": ("GlobalAveragePool", 19, True, global_average_pool),
    "ReduceMean": ("ReduceMean", 19, True, reduce),
    "ReduceSum": ("ReduceSum", 19, True, reduce),
    "BatchNormalization": ("BatchNormalization", 19, False, batch_normalization),
    "Pad": ("Pad", 19, False, pad),
    "ResizeNearest": ("Resize", 19, False, resize_nearest),
    "ResizeLinear": ("Resize", 19, True, resize_linear),
    "UpsampleNearest": ("Upsample", 9, False, upsample),
    "UpsampleLinear": ("Upsample", 9, True, upsample_linear),
    "Transpose": ("Transpose", 19, False, transpose),
    "Slice": ("Slice", 19, False, slice_),
    "Gather": ("Gather", 19, False, gather),
    "Split": ("Split", 19, False, split),
    "Concat": ("Concat", 19, False, concat),
    "DepthToSpace": ("DepthToSpace", 19, False, depth_to_space),
    "SpaceToDepth": ("SpaceToDepth", 19, False, space_to_depth),
    "Gemm": ("Gemm", 19, False, gemm),
    "MatMul": ("MatMul", 19, False, matmul),
    "TensorMatMul": ("MatMul", 19, True, tensor_matmul),
    "Add": ("Add", 19, False, arithmetic),
    "Mul": ("Mul", 19, False, arithmetic),
}
SPARSE_OPSET = 11  # the first that has sparse constants


def build(op, count, seed):
    """A model of count nodes of one operator, and its inputs."""
    op_type, opset, _, draw = OPERATORS[op]
    rng = np.random.default_rng(seed)
    initializers, nodes, inputs, outputs, feeds = [], [], [], [], {}
    for i in range(count):
        g = Geometry(rng, 1 + i % 3, i)
        draw(g)
        x = f"x{i}"
        names = [f"y{i}_{k}" for k in range(g.outputs)]
        extra = [x if name == "x" else name for name in g.inputs]
        operands = [*extra, x] if g.last else [x, *extra]
        nodes.append(helper.make_node(op_type, operands, names, f"node{i}", **g.attributes))
        initializers += g.initializers
        inputs.append(helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", *g.shape]))
        feeds[x] = rng.standard_normal((BATCH, *g.shape)).astype(np.float32)
        rank = 1 + len(g.shape)
        if op_type.startswith("Reduce") and not g.attributes["keepdims"]:
            rank -= len(numpy_helper.to_array(g.initializers[0]))
        elif op in ("Gemm", "MatMul"):
            rank = 2
        elif op == "Gather":
            rank += len(g.initializers[0].dims) - 1
        for name in names:
            shape = ["batch"] + [f"{name}_{axis}" for axis in range(1, rank)]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, op, inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), feeds


def run(path, feeds):
    """The outputs of a model in ONNX Runtime, by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns where its inference of ceil_mode errs, and runs on
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def check(efcn, op, layouts, count, seed, folder):
    """Check one operator in every layout; returns the number of failures."""
    model, feeds = build(op, count, seed)
    cnn = folder / f"{op}.onnx"
    onnx.save(model, cnn)
    want = run(cnn, feeds)
    failures = 0
    if not OPERATORS[op][2]:
        layouts = ["auto"]
    elif OPERATORS[op][1] < SPARSE_OPSET:
        layouts = [layout for layout in layouts if layout != "sparse"]
    for layout in layouts:
        converted = folder / f"{op}-{layout}.onnx"
        command = [efcn, "convert", "-q", "--json", cnn, "-o", converted, "--layout", layout]
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        onnx.checker.check_model(str(converted), full_check=True)
        worst, before = 0.0, failures
        for kept in json.loads(printed)["plan"]["kept"]:
            print(f"FAIL {op} {layout}: {kept['node']} is kept: {kept['why']}")
            failures += 1
        got = run(converted, feeds)
        for node in model.graph.node:
            for name in node.output:
                scale = max(1.0, float(np.abs(want[name]).max(initial=0)))
                error = np.inf
                if got[name].shape == want[name].shape:
                    error = float(np.abs(got[name] - want[name]).max(initial=0)) / scale
                worst = max(worst, error)
                if not error <= 1e-5:
                    print(f"FAIL {op} {layout}: {name} is off by {error:.3g}:")
                    print(f"  {helper.printable_node(node)}")
                    failures += 1
        verdict = "ok" if failures == before else "FAIL"
        print(f"{verdict} {op} {layout}: {count} geometries, largest difference {worst:.2g}")
    return failures


def main():
    """Parse the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn", help="the program")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--layouts", default="dense,sparse,local")
    parser.add_argument("--ops", default=",".join(OPERATORS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for op in args.ops.split(","):
            failures += check(
                args.efcn, op, args.layouts.split(","), args.count, args.seed, pathlib.Path(folder)
            )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
