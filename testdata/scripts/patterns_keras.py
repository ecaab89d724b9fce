#!/usr/bin/env python3
"""Export patterns of Keras and TensorFlow. Needs tensorflow, keras, tf2onnx and onnx.

patterns_keras.py FOLDER [--only PATTERN] writes skeletons (see patterns.py) into FOLDER:
NAME-tf-fixed, -tf-batch and -tf-size through tf2onnx, with a fixed batch of one, a symbolic batch,
and symbolic height and width too; NAME-k3-batch through Keras 3's own model.export. What an
exporter does not take is listed and left out.
"""

import argparse
import fnmatch
import os
import pathlib
import sys
import tempfile

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", TF_ENABLE_ONEDNN_OPTS="0")

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers as L
from keras import ops

import patterns

IMAGE = (12, 16, 3)
PATTERNS = {}
OPSETS = {"fixed": 13, "batch": 18, "size": 15}


def pattern(name, function, *shapes, variants="fbs", keras_export=True):
    """Add a pattern; function maps the symbolic inputs, of shapes without the batch, to outputs."""
    PATTERNS[name] = (function, shapes or (IMAGE,), variants, keras_export)


def then(name, *parts, head=True, variants="fbs", shape=IMAGE):
    """Add a pattern: a convolution with ReLU, then the layers that parts build."""

    def build(x):
        if head:
            x = L.Conv2D(4, 3, padding="same", activation="relu")(x)
        for part in parts:
            x = part()(x)
        return x

    pattern(name, build, shape, variants=variants)


def tail():
    """Return a convolution that comes behind what is tried."""
    return L.Conv2D(3, 3, padding="same")


