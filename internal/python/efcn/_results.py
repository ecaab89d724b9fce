"""What the commands report, from the JSON that they print."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Check:
    """A check of verify and its outcome."""

    name: str  # structure, float64, float32
    status: str  # ok, failed, skipped
    summary: str  # what was compared, or why it was not


@dataclass(frozen=True)
class Report:
    """What verify found."""

    equal: bool
    verdict: str  # in one sentence
    checks: list[Check]
    findings: list[dict[str, Any]]  # the first fault of every kind at every node
    document: dict[str, Any]  # all that verify --json printed

    @classmethod
    def read(cls, document: dict[str, Any]) -> Report:
        """Make a report of what verify --json printed."""
        checks = [Check(c["name"], c["status"], c["summary"]) for c in document["checks"]]
        return cls(document["equal"], document["verdict"], checks, document["findings"], document)

    def __str__(self) -> str:
        return self.verdict


@dataclass(frozen=True)
class LayerDeviation:
    """How far a layer is from the CNN subspace; see Deviation."""

    node: str
    op: str
    layout: str
    norm: float  # |W|
    distance: float
    off_local: float
    bias_distance: float
    from_cnn: float | None
    not_measured: str | None  # why the figures are 0, of a layer that has no kernel


@dataclass(frozen=True)
class Deviation:
    """How far an eFCN is from the CNN subspace: 0 right after convert."""

    distance: float  # |W - P(W)| / |W|
    off_local: float  # share of |W| outside the support
    bias_distance: float
    from_cnn: float | None  # |W - W of the CNN| / |W of the CNN|, if that was given
    layers: list[LayerDeviation]
    document: dict[str, Any]  # all that measure --json printed

    @classmethod
    def read(cls, document: dict[str, Any]) -> Deviation:
        """Make a deviation of what measure --json printed."""
        layers = [LayerDeviation(**{f.name: d.get(f.name) for f in fields(LayerDeviation)}) for d in document["layers"]]
        figures: dict[str, Any] = {f.name: document.get(f.name) for f in fields(cls)}
        return cls(**(figures | {"layers": layers, "document": document}))
