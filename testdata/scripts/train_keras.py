#!/usr/bin/env python3
"""Train the Keras CNN of testdata/models on Fashion-MNIST and export it through tf2onnx.

The folder gets model.onnx, inputs.npz (the first 16 test images, N×28×28×1) and outputs.npz (what
Keras computes on them in float32).

Training repeats bit for bit, the export does not: tf2onnx's optimisers go through sets of names and
of objects, so the names and the order of some constants differ between runs, and sometimes Flatten
is left as Shape, Gather, Cast, Slice, Concat and Reshape instead of one Reshape to a constant shape.
Both forms are kept: the folder is keras-tf2onnx, or keras-tf2onnx-shape if the graph has a Shape
node. Other values of the environment variable PYTHONHASHSEED give the one or the other.
"""

import argparse
import os
import pathlib

# Read when TensorFlow is imported: oneDNN's results depend on the processor, and a GPU would give
# other results than the README's.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

import fashion_mnist
import onnx_tidy

REFERENCE_IMAGES = 16


def make():
    """Return the untrained network: images N×28×28×1 to probabilities N×10.

    SAME padding with stride 2 on even sizes pads bottom and right only; the DepthwiseConv2D has a
    depth multiplier, the MaxPooling2D windows overlap and are padded too (14 to 7, 3×3).
    """
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv1"),
            layers.BatchNormalization(name="bn1"),
            layers.ReLU(name="relu1"),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise"),
            layers.LeakyReLU(negative_slope=0.1, name="leaky"),
            layers.MaxPooling2D(3, strides=2, padding="same", name="pool"),
            layers.SeparableConv2D(16, 3, strides=2, padding="same", name="separable"),
            layers.BatchNormalization(name="bn2"),
            layers.ReLU(max_value=6.0, name="relu6"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, activation="softmax", name="probabilities"),
        ]
    )


def train(seed, epochs, rate, batch):
    """Return the network trained on the 10,000 images."""
    keras.utils.set_random_seed(seed)
    model = make()
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    images, labels = fashion_mnist.load("train")
    history = model.fit(images[..., np.newaxis], labels, batch, epochs, verbose=0)
    for epoch, loss in enumerate(history.history["loss"]):
        print(f"  epoch {epoch + 1}: training loss {loss:.4f}")
    return model


def export(model, opset):
    """Return the model as ONNX: input "image", N×28×28×1, output "probabilities", N×10."""
    signature = [tf.TensorSpec((None, 28, 28, 1), tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def predict(image):
        """Return the probabilities under the name that the ONNX output is to have."""
        return {"probabilities": model(image, training=False)}

    exported, _ = tf2onnx.convert.from_function(predict, signature, opset=opset)
    return exported


def main():
    """Parse the command line, train and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=5e-3, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--opset", type=int, default=18, help="default: %(default)s")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=fashion_mnist.TESTDATA / "models",
        help="folder to write to (default: testdata/models)",
    )
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    print(
        f"tensorflow {tf.__version__}, keras {keras.__version__}, "
        f"tf2onnx {tf2onnx.__version__}, {args.threads} threads"
    )
    model = train(args.seed, args.epochs, args.rate, args.batch)
    images, labels = fashion_mnist.load("test")
    x = images[..., np.newaxis]
    correct = int((model(x, training=False).numpy().argmax(1) == labels).sum())
    print(f"  accuracy {correct}/{len(labels)}")
    exported = export(model, args.opset)
    has_shape = any(node.op_type == "Shape" for node in exported.graph.node)
    folder = args.out / ("keras-tf2onnx-shape" if has_shape else "keras-tf2onnx")
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(exported, folder / "model.onnx")
    onnx_tidy.strip_source_paths(folder / "model.onnx")
    x = x[:REFERENCE_IMAGES]
    np.savez(folder / "inputs.npz", image=x)
    np.savez(folder / "outputs.npz", probabilities=model(x, training=False).numpy())
    print(f"  wrote {folder.name}")


if __name__ == "__main__":
    main()
