"""efcheck decides whether what a paper says about compressed gradients with error feedback is true.

The public names are loaded when they are first used, so that `import efcheck` costs next to nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from efcheck._lazy import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from efcheck.checks.compressor import check_compressor as check_compressor
    from efcheck.claims import Claim as Claim
    from efcheck.claims import audit as audit
    from efcheck.errors import ArgumentError as ArgumentError
    from efcheck.errors import EfcheckError as EfcheckError
    from efcheck.evidence import Evidence as Evidence
    from efcheck.simulate import Trace as Trace
    from efcheck.simulate import simulate as simulate
    from efcheck.span import GradientSpan as GradientSpan

_HOMES = {
    "ArgumentError": "efcheck.errors",
    "Claim": "efcheck.claims",
    "EfcheckError": "efcheck.errors",
    "Evidence": "efcheck.evidence",
    "GradientSpan": "efcheck.span",
    "Trace": "efcheck.simulate",
    "audit": "efcheck.claims",
    "check_compressor": "efcheck.checks.compressor",
    "simulate": "efcheck.simulate",
}
_MODULES = ("arrays", "checks", "claims", "compressors", "errors", "evidence", "methods", "problems", "span")

__all__ = ["__version__", *_HOMES, *_MODULES]

__getattr__, __dir__ = lazy(__name__, _HOMES, _MODULES)


class _Package(ModuleType):
    """`simulate` is the function, also after somebody imported the module of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "simulate" and isinstance(value, ModuleType):
            value = value.simulate
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
