"""Print which elements a nearest Resize takes, as ONNX's reference implementation has it.

make_nearest.py > convert/verify/testdata/nearest.txt

One case a line: coordinate_transformation_mode, nearest_mode, keep_aspect_ratio_policy, shape of the
input, whether scales or sizes are given, those, axes, shape of the output, index of every element.
Needs numpy and onnx (made with 1.23.2).
"""

import itertools

import numpy as np
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def case(coordinate, nearest, policy, shape, kind, values, axes):
    inputs = {"scales": ["x", "", "v"], "sizes": ["x", "", "", "v"]}[kind]
    node = helper.make_node(
        "Resize", inputs, ["y"], mode="nearest", coordinate_transformation_mode=coordinate,
        nearest_mode=nearest, keep_aspect_ratio_policy=policy, axes=axes,
    )
    given = np.array(values, np.float32 if kind == "scales" else np.int64)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)], [numpy_helper.from_array(given, "v")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    y = ReferenceEvaluator(model).run(None, {"x": x})[0]

    def text(numbers):
        return ",".join(f"{n:g}" for n in numbers)

    print(coordinate, nearest, policy, text(shape), kind, text(values), text(axes), text(y.shape), text(y.ravel()))


def main():
    for coordinate, nearest in itertools.product(COORDINATES, ROUNDINGS):
        for length, size in [(5, 8), (7, 4), (4, 12)]:
            case(coordinate, nearest, "stretch", [1, 1, length], "sizes", [size], [2])
        for length, scale in [(6, 1.5), (8, 0.5)] + [(7, 1.75)] * (coordinate != "align_corners"):
            case(coordinate, nearest, "stretch", [1, 1, length], "scales", [scale], [2])
    case("asymmetric", "floor", "stretch", [1, 2, 2, 3], "sizes", [5, 3], [3, 2])
    case("half_pixel", "floor", "stretch", [1, 2, 2, 3], "scales", [2.0, 1.5], [1, 3])
    for policy in ["not_larger", "not_smaller"]:
        case("half_pixel", "round_prefer_floor", policy, [1, 1, 2, 2], "sizes", [7, 8], [2, 3])
        case("asymmetric", "floor", policy, [1, 1, 4, 6], "sizes", [3, 3], [2, 3])


if __name__ == "__main__":
    main()
