"""Training with compressed gradients, in torch: the optimizer, the paper's algorithms and networks, packing, measures.

Names load when first used. Without torch, importing this package raises MissingExtraError.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from efcheck._lazy import lazy
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

__getattr__, __dir__ = lazy(__name__, _HOMES, _MODULES)
