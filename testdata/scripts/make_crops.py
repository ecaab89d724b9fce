"""Make what torchvision makes of small images, which the tests of finetune/data compare with.

make_crops.py [finetune/data/testdata/crops.json]

Pixel i of each image, in the order of its bytes in memory (rows of red, green, blue), is
(37 i + i² / 5) mod 256. Each is resized to a length of the shorter side (0: not resized),
cropped in the middle and normalised as the models of ImageNet are. middle is the window that
RandomResizedCrop takes where none of its draws fits. Needs torch and torchvision.
"""

import json
import pathlib
import sys

import torch
from torchvision import transforms
from torchvision.transforms import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def image(height, width):
    i = torch.arange(height * width * 3)
    pixels = ((37 * i + i * i // 5) % 256).to(torch.uint8).reshape(height, width, 3)
    return pixels.permute(2, 0, 1).to(torch.float32).div(255)  # as ToTensor does


def middle(height, width):
    # No window of four times the area or more fits.
    return transforms.RandomResizedCrop.get_params(torch.zeros(1, height, width), [4, 5], [3 / 4, 4 / 3])


def main():
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "finetune/data/testdata/crops.json")
    cases = []
    for height, width, short, crop in (
        (7, 10, 0, (4, 4)), (7, 10, 0, (4, 5)), (10, 7, 0, (7, 6)), (9, 9, 0, (4, 9)),
        (10, 7, 5, (4, 4)), (7, 10, 5, (5, 4)), (9, 13, 11, (8, 8)), (11, 5, 4, (4, 4)),
    ):
        x = image(height, width)
        if short:
            x = functional.resize(x, short, antialias=True)
        x = functional.normalize(functional.center_crop(x, crop), MEAN, STD)
        cases.append({
            "height": height, "width": width, "short": short, "crop": crop, "middle": middle(height, width),
            "x": x.flatten().tolist(),
        })
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f"[\n{lines}\n]\n")


main()
