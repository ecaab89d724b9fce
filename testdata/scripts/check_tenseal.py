#!/usr/bin/env python3
"""Let TenSEAL compute a convolution of an eFCN on an encrypted image.

check_tenseal.py EFCN converts a model by the program EFCN and exports the matrix of its second
convolution. A product of an encrypted vector with a plain matrix is what homomorphic encryption (CKKS)
does, by rotations and sums over the diagonals of the matrix. Decrypted, it is the plain product to 1e-5
of its largest value; with another matrix it is not.

Needs numpy, scipy and tenseal.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.sparse
import tenseal

MODEL = pathlib.Path(__file__).parent.parent / "models" / "plain-torchscript" / "model.onnx"


def main():
    """Convert, encrypt, multiply, decrypt, compare."""
    efcn = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for command in (
            ["convert", MODEL, "-o", folder / "efcn.onnx", "--layout", "local"],
            ["export", folder / "efcn.onnx", "--layer", "/conv2/Conv", "-o", folder / "a.npz"],
        ):
            subprocess.run([efcn, *command], check=True, stdout=subprocess.DEVNULL)
        a = scipy.sparse.load_npz(folder / "a.npz").toarray().astype(np.float64)
    x = np.random.default_rng(3).standard_normal(a.shape[1])

    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60])
    context.global_scale = 2**40
    context.generate_galois_keys()
    start = time.monotonic()
    product = tenseal.ckks_vector(context, x.tolist()).matmul(a.T.tolist())
    got, want = np.array(product.decrypt()), a @ x
    difference = np.abs(got - want).max() / np.abs(want).max()
    print(
        f"{a.shape[0]}×{a.shape[1]}: encrypted product in {time.monotonic() - start:.1f} s, difference {difference:.2g}"
    )
    assert got.shape == want.shape and difference <= 1e-5, difference
    other = a.copy()
    other[0, a[0].nonzero()[0][0]] += 0.1
    assert np.abs(got - other @ x).max() / np.abs(want).max() > 1e-5, "another matrix passes too"


if __name__ == "__main__":
    main()
