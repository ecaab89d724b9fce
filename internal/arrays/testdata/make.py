#!/usr/bin/env python3
"""Write the arrays that the tests of this package read: python3 make.py, with numpy 2.4.6."""

import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
count = np.arange(12).reshape(3, 4)
for name, array in {
    "float32": count.astype("<f4"),
    "float64-big-endian": count.astype(">f8"),
    "float16": np.array([1.5, -2, 65504, 6e-8, np.inf, 2**-14], "f2"),
    "int32-column-major": np.asfortranarray(count.astype("i4")),
    "uint8-column-major-3d": np.asfortranarray(np.arange(24).reshape(2, 3, 4).astype("u1")),
    "int16": np.array([-1, 300], "i2"),
    "bool": np.array([True, False]),
    "scalar": np.float64(2.5),
    "uint64-past-int64": np.array([1, 2**63], "u8"),
    "empty": np.zeros((0, 3), "f4"),
    "complex64": np.zeros(1, "c8"),
    "object": np.array([{}], object),
    "string": np.array(["a"]),
    "record": np.zeros(1, [("a", "f4")]),
}.items():
    np.save(here / f"{name}.npy", array, allow_pickle=True)
np.savez_compressed(here / "compressed.npz", x=count.astype("f4"), y=np.arange(3))
