"""What `efcheck diagnose` reads: a run's metrics.jsonl, or a CSV file with named columns.

Columns of a CSV, each optional but the first line and one of step and epoch: step, epoch, density (of p_t), density_g, delta,
e_norm, lr, grad_norm; empty cells are allowed. An e_norm of inf or nan is remembered as `broken`; elsewhere nan is as an empty
cell. Other names are told by `column`: {"e_norm": "memory"}.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcheck.errors import EfcheckError, argument_error
from efcheck.train import logs

Column = NDArray[np.float64]
# our name -> what it is; in a CSV `density` is density_p, `grad_norm` is g_norm
COLUMNS = {
    "step": "steps done",
    "lr": "learning rate gamma",
    "delta": "realised delta",
    "density_p": "density of the corrected step p_t",
    "density_g": "density of the gradient",
    "e_norm": "||e||",
    "g_norm": "||g||",
}
_CSV = {"density": "density_p", "grad_norm": "g_norm"}
_MOST = 2.0**53  # steps: above, the next one is the same float


@dataclass(frozen=True)
class Trace:
    """Numbers over time: `columns` by name, (rows,), NaN where absent; `layers` the same for each layer."""

    source: str
    columns: dict[str, Column]
    layers: dict[str, dict[str, Column]] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    by_epoch: bool = False  # "step" counts epochs: the file has no steps
    stopped: str = ""  # why the run has diverged, in words
    broken: float | None = None  # the first step with an ||e|| that is not finite; in `columns` that is NaN

    def get(self, name: str) -> Column | None:
        """The column, None if it is absent or has no finite number."""
        found = self.columns.get(name)
        return found if found is not None and bool(np.isfinite(found).any()) else None

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    @property
    def d(self) -> int | None:
        """The number of parameters, None where the log does not tell."""
        found = self.run.get("parameters")
        return found if isinstance(found, int) and found > 0 else None

    @property
    def sizes(self) -> dict[str, int]:
        """The number of parameters of each layer; empty where the log does not tell all."""
        found = self.run.get("sizes")
        whole = isinstance(found, dict) and all(isinstance(n, int) and n > 0 for n in found.values())
        return dict(found) if isinstance(found, dict) and whole and self.layers.keys() <= found.keys() else {}

    @property
    def optimizer(self) -> dict[str, Any]:
        """The effective hyper-parameters; empty where the log does not tell."""
        found = self.run.get("optimizer")
        return found if isinstance(found, dict) else {}


def read(path: Path, column: Mapping[str, str] | None = None) -> Trace:
    """The trace in a folder with metrics.jsonl, in a .jsonl file, or in a CSV file.

    Raises
    ------
    EfcheckError
        In one line, for what is absent or malformed.
    """
    if path.is_dir():
        path = path / "metrics.jsonl"
    if not path.is_file():
        raise argument_error("out", "be a folder with metrics.jsonl, or a .jsonl or .csv file", f"{path}, which is not there")
    if path.suffix.lower() == ".csv":
        return _csv(path, column or {})
    if column:
        raise argument_error("column", "go with a .csv file", path.name)
    log = logs.read(path)
    if not log.rows:
        raise EfcheckError(f"{path}: must hold a finished epoch; got none{log.stopped and f': the run {log.stopped}'}")
    columns = {key: _finite(log.values(key)) for key in COLUMNS}
    steps = columns["step"]
    by_epoch = not ((np.diff(steps, prepend=0.0) > 0) & (steps <= _MOST)).all()  # absent, or no count of steps
    if by_epoch:
        columns["step"] = np.arange(1.0, len(log.rows) + 1)
    names = sorted({name for row in log.rows if isinstance(row.get("layers"), dict) for name in row["layers"]})
    layers = {name: {key: _of_layer(log, name, key) for key in COLUMNS if key not in ("step", "lr")} for name in names}
    null = np.array(["e_norm" in row and row["e_norm"] is None for row in log.rows])  # so JSON tells what is not finite
    broken = _first(null | np.isinf(log.values("e_norm")), columns["step"])
    return Trace(str(path), columns, layers, log.run, tuple(log.problems(used=True)), by_epoch, log.stopped, broken)


def _finite(values: Column) -> Column:
    return np.where(np.isfinite(values), values, math.nan)


def _first(bad: NDArray[np.bool_], steps: Column) -> float | None:
    """The first step that is bad."""
    return float(steps[np.argmax(bad)]) if bad.any() else None


def _of_layer(log: logs.Log, name: str, key: str) -> Column:
    layers = [row["layers"].get(name) if isinstance(row.get("layers"), dict) else None for row in log.rows]
    return _finite(np.array([logs.number(layer.get(key)) if isinstance(layer, dict) else math.nan for layer in layers]))


def _csv(path: Path, column: Mapping[str, str]) -> Trace:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            places = _places(path, [name.strip() for name in next(lines, [])], column)
            numbers, found = _numbers(path, lines, places)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EfcheckError(f"{path}: cannot be read: {error}") from None
    epochs = found.pop("epoch", None)  # of use only where there are no steps
    if "step" not in places and epochs is not None:
        found["step"] = epochs
    growing = np.diff(found["step"], prepend=-1.0) > 0
    if not growing.all():
        bad = int(np.argmin(growing))
        what = "step" if "step" in places else "epoch"
        raise EfcheckError(f"{path}:{numbers[bad]}: `{what}` must grow from row to row; got {found['step'][bad]:g}")
    broken = None
    if "e_norm" in found:
        broken = _first(np.isinf(found["e_norm"]), found["step"])
        found["e_norm"] = _finite(found["e_norm"])
    return Trace(str(path), found, by_epoch="step" not in places, broken=broken)


def _places(path: Path, head: list[str], column: Mapping[str, str]) -> dict[str, int]:
    """Which column of the file is which of ours."""
    known = [*(name for name in COLUMNS if name not in _CSV.values()), *_CSV, *_CSV.values(), "epoch"]
    for name, there in column.items():
        if name not in known:
            raise argument_error("column", f"name one of {', '.join(dict.fromkeys(known))}", name)
        if there not in head:
            raise argument_error("column", f"be one of the file's columns, {', '.join(head) or 'of which it has none'}", there)
    places = {name: head.index(column.get(name, name)) for name in known if column.get(name, name) in head}
    if not {"step", "epoch"} & places.keys():
        raise EfcheckError(f"{path}:1: must name a column step or epoch; got {', '.join(head) or 'nothing'}. Use --column.")
    for name, place in places.items():
        if head.count(head[place]) > 1:
            raise EfcheckError(f"{path}:1: must have one column {head[place]}; got {head.count(head[place])}")
        if _CSV.get(name, name) in places and name in _CSV:
            raise EfcheckError(f"{path}:1: must have {name} or {_CSV[name]}, which are the same; got both")
    return places


def _numbers(path: Path, lines: Iterator[list[str]], places: Mapping[str, int]) -> tuple[list[int], dict[str, Column]]:
    """The numbers of the lines, and the columns; read once, 8 bytes a number."""
    kept = {_CSV.get(name, name): array("d") for name in places}
    numbers = []
    for number, line in enumerate(lines, start=2):
        if any(cell.strip() for cell in line):
            numbers.append(number)
            for (name, place), values in zip(places.items(), kept.values(), strict=True):
                values.append(_number(path, number, line, name, place))
    if not numbers:
        raise EfcheckError(f"{path}: must hold a row of numbers; got none")
    return numbers, {name: np.array(values) for name, values in kept.items()}


def _number(path: Path, line: int, cells: list[str], name: str, place: int) -> float:
    text = cells[place].strip() if place < len(cells) else ""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise EfcheckError(f"{path}:{line}: `{name}` must be a number; got {text!r}") from None
    where = f"{path}:{line}: `{name}` must"
    if name == "e_norm" and not math.isfinite(value):
        return math.inf  # nan too, which is not an empty cell here
    if name in ("step", "epoch") and value > _MOST:
        raise EfcheckError(f"{where} be at most 2^53; got {text}")
    if math.isinf(value):
        raise EfcheckError(f"{where} be finite; got {text}")
    if value < 0 and name != "delta":  # that of an unscaled sign may be
        raise EfcheckError(f"{where} be >= 0; got {text}")
    return value
