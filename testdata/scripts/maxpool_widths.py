#!/usr/bin/env python3
"""Print how wide interval arithmetic is on ways to write a maximum as matrices and Relu.

maxpool_widths.py computes the maximum of 4 numbers in intervals around random centres, of a given radius,
in ways that all are exact for numbers, and prints the mean width of each over that of the maximum itself.
docs/for-verifiers.md has the table. Needs numpy.
"""

import numpy as np

SAMPLES, NUMBERS = 100_000, 4


def relu_of_difference(a, b):
    """Return the interval of relu(a - b); an interval is a pair of arrays."""
    return np.maximum(a[0] - b[1], 0), np.maximum(a[1] - b[0], 0)


def plus(a, b):
    """Return the interval of a sum."""
    return a[0] + b[0], a[1] + b[1]


def one_sided(a, b):
    """Return the interval of b + relu(a - b)."""
    return plus(b, relu_of_difference(a, b))


def both_sides(a, b):
    """Return the interval of (a + b + relu(a - b) + relu(b - a)) / 2."""
    total = plus(plus(a, b), plus(relu_of_difference(a, b), relu_of_difference(b, a)))
    return total[0] / 2, total[1] / 2


def tree(pair, x):
    """Return the maximum by halves."""
    while len(x) > 1:
        x = [pair(x[i], x[i + 1]) for i in range(0, len(x), 2)]
    return x[0]


def chain(pair, x, accumulated_last):
    """Return the maximum of one after the other."""
    out = x[0]
    for next_one in x[1:]:
        out = pair(next_one, out) if accumulated_last else pair(out, next_one)
    return out


WAYS = {
    "tree of b + relu(a - b)": lambda x: tree(one_sided, x),
    "chain, the next number as b": lambda x: chain(one_sided, x, False),
    "chain, the maximum so far as b": lambda x: chain(one_sided, x, True),
    "tree, the mean of both orders": lambda x: tree(both_sides, x),
}


def main():
    """Print the table."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((NUMBERS, SAMPLES))
    radii = (0.01, 0.1, 0.5, 2)
    print("| way | " + " | ".join(f"radius {r:g}" for r in radii) + " |")
    for name, way in WAYS.items():
        cells = []
        for radius in radii:
            x = [(c - radius, c + radius) for c in centres]
            low, high = way(x)
            largest = centres.max(axis=0)
            assert (low <= largest + 1e-12).all() and (high >= largest - 1e-12).all(), name
            cells.append(f"{(high - low).mean() / (2 * radius):.2f}")  # the maximum is as wide as its numbers
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
