#!/usr/bin/env python3
"""Train, run and measure networks on 1, 2 and 4 ranks and compare what comes out. Needs numpy, onnx and torch.

check_ranks.py EFCN LAUNCHER FOLDER starts EFCN by LAUNCHER, an mpirun with the flags that it needs,
and works in FOLDER. The networks are LeNet and the 64-channel net of the eFCN paper in dense form,
and a ResNet-20 whose layers are factored. Checked are

  values    efcn run and efcn measure give the bits of one process
  training  weights after three steps are those of one process within a bound, and the same bits
            when two ranks train again
  memory    a rank holds its share of the weights, and no more than ALLOWED besides
  bytes     all ranks together send 4·B·(in + out)·(p − 1) in a step, where in and out are what is
            gathered between the layers that are cut
  signals   SIGTERM or SIGINT to one rank stops all, which save; going on gives the bits of a run that
            was not stopped

efcn's own products are used, on one thread of each rank: they do not depend on the rows beside them.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "testdata" / "models"
ALLOWED = 200 << 20  # the program, MPI, values and buffers of a batch
STEPS, RATE = 3, 0.01

# What is gathered of a sample behind each cut layer, where pooling has made it less. Of all but the last
# the gradient is summed over the ranks; that one is read by layers that every rank has whole.
GATHERED = {"lenet": (8 * 12 * 12, 16 * 6 * 6), "skinnycnn": (64 * 8 * 8, 64 * 3 * 3, 64)}


class Program:
    """efcn under the launcher."""

    def __init__(self, efcn, launcher):
        self.efcn, self.launcher = efcn, launcher.split()

    def __call__(self, ranks, *args):
        """Run efcn, which has to end well, and return its stdout and stderr."""
        command = [self.efcn, *args, "--threads", 1]
        if ranks > 1:
            command = [*self.launcher, "-n", ranks, *command, "-v"]
        env = dict(os.environ, EFCN_OPENBLAS="off")
        ran = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
        if ran.returncode:
            sys.exit(f"{' '.join(map(str, command))}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran.stdout, ran.stderr


def weights(path):
    """Return the initializers of a model by name, and their bytes."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    return tensors, sum(t.nbytes for t in tensors.values())


def sent(stderr, call):
    """Return the bytes that all ranks sent by calls of that name."""
    return sum(int(n) for n in re.findall(rf" {call} sent (\d+) bytes", stderr))


def peaks(stderr):
    """Return the most memory of each rank."""
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    return [float(n) * units[u] for n, u in re.findall(r"^rank \d+: ([\d.]+) (\w+) of memory at most", stderr, re.M)]


def check(efcn, folder, name, model, batch):
    """Compare what 1, 2 and 4 ranks do with one model."""
    shape = [d.dim_value for d in onnx.load(model).graph.input[0].type.tensor_type.shape.dim[1:]]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * batch, *shape), dtype=np.float32)
    data, inputs = folder / f"{name}-data.npz", folder / f"{name}-x.npz"
    np.savez(data, x=x, y=rng.integers(0, 10, len(x)))
    np.savez(inputs, **{onnx.load(model).graph.input[0].name: x[:batch]})

    def trained(ranks, suffix=""):
        out = folder / f"{name}-{ranks}{suffix}.onnx"
        args = ["--data", f"npz:{data}", "-o", out, "--epochs", 1, "--batch", batch, "--lr", RATE, "--json"]
        return out, *efcn(ranks, "finetune", model, *args)

    alone, stdout, _ = trained(1)
    loss = json.loads(stdout)["epochs"][0]["train_loss"]
    want, total = weights(alone)
    before, _ = weights(model)
    outputs = efcn(1, "run", model, "--inputs", inputs, "-o", folder / "one.npz")[0]
    figures = efcn(1, "measure", alone, "--json")[0]
    for ranks in (2, 4):
        one, many = folder / "one.npz", folder / "many.npz"
        got = efcn(ranks, "run", model, "--inputs", inputs, "-o", many)[0]
        if got.replace("many", "one") != outputs or one.read_bytes() != many.read_bytes():
            sys.exit(f"{name}: {ranks} ranks compute other values than one process")
        if efcn(ranks, "measure", alone, "--json")[0] != figures:
            sys.exit(f"{name}: {ranks} ranks measure other figures than one process")
        path, stdout, stderr = trained(ranks)
        other = json.loads(stdout)["epochs"][0]["train_loss"]
        if not abs(other - loss) <= 1e-5 * abs(loss):
            sys.exit(f"{name}: {ranks} ranks have a loss of {other}, one has {loss}")
        far = 0
        for key, w in weights(path)[0].items():
            largest = np.abs(want[key]).max(initial=0)
            moved = max(np.abs(want[key] - before[key]).max(initial=0), 1e-3 * largest, 1e-30)
            far = max(far, np.abs(w - want[key]).max(initial=0) / moved)
        if not far <= 1e-3:
            sys.exit(f"{name}: weights of {ranks} ranks differ from one's by {far:.1e} of what training moved them")
        memory = peaks(stderr)
        if len(memory) != ranks or not max(memory) <= total / ranks + ALLOWED:
            sys.exit(f"{name}: {ranks} ranks take {memory} bytes; the weights are {total}")
        text = f"{name}: {ranks} ranks: loss {other:.6f}, weights within {far:.1e}"
        text += f", at most {max(memory) / 1e6:.0f} MB, the weights are {total / 1e6:.0f}"
        if name in GATHERED:
            values, summed = GATHERED[name], GATHERED[name][:-1]
            forward, backward = (4 * batch * sum(n) * (ranks - 1) * STEPS for n in (values, summed))
            counted = sent(stderr, "Iallgatherv"), sent(stderr, "Ireduce_scatter")
            if counted != (forward, backward):
                sys.exit(f"{name}: {ranks} ranks send {counted} bytes; want {(forward, backward)}")
            text += f", {sum(counted) / STEPS:,.0f} bytes a step"
        print(text, flush=True)
    if trained(2, "-again")[0].read_bytes() != (folder / f"{name}-2.onnx").read_bytes():
        sys.exit(f"{name}: two ranks train to other bits when they do it again")


