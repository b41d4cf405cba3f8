r"""What the files on the extensions share: Counterexamples 2 and 3 by their definitions, on SymPy expressions or Fractions.

    2: f = epsilon |x1 + x2| + |x1 - x2|,   g = epsilon sign(x1 + x2) (1, 1) + sign(x1 - x2) (1, -1)
    3: f = <a_1, x>^2 + <a_2, x>^2,         a_1, a_2 = +-(1, -1) + epsilon (1, 1),   g = 2 a_i <a_i, x>

Conventions `sign` in gradient_2 brings its own sign(0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sympy import Piecewise

Pair = tuple[Any, Any]


def sgn(v: Any, zero: int) -> Any:
    """sign(v) with sign(0) = zero, as SymPy."""
    return Piecewise((1, v > 0), (-1, v < 0), (zero, True))


def f_2(epsilon: Any, x: Pair) -> Any:
    return epsilon * abs(x[0] + x[1]) + abs(x[0] - x[1])


def gradient_2(epsilon: Any, x: Pair, sign: Callable[[Any], Any]) -> Pair:
    u, v = sign(x[0] + x[1]), sign(x[0] - x[1])
    return epsilon * u + v, epsilon * u - v


def rows_3(epsilon: Any) -> tuple[Pair, Pair]:
    return (1 + epsilon, -1 + epsilon), (-1 + epsilon, 1 + epsilon)


def inner(a: Pair, x: Pair) -> Any:
    return a[0] * x[0] + a[1] * x[1]


def f_of(rows: Sequence[Pair], x: Pair) -> Any:
    """Sum of <a_i, x>^2."""
    return sum(inner(a, x) ** 2 for a in rows)


def gradient_of(a: Pair, x: Pair) -> Pair:
    """Of <a, x>^2."""
    return 2 * a[0] * inner(a, x), 2 * a[1] * inner(a, x)
