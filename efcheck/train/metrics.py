"""OUT/metrics.jsonl: one line that describes the run, then one for each epoch.

    {"run": {...}}
    {"epoch", "step", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "density_g", "density_p",
     "delta", "e_norm", "g_norm", "layers": {name: {"density_g", "density_p", "delta", "e_norm", "g_norm"}}, "bits",
     "seconds", "images_per_second"}

`lr` is the learning rate of the epoch's first step, its largest. Accuracies are shares in [0, 1]. The training loss and
accuracy are means over the epoch's images, each under the weights of its own step (a running mean, with the augmentation),
those of the test over all test images at the epoch's end. The densities, delta, ||e|| and ||g|| are means over at most 16
evenly spread steps of the epoch. `bits` were sent since the start. `seconds` is the time the epoch took with everything in
it, `images_per_second` counts the training steps alone; these two depend on the clock, and nothing else does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from efcheck.report import write_text

FILE = "metrics.jsonl"
CLOCK = ("seconds", "images_per_second")
MEASURED = ("density_g", "density_p", "delta", "e_norm", "g_norm")
_MEASURES = 16  # of an epoch: what the measuring costs stays small
_DIGITS = 6  # significant ones, of a layer's numbers: a run of 200 epochs stays near a megabyte


class Tally:
    """The sums of an epoch so far; on the device, so that adding to them waits for nothing."""

    def __init__(self, device: torch.device | str = "cpu", state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.loss = torch.tensor(state.get("loss", 0.0), dtype=torch.float64, device=device)
        self.correct = torch.tensor(state.get("correct", 0), dtype=torch.int64, device=device)
        self.images = int(state.get("images", 0))
        self.measured: list[dict[str, Any]] = list(state.get("measured", ()))
        self.training = float(state.get("training", 0.0))
        self.seconds = float(state.get("seconds", 0.0))

    def add(self, loss: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: its mean loss, (b, classes) scores and (b,) labels."""
        self.loss.add_(loss.detach(), alpha=len(labels))
        self.correct.add_((scores.detach().argmax(1) == labels).sum())
        self.images += len(labels)

    def state(self) -> dict[str, Any]:
        """Numbers only; Tally(device, state) goes on from them exactly."""
        return {
            "loss": self.loss.item(), "correct": int(self.correct.item()), "images": self.images,
            "measured": self.measured, "training": self.training, "seconds": self.seconds,
        }  # fmt: skip

    def means(self, kind: str) -> dict[str, float | None]:
        """{kind}_loss and {kind}_accuracy."""
        loss, correct = self.loss.item() / self.images, int(self.correct.item()) / self.images
        return {f"{kind}_loss": _number(loss), f"{kind}_accuracy": correct}

    def measures(self) -> dict[str, Any]:
        """Means of what was measured, over the whole model and by layer."""
        found: dict[str, Any] = {key: _mean([m[key] for m in self.measured]) for key in MEASURED}
        layers = self.measured[0]["layers"] if self.measured else {}
        found["layers"] = {
            name: {key: _short(_mean([m["layers"][name][key] for m in self.measured])) for key in layers[name]}
            for name in layers
        }
        return found


def measured_steps(steps: int) -> frozenset[int]:
    """Which steps of an epoch, counted from 0, are measured: all up to 16, else the middles of 16 equal parts.

    >>> sorted(measured_steps(4)), len(measured_steps(391))
    ([0, 1, 2, 3], 16)
    """
    n = min(_MEASURES, steps)
    return frozenset((2 * i + 1) * steps // (2 * n) for i in range(n))


def write(folder: Path, header: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write OUT/metrics.jsonl, whole or not at all."""
    lines = [{"run": header}, *rows]
    write_text(folder / FILE, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))


def _mean(values: Sequence[float]) -> float | None:
    return _number(math.fsum(values) / len(values)) if values else None


def _number(value: float) -> float | None:
    """JSON has neither infinity nor NaN."""
    return value if math.isfinite(value) else None


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
