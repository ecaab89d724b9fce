"""Read what a run of efcn finetune wrote for TensorBoard with TensorBoard itself.

check_events.py DIR EPOCHS

DIR is the folder of --checkpoint. Every number of its metrics.jsonl, a line for each of so many
epochs, has to be a scalar of the events at the line's step, to float32. Needs tensorboard.
"""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def tag(quantity, name):
    """The tag of a quantity of a layer or weight, without empty folders."""
    return "/".join([quantity] + [part for part in name.split("/") if part])


def scalars(line):
    """The scalars that a line of metrics.jsonl stands for, by tag."""
    yield "loss/train", line["train_loss"]
    yield "top1/train", line["train_top1"]
    for name, key in {"loss": "test_loss", "top1": "test_top1", "top5": "test_top5"}.items():
        yield name + "/test", line[key]
    for key in ("epoch", "rate", "seconds", "peak_bytes"):
        yield "run/" + key, line[key]
    groups = {"gradient": line["gradient_norms"], "travelled": line["travelled"]}
    # Dense layers have the first two of these, factored ones the others.
    for key in ("gradient_inside", "gradient_outside", "matrix_travelled", "subspace_cut"):
        groups[key.replace("_", " ")] = line.get(key, {})
    for group, values in groups.items():
        for name, value in values.items():
            yield tag(group, name), value
    deviation = line["deviation"]
    yield "deviation", deviation["distance"]
    yield "off-local share", deviation["off_local"]
    for layer in deviation["layers"]:
        if "not_measured" not in layer:
            yield tag("deviation", layer["node"]), layer["distance"]
            yield tag("off-local share", layer["node"]), layer["off_local"]


def main():
    folder, epochs = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if len(lines) != epochs:
        sys.exit(f"{folder}: {len(lines)} lines of metrics, want {epochs}")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    found = {(tag, e.step): e.value for tag in events.Tags()["scalars"] for e in events.Scalars(tag)}
    compared = 0
    for line in lines:
        for tag, value in scalars(line):
            single = struct.unpack("<f", struct.pack("<f", value))[0]
            if found.pop((tag, line["steps"]), None) != single:
                sys.exit(f"{folder}: {tag} at step {line['steps']} is not {value}")
            compared += 1
    if found:
        sys.exit(f"{folder}: events without a number in the metrics: {sorted(found)}")
    print(f"TensorBoard reads the {compared} scalars of {epochs} epochs")


if __name__ == "__main__":
    main()
