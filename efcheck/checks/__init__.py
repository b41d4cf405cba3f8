"""What any compressor, optimizer or communication hook must pass: checks for other people's code.

check_compressor runs all checks of a compressor; CHECKS names them, check_named runs one. Names load when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from efcheck._lazy import lazy

if TYPE_CHECKING:
    from efcheck.checks.comm_hook import check_comm_hook as check_comm_hook
    from efcheck.checks.compressor import CHECKS as CHECKS
    from efcheck.checks.compressor import check_compressor as check_compressor
    from efcheck.checks.compressor import check_named as check_named
    from efcheck.checks.error_feedback import check_error_feedback as check_error_feedback
    from efcheck.checks.glue import parametrize_with_checks as parametrize_with_checks
    from efcheck.checks.report import CheckReport as CheckReport
    from efcheck.checks.report import Result as Result

_HOMES = {
    "CHECKS": "efcheck.checks.compressor",
    "CheckReport": "efcheck.checks.report",
    "Result": "efcheck.checks.report",
    "check_comm_hook": "efcheck.checks.comm_hook",
    "check_compressor": "efcheck.checks.compressor",
    "check_error_feedback": "efcheck.checks.error_feedback",
    "check_named": "efcheck.checks.compressor",
    "parametrize_with_checks": "efcheck.checks.glue",
}
_MODULES = ("strategies",)

__all__ = [*_HOMES, *_MODULES]

__getattr__, __dir__ = lazy(__name__, _HOMES, _MODULES)
