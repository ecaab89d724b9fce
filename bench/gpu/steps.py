#!/usr/bin/env python3
"""Train whole networks on a GPU and on the processor, compare, and time a step beside PyTorch.

steps.py EFCN NETS, with numpy. NETS has some of lenet.onnx (testdata/models/lenet-torchscript),
skinnycnn.onnx and alexnet32.onnx (testdata/scripts/make_paper_nets.py) and resnet20.onnx
(make_resnet20.py). The images are noise: what is compared is arithmetic.

A network is trained for --steps steps of --batch samples on each, in float32. The losses of the
steps, and that of the trained network on other samples, may differ by TOLERANCE: a loss has some
1000 terms that round in another order in each layer, and steps make that ten times as large in
all; as these are independent, 20 steps come to less than 1e-4, and a tenth of them would be seen.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

TOLERANCE = 1e-3
CLASSES = 10
# The network, its form, what of it is trained, and its name in bench/step/step_pytorch.py,
# where it is there.
CASES = [
    ("lenet", [], "all", None),
    ("skinnycnn", [], "all", "cnn"),
    ("skinnycnn", ["--layout", "dense"], "all", "folded"),
    ("skinnycnn", ["--layout", "local"], "local", "unfold, bmm"),
    ("alexnet32", ["--layout", "dense"], "all", None),
    ("resnet20", [], "all", "resnet20"),
    ("resnet20", ["--layout", "factored", "--rank", "8"], "all", None),
]


def noise(file, shape, count, seed):
    """Write count images and labels."""
    rng = np.random.default_rng(seed)
    np.savez(
        file,
        x=rng.standard_normal((count, *shape), dtype=np.float32),
        y=rng.integers(0, CLASSES, count),
    )


def trained(efcn, net, part, train, test, batch, epochs, device):
    """Return what efcn finetune prints."""
    out = net.with_name(f"{net.stem}-{device.replace(':', '')}.onnx")
    command = [efcn, "finetune", net, "--data", f"npz:{train}", "--test", f"npz:{test}", "-o", out]
    command += ["--epochs", str(epochs), "--batch", str(batch), "--lr", "0.01", "--seed", "1"]
    command += ["--train", part, "--device", device, "--json", "-q"]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    out.unlink()
    return answer


def losses(answer):
    """Return the mean loss of the steps and the loss after them."""
    return np.array([answer["epochs"][0]["train_loss"], answer["epochs"][0]["test"]["loss"]])


def pytorch(name, batch, steps):
    """Return the milliseconds of a step in PyTorch, in words."""
    if not name:
        return "no such net in bench/step"
    script = pathlib.Path(__file__).parent.parent / "step" / "step_pytorch.py"
    run = subprocess.run(
        [sys.executable, script, "1", str(batch), name, "cuda"],
        input=f"{steps}\n",
        capture_output=True,
        text=True,
    )
    if run.returncode:
        return f"no PyTorch with a GPU ({run.stderr.strip().splitlines()[-1]})"
    return f"{1000 * float(run.stdout.splitlines()[-1].split()[0]):.2f} ms in PyTorch"


def main():
    """Check and time all cases whose network is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("efcn", type=pathlib.Path)
    parser.add_argument("nets", type=pathlib.Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--steps", type=int, default=20)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        run(o, pathlib.Path(work))


def run(o, work):
    """Check and time them in a folder."""
    efcn, ran = o.efcn.resolve(), 0
    for name, form, part, other in CASES:
        source = o.nets / f"{name}.onnx"
        what = " ".join([name, *form[1:2], *form[3:]])
        if not source.exists():
            print(f"{what}: not run, no {source}", flush=True)
            continue
        net = work / f"{name}.onnx"
        if form:
            subprocess.run([efcn, "convert", source, "-o", net, "-q", *form], check=True, stdout=subprocess.DEVNULL)
        else:
            net.write_bytes(source.read_bytes())
        train, test = work / "train.npz", work / "test.npz"
        shape = (1, 28, 28) if name == "lenet" else (3, 32, 32)
        noise(train, shape, o.batch * o.steps, 1)
        noise(test, shape, o.batch, 2)
        here = losses(trained(efcn, net, part, train, test, o.batch, 1, "cpu"))
        twice = trained(efcn, net, part, train, test, o.batch, 2, o.device)
        there = losses(twice)
        apart = np.max(np.abs(there - here) / here)
        ms = 1000 * twice["epochs"][1]["seconds"] / o.steps
        print(
            f"{what}: losses {there[0]:.6f} and {there[1]:.6f}, {apart:.1e} from the processor's; "
            f"a step {ms:.2f} ms; {pytorch(other, o.batch, o.steps)}",
            flush=True,
        )
        if not apart <= TOLERANCE:
            sys.exit(f"{what}: {here} on the processor, {there} on {o.device}: more than {TOLERANCE} apart")
        ran += 1
    if not ran:
        sys.exit(f"no network in {o.nets}")


if __name__ == "__main__":
    main()
