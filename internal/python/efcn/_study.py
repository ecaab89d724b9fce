"""The folder of a study that efcn relax made."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Study:
    """The tables of a study; "go doc efcn/finetune/relax.Study" says what is in their columns."""

    results: pandas.DataFrame  # a row for every run, and for every CNN that was embedded
    summary: pandas.DataFrame  # mean and standard deviation of those over the seeds
    epochs: pandas.DataFrame  # a row for every run and epoch, from 0, which is the start
    layers: pandas.DataFrame  # the same for every embedded layer


def read_study(folder: str | os.PathLike[str]) -> Study:
    """Read the tables in the folder of efcn relax. What is empty there is NaN."""
    import pandas

    names = ("results", "summary", "epochs", "layers")
    return Study(*(pandas.read_csv(pathlib.Path(folder, f"{name}.csv")) for name in names))
