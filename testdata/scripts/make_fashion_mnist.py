#!/usr/bin/env python3
"""Cut the Fashion-MNIST files of Debian's package dataset-fashion-mnist down to test size.

The first 10,000 training and the first 2,000 test images, in the order of the package, are written
as gzipped IDX. The gzip headers carry neither a name nor a time, so a rerun is byte-identical for a
given zlib.
"""

import argparse
import gzip
import pathlib
import struct

SPLITS = (
    ("train-images-idx3-ubyte.gz", "train-images-10k-idx3-ubyte.gz", 10_000),
    ("train-labels-idx1-ubyte.gz", "train-labels-10k-idx1-ubyte.gz", 10_000),
    ("t10k-images-idx3-ubyte.gz", "test-images-2k-idx3-ubyte.gz", 2_000),
    ("t10k-labels-idx1-ubyte.gz", "test-labels-2k-idx1-ubyte.gz", 2_000),
)


def cut(data, count):
    """Return IDX bytes that hold the first count items of the IDX bytes data (uint8 items)."""
    zero, dtype, rank = struct.unpack_from(">HBB", data)
    if zero != 0 or dtype != 8:
        raise ValueError(f"IDX magic 0x{data[:4].hex()}: want unsigned bytes, 0x0000 08 rank")
    shape = struct.unpack_from(f">{rank}I", data, 4)
    if shape[0] < count:
        raise ValueError(f"IDX has {shape[0]} items: want at least {count}")
    item = 1
    for size in shape[1:]:
        item *= size
    start = 4 + 4 * rank
    if len(data) != start + shape[0] * item:
        raise ValueError(f"IDX has {len(data)} bytes: its header says {start + shape[0] * item}")
    header = data[:4] + struct.pack(f">{rank}I", count, *shape[1:])
    return header + data[start : start + count * item]


def main():
    """Parse the command line and write the four files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source",
        type=pathlib.Path,
        default=pathlib.Path("/usr/share/datasets/fashion-mnist"),
        help="folder with the package's four .gz files (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path(__file__).resolve().parent.parent / "fashion-mnist",
        help="folder to write to (default: testdata/fashion-mnist)",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for source, target, count in SPLITS:
        with gzip.open(args.source / source, "rb") as f:
            data = cut(f.read(), count)
        packed = gzip.compress(data, compresslevel=9, mtime=0)
        (args.out / target).write_bytes(packed)
        print(f"{target}: {count} items, {len(packed)} bytes")


if __name__ == "__main__":
    main()
