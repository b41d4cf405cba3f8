"""Errors: one line each, `name` must EXPECTED; got VALUE. HINT"""

from __future__ import annotations

import math
import operator
from typing import Any


class EfcheckError(Exception):
    """Base of every error that efcheck raises on purpose."""


class ArgumentError(EfcheckError, ValueError):
    """An argument is outside what the function accepts."""


class MissingExtraError(EfcheckError, ImportError):
    """A library of an optional extra is not installed."""


def argument_error(name: str, expected: str, got: object, hint: str = "") -> ArgumentError:
    """The one wording of every message about an argument.

    >>> print(argument_error("k", "be in [1, 3]", 5, "Pass k = d for no compression."))
    `k` must be in [1, 3]; got 5. Pass k = d for no compression.
    """
    shown = got if isinstance(got, str) else _show(got)
    return ArgumentError(f"`{name}` must {expected}; got {shown}." + (f" {hint}" if hint else ""))


def integer(name: str, value: Any, low: int, high: int | None = None, hint: str = "") -> int:
    """`value` as an int in [low, high], or an ArgumentError."""
    expected = f"be an integer >= {low}" if high is None else f"be an integer in [{low}, {high}]"
    try:
        number = operator.index(value)
    except TypeError:
        raise argument_error(name, expected, value, hint) from None
    if isinstance(value, bool) or number < low or (high is not None and number > high):
        raise argument_error(name, expected, value, hint)
    return number


def real(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, open_ends: bool = False, hint: str = ""
) -> float:
    """`value` as a finite float in [low, high], or in (low, high) with `open_ends`."""
    left, right = ("(", ")") if open_ends else ("[", "]")
    if low == -math.inf and high == math.inf:
        expected = "be a finite number"
    elif high == math.inf:
        expected = f"be a finite number {'>' if open_ends else '>='} {low:g}"
    else:
        expected = f"be a number in {left}{low:g}, {high:g}{right}"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise argument_error(name, expected, value, hint) from None
    inside = low < number < high if open_ends else low <= number <= high
    if isinstance(value, bool) or not math.isfinite(number) or not inside:
        raise argument_error(name, expected, value, hint)
    return number


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"{type(value).__name__} {text[:40]!r}..."
