#!/usr/bin/env python3
"""Let auto_LiRPA bound whether a net is locally robust, as a CNN and as its eFCN.

check_lirpa.py EFCN asks of a small CNN with a MaxPool, and of what the program EFCN makes of it by
--maxpool relu --fold=all, what check_robustness.py asks Marabou: for every other class, whether an input
within a distance of a sample reaches it, in a property of VNN-LIB 2.0. auto_LiRPA, the bounds of
α,β-CROWN, gets both as PyTorch modules from onnx2torch. Its bounds answer no; where they do not, gradient
descent has to find an input, which ONNX Runtime confirms. The answers have to be the same, and both have
to occur. Outputs of random inputs are within the bounds.

It prints how wide the bounds on the outputs are, of interval arithmetic and of CROWN.

check_lirpa.py EFCN --widths MODEL.onnx converts one model, and only prints that of both, for inputs within
0.01 of the first in inputs.npz beside it, and the processor's seconds. docs/for-verifiers.md has the figures.

Needs numpy, onnx, onnxruntime, vnnlib, PyTorch before 2, onnx2torch, and auto-lirpa with its packages.
"""

import pathlib
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx2torch
import torch
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

import robustness

STEPS = 100


def box(case, low, high):
    """Return the sample as auto_LiRPA takes it, with its bounds."""
    low, high = (torch.tensor(a, dtype=torch.float32).reshape(case.x.shape) for a in (low, high))
    return BoundedTensor(torch.from_numpy(case.x), PerturbationLpNorm(x_L=low, x_U=high)), low, high


def search(module, start, low, high, matrix, bounds):
    """Return an input with A·outputs ≤ b, by the signs of gradients, or None."""
    x = start.clone()
    for step in range(STEPS):
        x.requires_grad_()
        over = (module(x) @ matrix.T - bounds).max()
        if over <= 0:
            return x.detach().numpy()
        (gradient,) = torch.autograd.grad(over, x)
        x = (x.detach() - gradient.sign() * (high - low) / (step + 2)).clamp(low, high)
    return None


def bounded_module(path, x):
    """Return a model as a module of PyTorch, and what auto_LiRPA makes of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names of PyTorch that auto_LiRPA takes
        module = onnx2torch.convert(str(path)).eval()
        return module, BoundedModule(module, torch.from_numpy(x), bound_opts={"verbosity": 0}, device="cpu")


def reachable(case, path, distance):
    """Return the classes that are reached, with an input each, and the largest widths by interval and by CROWN."""
    module, bounded = bounded_module(path, case.x)
    rng = np.random.default_rng(4)
    found, widths = {}, {}
    for other in case.others():
        low, high, matrix, bounds = robustness.query(case.x, distance, case.label, other)
        around, lowest, highest = box(case, low, high)
        samples = torch.tensor(rng.uniform(low, high, (500, low.size)), dtype=torch.float32)
        outputs = module(samples.reshape(-1, *case.x.shape[1:]))
        for method in "IBP", "CROWN":
            below, above = bounded.compute_bounds(x=(around,), method=method)
            assert ((below - 1e-5 <= outputs) & (outputs <= above + 1e-5)).all(), f"{method}: an output out of bounds"
            widths[method] = float((above - below).max())
        asked = torch.tensor(matrix, dtype=torch.float32)
        least, _ = bounded.compute_bounds(x=(around,), C=asked[None], method="CROWN", bound_upper=False)
        if (least[0].detach().numpy() > bounds).any():
            continue
        at = search(module, around.data, lowest, highest, asked, torch.tensor(bounds, dtype=torch.float32))
        assert at is not None, f"{path.name}: class {other} is neither out of reach nor found"
        found[other] = at
    return found, widths


def print_widths(program, model):
    """Print how wide the bounds of a model and its eFCN are, and what they take."""
    inputs = np.load(model.parent / "inputs.npz")
    x = inputs[inputs.files[0]][:1].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        efcn = pathlib.Path(folder, "efcn.onnx")
        robustness.convert(program, model, efcn)
        for name, path in ("CNN", model), ("eFCN", efcn):
            _, bounded = bounded_module(path, x)
            around = BoundedTensor(torch.from_numpy(x), PerturbationLpNorm(eps=0.01))
            for method in "IBP", "CROWN":
                start = time.process_time()
                below, above = bounded.compute_bounds(x=(around,), method=method)
                print(f"{name}: {method} width {float((above - below).max()):.3g}, {time.process_time() - start:.2f} s")


def main():
    """Ask both, and compare."""
    if sys.argv[2:3] == ["--widths"]:
        print_widths(sys.argv[1], pathlib.Path(sys.argv[3]))
        return
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        case = robustness.prepare(sys.argv[1], folder)
        for distance in robustness.DISTANCES:
            results = {}
            for name, path in ("CNN", case.cnn), ("eFCN", case.efcn):
                found, widths = reachable(case, path, distance)
                print(f"distance {distance}: {name}: reaches {sorted(found)}, "
                      + ", ".join(f"{method} width {width:.3g}" for method, width in widths.items()))  # fmt: skip
                for other, at in found.items():
                    case.confirm(at, distance, other)
                results[name] = sorted(found)
                answers.update("sat" if other in found else "unsat" for other in case.others())
            assert results["CNN"] == results["eFCN"], results
    assert answers == {"sat", "unsat"}, f"only {answers} occurs"


if __name__ == "__main__":
    main()
