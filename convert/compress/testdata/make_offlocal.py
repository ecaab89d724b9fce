"""Make offlocal.npz: matrices of trained layers, and the singular values of what they have outside the support.

    python3 convert/compress/testdata/make_offlocal.py

Two layers: a convolution of a 2×5×6 image with 3 kernels of 3×3, stride 1, pad 1, whose matrix is random everywhere,
and one of a 1×17×17 image with 1 kernel of 5×5, whose part outside the support falls off fast. The support is found
here by the definition of a convolution. NAME/s is numpy.linalg.svd of the rest, in float64. Made with numpy 2.
"""

import pathlib

import numpy as np


def support(channels, height, width, kernels, size):
    """Which entries of the matrix of a convolution that keeps the size of its image are reached."""
    inside = np.zeros((kernels, height, width, channels, height, width), bool)
    for y in range(height):
        for x in range(width):
            for dy in range(size):
                for dx in range(size):
                    v, u = y + dy - size // 2, x + dx - size // 2
                    if 0 <= v < height and 0 <= u < width:
                        inside[:, y, x, :, v, u] = True
    return inside.reshape(kernels * height * width, channels * height * width)


def main():
    rng = np.random.default_rng(16)
    arrays = {}
    for name, geometry, decay in [("random", (2, 5, 6, 3, 3), None), ("falling", (1, 17, 17, 1, 5), 0.8)]:
        inside = support(*geometry)
        w = rng.standard_normal(inside.shape)
        if decay:
            k = min(inside.shape)
            w = np.linalg.qr(w)[0] * decay ** np.arange(k) @ np.linalg.qr(rng.standard_normal((k, k)))[0]
        w = w.astype(np.float32)
        arrays[name] = w
        arrays[name + "/s"] = np.linalg.svd(np.where(inside, 0, w).astype(np.float64), compute_uv=False)
    np.savez_compressed(pathlib.Path(__file__).with_name("offlocal.npz"), **arrays)


if __name__ == "__main__":
    main()
