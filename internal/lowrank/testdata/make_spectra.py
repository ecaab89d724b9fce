"""Make spectra.npz: matrices of known spectra, float32, and their singular values as numpy has them.

    python3 internal/lowrank/testdata/make_spectra.py

For each case NAME (the matrix) and NAME/s (numpy.linalg.svd of it in float64). Made with numpy 2.
"""

import pathlib

import numpy as np


def with_spectrum(rng, rows, cols, s):
    k = len(s)
    u = np.linalg.qr(rng.standard_normal((rows, k)))[0]
    v = np.linalg.qr(rng.standard_normal((cols, k)))[0]
    return (u * s) @ v.T


def main():
    rng = np.random.default_rng(15)
    cases = {
        "slow": rng.standard_normal((90, 60)),
        "harmonic": with_spectrum(rng, 60, 100, 1 / np.arange(1.0, 61)),
        "fast": with_spectrum(rng, 80, 70, 10.0 ** -np.arange(0, 10, 0.5)),
        "deficient": rng.integers(-9, 10, (70, 5)) @ rng.integers(-9, 10, (5, 50)),  # exact in float32
        "zero": np.zeros((40, 30)),
        "tall": rng.standard_normal((150, 6)),
        "row": rng.standard_normal((1, 50)),
        "column": rng.standard_normal((50, 1)),
    }
    arrays = {}
    for name, a in cases.items():
        arrays[name] = a.astype(np.float32)
        arrays[name + "/s"] = np.linalg.svd(arrays[name].astype(np.float64), compute_uv=False)
    np.savez_compressed(pathlib.Path(__file__).with_name("spectra.npz"), **arrays)


if __name__ == "__main__":
    main()