then("k_conv_valid", lambda: L.Conv2D(4, 3, activation="relu"), lambda: L.Conv2D(3, (1, 3)))
then("k_conv_same_stride", lambda: L.Conv2D(4, 3, strides=2, padding="same", activation="relu"), lambda: L.Conv2D(3, 5, strides=2, padding="same"))
then("k_conv_dilated", lambda: L.Conv2D(4, 3, dilation_rate=2, padding="same"), L.ReLU, tail)
then("k_depthwise", lambda: L.DepthwiseConv2D(3, padding="same", depth_multiplier=2), L.ReLU, lambda: L.DepthwiseConv2D(3, strides=2, padding="same"))
then("k_separable", lambda: L.SeparableConv2D(5, 3, padding="same"), L.ReLU, tail)
then("k_conv_transpose_same", lambda: L.Conv2DTranspose(4, 3, strides=2, padding="same"), L.ReLU, tail)
then("k_conv_transpose_valid", lambda: L.Conv2DTranspose(4, 2, strides=2), L.ReLU, tail)
then("k_batch_norm", L.BatchNormalization, L.ReLU, tail)
then("k_batch_norm_first", L.BatchNormalization, lambda: L.Conv2D(4, 3, padding="same"), L.BatchNormalization, L.ReLU, head=False)
then("k_layer_norm", L.LayerNormalization, tail)
then("k_group_norm", lambda: L.GroupNormalization(2), tail)
then("k_unit_norm", lambda: L.UnitNormalization(), tail)
then("k_max_pool_same", lambda: L.MaxPool2D(3, 2, padding="same"), tail)
then("k_avg_pool_same", lambda: L.AveragePooling2D(3, 2, padding="same"), tail)
then("k_avg_pool_valid", lambda: L.AveragePooling2D(2), tail)
then("k_global_avg", L.GlobalAveragePooling2D, lambda: L.Dense(5, activation="softmax"))
then("k_global_avg_keepdims", lambda: L.GlobalAveragePooling2D(keepdims=True), lambda: L.Conv2D(5, 1))
then("k_global_max", L.GlobalMaxPooling2D, lambda: L.Dense(5))
then("k_flatten_dense", L.MaxPool2D, L.Flatten, lambda: L.Dense(7, activation="relu"), lambda: L.Dropout(0.5), lambda: L.Dense(5), L.Softmax, variants="fb")
then("k_upsample_nearest", lambda: L.UpSampling2D(2), tail)
then("k_upsample_bilinear", lambda: L.UpSampling2D(2, interpolation="bilinear"), tail)
then("k_zero_padding", lambda: L.ZeroPadding2D(((0, 1), (2, 1))), lambda: L.Conv2D(3, 3, strides=2))
then("k_cropping", lambda: L.Cropping2D(((1, 2), (0, 3))), tail)
then("k_permute", lambda: L.Permute((2, 1, 3)), tail)
then("k_reshape", lambda: L.Reshape((6, 8, 16)), tail, variants="fb")
then("k_prelu", lambda: L.PReLU(shared_axes=[1, 2]), tail)
then("k_leaky", lambda: L.LeakyReLU(0.1), tail)
then("k_activations", lambda: L.Activation("silu"), tail, lambda: L.Activation("tanh"), tail, lambda: L.Activation("hard_sigmoid"))
then("k_relu6", lambda: L.ReLU(6.0), tail)
then("k_rescaling", lambda: L.Rescaling(1 / 127.5, -1.0), lambda: L.Conv2D(3, 3), head=False)
then("k_resizing", lambda: L.Resizing(9, 10), tail)
then("k_spatial_dropout", lambda: L.SpatialDropout2D(0.3), tail)
then("k_conv1d_causal", lambda: L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"), lambda: L.Conv1D(3, 3, strides=2, padding="same"), L.GlobalAveragePooling1D, head=False, shape=(24, 3), variants="fb")
then("k_conv3d", lambda: L.Conv3D(3, 3, padding="same", activation="relu"), lambda: L.MaxPool3D((1, 2, 2)), lambda: L.Conv3D(2, 1), head=False, shape=(4, 8, 8, 2), variants="fb")
then("k_time_distributed", lambda: L.TimeDistributed(L.Conv2D(4, 3, activation="relu")), lambda: L.TimeDistributed(L.GlobalAveragePooling2D()), lambda: L.Dense(3), head=False, shape=(3, 8, 9, 2), variants="fb")
then("k_lstm", lambda: L.Reshape((12, 64)), lambda: L.LSTM(5), lambda: L.Dense(3), variants="fb")


def conv(x, channels=4, kernel=3, act="relu", **options):
    """Apply Conv2D without bias, BatchNormalization and an activation."""
    x = L.Conv2D(channels, kernel, padding="same", use_bias=False, **options)(x)
    return L.Activation(act)(L.BatchNormalization()(x))


def residual(x):
    """Return a residual block with a projection."""
    y = conv(conv(x, 4, strides=2), 4)
    return L.ReLU()(L.add([y, L.Conv2D(4, 1, strides=2)(x)]))


def squeeze_excite(x):
    """Return MobileNetV3's block with squeeze and excitation by Reshape."""
    y = conv(x, 4, act="hard_swish")
    s = L.Reshape((1, 1, 4))(L.GlobalAveragePooling2D()(y))
    s = L.Conv2D(4, 1, activation="hard_sigmoid")(L.Conv2D(2, 1, activation="relu")(s))
    return conv(L.multiply([y, s]), 3)


def u_net(x):
    """Return a U-Net of one level."""
    a = conv(x)
    b = conv(L.MaxPool2D()(a), 6)
    return L.Conv2D(2, 1, activation="sigmoid")(conv(L.concatenate([L.Conv2DTranspose(4, 2, strides=2)(b), a])))


def inception(x):
    """Return branches joined on channels."""
    return L.concatenate([conv(x, 2, 1), conv(conv(x, 2, 1), 3), conv(L.AveragePooling2D(3, 1, padding="same")(x), 2, 1)])


pattern("k_residual", residual)
pattern("k_squeeze_excite", squeeze_excite)
pattern("k_unet", u_net)
pattern("k_inception", inception)
pattern("k_dense_block", lambda x: L.GlobalAveragePooling2D()(L.concatenate([x, conv(L.concatenate([x, conv(x, 3)]), 3)])))
pattern("k_mobilenet_stride", lambda x: L.DepthwiseConv2D(3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(conv(x, 4, act="relu6"))))
pattern("k_two_heads", lambda x: [L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(conv(x))), L.Conv2D(2, 1)(conv(x))])
pattern("k_two_inputs", lambda x, y: L.Dense(3)(L.concatenate([L.GlobalAveragePooling2D()(conv(x)), L.Dense(4)(y)])), IMAGE, (5,), variants="fb")
pattern("k_shared", lambda x, y: (lambda c: L.subtract([c(x), c(y)]))(L.Conv2D(4, 3, padding="same", activation="relu")), IMAGE, IMAGE, variants="fb")
pattern("k_attention", lambda x: (lambda t: L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 3)(t, t)))(L.Reshape((12, 6))(L.Conv2D(6, 4, strides=4)(x))), variants="fb")
pattern("k_mixer", lambda x: (lambda t: L.Dense(5)(L.GlobalAveragePooling1D()(t + L.Permute((2, 1))(L.Dense(12, activation="silu")(L.Permute((2, 1))(L.LayerNormalization()(t)))))))(L.Reshape((12, 6))(L.Conv2D(6, 4, strides=4)(x))), variants="fb")
pattern("k_pad_modes", lambda x: L.Conv2D(3, 3)(ops.pad(conv(x), [[0, 0], [1, 2], [2, 1], [0, 0]], mode="reflect")))
pattern("k_pad_symmetric", lambda x: L.Conv2D(3, 3)(ops.pad(conv(x), [[0, 0], [1, 2], [2, 1], [0, 0]], mode="symmetric")))
pattern("k_depth_to_space", lambda x: tail()(ops.depth_to_space(conv(x, 8), 2)))
pattern("k_split_stack", lambda x: tail()(ops.concatenate(ops.split(conv(x), 2, axis=-1)[::-1], axis=-1)))
pattern("k_roll_flip", lambda x: tail()(ops.flip(ops.roll(conv(x), 2, axis=1), axis=2)))
pattern("k_einsum", lambda x: ops.einsum("bhwc,bhwd->bcd", conv(x), conv(x)), variants="fb")
pattern("k_mean_std", lambda x: ops.concatenate([ops.mean(conv(x), axis=(1, 2)), ops.std(conv(x), axis=(1, 2))], axis=-1))


