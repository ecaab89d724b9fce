"""Read the Fashion-MNIST files of testdata/fashion-mnist. Only the standard library and numpy."""

import gzip
import pathlib

import numpy as np

TESTDATA = pathlib.Path(__file__).resolve().parent.parent

# Mean and standard deviation of the pixels of the full training set, divided by 255.
MEAN = 0.2860
STD = 0.3530


def read_idx(path):
    """Return the unsigned bytes of a gzipped IDX file as an array of the shape in its header."""
    with gzip.open(path, "rb") as f:
        data = f.read()
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def normalise(images, mean=MEAN, std=STD):
    """Return (images/255 - mean)/std in float32; images are uint8 of any shape."""
    return (images.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)


def load(split):
    """Return images (N×28×28 float32, normalised) and labels (N int64) of "train" or "test"."""
    size = {"train": "10k", "test": "2k"}[split]
    folder = TESTDATA / "fashion-mnist"
    images = read_idx(folder / f"{split}-images-{size}-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-{size}-idx1-ubyte.gz")
    return normalise(images), labels.astype(np.int64)
