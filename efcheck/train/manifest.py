"""A manifest: one TOML file that names every run of an experiment.

    title = "VGG19 on CIFAR-10"
    paper = "Table 4; Figures 2, 7"     what of the paper it is; "" if it is none of the paper's
    data = "cifar10"
    model = "vgg19"
    algorithms = ["sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd"]
    batch_sizes = [128, 32, 8]
    seeds = [1, 2, 3]                   the replications
    epochs = 200
    constant_lr = false                 true: no drops (A.3's tuning); else x 0.1 at half and at three quarters
    momentum = 0.9                      of SGDM and signSGDM
    weight_decay = 5e-4
    [lr]                                at batch size 128; a run's is lr * batch_size / 128
    sgdm = 1e-2
    ...
or, in place of [lr], a grid for all of them:
    [grid]                              count rates from low to high, evenly spaced in their logarithm
    low = 1e-5
    high = 10
    count = 9
and, where wanted,
    [options]                           other fields of efcheck.train's settings, e.g. limit_train = 6000

Source: Sections 6.1 and A.3.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efcheck.errors import ArgumentError, EfcheckError, argument_error, integer, real
from efcheck.train.logs import ALGORITHMS
from efcheck.train.paper import DATA, MODELS, TUNED_AT

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
_OPTIONS: dict[str, type] = {
    "limit_train": int, "limit_test": int, "dropout": float, "precision": str, "device": str, "channels_last": bool,
    "compile": bool, "graphs": bool, "augment": bool, "official_resume": bool, "threads": int,
}  # fmt: skip
_ELSEWHERE = ("device", "threads", "graphs", "lr")  # where and how it is computed; the rate is compared by itself
_TEXTS, _LISTS = ("title", "paper", "data", "model"), ("algorithms", "batch_sizes", "seeds")
_KEYS = (*_TEXTS, *_LISTS, "epochs", "constant_lr", "momentum", "weight_decay", "lr", "grid", "options")


@dataclass(frozen=True)
class Run:
    """One run: its name, and what sets its numbers.

    >>> Run("vgg19-cifar10", "cifar10", "vgg19", "sgdm", 32, 1, 2.5e-3, 200).name
    'sgdm-b32-s1'
    """

    experiment: str
    data: str
    model: str
    algorithm: str
    batch_size: int
    seed: int
    lr: float  # of this batch size, [x]^2/[f]
    epochs: int
    constant_lr: bool = False
    grid: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """ALGORITHM-bBATCH-sSEED, in a grid with -lrRATE."""
        return f"{self.algorithm}-b{self.batch_size}-s{self.seed}" + (f"-lr{self.lr:.2g}" if self.grid else "")

    def settings(self) -> dict[str, Any]:
        """Keyword arguments of efcheck.train's settings."""
        keys = ("data", "model", "algorithm", "batch_size", "seed", "lr", "epochs", "constant_lr")
        found = {key: getattr(self, key) for key in keys}
        return found | {"augment": self.data.startswith("cifar")} | dict(self.options)  # crops and flips: A.2

    def matches(self, run: Mapping[str, Any]) -> bool:
        """Whether the first line of a result file is this run's, up to rounding of the rate, and where and how it was done."""
        return not self.differences(run)

    def differences(self, run: Mapping[str, Any]) -> list[str]:
        """ "epochs 5 instead of 4": in what the first line of a result file is not this run's, as far as it tells."""
        told = {key: value for key, value in self.settings().items() if key in run and key not in _ELSEWHERE}
        found = [f"{key} {run[key]} instead of {value}" for key, value in told.items() if run[key] != value]
        if not math.isclose(run["lr"], self.lr, rel_tol=1e-9):
            found.append(f"lr {run['lr']:g} instead of {self.lr:g}")
        return found


@dataclass(frozen=True)
class Manifest:
    """An experiment. `rates` has, for each algorithm, its rates at batch size 128: one, or those of the grid."""

    name: str
    title: str
    paper: str
    data: str
    model: str
    algorithms: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    epochs: int
    constant_lr: bool
    rates: Mapping[str, tuple[float, ...]]
    options: Mapping[str, Any]

    def runs(self) -> list[Run]:
        """Every run, by batch size, seed and algorithm: cut short, it leaves whole rows."""
        grid = any(len(rates) > 1 for rates in self.rates.values())
        return [
            Run(self.name, self.data, self.model, a, b, s, lr * b / TUNED_AT, self.epochs, self.constant_lr, grid, self.options)
            for b in self.batch_sizes
            for s in self.seeds
            for a in self.algorithms
            for lr in self.rates[a]
        ]


