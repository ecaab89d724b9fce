"""Make the small batches of CIFAR, pickled, that the tests of finetune/data read.

make_cifar_pickles.py [finetune/data/testdata/cifar]

Two images a batch, of which pixel i of image k of batch b (0 to 4, test 5) is (i + 31 k + 7 b) mod 256. The
folders cifar-10-batches-py and cifar-100-python have the opcodes that Python 2 wrote and that
torchvision leaves on disk: protocol 2, strings of bytes. protocol-2 to protocol-5 have the same test
batch of CIFAR-10 as this Python writes it again. Needs numpy.
"""

import io
import pathlib
import pickle
import struct
import sys

import numpy as np


class Python2(pickle._Pickler):  # the one written in Python, whose parts can be replaced
    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(raw)) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def python2(value):
    out = io.BytesIO()
    Python2(out, 2).dump(value)
    # NumPy had its modules elsewhere then.
    return out.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def batch(number, **labels):
    pixels = (np.arange(3072)[None, :] + 31 * np.arange(2)[:, None] + 7 * number) % 256
    return {
        b"batch_label": b"batch", **{key.encode(): value for key, value in labels.items()},
        b"data": pixels.astype(np.uint8), b"filenames": [b"a.png", b"b.png"],
    }


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "finetune/data/testdata/cifar")

    def write(path, content):
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    for b in range(6):
        content = python2(batch(b, labels=[b, 9 - b]))
        again = pickle.loads(content, encoding="bytes")
        assert again[b"labels"] == [b, 9 - b] and again[b"data"].shape == (2, 3072)
        write(f"cifar-10-batches-py/{'test_batch' if b == 5 else f'data_batch_{b + 1}'}", content)
    for b, name in ((0, "train"), (5, "test")):
        write(f"cifar-100-python/{name}", python2(batch(b, fine_labels=[99, b], coarse_labels=[19, b])))
    for protocol in range(2, 6):
        write(f"protocol-{protocol}/test_batch", pickle.dumps(batch(5, labels=[5, 4]), protocol))


main()
