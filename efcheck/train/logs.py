"""The result files of training runs, read strictly: what run it was, its epochs, and what is wrong with it.

    {"run": {"data", "data_label", "model", "algorithm", "batch_size", "epochs", "lr", "seed", ...}}
    {"epoch": 1, "step", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy", ...}
    ...

A number that is not finite is null (or NaN): the run has diverged there; so has one whose first line has "stopped", the
reason, which experiments/run.py writes. Nothing here needs torch.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcheck.errors import EfcheckError, argument_error

ALGORITHMS = ("sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd")
NAMES = {"sgdm": "SGDM", "scaled-signsgd": "scaled signSGD", "signsgdm": "signSGDM", "ef-signsgd": "EF-signSGD"}
METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
_WORDS = ("data", "model", "algorithm")
_WHOLE = ("batch_size", "epochs", "seed")
# Runs that differ in one of these answer different questions: they are never averaged.
_SETTING = (
    "data", "model", "epochs", "milestones", "constant_lr", "limit_train", "limit_test", "dropout", "augment",
    "official_resume", "precision",
)  # fmt: skip


@dataclass(frozen=True)
class Log:
    """One run.

    Attributes
    ----------
    path : Path
    run : dict
        The first line.
    rows : tuple of dict
        One for each finished epoch, 1, 2, ... without gaps.
    cut : bool
        The last line is half a line: the run was writing, or was killed.
    """

    path: Path
    run: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    cut: bool = False

    @property
    def name(self) -> str:
        """ALGORITHM-bBATCH-sSEED."""
        return f"{self.run['algorithm']}-b{self.run['batch_size']}-s{self.run['seed']}"

    @property
    def setting(self) -> tuple[tuple[str, str], ...]:
        """What it shares with the runs that it may be compared with."""
        return tuple((key, json.dumps(self.run.get(key))) for key in _SETTING)

    @property
    def complete(self) -> bool:
        """Whether it has all its epochs."""
        return bool(len(self.rows) >= self.run["epochs"])

    @property
    def diverged(self) -> int | None:
        """The first epoch with a loss that is not finite, or in which the run was stopped for it; None if there is none."""
        losses = np.isfinite(self.values("train_loss")) & np.isfinite(self.values("test_loss"))
        if losses.all():
            return len(self.rows) + 1 if "stopped" in self.run else None
        return int(np.argmin(losses)) + 1

    def values(self, key: str) -> NDArray[np.float64]:
        """One number of each epoch, (epochs,); NaN where it is absent or not finite."""
        found = [row.get(key) for row in self.rows]
        return np.array([float(v) if isinstance(v, int | float) and not isinstance(v, bool) else math.nan for v in found])

    def problems(self) -> list[str]:
        """One line for each thing that a reader of its numbers must know."""
        lines = []
        if self.cut:
            lines.append(f"{self.path}:{len(self.rows) + 2}: the last line is cut off (a run in progress, or killed); left out")
        if self.diverged is not None:
            why = self.run.get("stopped", f"the loss of epoch {self.diverged} is not finite")
            lines.append(f"{self.path}:{min(self.diverged, len(self.rows)) + 1}: diverged: {why}; left out")
        elif not self.complete:
            lines.append(f"{self.path}:{len(self.rows) + 1}: unfinished: {len(self.rows)} of {self.run['epochs']} epochs")
        return lines


def read(path: Path) -> Log:
    """The run in a file.

    Raises
    ------
    EfcheckError
        In one line with FILE:LINE, for a line that is not what a run writes. A cut last line is no error.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EfcheckError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    lines = text.split("\n")
    cut = lines.pop() != ""  # a whole file ends with a newline
    if cut and _is_json(text.rpartition("\n")[2]):
        lines, cut = text.split("\n"), False
    if not lines:
        raise EfcheckError(f"{path}:1: must be a run's first line; got nothing whole")
    run = _header(path, _parsed(path, 1, lines[0]))
    rows = tuple(_row(path, i, _parsed(path, i + 1, line), run) for i, line in enumerate(lines[1:], start=1))
    return Log(path, run, rows, cut)


def find(folder: Path) -> tuple[list[Log], list[str]]:
    """Every run under a folder (or in that file), in the order of their paths, and a line for each file that is not one.

    Of two files with the same run the one with more epochs counts; a line says so.

    Raises
    ------
    ArgumentError
        If the folder is not there.
    """
    if not folder.exists():
        raise argument_error("results", "be a folder with metrics.jsonl files", f"{folder}, which is not there")
    logs: dict[Any, Log] = {}
    lines: list[str] = []
    for path in sorted(folder.rglob("*.jsonl")) if folder.is_dir() else [folder]:
        try:
            log = read(path)
        except EfcheckError as error:
            lines.append(str(error))
            continue
        key = (log.setting, log.name, float(log.run["lr"]))
        if key in logs:
            kept, left = sorted((logs[key], log), key=lambda found: -len(found.rows))
            lines.append(f"{left.path}:1: the same run as {kept.path}, which has as many epochs or more; left out")
            log = kept
        logs[key] = log
    return sorted(logs.values(), key=lambda log: str(log.path)), lines


def _header(path: Path, line: Any) -> dict[str, Any]:
    run = line.get("run") if isinstance(line, dict) else None
    if not isinstance(run, dict):
        raise EfcheckError(f'{path}:1: must be {{"run": {{...}}}}; got {_short(line)}')
    for key in _WORDS:
        if not isinstance(run.get(key), str):
            raise EfcheckError(f"{path}:1: `{key}` must be a text; got {_short(run.get(key))}")
    for key in _WHOLE:
        if not isinstance(run.get(key), int) or isinstance(run[key], bool) or run[key] < (0 if key == "seed" else 1):
            raise EfcheckError(f"{path}:1: `{key}` must be a whole number; got {_short(run.get(key))}")
    if run["algorithm"] not in ALGORITHMS:
        raise EfcheckError(f"{path}:1: `algorithm` must be one of {', '.join(ALGORITHMS)}; got {_short(run['algorithm'])}")
    if not isinstance(run.get("lr"), int | float) or isinstance(run["lr"], bool) or not 0 < run["lr"] < math.inf:
        raise EfcheckError(f"{path}:1: `lr` must be a number > 0; got {_short(run.get('lr'))}")
    return run


def _row(path: Path, epoch: int, row: Any, run: dict[str, Any]) -> dict[str, Any]:
    where = f"{path}:{epoch + 1}"
    if not isinstance(row, dict) or isinstance(row.get("epoch"), bool) or row.get("epoch") != epoch:
        got = row.get("epoch") if isinstance(row, dict) else row
        raise EfcheckError(f"{where}: `epoch` must be {epoch}; got {_short(got)}")
    if epoch > run["epochs"]:
        raise EfcheckError(f"{where}: `epoch` must be at most {run['epochs']}, the run's epochs; got {epoch}")
    for key in METRICS:
        value = row.get(key, "nothing")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise EfcheckError(f"{where}: `{key}` must be a number or null; got {_short(value)}")
        if key.endswith("accuracy") and value is not None and not (0 <= value <= 1 or math.isnan(value)):
            raise EfcheckError(f"{where}: `{key}` must be a share in [0, 1]; got {_short(value)}")
    return row


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise EfcheckError(f"{path}:{number}: must be JSON; got {_short(text)}") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 50 else text[:47] + "..."
