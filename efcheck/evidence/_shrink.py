"""From a confirmed violation to one in round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.evidence._box import ROUND, Axis, Box, decimal

Point = tuple[Fraction, ...]
# (points, how far below 0 gap must be at each) -> index of the first point that is a confirmed violation, None if none is
FirstBelow = Callable[[Sequence[Point], Sequence[float]], int | None]

# A round witness keeps this share of the violation found, or of |gap| next to it: it shows on a calculator.
_KEPT = 1e-4
_SIMPLE = [decimal(r) for r in ROUND] + [Fraction(1, 3), Fraction(2, 3), Fraction(3, 2)]
_SIMPLE += [Fraction(10) ** e for e in range(-6, 7)]
_AT_ONCE = 8


def weight(q: Fraction) -> tuple[float, float, bool]:
    """Sorts numbers by how easy they are to type: 0, 1, 2, ..., 10, 1/2, 0.1, ..., 0.37, ..., 3/7, negative ones later."""
    return _digits(q), _size(q), q < 0


def _digits(q: Fraction) -> float:
    """Digits without the zeros at either end, of the decimal or of both sides of the fraction, which count more."""
    if q.denominator == 1:
        return len(str(abs(q.numerator)).rstrip("0"))
    fraction = len(str(abs(q.numerator))) + len(str(q.denominator)) + (0 if q.denominator < 10 else 3)
    decimals = len(str(abs(q.numerator) * 10**20 // q.denominator).rstrip("0")) + 1
    return min(fraction, decimals)


def _size(q: Fraction) -> float:
    return math.log(abs(q.numerator)) + math.log(q.denominator) if q else 0.0


def total(point: Point) -> tuple[float, float, int]:
    """The weight of a point, coordinate by coordinate added up; equal coordinates are easier than different ones."""
    parts = [weight(q) for q in point]
    return sum(p[0] for p in parts) + 0.5 * len(set(point)), sum(p[1] for p in parts), sum(p[2] for p in parts)


@dataclass(frozen=True)
class Shrinker:
    """`evaluate` sorts out candidates in floats, `first` confirms them; gap was `value` < 0 where the search found it."""

    box: Box
    evaluate: Callable[[Array], Array]
    first: FirstBelow
    value: float

    def simplest(self, candidates: Iterable[Point], than: Point) -> Point:
        """The simplest of the candidates where gap is confirmed well below 0, if simpler than `than`, else that."""
        better = sorted({c for c in candidates if total(c) < total(than)}, key=lambda c: (total(c), c))
        if not better:
            return than
        x = np.array([[float(q) for q in c] for c in better])
        below = np.flatnonzero(self.evaluate(x) < 0)
        for i in range(0, min(len(below), 8 * _AT_ONCE), _AT_ONCE):
            some = below[i : i + _AT_ONCE]
            batch: list[Point] = [better[j] for j in some]
            if (index := self.first(batch, [self.floor(row) for row in x[some]])) is not None:
                return batch[index]
        return than

    def floor(self, x: Array) -> float:
        """Minus the share of the violation found, or of the largest |gap| where x or a coordinate is half or more again."""
        d = len(x)
        moves = np.concatenate([1 + np.diag(np.full(d, by)) for by in (-0.5, 0.5)] + [np.full((1, d), by) for by in (0.5, 1.5)])
        around = np.abs(self.evaluate(self.box.legal(x * moves)))
        local = float(np.max(around[np.isfinite(around)], initial=0.0))
        return -_KEPT * min(local, -self.value)

    def together(self, found: Point, rng: Generator) -> Point:
        """All coordinates replaced at once: by simple numbers at random, and by one simple number."""
        choices = [sorted(candidates(a, q), key=weight)[:24] for a, q in zip(self.box.axes, found, strict=True)]
        rows = np.stack([rng.integers(0, len(c), 2000) for c in choices], axis=1)
        options = [tuple(c[j] for c, j in zip(choices, row, strict=True)) for row in rows]
        options += [(q,) * len(found) for q in set().union(*choices) if all(a.contains(q) for a in self.box.axes)]
        return self.simplest(options, found)

    def one_by_one(self, point: Point, found: Point) -> Point:
        """Each coordinate in turn replaced by a simpler number, or by another coordinate's."""
        for i, axis in enumerate(self.box.axes):
            options = candidates(axis, point[i]) | candidates(axis, found[i]) | set(_legal(axis, point))
            point = self.simplest([(*point[:i], q, *point[i + 1 :]) for q in options], point)
        return point


def shrink(
    found: Point, value: float, box: Box, evaluate: Callable[[Array], Array], first: FirstBelow, rng: Generator
) -> Point:
    """A simpler point of the box where gap is still confirmed below 0, or `found` itself, where gap is `value`."""
    shrinker = Shrinker(box, evaluate, first, value)
    point, before = shrinker.together(found, rng), None
    for _ in range(4):
        if point == before:
            break
        before, point = point, shrinker.one_by_one(point, found)
    return point


def candidates(axis: Axis, q: Fraction) -> set[Fraction]:
    """Numbers of the axis rounder than q: small ones, its ends, q to few digits, fractions and powers of ten near q."""
    near = [q.limit_denominator(n) for n in (1, 2, 3, 5, 10, 20, 100, 1000)]
    return set(_legal(axis, [*_SIMPLE, axis.low, axis.high, q, *near, *_few_digits(q)]))


def _legal(axis: Axis, values: Sequence[Fraction]) -> list[Fraction]:
    return [v for v in values if axis.contains(v)]


def _few_digits(q: Fraction) -> Iterator[Fraction]:
    if not q:
        return
    exponent = math.floor(_log10(q))
    for e in (exponent, exponent + 1):
        yield Fraction(10) ** e * (1 if q > 0 else -1)
        if 0 < e < 308:
            yield Fraction(round(q))
    for digits in range(1, 9):
        unit = Fraction(10) ** (exponent + 1 - digits)
        yield from {math.floor(q / unit) * unit, round(q / unit) * unit, math.ceil(q / unit) * unit}
    for e in range(1, 10):  # next to 1
        yield 1 - Fraction(10) ** -e


def _log10(q: Fraction) -> float:
    return (math.log(abs(q.numerator)) - math.log(q.denominator)) / math.log(10)


def shown(q: Fraction) -> str:
    """3, 1/2, or the float 0.0137 where that is the number itself.

    >>> shown(Fraction(1, 3)), shown(Fraction(137, 10000))
    ('1/3', '0.0137')
    """
    if abs(q.numerator) < (10**16 if q.denominator == 1 else 10**6) and q.denominator <= 100:
        return str(q)
    return repr(float(q)) if decimal(float(q)) == q else str(q)
