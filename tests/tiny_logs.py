"""Small result files of training runs, written by hand: no training, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ALGORITHMS = ("sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd")
VGG19 = {"data": "cifar10", "data_label": "CIFAR-10", "model": "vgg19", "milestones": [100, 150], "augment": True}
CNN = {"data": "fashion-mnist", "data_label": "Fashion-MNIST", "model": "cnn", "milestones": []}


def first_line(algorithm: str = "sgdm", batch_size: int = 128, seed: int = 1, **more: Any) -> dict[str, Any]:
    """What a run writes first."""
    optimizer = {"algorithm": algorithm, "momentum": 0.9 if algorithm in ("sgdm", "signsgdm") else 0.0}
    own = {"algorithm": algorithm, "batch_size": batch_size, "seed": seed, "epochs": 3, "lr": 0.1, "optimizer": optimizer}
    return {**CNN, **own, **more}


def row(epoch: int, test_accuracy: float | None = 0.5, **more: Any) -> dict[str, Any]:
    """What a run writes of an epoch."""
    losses = {"train_loss": 1.0 / epoch, "train_accuracy": 0.6, "test_loss": 1.5 / epoch, "test_accuracy": test_accuracy}
    return {"epoch": epoch, "step": 10 * epoch, "lr": 0.1, **losses, **more}


def write(folder: Path, run: dict[str, Any], rows: Iterable[dict[str, Any]], name: str | None = None) -> Path:
    """ALGORITHM-bBATCH-sSEED.jsonl in the folder, or `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{run['algorithm']}-b{run['batch_size']}-s{run['seed']}.jsonl")
    path.write_text("".join(json.dumps(line) + "\n" for line in ({"run": run}, *rows)))
    return path


def write_accuracies(folder: Path, algorithm: str, batch_size: int, shares: Sequence[Sequence[float]], **more: Any) -> None:
    """One file for each row of `shares`: seeds 1, 2, ... with the test accuracies of the epochs."""
    for seed, accuracies in enumerate(shares, start=1):
        run = first_line(algorithm, batch_size, seed, **{"epochs": len(accuracies), **more})
        write(folder, run, [row(e, a, train_loss=1 / e + seed / 100) for e, a in enumerate(accuracies, start=1)])
