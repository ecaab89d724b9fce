#!/usr/bin/env python3
"""Put the photographs of the clothing dataset into folders that efcn reads.

make_clothing.py CLONE OUT makes OUT/train/CLASS and OUT/test/CLASS of links to the images of

    git clone --depth 1 https://github.com/alexeygrigorev/clothing-dataset CLONE

photographs of clothes in colour, most of 400×533 pixels, in the public domain (CC0 1.0).
The classes are those ten of its smaller edition (alexeygrigorev/clothing-dataset-small). An
image is named by a random UUID; one that begins with 0 to 4 is a test image.
"""

import argparse
import csv
import pathlib

CLASSES = (
    "Dress Hat Longsleeve Outwear Pants Shirt Shoes Shorts Skirt T-Shirt".split()
)
TRAIN, TEST = 3108, 1406


def main():
    """Parse the command line and make the links."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    count = {"train": 0, "test": 0}
    with open(args.clone / "images.csv", encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            if row["label"] not in CLASSES:
                continue
            image = (args.clone / "images" / f"{row['image']}.jpg").resolve()
            if not image.exists():
                continue
            part = "test" if row["image"][0] in "01234" else "train"
            folder = args.out / part / row["label"]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / image.name).symlink_to(image)
            count[part] += 1
    print(f"{args.out}: {count['train']:,} training and {count['test']:,} test images")
    if count != {"train": TRAIN, "test": TEST}:
        raise SystemExit(f"want {TRAIN:,} and {TEST:,}, as docs/any-size.md has them")


if __name__ == "__main__":
    main()
