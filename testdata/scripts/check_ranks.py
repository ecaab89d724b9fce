#!/usr/bin/env python3
"""Train, run and measure networks on 1, 2 and 4 ranks and compare what comes out. Needs numpy and onnx.

check_ranks.py EFCN LAUNCHER FOLDER starts EFCN by LAUNCHER, an mpirun with the flags that it needs,
and works in FOLDER. The networks are LeNet and the 64-channel net of the eFCN paper in dense form,
a ResNet-20 whose layers are factored, and one that is only wide. Checked are

  values    efcn run and efcn measure give the bits of one process
  training  weights after three steps are those of one process within a bound, and the same bits
            when two ranks train again
  memory    a rank holds its share of the weights, and no more than ALLOWED besides
  bytes     all ranks together send 4·B·(in + out)·(p − 1) in a step, where in and out are what is
            gathered between the layers that are cut
  limit     two ranks train a network under a limit of memory that one process refuses with the figures
  signals   SIGTERM or SIGINT to one rank stops all, which save; going on gives the bits of a run that
            was not stopped

efcn's own products are used, on one thread of each rank: they do not depend on the rows beside them.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "testdata" / "models"
ALLOWED = 200 << 20  # the program, MPI, values and buffers of a batch
STEPS, RATE = 3, 0.01
# Of what training moves the weights of a layer, in the 2-norm. Rounding alone is below 1e-4; but sums in
# another order may move the input of a ReLU across 0, in one of a million places, whose gradient is then
# another. A part that is left out is far above.
FAR = 1e-2

# What is gathered of a sample behind each cut layer, where pooling has made it less; of a factored one the
# products by V too. Of all but the last the gradient is summed over the ranks; that one is read by layers that
# every rank has whole.
RANK = 4
RESNET20 = [16 * 32 * 32] * 7 + [32 * 16 * 16] * 6 + [64 * 8 * 8] * 6
GATHERED = {
    "lenet": [8 * 12 * 12, 16 * 6 * 6],
    "skinnycnn": [64 * 8 * 8, 64 * 3 * 3, 64],
    "resnet20": [n for layer in RESNET20 for n in (RANK, layer)],
}


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
        far, norm = 0, np.linalg.norm
        for key, w in weights(path)[0].items():
            moved = max(norm(want[key] - before[key]), 1e-5 * norm(want[key]), 1e-30)
            far = max(far, norm(w - want[key]) / moved)
        if not far <= FAR:
            sys.exit(f"{name}: weights of {ranks} ranks differ from one's by {far:.1e} of what training moved them")
        memory = peaks(stderr)
        if len(memory) != ranks or not max(memory) <= total / ranks + ALLOWED:
            sys.exit(f"{name}: {ranks} ranks take {memory} bytes; the weights are {total}")
        text = f"{name}: {ranks} ranks: loss {other:.6f}, weights within {far:.1e}"
        text += f", at most {max(memory) / 1e6:.0f} MB, the weights are {total / 1e6:.0f}"
        values, summed = GATHERED[name], GATHERED[name][:-1]
        forward, backward = (4 * batch * sum(n) * (ranks - 1) * STEPS for n in (values, summed))
        counted = sent(stderr, "Iallgatherv"), sent(stderr, "Ireduce_scatter")
        if counted != (forward, backward):
            sys.exit(f"{name}: {ranks} ranks send {counted} bytes; want {(forward, backward)}")
        print(f"{text}, {sum(counted) / STEPS:,.0f} bytes a step", flush=True)
    if trained(2, "-again")[0].read_bytes() != (folder / f"{name}-2.onnx").read_bytes():
        sys.exit(f"{name}: two ranks train to other bits when they do it again")


def resnet20():
    """Return a ResNet-20 (He and others, arXiv 1512.03385, §4.2, shortcuts of option A) with new weights.

    The nodes are those that PyTorch's exporters write of make_resnet20.py's net.
    """
    rng = np.random.default_rng(0)
    nodes, tensors, channels = [], [], 3

    def constant(name, array):
        tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [f"{kind}{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def normalized(x, before, after, stride):
        n = len(nodes)
        w = rng.standard_normal((after, before, 3, 3), np.float32) * np.sqrt(2 / (9 * after), dtype=np.float32)
        x = node("Conv", x, constant(f"w{n}", w), kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2)
        ones, zeros = np.ones(after, np.float32), np.zeros(after, np.float32)
        statistics = (constant(f"{k}{n}", v) for k, v in zip(("scale", "b", "mean", "var"), (ones, zeros, zeros, ones)))
        return node("BatchNormalization", x, *statistics)

    value = node("Relu", normalized("input", channels, 16, 1))
    channels = 16
    for after in [16] * 3 + [32] * 3 + [64] * 3:
        stride, shortcut = after // channels, value
        value = node("Relu", normalized(value, channels, after, stride))
        value = normalized(value, after, after, 1)
        if stride > 1:
            ends = (constant(f"{k}{len(nodes)}", v) for k, v in (("from", [0, 0]), ("to", [32, 32]), ("axes", [2, 3])))
            shortcut = node("Slice", shortcut, *ends, constant(f"by{len(nodes)}", [stride] * 2))
            more = (after - channels) // 2
            shortcut = node("Pad", shortcut, constant(f"pads{len(nodes)}", [0, more, 0, 0, 0, more, 0, 0]))
        value, channels = node("Relu", node("Add", value, shortcut)), after
    value = node("Flatten", node("GlobalAveragePool", value))
    w = constant("w", rng.standard_normal((10, 64), np.float32) / 8)
    c = constant("c", np.zeros(10, np.float32))
    nodes.append(helper.make_node("Gemm", [value, w, c], ["y"], transB=1))
    return saved("resnet20", nodes, tensors)


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


def wide():
    """Return two convolutions whose dense forms are large: 117 million weights."""
    rng = np.random.default_rng(0)
    arrays = {
        "w1": rng.standard_normal((64, 3, 5, 5), np.float32) / 9,
        "w2": rng.standard_normal((64, 64, 3, 3), np.float32) / 24,
        "w3": rng.standard_normal((10, 4096), np.float32) / 64,
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["a"], "first", pads=[2] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], "second", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "w3"], ["y"], "last", transB=1),
    ]
    return saved("wide", nodes, [numpy_helper.from_array(array, name) for name, array in arrays.items()])


def saved(name, nodes, tensors):
    """Return a checked model of 32×32 images and ten classes."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def check_limit(efcn, folder, model):
    """Train a model on two ranks under a limit that one process can't train it under."""
    rng, data = np.random.default_rng(0), folder / "wide-data.npz"
    np.savez(data, x=rng.standard_normal((20, 3, 32, 32), dtype=np.float32), y=np.arange(20) % 10)

    def train(limit, *launcher):
        command = [*launcher, efcn.efcn, "finetune", model, "--data", f"npz:{data}", "-o", folder / "wide-out.onnx"]
        command += ["--epochs", 1, "--batch", 10, "--optimizer", "adam", "--lr", 1e-4, "--threads", 1]

        def lower():
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

        env = dict(os.environ, EFCN_OPENBLAS="off")
        ran = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env, preexec_fn=lower)
        return ran.returncode, ran.stdout + ran.stderr

    def refused(limit):
        code, text = train(limit)
        figures = re.search(r"training takes at least (\d+) bytes .* more than the (\d+) that the limit", text)
        if code != 2 or not figures:
            sys.exit(f"wide: one process under a limit of {limit} bytes: exit code {code}, {text}")
        return [int(n) for n in figures.groups()]

    need, left = refused(2 << 30)
    limit = (2 << 30) - left + need * 9 // 10
    refused(limit)
    code, text = train(limit, *efcn.launcher, "-n", 2)
    if code != 0 or "epoch 1 of 1" not in text:
        sys.exit(f"wide: two ranks under a limit of {limit} bytes: exit code {code}, {text}")
    print(f"wide: takes {need / 1e6:.0f} MB; two ranks train where the limit leaves {need * 0.9 / 1e6:.0f}", flush=True)


