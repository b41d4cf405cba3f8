"""Evidence: what a verdict rests on. Importing this package imports neither SymPy, SciPy, mpmath, z3 nor PEPit."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from efcheck.evidence.evidence import Evidence, combine

# These are bound here at once, before the submodules of the same names could hide them; what is heavy loads when called.
from efcheck.evidence.falsify import falsify, recheck
from efcheck.evidence.monte_carlo import monte_carlo
from efcheck.evidence.prove import prove
from efcheck.evidence.replay import replay
from efcheck.evidence.search import search
from efcheck.evidence.worst_case import worst_case

if TYPE_CHECKING:
    from efcheck.evidence import exact
    from efcheck.evidence.statistics import dkw

__all__ = [
    "Evidence", "combine", "dkw", "exact", "falsify", "monte_carlo", "prove", "recheck", "replay", "search", "worst_case",
]  # fmt: skip

_LAZY = {"dkw": ("efcheck.evidence.statistics", "dkw"), "exact": ("efcheck.evidence.exact", None)}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = importlib.import_module(module)
    value = loaded if attribute is None else getattr(loaded, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
