"""The result files of training runs, read strictly: what run it was, its epochs, and what is wrong with it.

    {"run": {"data", "data_label", "model", "algorithm", "batch_size", "epochs", "lr", "seed", ...}}
    {"epoch": 1, "step", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy", ...}
    ...

A number that is not finite is null (or NaN): the run has diverged there; so has one whose first line has "stopped", the
reason, which experiments/run.py writes. A file is read line by line, once. Nothing here needs torch.
"""

from __future__ import annotations

import json
import math
import re
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
_CLOCK = ("seconds", "images_per_second")  # all that may differ between two files of one run
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
        """The first epoch with a metric that is not finite, or in which the run was stopped for it; None if there is none."""
        finite = np.all([np.isfinite(self.values(key)) for key in METRICS], axis=0)
        if finite.all():
            return len(self.rows) + 1 if "stopped" in self.run else None
        return int(np.argmin(finite)) + 1

    def values(self, key: str) -> NDArray[np.float64]:
        """One number of each epoch, (epochs,); NaN where it is absent or not finite."""
        return np.array([number(row.get(key)) for row in self.rows])

    def same_numbers(self, other: Log) -> bool:
        """Whether they agree in every epoch that both have, but for the clock."""
        pairs = zip(self.rows, other.rows, strict=False)
        return all(_without_clock(a) == _without_clock(b) for a, b in pairs)

    @property
    def stopped(self) -> str:
        """Why it has diverged, in words; empty if it has not."""
        if self.diverged is None:
            return ""
        return str(self.run.get("stopped", f"a loss or an accuracy of epoch {self.diverged} is not finite"))

    def problems(self, used: bool = False) -> list[str]:
        """One line for each thing that a reader of its numbers must know; `used`: also where it has diverged they count."""
        lines = []
        if self.cut:
            lines.append(f"{self.path}:{len(self.rows) + 2}: the last line is cut off (a run in progress, or killed); left out")
        if self.diverged is not None:
            line = f"{self.path}:{min(self.diverged, len(self.rows)) + 1}: diverged: {self.stopped}"
            lines.append(line if used else f"{line}; left out")
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
    run: dict[str, Any] | None = None
    rows: list[dict[str, Any]] = []
    cut = False
    try:
        with path.open(encoding="utf-8-sig") as file:  # a byte order mark is no part of the first line
            for number, line in enumerate(file, start=1):
                if cut := not line.endswith("\n") and not _is_json(line):  # only the last line can lack its end
                    break
                found = _parsed(path, number, line.removesuffix("\n"))
                if run is None:
                    run = _header(path, found)
                else:
                    rows.append(_row(path, number - 1, found, run))
    except (OSError, UnicodeDecodeError) as error:
        raise EfcheckError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if run is None:
        raise EfcheckError(f"{path}:1: must be a run's first line; got nothing whole")
    return Log(path, run, tuple(rows), cut)


def find(folder: Path) -> tuple[list[Log], list[str], list[str]]:
    """Every run under a folder (or in that file), in the order of their paths; remarks; a line for each refused file.

    Refused are files that are not what a run writes, that are named as another run, and the second of two files that tell
    different numbers of one run. Of two files with the same numbers the one with more epochs counts; a remark says so.

    Raises
    ------
    ArgumentError
        If the folder is not there.
    """
    if not folder.exists():
        raise argument_error("results", "be a folder with metrics.jsonl files", f"{folder}, which is not there")
    logs: dict[Any, Log] = {}
    remarks: list[str] = []
    refused: list[str] = []
    for path in sorted(folder.rglob("*.jsonl")) if folder.is_dir() else [folder]:
        try:
            log = _named(read(path))
        except EfcheckError as error:
            refused.append(str(error))
            continue
        key = (log.setting, log.name, float(log.run["lr"]))
        if key in logs and not log.same_numbers(logs[key]):
            refused.append(f"{path}:1: the same run as {logs[key].path} with other numbers; left out")
            continue
        if key in logs:
            kept, left = sorted((logs[key], log), key=lambda found: -len(found.rows))
            remarks.append(f"{left.path}:1: the same run as {kept.path}, which has as many epochs or more; left out")
            log = kept
        logs[key] = log
    return sorted(logs.values(), key=lambda log: str(log.path)), remarks, refused


def _named(log: Log) -> Log:
    """The log, if its file or, for metrics.jsonl, its folder is not named as another run."""
    name = log.path.parent.name if log.path.name == "metrics.jsonl" else log.path.stem
    named = re.match(rf"(?:{'|'.join(ALGORITHMS)})-b\d+-s\d+(?=$|-lr)", name)
    if named and named[0] != log.name:
        raise EfcheckError(f"{log.path}:1: must be the run that its name says, {named[0]}; got {log.name}")
    return log


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
    if not 0 < number(run.get("lr")) < math.inf:
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
        if key.endswith("loss") and value is not None and value < 0:
            raise EfcheckError(f"{where}: `{key}` must be >= 0, as a cross-entropy is; got {_short(value)}")
        if key.endswith("accuracy") and value is not None and not (0 <= value <= 1 or value != value):
            raise EfcheckError(f"{where}: `{key}` must be a share in [0, 1]; got {_short(value)}")
    return row


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise EfcheckError(f"{path}:{number}: must be JSON; got {_short(text)}") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def number(value: Any) -> float:
    """A JSON number; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def _without_clock(row: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in row.items() if key not in _CLOCK}, sort_keys=True)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 50 else text[:47] + "..."
