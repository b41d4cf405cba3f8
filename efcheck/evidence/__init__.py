"""Evidence: what a verdict rests on. Importing this package imports neither SymPy nor z3."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from efcheck.evidence.evidence import Evidence, combine

# `prove` is bound here at once, before the submodule of the same name could hide it; it loads SymPy and z3 when called.
from efcheck.evidence.prove import prove

if TYPE_CHECKING:
    from efcheck.evidence import exact
    from efcheck.evidence.statistics import dkw

__all__ = ["Evidence", "combine", "dkw", "exact", "prove"]

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
