"""Take the traces of the machine that exported a model out of the ONNX file."""

import re

import onnx

# Where exporters put Python stack traces. They name files of the machine that ran the export:
# no use to a reader of the model, and different on every machine, so a rerun would not be
# byte-identical. Everything else (module scopes, names of the traced operators) stays.
TRACE_KEYS = ("pkg.torch.onnx.stack_trace",)
PATH = re.compile(r"File \"|site-packages|(^|[\s\"'])/\w+/")


def graphs(graph):
    """Yield the graph and every graph in its nodes' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def strip(holder):
    """Drop the stack traces from the metadata_props and the doc_string of one message."""
    kept = [p for p in holder.metadata_props if p.key not in TRACE_KEYS]
    if len(kept) != len(holder.metadata_props):
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
    if PATH.search(holder.doc_string):
        holder.ClearField("doc_string")
    for prop in holder.metadata_props:
        if PATH.search(prop.value):
            raise ValueError(f"metadata {prop.key!r} still holds a path: {prop.value!r}")


def strip_model(model):
    """Take the stack traces out of the model and of everything in it."""
    strip(model)
    for graph in graphs(model.graph):
        strip(graph)
        for part in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
            for holder in part:
                strip(holder)
    for function in model.functions:
        strip(function)
        for node in function.node:
            strip(node)


def strip_source_paths(path):
    """Rewrite the model at path without stack traces; its external data is not touched."""
    model = onnx.load(path, load_external_data=False)
    strip_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
