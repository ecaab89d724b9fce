#!/usr/bin/env python3
"""Print the intervals that difference_test.go compares with: python3 t_intervals.py. Needs NumPy.

Quantiles of Student's t come from its density, integrated by Gauss-Legendre quadrature over
u = arctan(t) and inverted by bisection: no code in common with the page.
"""

import math

import numpy as np

NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)

SAMPLES = [
    ([0.7916, 0.7899, 0.7950], [0.7574, 0.7576, 0.7516]),
    ([0.8, 0.81, 0.79, 0.805, 0.802], [0.801, 0.808, 0.791, 0.804, 0.8005]),
    ([0.5, 0.7], [0.4, 0.45]),
]


def quantile(p, nu):
    """Return the value that Student's t with nu degrees of freedom is below with probability p."""
    scale = math.exp(math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)) / math.sqrt(nu * math.pi)

    def below(u):
        t = np.tan((NODES + 1) * u / 2)
        density = scale * (1 + t * t / nu) ** (-(nu + 1) / 2)
        return 0.5 + float(np.sum(WEIGHTS * density * (1 + t * t))) * u / 2

    low, high = 0.0, math.pi / 2 - 1e-9
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < p else (low, middle)
    return math.tan((low + high) / 2)


def main():
    """Print mean and half width of the interval of each sample of pairs."""
    for a, b in SAMPLES:
        d = np.array(a) - np.array(b)
        half = quantile(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d))
        print(f"{a} - {b}: mean {d.mean():.12f}, half {half:.12f}")


if __name__ == "__main__":
    main()
