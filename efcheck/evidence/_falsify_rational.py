"""Numbers from the reader's text, read without first writing out a number of millions of digits."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Rational
from typing import Any

_EXPONENT = 400  # floats end at 308


def rational(value: Any) -> Fraction:
    """`value` as a Fraction; anything but a rational is read as what it prints: a float is its decimal, text "3/4" or "1e-3".

    ValueError where it is no rational number, or its exponent is beyond 400.

    >>> rational(0.1), rational("3/4")
    (Fraction(1, 10), Fraction(3, 4))
    """
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    text = str(value)
    exponent = text.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > _EXPONENT:
        raise ValueError(f"the exponent is beyond {_EXPONENT}")
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError("the denominator is 0") from None


def nearest(c: Fraction) -> float:
    """The float nearest to c, infinite where it is beyond them.

    >>> nearest(Fraction(1, 4)), nearest(Fraction(-(10**400)))
    (0.25, -inf)
    """
    try:
        return float(c)
    except OverflowError:
        return math.inf if c > 0 else -math.inf


def over(left: Fraction, right: Fraction) -> float:
    """left/right, infinite for right = 0."""
    return nearest(left / right) if right else math.inf