def model_of(name, variant):
    """Return the Keras model of a pattern with random weights."""
    function, shapes, _, _ = PATTERNS[name]
    keras.utils.set_random_seed(1)
    given = []
    for i, shape in enumerate(shapes):
        dims = [None] * (len(shape) - 1) + [shape[-1]] if variant == "size" else shape
        given.append(keras.Input(dims, batch_size=1 if variant == "fixed" else None, name="xyz"[i]))
    model = keras.Model(given, function(*given))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" in weight.path:
            continue
        if "variance" in weight.path or "gamma" in weight.path:
            values = rng.uniform(0.5, 1.5, weight.shape)
        else:
            values = rng.standard_normal(weight.shape) * max(1, np.prod(weight.shape[:-1])) ** -0.5
        weight.assign(values.astype(np.float32).reshape(weight.shape))
    zeros = [np.zeros((1, *shape), np.float32) for shape in shapes]
    model(zeros if len(zeros) > 1 else zeros[0])  # which Keras's own export wants to have seen
    return model


def by_tf2onnx(name, variant):
    """Return the pattern as ONNX, through tf2onnx."""
    model = model_of(name, variant)
    signature = [tf.TensorSpec(i.shape, tf.float32, name=i.name) for i in model.inputs]

    @tf.function(input_signature=signature)
    def predict(*images):
        """Return the outputs under names of their own."""
        outputs = model(list(images) if len(images) > 1 else images[0], training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return {f"output_{i}": output for i, output in enumerate(outputs)}

    return tf2onnx.convert.from_function(predict, signature, opset=OPSETS[variant])[0]


def by_keras(name):
    """Return the pattern as ONNX, through Keras's own export."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        model_of(name, "batch").export(str(path), format="onnx", verbose=False)
        return onnx.load(path)


def save(folder, name, model, shapes):
    """Write the model's skeleton."""
    given = {}
    for value, shape in zip(model.graph.input, shapes):
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        given[value.name] = [d or s for d, s in zip(dims, (2, *shape))]
    patterns.hollow(model)
    patterns.save(folder, name, model, {"inputs": given})


def main():
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER", help="to write into")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="of names")
    parser.add_argument("--missing", action="store_true", help="only what FOLDER does not hold")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    written = left = 0
    for name, (_, shapes, variants, keras_export) in sorted(PATTERNS.items()):
        if not fnmatch.fnmatch(name, args.only):
            continue
        jobs = [(f"{name}-tf-{v}", lambda v=v: by_tf2onnx(name, v)) for v in OPSETS if v[0] in variants]
        if keras_export:
            jobs.append((f"{name}-k3-batch", lambda: by_keras(name)))
        for label, job in jobs:
            if args.missing and (args.folder / f"{label}.onnx").exists():
                continue
            try:
                save(args.folder, label, job(), shapes)
                written += 1
            except Exception as e:  # an exporter's failure is that model's only
                print(f"not exported: {label}: {type(e).__name__}: {' '.join(str(e).split())[:160]}", flush=True)
                left += 1
    print(f"{written} models, {left} not exported")
    return 0


if __name__ == "__main__":
    sys.exit(main())
