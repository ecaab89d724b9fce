#!/usr/bin/env python3
"""Print how wide interval arithmetic is on ways to write a maximum as matrices and Relu.

maxpool_widths.py computes the maximum of 4 numbers in intervals around random centres, of a given radius,
in ways that all are exact for numbers (the last one within the intervals only), and prints the mean width of
each over that of the maximum itself. The centres are moved so that no number is below 0, as behind a Relu.
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


def beside_sum(a, b):
    """Return the interval of y - relu(y - s): y is b + relu(a - b), and of numbers from 0 on at most s = a + b."""
    y = one_sided(a, b)
    over = relu_of_difference(y, plus(a, b))
    return y[0] - over[1], y[1] - over[0]


def within_region(a, b):
    """Return the interval of b + relu(a - b) between what a and b are at least, and at most, in their intervals.

    With u and l constants of the region, min(y, u) is u - relu(u - y), and max(y, l) is l + relu(y - l).
    """
    y = one_sided(a, b)
    low, high = np.maximum(a[0], b[0]), np.maximum(a[1], b[1])
    return np.clip(y[0], low, high), np.clip(y[1], low, high)


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
    "tree, with the bound a + b of numbers from 0 on": lambda x: tree(beside_sum, x),
    "tree, with the bounds of this region as constants": lambda x: tree(within_region, x),
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
            numbers = centres - centres.min(axis=0) + radius
            low, high = way([(c - radius, c + radius) for c in numbers])
            largest = numbers.max(axis=0)
            assert (low <= largest + 1e-12).all() and (high >= largest - 1e-12).all(), name
            cells.append(f"{(high - low).mean() / (2 * radius):.2f}")  # the maximum is as wide as its numbers
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
