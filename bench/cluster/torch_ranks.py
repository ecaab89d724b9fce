#!/usr/bin/env python3
"""One rank of PyTorch's side of bench/cluster: steps of SGD on the dense eFCN of the 64-channel net.

torch_ranks.py KIND STEPS THREADS, with MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE in the environment:

  single   one process
  ddp      DistributedDataParallel over gloo: each rank has all weights and a part of the batch, and
           gradients are averaged
  columns  each rank has the output channels of its share of every large layer (Megatron-LM's
           column-parallel layer): values are gathered forward, gradients summed and scattered backward

Rank 0 prints the seconds of each step but the first, a line each. All kinds compute the same network:
with the same seed the loss after the steps is the same but for rounding, and is printed last.
"""

import os
import pathlib
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "step"))
import step_pytorch  # noqa: E402

BATCH, RATE = 250, 0.01


class Gather(torch.autograd.Function):
    """All ranks' channels of a value, of which each has as many; backward, the gradients are summed
    over the ranks and each gets that of its channels."""

    @staticmethod
    def forward(ctx, x):
        ranks = dist.get_world_size()
        joined = x.new_empty(ranks * x.shape[0], *x.shape[1:])
        dist.all_gather_into_tensor(joined, x.contiguous())
        return joined.unflatten(0, (ranks, -1)).transpose(0, 1).flatten(1, 2)

    @staticmethod
    def backward(ctx, gradient):
        ranks = dist.get_world_size()
        blocks = gradient.unflatten(1, (ranks, -1)).transpose(0, 1).flatten(0, 1).contiguous()
        own = blocks.new_empty(len(gradient), *blocks.shape[1:])
        dist.reduce_scatter_tensor(own, blocks)
        return own


class Joined(nn.Module):
    """Gather as a layer."""

    def forward(self, x):
        return Gather.apply(x)


def cut(net, rank, ranks):
    """Return net with the rank's share of each large layer, by output channels. The classifier
    is whole on every rank."""
    layers, gathers = [], False
    for layer in net:
        if isinstance(layer, nn.Sequential):  # Flatten, Linear, Unflatten
            flatten, linear, unflatten = layer
            channels, height, width = unflatten.unflattened_size
            own = channels // ranks
            part = nn.Linear(linear.in_features, own * height * width)
            rows = slice(rank * part.out_features, (rank + 1) * part.out_features)
            part.weight.data = linear.weight.data[rows].clone()
            part.bias.data = linear.bias.data[rows].clone()
            if gathers:
                layers.append(Joined())
            layers += [flatten, part, nn.Unflatten(1, (own, height, width))]
            gathers = True
        elif isinstance(layer, nn.Flatten):
            layers += [Whole(), layer]
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


class Whole(nn.Module):
    """All channels for layers that every rank has: each computes the whole gradient and takes its
    part."""

    def forward(self, x):
        return Replicated.apply(x)


class Replicated(Gather):
    """Gather in front of layers that all ranks compute alike."""

    @staticmethod
    def backward(ctx, gradient):
        return gradient.chunk(dist.get_world_size(), 1)[dist.get_rank()].contiguous()


def main():
    kind, steps, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net = step_pytorch.folded()
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(step_pytorch.CLASSES, (BATCH,))
    rank, ranks = 0, 1
    if kind != "single":
        dist.init_process_group("gloo")
        rank, ranks = dist.get_rank(), dist.get_world_size()
    if kind == "ddp":
        net = nn.parallel.DistributedDataParallel(net)
        images, labels = images.chunk(ranks)[rank], labels.chunk(ranks)[rank]
    elif kind == "columns":
        net = cut(net, rank, ranks)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    for step in range(steps + 1):
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        if rank == 0 and step > 0:
            print(time.perf_counter() - begin)
    with torch.no_grad():
        loss = functional.cross_entropy(net(images), labels)
    if kind == "ddp":
        dist.all_reduce(loss)
        loss /= ranks
    if rank == 0:
        print(loss.item())
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
