"""What a family of runs with few parameters is: run in floats at many points and for all T at once, and exact at one point.

Units L = sigma = 1 for smooth functions (gamma is then gamma L), gamma = sigma = 1 for the others: a change of units of x and f
turns them into any other. A family yields, for each T of `times`, the left side and the letters of the right side. A
compressor has delta = 1 - q^2: a message may leave any memory e with |e| <= q |p|.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isqrt
from typing import Any, Protocol

from efcheck.arrays import Array
from efcheck.evidence._falsify_instance import Instance

Point = tuple[Fraction, ...]
Rows = Iterator[tuple[Any, Array, dict[str, Any]]]  # T, left sides, letters
# shares q of p that the message leaves out: simple fractions, and near 1
SHARES = [Fraction(1, n) for n in range(2, 31)] + [Fraction(n - 1, n) for n in range(3, 11)]
CLOSE = [1 - Fraction(1, n) for n in (12, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 500, 700, 1000)]


class Family(Protocol):
    """One family; `axes` are the ends of its parameters, within which a point may be moved, none where it may not."""

    @property
    def axes(self) -> Sequence[tuple[float, float]]: ...
    @property
    def noisy(self) -> bool: ...
    def grid(self) -> list[Point]: ...
    def rows(self, X: Array) -> Rows: ...
    def instances(self, point: Point, T: int) -> Iterator[Instance]:
        """The run at this point on Fractions, in one or more roundings of its messages; none where they are no map."""
        ...


def thinned(last: int) -> list[int]:
    """All T up to 256, then ever fewer; among them many with T + 1 a square."""
    squares = [n * n - 1 for n in range(17, isqrt(last + 1) + 1)]
    return sorted({*range(min(256, last) + 1), *squares[:: max(1, len(squares) // 60)]})
