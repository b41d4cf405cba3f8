"""The tables for programs."""

from __future__ import annotations

import json
from typing import Any

from efcheck.train import paper
from efcheck.train.logs import ALGORITHMS
from efcheck.train.tables import Cell, Group, Tuning


def group(found: Group) -> dict[str, Any]:
    """A main table: the setting, what it is compared with, its cells."""
    experiment = found.experiment
    order = sorted(found.cells, key=lambda key: (-key[0], ALGORITHMS.index(key[1])))
    return {
        "label": found.head,
        "setting": _setting(found.run),
        "paper": None if experiment is None else {"tables": experiment.tables, "label": experiment.label},
        "remarks": found.remarks(),
        "cells": [_cell(found, found.cells[key]) for key in order],
    }


def _cell(found: Group, cell: Cell) -> dict[str, Any]:
    printed = paper.numbers(found.experiment, cell.batch_size, cell.algorithm) if found.experiment is not None else None
    return {
        "batch_size": cell.batch_size,
        "algorithm": cell.algorithm,
        "lr": cell.logs[0].run["lr"] if cell.logs else None,
        "seeds": [log.run["seed"] for log in cell.logs],
        "epochs": cell.epochs,
        "complete": cell.complete,
        "files": [str(log.path) for log in cell.logs],
        "readings": {
            name: {
                "accuracy": reading.mean,
                "deviation": reading.deviation,
                "epoch": reading.epoch,
                "gap": found.gap(cell.batch_size, cell.algorithm, name),
            }
            for name, reading in cell.readings.items()
        },
        "paper": None if printed is None else {"accuracy": printed[0], "gap": printed[1]},
    }


def tuning(found: Tuning) -> dict[str, Any]:
    """A column of Table 2. A diverged run has the loss null."""
    return {
        "label": paper.label(found.run),
        "setting": _setting(found.run),
        "remarks": found.remarks(),
        "rates": [
            {
                "algorithm": rate.algorithm,
                "best": rate.best(0),
                "best_at_the_last_epoch": rate.best(1),
                "paper": rate.printed,
                "test_losses": [
                    {"lr": lr, "smallest": _finite(low), "last": _finite(last)} for lr, (low, last) in rate.losses.items()
                ],
            }
            for rate in found.rates
        ],
    }


def _setting(run: dict[str, Any]) -> dict[str, Any]:
    keys = ("data", "model", "epochs", "milestones", "limit_train", "limit_test", "precision", "device", "hardware")
    return {key: json.loads(json.dumps(run[key])) for key in keys if key in run}


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
