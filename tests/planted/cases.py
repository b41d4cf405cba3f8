"""All planted and all correct compressors, the torch ones where torch is installed."""

from __future__ import annotations

import functools

from planted.compressors import PLANTED
from planted.correct import CORRECT
from planted.unusual_compressors import UNUSUAL

from efcheck.checks import Result, check_named

try:
    from planted.torch_compressors import CORRECT as TORCH_CORRECT
    from planted.torch_compressors import PLANTED as TORCH_PLANTED
except ImportError:
    TORCH_PLANTED, TORCH_CORRECT = {}, {}

ALL_PLANTED = {**PLANTED, **{f"torch: {name}": case for name, case in TORCH_PLANTED.items()}}
ALL_CORRECT = {**CORRECT, **UNUSUAL, **{f"torch: {name}": case for name, case in TORCH_CORRECT.items()}}


@functools.cache
def intended(name: str) -> Result:
    """What the check says that must catch the bug."""
    c, claims, check = ALL_PLANTED[name]
    return check_named(check, c, **claims)