def load(path: Path) -> Manifest:
    """The manifest in a TOML file, named by the file.

    Raises
    ------
    EfcheckError
        In one line that starts with the file, for what cannot be read, is unknown, is missing or is not as it must be.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EfcheckError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EfcheckError(f"{path}: must be TOML; {error}") from None
    try:
        found = _manifest(path.stem, told)
        _distinct(found)
        return found
    except ArgumentError as error:
        raise EfcheckError(f"{path}: {error}") from None


def _manifest(name: str, told: dict[str, Any]) -> Manifest:
    _only(told, _KEYS, "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise argument_error("name", "be small letters, digits and hyphens: it names a folder", name)
    for key in _KEYS[: _KEYS.index("lr")]:
        if key not in told:
            raise argument_error(key, "be there", "nothing")
    for key in _TEXTS:
        if not isinstance(told[key], str):
            raise argument_error(key, "be a text", told[key])
    for key, known in (("data", DATA), ("model", MODELS)):
        if told[key] not in known:
            raise argument_error(key, f"be one of {', '.join(known)}", told[key])
    for key, fixed in (("momentum", MOMENTUM), ("weight_decay", WEIGHT_DECAY)):
        if told[key] != fixed or isinstance(told[key], bool):
            raise argument_error(key, f"be {fixed:g}, the paper's, which the algorithms have", told[key])
    if not isinstance(told["constant_lr"], bool):
        raise argument_error("constant_lr", "be true or false", told["constant_lr"])
    for key in _LISTS:
        if not isinstance(told[key], list) or not told[key] or len({repr(v) for v in told[key]}) < len(told[key]):
            raise argument_error(key, "be a list without repetitions, not empty", told[key])
    for value in told["algorithms"]:
        if value not in ALGORITHMS:
            raise argument_error("algorithms", f"be of {', '.join(ALGORITHMS)}", value)
    return Manifest(
        name, told["title"], told["paper"], told["data"], told["model"], tuple(told["algorithms"]),
        tuple(integer("batch_sizes", b, 1) for b in told["batch_sizes"]), tuple(integer("seeds", s, 0) for s in told["seeds"]),
        integer("epochs", told["epochs"], 1), told["constant_lr"], _rates(told), _options(told.get("options", {})),
    )  # fmt: skip


def _distinct(manifest: Manifest) -> None:
    """A name is a run's folder: a fine grid would give two rates one name, to two digits."""
    names = [run.name for run in manifest.runs()]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise argument_error("grid", "have rates that differ in two digits", f"two runs named {twice}", "Lower grid.count.")


def _rates(told: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    if ("lr" in told) == ("grid" in told):
        raise argument_error("lr", "be there, or `grid` in its place", "both" if "lr" in told else "neither")
    if "lr" in told:
        _only(_table(told["lr"], "lr"), ALGORITHMS, "lr.")
        for name in told["algorithms"]:
            if name not in told["lr"]:
                raise argument_error(f"lr.{name}", "be there", "nothing")
        return {name: (_rate(f"lr.{name}", told["lr"][name]),) for name in told["algorithms"]}
    grid = _table(told["grid"], "grid")
    _only(grid, ("low", "high", "count"), "grid.")
    low, high = (_rate(f"grid.{key}", grid.get(key)) for key in ("low", "high"))
    count = integer("grid.count", grid.get("count"), 2)
    if high <= low:
        raise argument_error("grid.high", f"be above grid.low, {low:g}", high)
    # powers of ten, so that the ends and the middle are the decimals that they look like
    first, last = math.log10(low), math.log10(high)
    rates = tuple(float(f"{10 ** (first + (last - first) * i / (count - 1)):.12g}") for i in range(count))
    return dict.fromkeys(told["algorithms"], rates)


def _options(told: Any) -> dict[str, Any]:
    _only(_table(told, "options"), _OPTIONS, "options.")
    for key, value in told.items():
        wanted = _OPTIONS[key]
        if type(value) is not wanted:
            raise argument_error(f"options.{key}", f"be a TOML {wanted.__name__}", value)
        if wanted is int:
            integer(f"options.{key}", value, 1)
    return dict(told)


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise argument_error(name, "be a table", value)
    return value


def _rate(name: str, value: Any) -> float:
    if isinstance(value, str):
        raise argument_error(name, "be a finite number > 0", value)
    return real(name, value, 0, open_ends=True)


def _only(told: Mapping[str, Any], known: Any, prefix: str) -> None:
    for key in told:
        if key not in known:
            raise argument_error(prefix + key, "not be there; the keys are " + ", ".join(known), "it")