MADE = {"resnet20": resnet20, "wide": wide}


def network(name, folder):
    """Return the file of a network, which is made if it has to be."""
    path = folder / f"{name}.onnx"
    if name == "lenet":
        path = MODELS / "lenet-torchscript" / "model.onnx"
    elif name in MADE:
        onnx.save(MADE[name](), path)
    else:
        script = pathlib.Path(__file__).parent / "make_paper_nets.py"
        subprocess.run([sys.executable, script, folder, "--only", name], check=True, stdout=subprocess.DEVNULL)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("efcn")
    parser.add_argument("launcher")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", choices=["lenet", "skinnycnn", "resnet20", "wide"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    efcn = Program(args.efcn, args.launcher)
    made = 0
    for name, layout, batch in (
        ("lenet", ["dense"], 50),
        ("skinnycnn", ["dense"], 50),
        ("resnet20", ["factored", "--rank", RANK], 10),
        ("wide", ["dense"], None),
    ):
        if args.only not in (None, name):
            continue
        cnn = network(name, args.folder)
        model = args.folder / f"{name}-efcn.onnx"
        efcn(1, "convert", cnn, "--layout", *layout, "-o", model)
        if batch is None:
            check_limit(efcn, args.folder, model)
        else:
            check(efcn, args.folder, name, model, batch)
        if name == "lenet":
            check_signals(efcn, args.folder, name, model, batch)
        made += 1
    print(f"{made} networks on 1, 2 and 4 ranks")


if __name__ == "__main__":
    main()
