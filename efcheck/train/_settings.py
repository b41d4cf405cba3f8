"""What decides the numbers of a run: the settings, and the seeds derived from them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from efcheck.errors import argument_error, integer, real

_STREAMS = ("model", "order", "augment", "dropout", "compressor")
_FLAGS = ("channels_last", "compile", "graphs", "constant_lr", "official_resume")
_PRECISIONS = ("float32", "bfloat16")
MOST = 2**31 - 1
_THREADS = 1024  # torch starts as many as it is told, and crashes where the system has no more
_LARGEST = float(np.finfo(np.float32).max)  # the step size is a float32 where the weights are


@dataclass(frozen=True)
class Settings:
    """A run, up to the folder its data is read from. The same settings on the same machine give the same bits.

    Parameters
    ----------
    data, model, algorithm : str
        A name of efcheck.train.data, of efcheck.train.models.MODELS, and of efcheck.train.algorithms.
    batch_size, epochs, seed, threads : int
        The last batch of an epoch may be smaller. threads: CPU threads of torch.
    lr : float
        The first learning rate, > 0, in [x]^2/[f].
    device, precision : str
        "cpu" or "cuda"; "float32", or "bfloat16" for mixed precision.
    augment : bool
        Crops after padding by 4, and flips.
    dropout : float
        Share dropped; the authors' code has none.
    limit_train, limit_test : int or None
        Only so many images: the first, or evenly spread ones where they are sorted by class.
    constant_lr : bool
        No drops: A.3's tuning.
    graphs : bool
        Steps in CUDA graphs, on a GPU (efcheck.train.graphed); see `captures`.
    official_resume : bool
        At each drop of the learning rate go back to the weights with the best test accuracy, and forget momentum and
        memory, as the authors' code did.

    Raises
    ------
    ArgumentError
        For a value out of range, named as the option of `efcheck train`.
    """

    data: str
    model: str
    algorithm: str
    batch_size: int
    epochs: int
    lr: float
    seed: int
    device: str = "cpu"
    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False
    graphs: bool = False
    dropout: float = 0.0
    threads: int = 1
    augment: bool = False
    limit_train: int | None = None
    limit_test: int | None = None
    constant_lr: bool = False
    official_resume: bool = False

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise argument_error(option("precision"), f"be one of {', '.join(_PRECISIONS)}", self.precision)
        for name in ("batch_size", "epochs", "threads", "limit_train", "limit_test"):
            if getattr(self, name) is not None:
                integer(option(name), getattr(self, name), 1, _THREADS if name == "threads" else MOST)
        integer(option("seed"), self.seed, 0, 2**63 - 1)
        real(option("lr"), self.lr, 0, _LARGEST, open_ends=True)
        real(option("dropout"), self.dropout, 0, 1)
        if self.official_resume and (self.constant_lr or self.epochs < 2):
            other = (
                "--constant-lr, which has no drops" if self.constant_lr else "--epochs 1, which has no best epoch to go back to"
            )
            raise argument_error(option("official_resume"), f"go without {other}", "both")

    @property
    def captures(self) -> bool:
        """Whether steps become CUDA graphs: wanted, on a GPU, and not compiled."""
        return self.graphs and self.device == "cuda" and not self.compile

    def seed_of(self, stream: str, epoch: int = 0) -> int:
        """A seed for one use of chance in one epoch, from `seed` alone: no use shifts another."""
        key = (_STREAMS.index(stream), epoch)
        return int(np.random.SeedSequence(self.seed, spawn_key=key).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def to_json(self) -> dict[str, Any]:
        """Names and values."""
        return asdict(self)

    def first_difference(self, other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
        """The first setting that is not as in `other`: its name, its value here and there."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), other.get(field.name)
            if mine != theirs:
                return field.name, mine, theirs
        return None

    def options(self) -> str:
        """The settings as options of `efcheck train`."""
        words: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "augment":
                words.append(option(field.name) if value else "--no-augment")
            elif field.name in _FLAGS:
                words += [option(field.name)] if value else []
            elif value != field.default:
                words += [option(field.name), shlex.quote(str(value))]
        return " ".join(words)


def option(name: str) -> str:
    """The command-line option of a setting."""
    return "--" + name.replace("_", "-")