def ranks_below(process, efcn):
    """Return the processes of efcn that descend from one."""
    parents, programs = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            pid = int(entry.name)
            parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            programs[pid] = os.path.samefile(entry / "exe", efcn)
        except (OSError, ValueError):
            continue

    def descends(pid):
        while pid and pid != process:
            pid = parents.get(pid)
        return pid == process

    return sorted(pid for pid, is_efcn in programs.items() if is_efcn and descends(pid))


def check_signals(efcn, folder, name, model, batch):
    """Stop trainings by a signal to one of two ranks, and go on."""
    args = ["--data", f"npz:{folder}/{name}-data.npz", "--epochs", 20, "--batch", batch, "--lr", RATE]
    whole = folder / f"{name}-whole.onnx"
    efcn(2, "finetune", model, "-o", whole, *args)
    for number, rank in ((signal.SIGTERM, 1), (signal.SIGINT, 0)):
        out, run = folder / f"{name}-stopped.onnx", folder / f"{name}-{number.name}"
        shutil.rmtree(run, ignore_errors=True)
        out.unlink(missing_ok=True)
        command = [*efcn.launcher, "-n", 2, efcn.efcn, "finetune", model, "-o", out, *args]
        command += ["--checkpoint", run, "--threads", 1]
        env, quiet = dict(os.environ, EFCN_OPENBLAS="off"), subprocess.DEVNULL
        job = subprocess.Popen([str(c) for c in command], env=env, stdout=quiet, stderr=quiet)
        metrics = run / "metrics.jsonl"
        while job.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 1):
            time.sleep(0.01)
        processes = ranks_below(job.pid, efcn.efcn)
        if len(processes) != 2:
            sys.exit(f"{name}: the ranks are {processes}")
        os.kill(processes[rank], number)
        code = job.wait(timeout=120)
        if code == 0 or out.exists():
            sys.exit(f"{name}: {number.name} to rank {rank} does not stop the job (exit code {code})")
        epochs = metrics.read_text().count("\n")
        efcn(2, "finetune", model, "-o", out, *args, "--checkpoint", run, "--resume")
        if out.read_bytes() != whole.read_bytes():
            sys.exit(f"{name}: a run that {number.name} stopped goes on to other bits")
        print(f"{name}: {number.name} to one rank after {epochs} epochs: exit code {code}, and goes on", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("launcher")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", choices=["lenet", "skinnycnn", "resnet20"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    efcn = Program(args.efcn, args.launcher)
    scripts = pathlib.Path(__file__).parent
    made = 0
    for name, layout, batch, maker in (
        ("lenet", ["dense"], 50, None),
        ("skinnycnn", ["dense"], 50, ["make_paper_nets.py", args.folder, "--only", "skinnycnn"]),
        ("resnet20", ["factored", "--rank", "4"], 10, ["make_resnet20.py", args.folder, "--epochs", "0"]),
    ):
        if args.only not in (None, name):
            continue
        cnn = MODELS / "lenet-torchscript" / "model.onnx"
        if maker:
            cnn = args.folder / f"{name}.onnx"
            if not cnn.exists():
                command = [sys.executable, scripts / maker[0], *maker[1:]]
                subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
        model = args.folder / f"{name}-efcn.onnx"
        efcn(1, "convert", cnn, "--layout", *layout, "-o", model)
        check(efcn, args.folder, name, model, batch)
        if name == "lenet":
            check_signals(efcn, args.folder, name, model, batch)
        made += 1
    print(f"{made} networks on 1, 2 and 4 ranks")


if __name__ == "__main__":
    main()
