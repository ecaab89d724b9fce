#!/usr/bin/env python3
"""Time in PyTorch on a GPU what internal/cuda's BenchmarkDevice times.

Printed is a line for each case: its name there, and milliseconds, the mean of --runs runs after
three that do not count. A dense step is output, gradient at the input, and w.addmm_(x, y, alpha=−rate);
a local layer is unfold and a product for each position, as PyTorch users write it.
"""

import argparse

import torch

BATCH = 250


def timed(runs, run):
    """Return the milliseconds of a run on the device."""
    for _ in range(3):
        run()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(runs):
        run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / runs


def dense(side, runs):
    """Return the time of a step of SGD of a dense layer."""
    w = torch.zeros(side, side, device="cuda")
    x = torch.randn(BATCH, side, device="cuda")

    def step():
        x @ w.T
        x @ w
        w.addmm_(x.T, x, alpha=-1e-6)

    return timed(runs, step)


def local(channels, side, runs):
    """Return the times of the passes of a local layer."""
    positions, slots = side * side, channels * 9
    w = torch.randn(positions, channels, slots, device="cuda")
    x = torch.randn(BATCH, channels, side, side, device="cuda")
    dy = torch.randn(positions, BATCH, channels, device="cuda")

    def columns():
        return torch.nn.functional.unfold(x, 3, padding=1).permute(2, 0, 1)  # positions, batch, slots

    def forward():
        torch.bmm(columns(), w.transpose(1, 2))

    def gradient():
        c = torch.bmm(dy, w).permute(1, 2, 0)
        torch.nn.functional.fold(c, (side, side), 3, padding=1)

    def weights():
        torch.baddbmm(w, dy.transpose(1, 2), columns(), alpha=-1e-6, out=w)

    return {"forward": timed(runs, forward), "input": timed(runs, gradient), "weights": timed(runs, weights)}


def main():
    """Time all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    print(torch.__version__, torch.cuda.get_device_name(), flush=True)
    for tf32, name in ((False, "float32"), (True, "TF32")):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for side in (10_000, 31_623, 70_711):
            try:
                print(f"{name}/dense/{side} {dense(side, runs):.4f} ms", flush=True)
            except torch.cuda.OutOfMemoryError as e:
                print(f"{name}/dense/{side}: {e}", flush=True)
            torch.cuda.empty_cache()
    torch.backends.cuda.matmul.allow_tf32 = False
    for channels, side in ((64, 32), (16, 32), (64, 8)):
        for what, ms in local(channels, side, runs).items():
            print(f"local/{channels} channels of {side}×{side}/{what} {ms:.4f} ms", flush=True)


if __name__ == "__main__":
    main()
