"""Training with compressed gradients, in torch: the optimizer, the paper's algorithms and networks, packing, measures.

Names load when first used. Without torch, importing this package raises MissingExtraError.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from efcheck.errors import MissingExtraError

if importlib.util.find_spec("torch") is None:
    raise MissingExtraError("torch is not installed: pip install 'efcheck[train]'")

if TYPE_CHECKING:
    from efcheck.train.optimizer import EFSGD as EFSGD
    from efcheck.train.optimizer import NonFiniteError as NonFiniteError

_HOMES = {"EFSGD": "efcheck.train.optimizer", "NonFiniteError": "efcheck.train.optimizer"}
_MODULES = (
    "algorithms", "augment", "checkpoint", "data", "diagnose", "loop", "manifest", "measure", "models", "optimizer",
    "packing", "schedule", "tables",
)  # fmt: skip

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
