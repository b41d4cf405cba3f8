"""The box that `search` looks into: its axes, its even filling, and its corners, edges, ties and round numbers."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.errors import argument_error, real

ROUND = (0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 4, 5, 10, -10, 0.25, 0.75, 0.1, 0.9, 1.5, 0.01, 0.99, 100, 1000)
_SHAPE = 'hold (low, high), (low, high, "log") or (low, high, "integer")'
_MARKS = {"log", "integer"}


def decimal(x: float) -> Fraction:
    """The shortest decimal that gives this float: 0.1 is one tenth.

    >>> decimal(0.1)
    Fraction(1, 10)
    """
    return Fraction(repr(float(x)))


@dataclass(frozen=True)
class Axis:
    """One coordinate: low <= x <= high, both ends included; `log` fills log x evenly, `integer` takes whole numbers."""

    name: str
    low: Fraction
    high: Fraction
    log: bool
    integer: bool

    def points(self, u: Array) -> Array:
        """From [0, 1] to the axis; 0 and 1 are the ends themselves."""
        low, high = float(self.low), float(self.high)
        if self.log:
            x = np.exp(math.log(low) * (1 - u) + math.log(high) * u)
        else:
            x = np.floor(low + u * (high - low + 1)) if self.integer else low * (1 - u) + high * u
        return self.legal(np.where(u <= 0, low, np.where(u >= 1, high, x)))

    def unit(self, x: Array) -> Array:
        """From the axis to [0, 1]; `points` undoes it up to rounding."""
        low, high, half = float(self.low), float(self.high), 0.5 if self.integer and not self.log else 0.0
        if low == high:
            return np.full_like(x, 0.5)
        if self.log:
            share = (np.log(x) - math.log(low)) / (math.log(high) - math.log(low))
        else:
            share = (x / 2 - low / 2 + half / 2) / (high / 2 - low / 2 + half)
        inside: Array = np.clip(share, 0.0, 1.0)
        return inside

    def legal(self, x: Array) -> Array:
        inside: Array = np.clip(np.rint(x) if self.integer else x, float(self.low), float(self.high))
        return inside

    def contains(self, x: Fraction) -> bool:
        return self.low <= x <= self.high and not (self.integer and x.denominator != 1)


@dataclass(frozen=True)
class Box:
    """The axes in the order of gap's columns."""

    axes: tuple[Axis, ...]

    def points(self, u: Array) -> Array:
        return np.stack([a.points(u[:, i]) for i, a in enumerate(self.axes)], axis=1)

    def unit(self, x: Array) -> Array:
        return np.stack([a.unit(x[:, i]) for i, a in enumerate(self.axes)], axis=1)

    def legal(self, x: Array) -> Array:
        return np.stack([a.legal(x[:, i]) for i, a in enumerate(self.axes)], axis=1)

    def even(self, n: int, rng: Generator) -> Array:
        """n points of a scrambled Sobol sequence."""
        from scipy.stats import qmc

        sobol = qmc.Sobol(len(self.axes), scramble=True, seed=rng)
        # a first call with a power of two, since SciPy warns of any other number
        return self.points(np.concatenate([sobol.random(1), sobol.random(n - 1)]))

    def adversarial(self, n: int, rng: Generator) -> Array:
        """n points: corners, then points with coordinates at or next to ends and 0, at round numbers, or tied."""
        d = len(self.axes)
        corners = n // 2 if d > 30 else min(n // 2, 2**d)
        bits = np.arange(corners)[:, None] >> np.arange(d) & 1 if corners == 2**d else rng.integers(0, 2, (corners, d))
        others = self.points(rng.random((n - corners, d)))
        share = rng.choice([0.3, 0.7, 1.0], size=(len(others), 1))
        special = np.stack([_special(a, len(others), rng) for a in self.axes], axis=1)
        x = np.where(rng.random(others.shape) < share, special, others)
        tied = np.flatnonzero(rng.random(len(x)) < 0.25)
        column = rng.integers(0, d, len(tied))
        x[tied] = np.where(rng.random((len(tied), d)) < 0.5, x[tied, column][:, None], x[tied])
        return np.concatenate([self.points(bits.astype(float)), self.legal(x)])


def _special(axis: Axis, n: int, rng: Generator) -> Array:
    low, high = float(axis.low), float(axis.high)
    tiny = 10.0 ** -rng.uniform(0, 16, n)
    width = high / 2 - low / 2
    inside = [float(r) for r in ROUND if low <= r <= high] or [low]
    near = [np.full(n, low), np.full(n, high), low + width * tiny, high - width * tiny, rng.choice(inside, n)]
    if low <= 0 <= high:
        near.append(np.where(rng.random(n) < 0.5, high, low) * tiny)
    return np.stack(near)[rng.integers(0, len(near), n), np.arange(n)]


def parse(box: Any) -> Box:
    """A Box from a sequence of axes, or a mapping of names to axes; one line for what is wrong."""
    if isinstance(box, Mapping):
        named = [(str(name), f"box[{name!r}]", axis) for name, axis in box.items()]
    else:
        try:
            named = [(f"x{i}", f"box[{i}]", axis) for i, axis in enumerate(box)]
        except TypeError:
            raise argument_error("box", "be a sequence of axes or a dict name -> axis", box) from None
    if not named:
        raise argument_error("box", "have at least one axis", "none")
    return Box(tuple(_axis(*entry) for entry in named))


def _axis(name: str, where: str, value: Any) -> Axis:
    if isinstance(value, str):
        raise argument_error(where, _SHAPE, value)
    try:
        low, high, *marks = value
    except (TypeError, ValueError):
        raise argument_error(where, _SHAPE, value) from None
    words = {word for mark in marks for word in (mark.split() if isinstance(mark, str) else [None])}
    if not words <= _MARKS:
        raise argument_error(where, _SHAPE, value)
    log, integer = "log" in words, "integer" in words
    ends = []
    for end, place in ((low, f"{where}[0]"), (high, f"{where}[1]")):
        number = real(place, end)
        exact = Fraction(int(end.numerator), int(end.denominator)) if isinstance(end, numbers.Rational) else decimal(number)
        if integer and (exact.denominator != 1 or abs(exact) > 2**53):
            raise argument_error(place, "be a whole number below 2^53 on an integer axis", end)
        ends.append(exact)
    if ends[0] > ends[1]:
        raise argument_error(where, "have low <= high", f"{float(low):g} > {float(high):g}")
    if log and ends[0] <= 0:
        raise argument_error(where, "have low > 0 on a log axis", f"{float(low):g}")
    return Axis(name, ends[0], ends[1], log, integer)
