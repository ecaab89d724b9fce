"""The PyTorch side of bench/step: arguments threads, batch and layer widths; for
every number read from stdin that many steps of SGD, answered with the seconds of one."""

import sys
import time

import torch
from torch import nn

threads, batch = int(sys.argv[1]), int(sys.argv[2])
widths = [int(w) for w in sys.argv[3].split(",")]
torch.set_num_threads(threads)
torch.manual_seed(0)

layers = []
for fan_in, fan_out in zip(widths, widths[1:]):
    layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
net = nn.Sequential(*layers[:-1])
optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
loss = nn.CrossEntropyLoss()
x, y = torch.randn(batch, widths[0]), torch.randint(0, widths[-1], (batch,))


def step():
    optimiser.zero_grad()
    loss(net(x), y).backward()
    optimiser.step()


step()
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    count = int(line)
    begin = time.perf_counter()
    for _ in range(count):
        step()
    print((time.perf_counter() - begin) / count, flush=True)
